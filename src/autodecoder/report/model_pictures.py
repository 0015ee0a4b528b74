"""Figures of a model: its latents, its fit, and decoded images."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from autodecoder.core.scaling import SCALINGS
from autodecoder.data import Dataset, ImageSet
from autodecoder.data.dataset import MOST_SHOWN
from autodecoder.model import Model
from autodecoder.report.drawing import DataFigure
from autodecoder.report.figures import (
    plot_errors,
    plot_latent_space,
    plot_pairs,
    plot_plane,
)
from autodecoder.report.plane import latent_plane, plane_grid, plane_view, principal_scores
from autodecoder.report.sheets import plot_interpolations, plot_reconstructions
from autodecoder.report.thumbnails import shrink
from autodecoder.study.validate import choose_shown
from autodecoder.text import legible

#: Images in each half of the picture of best and worst reconstructions.
_N_EXTREME = 10
#: Number of interpolations, and images in each.
_N_WAYS = 5
_N_ON_THE_WAY = 10
#: Longest side in pixels of an image on the latent plane.
_ON_PLANE = 64
#: Most images decoded at once, and most pixel values in them.
_PIECE, _MOST_NUMBERS = 2000, 100_000_000


def draw_latents(
    model: Model,
    labels: tuple[Int[np.ndarray, " n_train"], Int[np.ndarray, " n_val"]],
    class_names: Sequence[str],
    *,
    name: str,
    protocol: str,
) -> dict[str, DataFigure]:
    """Latents by class; empty for latents of one dimension, or without latents."""
    if model.latent_dims == 1 or not len(model.latents):
        return {}
    plane, name = latent_plane(model.latents), legible(name)
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
    for part, names, n in (("train", model.names, len(train)), ("val", model.val_names, len(val))):
        if n:
            table = figures[f"latent_space_{part}"].table
            figures[f"latent_space_{part}"].table = _known_by(np.arange(n), names, n) | table
    return figures


def _known_by(rows: Int[np.ndarray, " k"], names: np.ndarray | None, n: int) -> dict[str, Any]:
    """Columns that identify the images of a table, by their places among `n`."""
    # If only some images are shown, these places differ from those in the data set.
    columns: dict[str, Any] = {} if n == MOST_SHOWN else {"index": rows}
    return columns if names is None else columns | {"name": names[rows]}


def draw_fit(
    model: Model,
    dataset: Dataset,
    val_loss: Float[np.ndarray, " n_val"] | None = None,
    *,
    protocol: str,
) -> dict[str, DataFigure]:
    """Originals with reconstructions, best and worst reconstructions, and errors by class.

    Parameters
    ----------
    model : Model
        With the latents of these images in the same order; without them, nothing is drawn.
    dataset : Dataset
    val_loss : (n_val,), optional
        Loss of each validation image; computed by default. If a value is not finite, errors are not
        drawn.
    protocol : str
        Source of the validation latents, for titles.
    """
    figures = {}
    for name, images, latents, title in (
        ("train", dataset.train, model.latents, "Training images"),
        ("val", dataset.val, model.val_latents, f"Validation images ({protocol})"),
    ):
        if 0 < len(latents) == len(images):
            shown = choose_shown(images.labels)
            figures[f"reconstructions_{name}"] = _reconstructions(
                images, shown, model, latents, title, dataset.class_names
            )
    if not 0 < len(model.val_latents) == len(dataset.val):
        return figures
    if val_loss is None:
        val_loss = image_losses(model, dataset.val, model.val_latents)
    if np.isfinite(val_loss).all():
        figures["reconstructions_extreme"] = _reconstructions(
            dataset.val, _extreme(val_loss), model, model.val_latents,
            "Best and worst validation images", dataset.class_names,
        )  # fmt: skip
        figure = plot_errors(val_loss, dataset.val.labels, dataset.class_names)
        n = len(val_loss)
        figure.table = _known_by(np.arange(n), dataset.val.names, n) | figure.table
        figures["errors"] = figure
    return figures


def image_losses(
    model: Model, images: ImageSet, latents: Float[np.ndarray, "n dims"]
) -> Float[np.ndarray, " n"]:
    """Mean squared error of each image over its known pixels, in the scaled space."""
    losses = np.empty(len(images), np.float32)
    piece = min(_PIECE, max(1, _MOST_NUMBERS // math.prod(model.image_shape)))
    for start in range(0, len(images), piece):
        part = slice(start, start + piece)
        difference = model.decode(latents[part]) - images.images[part] / np.float32(255)
        known = True if images.mask is None else images.mask[part]
        losses[part] = (difference**2).mean((1, 2, 3), where=known)
    return losses * SCALINGS[model.scaler].span ** 2


def _extreme(loss: np.ndarray) -> np.ndarray:
    """Indices of the images with the smallest and largest errors, in ascending order of error."""
    order = np.argsort(loss, kind="stable")
    return order if len(order) <= 2 * _N_EXTREME else order[np.r_[:_N_EXTREME, -_N_EXTREME:0]]


def draw_decoded(model: Model) -> dict[str, DataFigure]:
    """Images decoded on the latent plane, and interpolations between latents of validation images,
    or of training images without validation. Ends differ in class if there are labels. Empty for a
    model of a table."""
    if model.standardization is not None or not len(model.latents):
        return {}
    plane = latent_plane(model.latents)
    view = plane_view(model, plane)
    grid = plane_grid(plane, view)
    latents = grid.reshape(-1, model.latent_dims)
    # In two parts, so that large images are shrunk early and need less memory.
    halves = np.array_split(latents, 2)
    images = np.concatenate([shrink(_to_pixels(model.decode(h)), _ON_PLANE) for h in halves])
    images = images.reshape(*grid.shape[:2], *images.shape[1:])
    figures = {"latent_plane": plot_plane(images, view, plane.names)}
    validated = len(model.val_latents) > 1
    ends = model.val_latents if validated else model.latents
    labels = model.val_labels if validated else model.labels
    if labels is None or len(labels) != len(ends):
        labels = np.zeros(len(ends), int)
    chosen = choose_shown(labels)
    pairs = list(zip(chosen[::2], chosen[1::2], strict=False))[:_N_WAYS]
    if pairs and np.isfinite(ends[chosen]).all():
        ways = [model.interpolate(ends[a], ends[b], _N_ON_THE_WAY) for a, b in pairs]
        figure = plot_interpolations(
            _to_pixels(np.stack([way.images for way in ways])),
            title="Linear interpolations between the latents of images",
        )
        figure.table = _tell_ways(pairs, [way.latents for way in ways])
        figures["interpolations"] = figure
    return figures


def _tell_ways(
    pairs: Sequence[tuple[Any, Any]], ways: Sequence[Float[np.ndarray, "steps dims"]]
) -> dict[str, Any]:
    steps, dims = ways[0].shape
    latents = np.concatenate(ways)
    return {
        "from": np.repeat([a for a, _ in pairs], steps),
        "to": np.repeat([b for _, b in pairs], steps),
        "step": np.tile(np.arange(steps), len(ways)),
        **{f"latent dimension {k + 1}": latents[:, k] for k in range(dims)},
    }


def _to_pixels(images: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.nan_to_num(images)).astype(np.uint8)


def _reconstructions(
    images: ImageSet,
    shown: np.ndarray,
    model: Model,
    latents: np.ndarray,
    title: str,
    class_names: Sequence[str],
) -> DataFigure:
    made = _to_pixels(model.decode(latents[shown]))
    mask = None if images.mask is None else images.mask[shown]
    figure = plot_reconstructions(
        images.images[shown], made, title=title, mask=mask, has_originals=False
    )
    classes = [class_names[k] for k in images.labels[shown]]
    figure.table = _known_by(np.asarray(shown), images.names, len(images)) | {
        "class": classes,
        "mean squared error": image_losses(model, images.take(shown), latents[shown]),
    }
    return figure
