"""The last lines of commands that train: paths of the results, and commands to run next."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from autodecoder.cli.console import console
from autodecoder.cli.tables import print_yardstick
from autodecoder.model import Model
from autodecoder.model.metrics import UNITS, describe_epoch, model_metrics
from autodecoder.model.saving import holds_model
from autodecoder.study import Study
from autodecoder.text import count


def print_ending(study: Study, page: Path, pictures: Sequence[Path]) -> None:
    """Print the page, the pictures and the model of a study, and commands to run next."""
    folder = study.folder
    found = [(page, "open it in a browser")]
    if pictures:
        suffixes = sorted({path.suffix[1:].upper() for path in pictures})
        kinds = " and ".join(suffixes)
        found.append((pictures[0].parent, f"{count(len(pictures), 'picture')}, {kinds}"))
    if _has_model(folder):
        found.append((folder / "best", _tell_model(study.best_model())))
    console.print(f"Results in {folder}", highlight=False)
    names = [str(path.relative_to(folder)) for path, _ in found]
    width = max(map(len, names))
    for name, (_, about) in zip(names, found, strict=True):
        console.print(f"  {name:{width}}  {about}", highlight=False)
    print_next(folder)


def print_next(folder: Path) -> None:
    """Print commands to run next on a study."""
    model = shlex.quote(str(folder / "best"))
    lines = [("report", f"{shlex.quote(str(folder))} --figures pdf", "figures for print")]
    if _has_model(folder):
        lines = [
            ("explore", model, "the model in the browser, with your images"),
            ("reconstruct", f"{model} --images folder:PATH --out OUT", "other images"),
            *lines,
        ]
    if (folder / "tensorboard").is_dir():
        lines.append(("tensorboard", shlex.quote(str(folder)), "curves and trials in TensorBoard"))
    console.print("Next", highlight=False)
    commands = [f"autodecoder {name} {rest}" for name, rest, _ in lines]
    width = max(map(len, commands))
    for command, (_, _, about) in zip(commands, lines, strict=True):
        console.print(f"  {command:{width}}  # {about}", highlight=False)


def print_map(study: Study, page: Path) -> None:
    """Print the errors of a map, commands to run next, and last the path of the map."""
    best, model = study.best_trial, study.best_model()
    if best is not None:
        seconds, epochs = (
            sum(getattr(e, name) for e in best.executions) for name in ("seconds", "epochs")
        )
        console.print(f"{count(epochs, 'epoch')} in {seconds:.1f} s", highlight=False)
    if model is not None:
        console.print(_tell_errors(model), highlight=False)
    print_yardstick(study)
    print_next(study.folder)
    console.print(f"Map: {page}", highlight=False)


def _tell_model(model: Model | None) -> str:
    epoch = None if model is None else describe_epoch(model)
    return "the best model" + (f": epoch {epoch}" if epoch else "")


def _tell_errors(model: Model) -> str:
    """The errors of a model in a sentence."""
    measured, told = model_metrics(model), []
    for name, images in (("loss", "training images"), ("val_loss", "validation images")):
        if name in measured:
            told.append(f"{images} {measured[name]:.4f}")
    return (
        f"Mean squared error ({UNITS[model.scaler]}): {', '.join(told)}; "
        f"epoch {describe_epoch(model)}"
    )


def _has_model(folder: Path) -> bool:
    return holds_model(folder / "best")
