"""Which pictures a study gets, and their files."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import Int
from matplotlib.figure import Figure

from autodecoder.data import Dataset, ImageSet
from autodecoder.errors import OutputError
from autodecoder.files import write_file
from autodecoder.model import Model
from autodecoder.report.figures import (
    plot_errors,
    plot_interpolations,
    plot_latent_space,
    plot_learning_rates,
    plot_loss_curves,
    plot_pairs,
    plot_plane,
    plot_reconstructions,
)
from autodecoder.report.plane import latent_plane, plane_grid, plane_view, principal_scores
from autodecoder.study import Study
from autodecoder.study.validate import choose_shown

#: Every picture that a study may get, with what it is called.
TITLES = {
    "loss_curves": "Loss curves",
    "learning_rates": "Learning rates",
    "latent_space_train": "Latents of the training images",
    "latent_space_val": "Latents of the validation images",
    "latent_pairs": "Latents in pairs of principal components",
    "reconstructions_train": "Reconstructions of training images",
    "reconstructions_val": "Reconstructions of validation images",
    "reconstructions_extreme": "The best and the worst of them",
    "errors": "Errors by class",
    "latent_plane": "What the latent plane decodes to",
    "interpolations": "From image to image",
}
_OF_A_RUN = tuple(TITLES)[2:]
#: In each half of the picture of the best and the worst.
_N_EXTREME = 10
#: Ways from one image to another, and images on each.
_N_WAYS = 5
_N_ON_THE_WAY = 10


def write_pictures(study: Study, dataset: Dataset) -> list[Path]:
    """Draw a study as PNG files, on request as SVG too, in the folder `report` of its own.

    Loss curves and, with several learning rates, their sweep show all trials. Latent spaces, of
    more than two dimensions in their principal components, reconstructions and errors show the best
    run. Of pictures written earlier, those that are not drawn now are removed, so that all that lie
    there show the same state of the study.

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
    suffixes = (".png", ".svg") if study.config.log.svg else (".png",)
    wanted = {f"{name}{suffix}" for name in figures for suffix in suffixes}
    # What an earlier version drew of its best run cannot be drawn again.
    kept = () if not study.shown_by_earlier else _OF_A_RUN
    for name in TITLES:
        for suffix in (".png", ".svg"):
            if f"{name}{suffix}" not in wanted and name not in kept:
                _remove(folder / f"{name}{suffix}")
    return [
        save_figure(figure, folder / f"{name}{suffix}")
        for name, figure in figures.items()
        for suffix in suffixes
    ]


def _draw(study: Study, dataset: Dataset) -> dict[str, Figure]:
    trials = [t for t in study.trials if any(execution.epochs for execution in t.executions)]
    if not trials:
        return {}
    figures = {"loss_curves": plot_loss_curves(trials, _curves(study.metric))}
    if len({trial.learning_rate for trial in trials}) > 1:
        figures["learning_rates"] = plot_learning_rates(trials, study.metric)
    shown, model = study.shown_run(), study.shown_model()
    if shown is not None and model is not None:
        protocol, run = shown[2].protocol, shown[2].shown
        assert run is not None  # see `shown_run`
        figures |= draw_latents(
            model,
            (dataset.train.labels, dataset.val.labels),
            dataset.class_names,
            name=dataset.name,
            protocol=protocol,
        )
        validation = f"validation images ({protocol})"
        figures |= {
            f"reconstructions_{name}": _reconstructions(
                images, choose_shown(images.labels), model, latents, title
            )
            for name, images, latents, title in (
                ("train", dataset.train, model.latents, "training images"),
                ("val", dataset.val, model.val_latents, validation),
            )
        }
        if np.isfinite(run.val_loss).all():
            figures["reconstructions_extreme"] = _reconstructions(
                dataset.val, _extreme(run.val_loss), model, model.val_latents,
                "the best and the worst validation images",
            )  # fmt: skip
            figures["errors"] = plot_errors(run.val_loss, dataset.val.labels, dataset.class_names)
        figures |= draw_decoded(model, dataset.val.labels)
    return figures


