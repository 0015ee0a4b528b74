"""Figures of images side by side: reconstructions, and ways from one image to another."""

import numpy as np
from jaxtyping import Bool, UInt8
from matplotlib.figure import Figure

from autodecoder.report.classes import literal
from autodecoder.report.drawing import default_style
from autodecoder.report.thumbnails import show_known, shrink

#: Longest side in pixels of an image beside others.
_LARGEST = 256


@default_style()
def plot_reconstructions(
    originals: UInt8[np.ndarray, "n height width channels"],
    reconstructions: UInt8[np.ndarray, "n height width channels"],
    *,
    title: str,
    mask: Bool[np.ndarray, "n height width channels"] | None = None,
    has_originals: bool = True,
) -> Figure:
    """Originals, below each what a mask leaves of it, if there is one, and its reconstruction; ten
    to a row. Of images with missing pixels there are no originals."""
    stacks = [shrink(originals, _LARGEST), shrink(reconstructions, _LARGEST)]
    order = "originals above reconstructions"
    if mask is not None:
        stacks.insert(1, show_known(originals, mask, _LARGEST))
        order = "originals, what was seen of them, and reconstructions"
        if not has_originals:
            del stacks[0]
            order = "images (missing pixels in a blue pattern) above reconstructions"
    coloured = [np.broadcast_to(s, (*s.shape[:3], 3)) for s in stacks]
    per_row = min(10, len(originals))
    sheet = _sheet(np.stack(coloured, axis=1), per_row)
    figure = Figure(figsize=_size(sheet, per_row), layout="constrained")
    figure.suptitle(literal(f"{title}: {order}"), fontsize=11)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.imshow(sheet)
    return figure


def _sheet(columns: UInt8[np.ndarray, "n stacks height width 3"], per_row: int) -> np.ndarray:
    """Columns of images side by side, so many to a row, on white."""
    n, n_stacks, height, width, _ = columns.shape
    gap = max(1, round(0.08 * max(height, width)))
    n_rows = -(-n // per_row)
    rows = n_rows * n_stacks * (height + gap) + (n_rows - 1) * gap
    sheet = np.full((rows, per_row * (width + gap) - gap, 3), 255, np.uint8)
    for k, column in enumerate(columns):
        left = (k % per_row) * (width + gap)
        top = (k // per_row) * (n_stacks * (height + gap) + gap)
        for image in column:
            sheet[top : top + height, left : left + width] = image
            top += height + gap
    return sheet[:-gap]


def _size(sheet: np.ndarray, per_row: int) -> tuple[float, float]:
    """Of a figure, in inches: an inch an image, but neither a line nor a tower of thin ones."""
    height = per_row * sheet.shape[0] / sheet.shape[1]
    return float(per_row), float(np.clip(height, 0.8, 14)) + 0.4


@default_style()
def plot_interpolations(
    images: UInt8[np.ndarray, "rows steps height width channels"], *, title: str
) -> Figure:
    """Images on the way from one to another, a row a way."""
    n_steps = images.shape[1]
    shown = shrink(images.reshape(-1, *images.shape[2:]), _LARGEST)
    sheet = _sheet(np.broadcast_to(shown, (*shown.shape[:3], 3))[:, None], n_steps)
    figure = Figure(figsize=_size(sheet, n_steps), layout="constrained")
    figure.suptitle(literal(title), fontsize=11)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.imshow(sheet)
    return figure
