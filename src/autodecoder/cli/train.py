"""`autodecoder train`: the learning-rate search, or one learning rate, from flags to pictures."""

import hashlib
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter

from autodecoder.cli.flags import flag, merge, nest
from autodecoder.config import (
    FREE_SETTINGS,
    LEARNING_RATE_GRID,
    RECIPES,
    StudyConfig,
    format_arch,
    parse_tune,
    read_toml,
    split_source,
    study_config,
    to_dict,
)
from autodecoder.errors import ConfigError, SearchError

_DATA = Group("Images", sort_key=1)
_DECODER = Group("Decoder", sort_key=2)
_FIT = Group("Joint fit", sort_key=3)
_SEARCH = Group("Search", sort_key=4)
_LOG = Group("Log", sort_key=5)
_OUTPUT = Group("Output", sort_key=6)
_GRID = ", ".join(f"{rate:g}" for rate in LEARNING_RATE_GRID)
#: More runs than this are not begun without --yes.
_MANY_RUNS = 1000


def train(
    *,
    dataset: Annotated[str | None, flag(_DATA, "data.dataset")] = None,
    data_dir: Annotated[Path | None, flag(_DATA, "data.data_dir")] = None,
    examples_frac: Annotated[float | None, flag(_DATA, "data.examples_frac")] = None,
    image_size: Annotated[str | None, flag(_DATA, "data.image_size")] = None,
    colour: Annotated[str | None, flag(_DATA, "data.colour")] = None,
    val_fraction: Annotated[float | None, flag(_DATA, "data.val_fraction")] = None,
    strict: Annotated[bool | None, flag(_DATA, "data.strict")] = None,
    scaler: Annotated[str | None, flag(_DATA, "data.scaler")] = None,
    augmentation: Annotated[tuple[str, ...], flag(_DATA, "augment.enabled")] = (),
    arch: Annotated[str | None, flag(_DECODER, "decoder.arch")] = None,
    latent_dims: Annotated[int | None, flag(_DECODER, "decoder.latent_dims")] = None,
    activation: Annotated[str | None, flag(_DECODER, "decoder.activation")] = None,
    batch_norm: Annotated[bool | None, flag(_DECODER, "decoder.batch_norm")] = None,
    use_bias: Annotated[bool | None, flag(_DECODER, "decoder.use_bias")] = None,
    dropout_rate: Annotated[float | None, flag(_DECODER, "decoder.dropout_rate")] = None,
    num_epochs: Annotated[int | None, flag(_FIT, "fit.num_epochs")] = None,
    batch_size: Annotated[int | None, flag(_FIT, "fit.batch_size")] = None,
    recipe: Annotated[
        str | None,
        Parameter(
            group=_FIT,
            help=f"Named values of the next seven settings: one of {', '.join(RECIPES)}. A setting "
            "given by itself wins. [default: fast]",
        ),
    ] = None,
    latent_start: Annotated[str | None, flag(_FIT, "fit.latent_start")] = None,
    latent_spread: Annotated[float | None, flag(_FIT, "fit.latent_spread")] = None,
    bias_spread: Annotated[float | None, flag(_FIT, "fit.bias_spread")] = None,
    latent_lr: Annotated[float | None, flag(_FIT, "fit.latent_learning_rate")] = None,
    schedule: Annotated[str | None, flag(_FIT, "fit.schedule")] = None,
    nesterov: Annotated[bool | None, flag(_FIT, "fit.nesterov")] = None,
    drop_last: Annotated[bool | None, flag(_FIT, "fit.drop_last")] = None,
    use_early_stopping: Annotated[bool | None, flag(_FIT, "early_stopping.enabled")] = None,
    use_xla: Annotated[bool | None, flag(_FIT, "use_xla")] = None,
    objective: Annotated[str | None, flag(_SEARCH, "objective")] = None,
    lr: Annotated[
        float | None,
        Parameter(
            group=_SEARCH,
            name=("lr", "learning_rate"),
            help=f"Learning rate; without it {_GRID} are searched.",
        ),
    ] = None,
    executions_per_trial: Annotated[int | None, flag(_SEARCH, "executions_per_trial")] = None,
    tune: Annotated[tuple[str, ...], flag(_SEARCH, "search.space")] = (),
    sampler: Annotated[str | None, flag(_SEARCH, "search.sampler")] = None,
    max_trials: Annotated[int | None, flag(_SEARCH, "search.max_trials")] = None,
    runs_at_once: Annotated[int | None, flag(_SEARCH, "search.runs_at_once")] = None,
    seed: Annotated[int | None, flag(_SEARCH, "seed")] = None,
    tensorboard: Annotated[bool | None, flag(_LOG, "log.tensorboard")] = None,
    tracker: Annotated[tuple[str, ...], flag(_LOG, "log.trackers")] = (),
    histogram_freq: Annotated[int | None, flag(_LOG, "log.histogram_freq")] = None,
    visualize_freq: Annotated[int | None, flag(_LOG, "log.visualize_freq")] = None,
    fresh_every: Annotated[int | None, flag(_LOG, "infer.fresh_every")] = None,
    checkpoint_every: Annotated[int | None, flag(_LOG, "log.checkpoint_every")] = None,
    save_best_model: Annotated[bool | None, flag(_LOG, "log.save_best_model")] = None,
    config: Annotated[
        Path | None,
        Parameter(group=_OUTPUT, help="TOML file of settings, which flags win over."),
    ] = None,
    out: Annotated[
        Path | None,
        Parameter(
            group=_OUTPUT,
            help="Folder of the study: a new one, or one to go on with. By default one below runs/ "
            "that is named after the settings.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        Parameter(
            group=_OUTPUT,
            help="URL of a database for the trials, for example postgresql://user@host/name; by "
            "default a file in the folder.",
        ),
    ] = None,
    reset_training: Annotated[
        bool,
        Parameter(
            group=_OUTPUT,
            negative="--noreset_training",
            show_default=False,
            help="Remove the study in the folder, though no other files, and start over.",
        ),
    ] = False,
    yes: Annotated[
        bool,
        Parameter(
            group=_OUTPUT,
            show_default=False,
            help=f"Do not stop at a search of more than {_MANY_RUNS} runs.",
        ),
    ] = False,
) -> bool:
    """Train a decoder and its latents; without --lr, search the learning rate.

    Prints a table of trials, best first, and writes settings, histories and pictures. The same
    command again goes on where it was cut off.

    Example: autodecoder train --dataset mnist --arch 500-500 --lr 1e-3 --num_epochs 20
    """
    given = nest(
        {
            "data.dataset": dataset,
            "data.data_dir": data_dir,
            "data.examples_frac": examples_frac,
            "data.image_size": image_size,
            "data.colour": colour,
            "data.val_fraction": val_fraction,
            "data.strict": strict,
            "data.scaler": scaler,
            "augment.enabled": augmentation,
            "decoder.arch": arch,
            "decoder.latent_dims": latent_dims,
            "decoder.activation": activation,
            "decoder.batch_norm": batch_norm,
            "decoder.use_bias": use_bias,
            "decoder.dropout_rate": dropout_rate,
            "fit.num_epochs": num_epochs,
            "fit.batch_size": batch_size,
            "recipe": recipe,
            "fit.latent_start": latent_start,
            "fit.latent_spread": latent_spread,
            "fit.bias_spread": bias_spread,
            "fit.latent_learning_rate": latent_lr,
            "fit.schedule": schedule,
            "fit.nesterov": nesterov,
            "fit.drop_last": drop_last,
            "early_stopping.enabled": use_early_stopping,
            "use_xla": use_xla,
            "objective": objective,
            "executions_per_trial": executions_per_trial,
            "search.sampler": sampler,
            "search.max_trials": max_trials,
            "search.runs_at_once": runs_at_once,
            "seed": seed,
            "log.tensorboard": tensorboard,
            "log.trackers": tracker,
            "log.histogram_freq": histogram_freq,
            "log.visualize_freq": visualize_freq,
            "infer.fresh_every": fresh_every,
            "log.checkpoint_every": checkpoint_every,
            "log.save_best_model": save_best_model,
        }
    )
    settings = merge({} if config is None else read_toml(config), given)
    settings = merge(_default_space(settings), settings)
    fixed = {**given.get("decoder", {}), **given.get("fit", {}), **nest({"learning_rate": lr})}
    space = _space(fixed, tune, settings["search"]["space"])
    settings = merge(settings, nest({"search.space": space}))
    study = study_config(settings)
    study = replace(study, data=replace(study.data, dataset=_absolute(study.data.dataset)))
    folder = out or Path("runs") / _name(study, "seed" in settings)
    if "seed" not in settings:
        study = replace(study, seed=_recorded_seed(folder, reset_training))
    n_runs = study.search.n_trials * study.executions_per_trial
    if n_runs > _MANY_RUNS and not yes:
        raise ConfigError(
            f"the search has {study.search.n_trials} trials of {study.executions_per_trial} "
            f"executions, {n_runs} runs in all; give --yes to begin it."
        )
    return _train(study, folder, storage, reset_training)


