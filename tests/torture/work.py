"""Commands that get the faults, what they have finished at a moment, and their results."""

import contextlib
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

#: Training of four runs, without what is drawn.
TRAIN = (
    *("--dataset=digits", "--examples_frac=0", "--arch=16", "--num_epochs=600", "--seed=1"),
    *("--checkpoint_every=20", "--histogram_freq=0", "--visualize_freq=0", "--notensorboard"),
)

Finished = Mapping[Any, int]
"""How far each piece of work was finished, by its name."""


@dataclass(frozen=True)
class Task:
    """A command that is repeated until it has ended."""

    name: str
    command: Callable[[Path], tuple[str, ...]]
    """Its arguments, for a folder of results."""
    finished: Callable[[Path], Finished]
    """What a folder holds so far; raises an error if something in it is damaged."""
    result: Callable[[Path], Mapping[Any, Any]]
    """What it must come to in the end, whatever happens on the way."""
    prepare: Callable[[Path], None] = lambda _: None
    hooks: tuple[str, ...] = ("without_pictures",)
    is_endless: bool = False
    """Whether the command never ends by itself."""


def epochs_of(folder: Path) -> Finished:
    """Epochs that each run of a study has kept, as the study is read."""
    from autodecoder.study import load_study

    if not (folder / "config.json").exists():
        return {}
    return {
        (*map(str, trial.values.values()), k): execution.epochs
        for trial in load_study(folder).trials
        for k, execution in enumerate(trial.executions)
    }


def histories_of(folder: Path) -> Mapping[Any, Any]:
    """The metrics of all epochs of each run, bit for bit, and the errors of the best model."""
    from autodecoder.model import load_model
    from autodecoder.study import load_study

    found: dict[Any, Any] = {}
    for trial in load_study(folder).trials:
        for k, execution in enumerate(trial.executions):
            found[*map(str, trial.values.values()), k] = {
                name: np.asarray(values).tobytes() for name, values in execution.history.items()
            }
    found["best"] = load_model(folder / "best").latents.tobytes()
    return found