def _extreme(loss: np.ndarray) -> np.ndarray:
    """The images with the least errors, and those with the largest, the very worst last."""
    order = np.argsort(loss, kind="stable")
    return order if len(order) <= 2 * _N_EXTREME else order[np.r_[:_N_EXTREME, -_N_EXTREME:0]]


def _curves(metric: str) -> tuple[str, str]:
    """The metric of the objective on both sets, as recorded every epoch."""
    base = metric.removeprefix("fresh_").removeprefix("val_")
    return base, f"val_{base}"


def draw_latents(
    model: Model,
    labels: tuple[Int[np.ndarray, " n_train"], Int[np.ndarray, " n_val"]],
    class_names: Sequence[str],
    *,
    name: str,
    protocol: str,
) -> dict[str, Figure]:
    """Where latents lie, by class; nothing of a single dimension or a model without latents."""
    if model.latent_dims == 1 or not len(model.latents):
        return {}
    plane = latent_plane(model.latents)
    train, val = plane.places(model.latents), plane.places(model.val_latents)
    figures = {
        "latent_space_train": plot_latent_space(
            train,
            labels[0],
            class_names,
            title=f"{name}: latents of the training images",
            names=plane.names,
        )
    }
    if len(val):
        figures["latent_space_val"] = plot_latent_space(
            val,
            labels[1],
            class_names,
            title=f"{name}: latents of the validation images ({protocol})",
            background=train,
            names=plane.names,
        )
    if model.latent_dims > 2:
        scores = principal_scores(model.latents)
        figures["latent_pairs"] = plot_pairs(scores, labels[0], class_names)
    return figures


def draw_decoded(model: Model, labels: Int[np.ndarray, " n_val"] | None) -> dict[str, Figure]:
    """What the plane decodes to, and ways between the latents of validation images, of several
    classes where they have labels; nothing of a table."""
    if model.standardization is not None or not len(model.latents):
        return {}
    plane = latent_plane(model.latents)
    view = plane_view(model, plane)
    grid = plane_grid(plane, view)
    images = model.decode(grid.reshape(-1, model.latent_dims))
    images = np.nan_to_num(images.reshape(*grid.shape[:2], *model.image_shape))
    figures = {"latent_plane": plot_plane(images, view, plane.names)}
    ends = model.val_latents if len(model.val_latents) > 1 else model.latents
    if labels is None or len(labels) != len(ends):
        labels = np.zeros(len(ends), int)
    chosen = choose_shown(labels)
    pairs = list(zip(chosen[::2], chosen[1::2], strict=False))[:_N_WAYS]
    if pairs and np.isfinite(ends[chosen]).all():
        ways = [model.interpolate(ends[a], ends[b], _N_ON_THE_WAY).images for a, b in pairs]
        figures["interpolations"] = plot_interpolations(
            _to_pixels(np.stack(ways)), title="from one image to another, straight through latents"
        )
    return figures


def _to_pixels(images: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.nan_to_num(images)).astype(np.uint8)


def _reconstructions(
    images: ImageSet, shown: np.ndarray, model: Model, latents: np.ndarray, title: str
) -> Figure:
    made = _to_pixels(model.decode(latents[shown]))
    return plot_reconstructions(images.images[shown], made, title=title)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a picture as a file of the kind that its name says: PNG or SVG."""
    write_file(path, draw_figure(figure, path.suffix[1:]))
    return path


def draw_figure(figure: Figure, kind: str = "png") -> bytes:
    """The content of a file; what consists of many dots is made of pixels in an SVG, too."""
    buffer = io.BytesIO()
    # Without the time, so that the same figure gives the same file.
    metadata = {"Date": None} if kind == "svg" else None
    with mpl.rc_context({"svg.hashsalt": "autodecoder"}):
        figure.savefig(buffer, format=kind, dpi=130, metadata=metadata)
    return buffer.getvalue()


def _remove(path: Path) -> None:
    try:
        if path.is_file():
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be removed: {error.strerror}.") from error
