"""Which pictures a study gets, and their files."""

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from autodecoder.data import Dataset, ImageSet
from autodecoder.errors import OutputError
from autodecoder.files import write_file
from autodecoder.report.figures import (
    plot_latent_space,
    plot_learning_rates,
    plot_loss_curves,
    plot_reconstructions,
)
from autodecoder.study import Shown, Study

#: Every picture that a study may get.
NAMES = (
    "loss_curves",
    "learning_rates",
    "latent_space_train",
    "latent_space_val",
    "reconstructions_train",
    "reconstructions_val",
)


def write_pictures(study: Study, dataset: Dataset) -> list[Path]:
    """Draw a study as PNG files in the folder `report` of its own.

    Loss curves and, with several learning rates, their sweep show all trials; latent spaces (of two
    dimensions) and reconstructions show the best run. Of pictures written earlier, those that are
    not drawn now are removed, so that all that lie there show the same state of the study.

    Returns
    -------
    list of Path
        The files written: curves alone where no run ended well, none before the first epoch.

    Raises
    ------
    OutputError
        If a file cannot be written or removed.
    """
    figures = _draw(study, dataset)
    folder = study.folder / "report"
    for name in NAMES:
        if name not in figures:
            _remove(folder / f"{name}.png")
    return [save_figure(figure, folder / f"{name}.png") for name, figure in figures.items()]


def _draw(study: Study, dataset: Dataset) -> dict[str, Figure]:
    trials = [t for t in study.trials if any(execution.epochs for execution in t.executions)]
    if not trials:
        return {}
    figures = {"loss_curves": plot_loss_curves(trials, _curves(study.metric))}
    if len({trial.learning_rate for trial in trials}) > 1:
        figures["learning_rates"] = plot_learning_rates(trials, study.metric)
    shown = study.shown_run()
    if shown is not None:
        trial, _, outcome = shown
        run = outcome.shown
        assert run is not None  # see `shown_run`
        if study.config.parts(trial.values)[0].latent_dims == 2:
            figures |= _latent_spaces(dataset, run, outcome.protocol)
        figures["reconstructions_train"] = _reconstructions(
            dataset.train, run.train_shown, run.train_reconstructions, "training images"
        )
        figures["reconstructions_val"] = _reconstructions(
            dataset.val,
            run.val_shown,
            run.val_reconstructions,
            f"validation images ({outcome.protocol})",
        )
    return figures


def _curves(metric: str) -> tuple[str, str]:
    """The metric of the objective on both sets, as recorded every epoch."""
    base = metric.removeprefix("fresh_").removeprefix("val_")
    return base, f"val_{base}"


def _latent_spaces(dataset: Dataset, run: Shown, protocol: str) -> dict[str, Figure]:
    return {
        "latent_space_train": plot_latent_space(
            run.train_latents,
            dataset.train.labels,
            dataset.class_names,
            title=f"{dataset.name}: latents of the training images",
        ),
        "latent_space_val": plot_latent_space(
            run.val_latents,
            dataset.val.labels,
            dataset.class_names,
            title=f"{dataset.name}: latents of the validation images ({protocol})",
            background=run.train_latents,
        ),
    }


def _reconstructions(
    images: ImageSet, shown: np.ndarray, reconstructions: np.ndarray, title: str
) -> Figure:
    originals = images.images[shown]
    return plot_reconstructions(originals, reconstructions.reshape(originals.shape), title=title)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a picture as a PNG file."""
    write_file(path, draw_png(figure))
    return path


def draw_png(figure: Figure) -> bytes:
    """The content of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()


def _remove(path: Path) -> None:
    try:
        if path.is_file():
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be removed: {error.strerror}.") from error