def _default_space(settings: dict[str, Any]) -> dict[str, Any]:
    """The learning rate is searched where nothing else is said of it."""
    space = settings.get("search", {})
    if not isinstance(space, dict) or not isinstance(space.get("space", {}), dict):
        return {}  # the error is told where settings are checked
    return {"search": {"space": {"learning_rate": list(LEARNING_RATE_GRID)}}}


def _space(fixed: Mapping[str, Any], tune: Sequence[str], searched: Any) -> dict[str, Any] | None:
    """What flags change of the search: the values of --tune, and a single one of each setting that
    a flag gives although the file, or the default, searches it."""
    tuned: dict[str, Any] = {}
    for text in tune:
        name, values = parse_tune(text)
        if name in tuned:
            raise ConfigError(f"{name} is given twice, by --tune {text} and before it.")
        if name in fixed:
            raise ConfigError(f"{name} is given twice, by --tune {text} and a flag of its own.")
        tuned[name] = values
    if not isinstance(searched, dict):
        return None  # the error is told where settings are checked
    held = {name: (value,) for name, value in fixed.items() if name in searched}
    return {**held, **tuned} or None


def _absolute(dataset: str) -> str:
    """Users' own images by their whole path, so that the study is the same from any folder."""
    kind, place = split_source(dataset)
    path = Path(place).expanduser()
    if not place or (kind == "hf" and not path.is_dir()):  # a name on the hub
        return dataset
    return f"{kind}:{os.path.abspath(path)}"  # noqa: PTH100 (a link keeps the name it is given by)


