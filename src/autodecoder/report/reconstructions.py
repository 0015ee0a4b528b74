"""Reconstructions of many images as files: written piece by piece, so that memory stays small."""

import contextlib
import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from autodecoder.config import InferConfig
from autodecoder.core.infer import Inference
from autodecoder.core.losses import Errors
from autodecoder.core.starts import start_names
from autodecoder.data.pixels import as_images, as_mask, to_pixels, to_weights
from autodecoder.errors import OutputError
from autodecoder.files import sweep_temporary, whole_file
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

    Each file is whole or absent. An image without a pixel that counts is not reconstructed: its
    pixels are not a number, and the table has no errors of it.

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
        weights = None if mask is None else to_weights(mask[part], part.start)
        to_pixels(images[part], part.start, weights)
    model.infer(images[:0], config=config, seed=seed)
    names = start_names(config)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep_temporary(folder)  # of a run that was killed
        if any(folder.iterdir()):
            raise OutputError(f"out must be a new or an empty folder, but {folder} is not empty.")
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"{folder} cannot be written: {error.strerror}.") from error
    errors = Errors(*(np.empty(n, np.float32) for _ in Errors._fields))
    shown = np.zeros((0, *shape), np.float32)
    with contextlib.ExitStack() as stack:
        outputs = _begin_array(stack, folder / "reconstructions.npy", (n, *shape))
        latents = _begin_array(stack, folder / "latents.npy", (n, model.latent_dims))
        table = stack.enter_context(whole_file(folder / "errors.csv"))
        table.write(_lines([["image", *Errors._fields, "steps", "converged", "start"]]))
        for part in parts:
            seen = None if mask is None else mask[part]
            found = model.infer(images[part], seen, config=config, seed=seed)
            made = model.decode_inferred(found)
            outputs.write(made.tobytes())
            latents.write(np.ascontiguousarray(found.latents).tobytes())
            table.write(_lines(_rows(found, part.start, names)))
            for whole, piece in zip(errors, found.errors, strict=True):
                whole[part] = piece
            if part.start == 0:
                shown = made[:_N_SHOWN].copy()
            report(part.stop)
        if len(shown):
            _draw(images, mask, shown, folder / "reconstructions.png")
    return errors


def _begin_array(stack: contextlib.ExitStack, path: Path, shape: tuple[int, ...]) -> BinaryIO:
    """A file that holds the header of a float32 array already."""
    file = stack.enter_context(whole_file(path))
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file


def _draw(images: Any, mask: Any, made: np.ndarray, path: Path) -> None:
    """The first images, what of them was seen, and their reconstructions."""
    n = len(made)
    weights = None if mask is None else to_weights(mask[:n])
    pixels = to_pixels(images[:n], weights=weights).reshape(made.shape)
    figure = plot_reconstructions(
        np.rint(pixels).astype(np.uint8),
        np.rint(255 * np.nan_to_num(made)).astype(np.uint8),
        title="images",
        mask=None if weights is None else weights.reshape(made.shape) > 0,
    )
    save_figure(figure, path)


def _rows(found: Inference, first: int, names: Sequence[str]) -> list[list[object]]:
    """A line an image; blank where there is no number."""
    columns = (*found.errors, found.steps, found.converged, found.start)
    lines = []
    for i, (*values, steps, converged, start) in enumerate(zip(*columns, strict=True), first):
        numbers = ["" if np.isnan(value) else str(np.float32(value)) for value in values]
        name = names[start] if start >= 0 else ""
        lines.append([i, *numbers, int(steps), "yes" if converged else "no", name])
    return lines


def _lines(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
