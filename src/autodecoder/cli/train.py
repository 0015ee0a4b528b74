"""`autodecoder train`: the learning-rate search, or one learning rate, from flags to pictures."""

import secrets
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter, Token

from autodecoder.config import (
    ACTIVATIONS,
    DATASETS,
    LATENT_STARTS,
    LEARNING_RATE_GRID,
    METRIC_ALIASES,
    METRICS,
    RECIPES,
    SCALERS,
    SCHEDULES,
    DataConfig,
    DecoderConfig,
    StudyConfig,
    fit_config,
    parse_arch,
)
from autodecoder.errors import ConfigError

_DATA = Group("Images", sort_key=1)
_DECODER = Group("Decoder", sort_key=2)
_FIT = Group("Joint fit", sort_key=3)
_SEARCH = Group("Search", sort_key=4)
_OUTPUT = Group("Output", sort_key=5)
_GRID = ", ".join(f"{rate:g}" for rate in LEARNING_RATE_GRID)


def _flag(group: Group, text: str, **options) -> Parameter:
    return Parameter(group=group, help=text, **options)


def _whole(group: Group, text: str) -> Parameter:
    """A flag of a whole number; cyclopts itself would round 2.6 to 3."""
    return _flag(group, text, converter=_whole_number)


def _whole_number(_type: object, tokens: Sequence[Token]) -> int:
    token = tokens[0]
    try:
        return int(token.value)
    except ValueError:
        name = (token.keyword or "").lstrip("-")
        raise ConfigError(f"{name} must be a whole number, got {token.value!r}.") from None


def _switch(group: Group, text: str, name: str) -> Parameter:
    return _flag(group, text, negative=f"--no{name}")


def train(
    *,
    dataset: Annotated[str, _flag(_DATA, f"One of {', '.join(DATASETS)}.")] = "digits",
    data_dir: Annotated[
        Path | None,
        _flag(
            _DATA,
            "Folder whose subfolder of the data set's name holds the published files. Else "
            "$AUTODECODER_DATA and the cache are searched, then the files are downloaded.",
        ),
    ] = None,
    examples_frac: Annotated[
        float, _flag(_DATA, "Share of the images to use, by class; 0 and 1 both mean all.")
    ] = 0.5,
    scaler: Annotated[
        str, _flag(_DATA, f"Pixel scaling: one of {', '.join(SCALERS)}.")
    ] = "standard",
    arch: Annotated[
        str, _flag(_DECODER, "Widths of the hidden layers, from latents to image.")
    ] = "128-256-512",
    latent_dims: Annotated[int, _whole(_DECODER, "Length of each latent vector.")] = 2,
    activation: Annotated[str, _flag(_DECODER, f"One of {', '.join(ACTIVATIONS)}.")] = "leaky_relu",
    batch_norm: Annotated[bool, _switch(_DECODER, "Batch normalisation.", "batch_norm")] = True,
    use_bias: Annotated[bool, _switch(_DECODER, "Biases in dense layers.", "use_bias")] = True,
    dropout_rate: Annotated[
        float, _flag(_DECODER, "Share of units dropped in training; 0 is none.")
    ] = 0.0,
    num_epochs: Annotated[int, _whole(_FIT, "Passes over the training images.")] = 300,
    batch_size: Annotated[int, _whole(_FIT, "Images a step.")] = 128,
    recipe: Annotated[
        str,
        _flag(
            _FIT,
            f"Named values of the next four settings: one of {', '.join(RECIPES)}. A setting "
            "given by its own flag wins.",
        ),
    ] = "original",
    latent_start: Annotated[
        str | None, _flag(_FIT, f"Start of the latents: one of {', '.join(LATENT_STARTS)}.")
    ] = None,
    latent_lr: Annotated[
        float | None, _flag(_FIT, "Step size of the latents, if not that of the decoder.")
    ] = None,
    schedule: Annotated[
        str | None, _flag(_FIT, f"Course of the step sizes: one of {', '.join(SCHEDULES)}.")
    ] = None,
    drop_last: Annotated[
        bool | None, _switch(_FIT, "Leave out the last batch if it is not full.", "drop_last")
    ] = None,
    use_xla: Annotated[
        bool, _switch(_FIT, "Compile with XLA; without it, slow, for debugging.", "use_xla")
    ] = True,
    objective: Annotated[
        str,
        _flag(
            _SEARCH,
            f"Metric that ranks the trials: one of {', '.join((*METRICS, *METRIC_ALIASES))}.",
        ),
    ] = "val_loss",
    lr: Annotated[
        float | None,
        _flag(
            _SEARCH,
            f"Learning rate; without it {_GRID} are searched.",
            name=("lr", "learning_rate"),
        ),
    ] = None,
    executions_per_trial: Annotated[int, _whole(_SEARCH, "Runs of each learning rate.")] = 3,
    seed: Annotated[
        int | None, _whole(_SEARCH, "Whole number that repeats a run; else drawn and recorded.")
    ] = None,
    out: Annotated[
        Path | None, _flag(_OUTPUT, "New folder for the results; else one below runs/.")
    ] = None,
) -> bool:
    """Train a decoder and its latents; without --lr, search the learning rate.

    Prints a table of trials, best first, and writes settings, histories and pictures.

    Example: autodecoder train --dataset mnist --arch 500-500 --lr 1e-3 --num_epochs 20
    """
    chosen = {
        "latent_start": latent_start,
        "latent_learning_rate": latent_lr,
        "schedule": schedule,
        "drop_last": drop_last,
    }
    config = StudyConfig(
        data=DataConfig(
            dataset=dataset, data_dir=data_dir, examples_frac=examples_frac, scaler=scaler
        ),
        decoder=DecoderConfig(
            arch=parse_arch(arch),
            latent_dims=latent_dims,
            activation=activation,
            batch_norm=batch_norm,
            use_bias=use_bias,
            dropout_rate=dropout_rate,
        ),
        fit=fit_config(
            recipe,
            num_epochs=num_epochs,
            batch_size=batch_size,
            **{name: value for name, value in chosen.items() if value is not None},
        ),
        objective=objective,
        learning_rates=LEARNING_RATE_GRID if lr is None else (lr,),
        executions_per_trial=executions_per_trial,
        seed=secrets.randbits(32) if seed is None else seed,
        use_xla=use_xla,
    )
    return _train(config, out)


def _train(config: StudyConfig, out: Path | None) -> bool:
    """Run a study and show it; returns whether it was interrupted."""
    # Imported here, since they bring jax and matplotlib, which --help need not wait for.
    from autodecoder.cli.console import (
        console,
        interruptible,
        print_result,
        print_start,
        study_progress,
    )
    from autodecoder.report import write_pictures
    from autodecoder.study import (
        create_folder,
        discard_folder,
        load_study_data,
        run_study,
        write_study,
    )

    dataset = load_study_data(config, progress=sys.stderr.isatty())
    name = f"{config.data.dataset}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    folder = out or Path("runs") / name
    create_folder(folder, config, dataset)
    print_start(config, dataset)
    with interruptible() as should_stop:
        try:
            with study_progress(config) as report:
                result = run_study(config, dataset, report=report, should_stop=should_stop)
        except BaseException:
            discard_folder(folder)
            raise
        write_study(result, folder)
        pictures = write_pictures(result, folder / "report")
        print_result(result)
    console.print(f"Results in {folder}", highlight=False)
    for picture in pictures:
        console.print(f"  {picture.relative_to(folder)}", highlight=False)
    return result.interrupted
