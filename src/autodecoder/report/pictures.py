"""Which pictures a study gets, and their files."""

import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from autodecoder.data import Dataset, ImageSet
from autodecoder.report.figures import (
    plot_latent_space,
    plot_learning_rates,
    plot_loss_curves,
    plot_reconstructions,
)
from autodecoder.study import StudyResult, write_file
from autodecoder.study.results import BestRun


def write_pictures(result: StudyResult, folder: Path) -> list[Path]:
    """Draw a finished or interrupted study as PNG files in `folder`.

    Loss curves and, with several trials, the learning-rate sweep show all trials; latent spaces
    (of two dimensions) and reconstructions show the best run.

    Returns
    -------
    list of Path
        The files written: curves alone where no run ended well, none before the first epoch.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    if not any(execution.epochs for trial in result.trials for execution in trial.executions):
        return []
    run, dataset = result.best_run, result.dataset
    figures = {"loss_curves": plot_loss_curves(result.trials, _curves(result.metric))}
    if len(result.trials) > 1:
        figures["learning_rates"] = plot_learning_rates(result.trials, result.metric)
    if run is not None:
        if result.config.decoder.latent_dims == 2:
            figures |= _latent_spaces(dataset, run)
        figures["reconstructions_train"] = _reconstructions(
            dataset.train, run.train_shown, run.train_reconstructions, "training images"
        )
        figures["reconstructions_val"] = _reconstructions(
            dataset.val,
            run.val_shown,
            run.val_reconstructions,
            f"validation images ({run.val_protocol})",
        )
    return [_save(figure, folder / f"{name}.png") for name, figure in figures.items()]


def _curves(metric: str) -> tuple[str, str]:
    """The metric of the objective on both sets, as recorded every epoch."""
    base = metric.removeprefix("fresh_").removeprefix("val_")
    return base, f"val_{base}"


def _latent_spaces(dataset: Dataset, run: BestRun) -> dict[str, Figure]:
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
            title=f"{dataset.name}: latents of the validation images ({run.val_protocol})",
            background=run.train_latents,
        ),
    }


def _reconstructions(
    images: ImageSet, shown: np.ndarray, reconstructions: np.ndarray, title: str
) -> Figure:
    originals = images.images[shown]
    return plot_reconstructions(originals, reconstructions.reshape(originals.shape), title=title)


def _save(figure: Figure, path: Path) -> Path:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_file(path, buffer.getvalue())
    return path