def _name(study: StudyConfig, seed_given: bool) -> str:
    """The default folder's name: the same for the same settings."""
    settings = to_dict(study)
    for path in (*FREE_SETTINGS, *(() if seed_given else ("seed",))):
        *tables, name = path.split(".")
        table = settings
        for part in tables:
            table = table[part]
        del table[name]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    name = Path(study.data.dataset.partition(":")[2] or study.data.dataset).name
    name = re.sub(r"[^\w.]+", "-", name).strip("-.")[:40] or "images"
    return f"{name}-{format_arch(study.decoder.arch)}-{digest[:8]}"


def _recorded_seed(folder: Path, reset: bool) -> int:
    """The seed of the study that the folder holds, else a new one."""
    path = folder / "config.json"
    if path.exists() and not reset:
        from autodecoder.study import read_about

        settings = (read_about(folder) or {}).get("settings")
        seed = settings.get("seed") if isinstance(settings, dict) else None
        if isinstance(seed, int):
            return seed
    return secrets.randbits(32)


def _train(config: StudyConfig, folder: Path, storage: str | None, reset: bool) -> bool:
    """Run a study and show it; returns whether it was interrupted."""
    # Imported here, since they bring jax and matplotlib, which --help need not wait for.
    from autodecoder.cli.console import (
        console,
        count,
        interruptible,
        logged,
        print_start,
        study_progress,
    )
    from autodecoder.cli.programs import keep_programs
    from autodecoder.cli.tables import print_study
    from autodecoder.report import write_pictures
    from autodecoder.study import load_study, load_study_data, run_study
    from autodecoder.study.results import UNFINISHED

    keep_programs()
    with logged():
        dataset = load_study_data(config, progress=sys.stderr.isatty())
    observers = []
    if config.log.tensorboard:
        from autodecoder.report.tensorboard import TensorBoardWriter

        observers.append(TensorBoardWriter())
    print_start(config, dataset)
    given_up: SearchError | None = None
    with logged(), interruptible() as should_stop:
        try:
            with study_progress() as report:
                study = run_study(
                    config,
                    dataset,
                    folder,
                    storage=storage,
                    reset=reset,
                    observers=observers,
                    report=report,
                    should_stop=should_stop,
                )
        except SearchError as error:
            given_up, study = error, load_study(folder)
        pictures = write_pictures(study, dataset)
        print_study(study)
        interrupted = should_stop()
    n_open = sum(trial.state == UNFINISHED for trial in study.trials)
    if interrupted:
        console.print("Interrupted: the same command goes on from here.")
    elif n_open:
        console.print(f"Still run by other processes: {count(n_open, 'trial')}.")
    console.print(f"Results in {folder}", highlight=False)
    for picture in pictures:
        console.print(f"  {picture.relative_to(folder)}", highlight=False)
    if given_up is not None:
        raise given_up
    return interrupted
