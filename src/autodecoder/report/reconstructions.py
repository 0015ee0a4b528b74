"""Writing reconstructions of many images to files, piece by piece to limit memory."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autodecoder.config import InferConfig
from autodecoder.core.infer import Inference
from autodecoder.core.losses import Errors
from autodecoder.core.starts import start_names
from autodecoder.data.pixels import to_weights
from autodecoder.files import new_folder, whole_file
from autodecoder.model import Model
from autodecoder.model.samples import to_rows
from autodecoder.report.pictures import save_figure
from autodecoder.report.placed import Samples, begin_array, checked_samples, lines, number, placed
from autodecoder.report.sheets import plot_reconstructions

#: Number of images in the picture.
_N_SHOWN = 20


def write_reconstructions(
    model: Model,
    images: Any,
    mask: Any,
    folder: Path,
    *,
    config: InferConfig,
    names: Sequence[str] | None = None,
    seed: int = 0,
    report: Callable[[int], None] = lambda _: None,
) -> Errors:
    """Reconstruct images; write `reconstructions.npy`, `latents.npy`, `errors.csv` and a picture.

    For features, `reconstructions.npy` is a table in their own units, and there is no picture.
    Each file is complete or absent. An image without a pixel that counts is not reconstructed: its
    pixels are NaN, and its errors are blank in the table.

    Parameters
    ----------
    model : Model
    images, mask : array
        As in `Model.infer`; memory maps are read piece by piece.
    folder : Path
        A new or empty folder.
    config : InferConfig
    names : sequence of str, optional
        Names of the images in the table; by default they are counted from 0.
    seed : int
    report : callable
        Called with the number of images that are done.

    Returns
    -------
    Errors
        Errors of each image, over the pixels that count, in the scaled space.

    Raises
    ------
    DataError
        If images or mask do not fit the model; nothing is written then.
    ConfigError
        See `Model.infer`.
    OutputError
        If the folder holds other files, or cannot be written.
    """
    given = checked_samples(model, images, mask, config, seed)
    n, shape = len(given.samples), model.sample_shape
    starts = start_names(config)
    new_folder(folder)
    errors = Errors(*(np.empty(n, np.float32) for _ in Errors._fields))
    shown = np.zeros((0, *shape), np.float32)
    with contextlib.ExitStack() as stack:
        outputs, latents, table = (
            stack.enter_context(whole_file(folder / name))
            for name in ("reconstructions.npy", "latents.npy", "errors.csv")
        )
        begin_array(outputs, (n, *shape))
        begin_array(latents, (n, model.latent_dims))
        table.write(lines([["image", *Errors._fields, "steps", "converged", "start"]]))
        for part, found in placed(model, given, config, seed):
            made = model.decode_inferred(found)
            outputs.write(made.tobytes())
            latents.write(np.ascontiguousarray(found.latents).tobytes())
            table.write(lines(_rows(found, part.start, starts, names)))
            for whole, piece in zip(errors, found.errors, strict=True):
                whole[part] = piece
            if part.start == 0:
                shown = made[:_N_SHOWN].copy()
            report(part.stop)
        if len(shown) and model.standardization is None:
            _draw(model, given, shown, folder / "reconstructions.png")
    return errors


def _draw(model: Model, given: Samples, made: np.ndarray, path: Path) -> None:
    """Draw the first images, their known pixels, and their reconstructions."""
    n = len(made)
    hidden = None if given.mask is None else to_weights(given.mask[:n])
    pixels, weights = to_rows(given.samples[:n], 0, hidden, None, model.pixel_range)
    figure = plot_reconstructions(
        np.rint(pixels).astype(np.uint8).reshape(made.shape),
        np.rint(255 * np.nan_to_num(made)).astype(np.uint8),
        title="images",
        mask=None if weights is None else weights.reshape(made.shape) > 0,
    )
    save_figure(figure, path)


def _rows(
    found: Inference, first: int, starts: Sequence[str], names: Sequence[str] | None
) -> list[list[object]]:
    """One line per image; NaN is blank."""
    columns = (*found.errors, found.steps, found.converged, found.start)
    rows = []
    for i, (*values, steps, converged, start) in enumerate(zip(*columns, strict=True), first):
        name = i if names is None else names[i]
        begun = starts[start] if start >= 0 else ""
        said = "yes" if converged else "no"
        rows.append([name, *map(number, values), int(steps), said, begun])
    return rows
