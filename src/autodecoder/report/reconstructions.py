"""Reconstructions of many images as files: written piece by piece, so that memory stays small."""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autodecoder.config import InferConfig
from autodecoder.core.infer import Inference
from autodecoder.core.losses import Errors
from autodecoder.core.starts import start_names
from autodecoder.data.pixels import as_images, as_mask, to_pixels, to_weights
from autodecoder.errors import OutputError
from autodecoder.model import Model
from autodecoder.report.figures import plot_reconstructions
from autodecoder.report.pictures import save_figure

#: Images read, placed and written at once.
_PIECE = 2000
#: Images in the picture.
_N_SHOWN = 20


def write_reconstructions(
    model: Model,
    images: Any,
    mask: Any,
    folder: Path,
    *,
    config: InferConfig,
    seed: int = 0,
    report: Callable[[int], None] = lambda _: None,
) -> Errors:
    """Reconstruct images; write `reconstructions.npy`, `latents.npy`, `errors.csv` and a picture.

    Parameters
    ----------
    model : Model
    images, mask : array
        As in `Model.infer`; memory maps are read piece by piece.
    folder : Path
        New or empty.
    config : InferConfig
    seed : int
    report : callable
        Told how many images are done.

    Returns
    -------
    Errors
        Of each image, over the pixels that count, in the scaled space.

    Raises
    ------
    DataError
        If images or mask do not fit the model; nothing is written then.
    ConfigError
        As of `Model.infer`.
    OutputError
        If the folder holds other files, or cannot be written.
    """
    shape = model.image_shape
    images = as_images(images, shape)
    n = len(images)
    parts = [slice(start, min(start + _PIECE, n)) for start in range(0, n, _PIECE)]
    if mask is not None:
        mask = as_mask(mask, n, shape)
    # What is wrong is told before anything is written.
    for part in parts:
        to_pixels(images[part], part.start)
        if mask is not None:
            to_weights(mask[part], part.start)
    model.infer(images[:0], config=config, seed=seed)
    names = start_names(config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise OutputError(f"out must be a new or an empty folder, but {folder} is not empty.")
        outputs = _create(folder / "reconstructions.npy", (n, *shape))
        latents = _create(folder / "latents.npy", (n, model.latent_dims))
        errors = Errors(*(np.empty(n, np.float32) for _ in Errors._fields))
        with (folder / "errors.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["image", *Errors._fields, "steps", "converged", "start"])
            for part in parts:
                seen = None if mask is None else mask[part]
                found = model.infer(images[part], seen, config=config, seed=seed)
                outputs[part], latents[part] = model.decode(found.latents), found.latents
                writer.writerows(_lines(found, part.start, names))
                for whole, piece in zip(errors, found.errors, strict=True):
                    whole[part] = piece
                if part.start == 0:
                    shown = slice(0, _N_SHOWN)
                    pixels = to_pixels(images[shown]).reshape(-1, *shape)
                    seen = None if mask is None else to_weights(mask[shown]).reshape(-1, *shape) > 0
                    figure = plot_reconstructions(
                        np.rint(pixels).astype(np.uint8),
                        np.rint(255 * outputs[shown]).astype(np.uint8),
                        title="images",
                        mask=seen,
                    )
                    save_figure(figure, folder / "reconstructions.png")
                report(part.stop)
        outputs.flush()
        latents.flush()
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return errors


def _create(path: Path, shape: tuple[int, ...]) -> np.memmap:
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)


def _lines(found: Inference, first: int, names: Sequence[str]) -> list[list[object]]:
    """A line an image; blank where there is no number."""
    columns = (*found.errors, found.steps, found.converged, found.start)
    lines = []
    for i, (*values, steps, converged, start) in enumerate(zip(*columns, strict=True), first):
        numbers = ["" if np.isnan(value) else str(np.float32(value)) for value in values]
        name = names[start] if start >= 0 else ""
        lines.append([i, *numbers, int(steps), "yes" if converged else "no", name])
    return lines
