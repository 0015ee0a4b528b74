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
from autodecoder.report.sheets import plot_interpolations, plot_reconstructions

#: Number of images in the picture.
_N_SHOWN = 20
#: Number of images, and of draws of each, in the picture of draws.
_N_DRAWN, _N_SHOWN_DRAWS = 10, 8


def write_reconstructions(
    model: Model,
    images: Any,
    mask: Any,
    folder: Path,
    *,
    config: InferConfig,
    names: Sequence[str] | None = None,
    seed: int = 0,
    draws: int = 0,
    report: Callable[[int], None] = lambda _: None,
) -> Errors:
    """Reconstruct images; write `reconstructions.npy`, `latents.npy`, `errors.csv` and a picture.

    With draws, also write `draws.npy`, (n, draws, height, width, channels), and `draws.png`. For
    features, arrays are tables in their own units, and there are no pictures.
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
    draws : int
        Reconstructions to draw for each image, see `Model.draw`.
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
    if draws:
        model.draw(given.samples[:0], None, draws, config=config, seed=seed)
    n, shape = len(given.samples), model.sample_shape
    starts = start_names(config)
    new_folder(folder)
    errors = Errors(*(np.empty(n, np.float32) for _ in Errors._fields))
    shown = several = np.zeros((0, *shape), np.float32)
    with contextlib.ExitStack() as stack:
        outputs, latents, table = (
            stack.enter_context(whole_file(folder / name))
            for name in ("reconstructions.npy", "latents.npy", "errors.csv")
        )
        begin_array(outputs, (n, *shape))
        begin_array(latents, (n, model.latent_dims))
        drawn = stack.enter_context(whole_file(folder / "draws.npy")) if draws else None
        if drawn is not None:
            begin_array(drawn, (n, draws, *shape))
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
            if drawn is not None:
                some = _draws(model, given, part, draws, config, seed)
                drawn.write(some.tobytes())
                if part.start == 0:
                    several = some[:_N_DRAWN].copy()
            report(part.stop)
        if len(shown) and model.standardization is None:
            _draw(model, given, shown, folder / "reconstructions.png")
            if draws:
                _draw_several(model, given, shown[:_N_DRAWN], several, folder / "draws.png")
    return errors


def _draws(
    model: Model, given: Samples, part: slice, n: int, config: InferConfig, seed: int
) -> np.ndarray:
    mask = None if given.mask is None else given.mask[part]
    return model.draw(given.samples[part], mask, n, config=config, seed=seed).images


def _draw_several(
    model: Model, given: Samples, best: np.ndarray, draws: np.ndarray, path: Path
) -> None:
    """Draw for each of the first images a row of its known pixels, its best reconstruction, a few
    draws, and their standard deviation."""
    n = len(best)
    images, known = _known(model, given, n)
    seen = images if known is None else np.where(known, images, 0)
    spread = draws.std(axis=1)
    parts = [seen / 255, best, *draws[:, :_N_SHOWN_DRAWS].swapaxes(0, 1)]
    parts.append(spread / max(float(np.nanmax(spread)), 1e-6))
    rows = np.rint(255 * np.nan_to_num(np.stack(parts, axis=1))).astype(np.uint8)
    title = "known pixels, best reconstruction, draws, and their standard deviation"
    save_figure(plot_interpolations(rows, title=title), path)


def _draw(model: Model, given: Samples, made: np.ndarray, path: Path) -> None:
    """Draw the first images, their known pixels, and their reconstructions."""
    images, known = _known(model, given, len(made))
    figure = plot_reconstructions(
        images, np.rint(255 * np.nan_to_num(made)).astype(np.uint8), title="images", mask=known
    )
    save_figure(figure, path)


def _known(model: Model, given: Samples, n: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The first images, and which of their pixels are known, if not all are."""
    hidden = None if given.mask is None else to_weights(given.mask[:n])
    pixels, weights = to_rows(given.samples[:n], 0, hidden, None, model.pixel_range)
    shape = (n, *model.image_shape)
    known = None if weights is None else weights.reshape(shape) > 0
    return np.rint(pixels).astype(np.uint8).reshape(shape), known


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