def files_of(folder: Path) -> Mapping[Any, Any]:
    """All files of a folder, byte for byte."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


TRAINING = Task(
    "training",
    lambda out: ("train", *TRAIN, "--lr=1e-2", "--executions_per_trial=4", f"--out={out}"),
    epochs_of,
    histories_of,
)

TUNING = Task(
    "tuning",
    lambda out: (
        *("tune", *TRAIN, "--tune=lr=1e-3,3e-3,1e-2", "--tune=latent_dims=2,3"),
        *("--executions_per_trial=1", "--runs_at_once=2", f"--out={out}"),
    ),
    epochs_of,
    histories_of,
)

#: The same with TensorBoard's files, which hold times.
LOGGED = Task(
    "tuning with TensorBoard",
    lambda out: tuple(flag for flag in TUNING.command(out) if flag != "--notensorboard"),
    epochs_of,
    histories_of,
)

#: Weights that need more memory than most machines have free.
HUGE = replace(
    TRAINING,
    command=lambda out: tuple(
        flag.replace("=16", "=12000-12000") for flag in TRAINING.command(out)
    ),
)


def _images() -> Any:
    return np.random.default_rng(0).integers(0, 256, (20_000, 12, 12), np.uint8)


def _write_images(out: Path) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.parent / "images.npz"
    if not path.exists():
        np.savez(path, images=_images(), labels=np.arange(20_000) % 5)


def _shards_of(folder: Path) -> Finished:
    """Shards under their own names; they are written whole or not at all."""
    return {path.name: path.stat().st_size for path in folder.glob("*-*.npy")}


PACKING = Task(
    "packing",
    lambda out: ("pack", f"npz:{out.parent / 'images.npz'}", str(out), "--shard_images=500"),
    _shards_of,
    files_of,
    _write_images,
)


def _write_split_images(out: Path) -> None:
    """Few images for validation, so that a batch of training takes most of the memory."""
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.parent / "split.npz"
    if not path.exists():
        images = _images()
        np.savez(path, images=images[:16_000], val_images=images[-100:])


#: A fit whose batch takes nearly all of the memory.
WIDE = Task(
    "training of a wide decoder",
    lambda out: (
        *("train", f"--dataset=npz:{out.parent / 'split.npz'}", "--examples_frac=0", "--seed=1"),
        *("--arch=8192", "--batch_size=16000", "--num_epochs=1", "--lr=1e-3"),
        *("--executions_per_trial=1", "--histogram_freq=0", "--visualize_freq=0"),
        *("--notensorboard", f"--out={out}"),
    ),
    epochs_of,
    histories_of,
    _write_split_images,
)


def save_again_and_again(folder: str) -> None:
    """Save two models in turn into the same folder, until killed."""
    from autodecoder.model import load_model, save_model

    out = Path(folder)
    models = [load_model(out.parent / name) for name in ("one", "two")]
    for k in range(sys.maxsize):
        save_model(models[k % 2], out, training=True)


def _write_models(out: Path) -> None:
    from autodecoder import DecoderConfig, fit_config, fit_model
    from autodecoder.model import save_model

    if not (out.parent / "one").exists():
        for name, epochs, width in (("one", 1, 16), ("two", 2, 24)):
            model = fit_model(
                _images()[:5000],
                decoder=DecoderConfig(arch=(width,)),
                fit=fit_config("fast", num_epochs=epochs),
                learning_rate=1e-2,
            )
            save_model(model, out.parent / name, training=True)
    shutil.copytree(out.parent / "one", out, dirs_exist_ok=True)


def _model_in(folder: Path) -> Finished:
    from autodecoder.model import load_model

    assert len(load_model(folder).latents) == 5000
    return {"a model": 1}


def _model_of(folder: Path) -> Mapping[Any, Any]:
    """Which of the two models the folder holds, compared array by array."""
    from autodecoder.core.tree import tree_to_arrays
    from autodecoder.model import load_model

    def arrays(path: Path) -> dict[str, bytes]:
        model = load_model(path)
        trees = {"decoder": model.decoder, "training": model.training, "latents": model.latents}
        parts = {name: tree_to_arrays(tree) for name, tree in trees.items()}
        return {f"{a}/{b}": v.tobytes() for a, part in parts.items() for b, v in part.items()}

    found = arrays(folder)
    return {"one of the two": found in (arrays(folder.parent / name) for name in ("one", "two"))}


SAVING = Task(
    "saving",
    lambda out: ("save", str(out)),
    _model_in,
    _model_of,
    _write_models,
    is_endless=True,
)


def add_images(folder: str) -> None:
    """Go on with a model on more images, and save it in its place."""
    from autodecoder import fit_config, fit_model
    from autodecoder.model import load_model, save_model

    out = Path(folder)
    model = load_model(out)
    if len(model.latents) == 5000:
        fit = fit_config("fast", num_epochs=2)
        more = fit_model(_images()[:6000], fit=fit, learning_rate=1e-2, start=model)
        save_model(more, out, training=True)


def _images_in(folder: Path) -> Finished:
    from autodecoder.model import load_model

    return {"images": len(load_model(folder).latents)}


def _latents_of(folder: Path) -> Mapping[Any, Any]:
    from autodecoder.model import load_model

    return {"latents": load_model(folder).latents.tobytes()}


ADDING = Task(
    "adding images", lambda out: ("add", str(out)), _images_in, _latents_of, _write_models
)


def _copy_study(out: Path) -> None:
    """A finished study, trained once and copied."""
    from autodecoder.cli import main

    whole = out.parent / "study"
    if not whole.exists():
        quick = [flag.replace("=600", "=20") for flag in TRAIN]
        with contextlib.suppress(SystemExit):
            main(["train", *quick, "--lr=1e-2", "--executions_per_trial=1", f"--out={whole}"])
    shutil.copytree(whole, out)


def _page_of(folder: Path) -> Mapping[Any, Any]:
    page = (folder / "report" / "index.html").read_text()
    return {"whole": page.rstrip().endswith("</html>"), **histories_of(folder)}


def _page_in(folder: Path) -> Finished:
    assert _page_of(folder)["whole"]
    return {"pictures": len(list((folder / "report").rglob("*.png"))), **epochs_of(folder)}


REPORTING = Task(
    "reporting",
    lambda out: ("report", str(out)),
    _page_in,
    _page_of,
    _copy_study,
    hooks=(),
)

TASKS = (TRAINING, TUNING, SAVING, PACKING, REPORTING, ADDING)

#: What `Bench` starts by name beside the commands of the package.
SCRIPTS: dict[str, Callable[[str], None]] = {"save": save_again_and_again, "add": add_images}
