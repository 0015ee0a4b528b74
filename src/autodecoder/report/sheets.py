"""Figures of images side by side: reconstructions and interpolations."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from autodecoder.report.drawing import DataFigure, default_style
from autodecoder.report.thumbnails import sheet, show_known, shrink

#: Longest side of an image in such a figure, in pixels.
_LARGEST = 256


@default_style()
def plot_reconstructions(
    originals: UInt8[np.ndarray, "n height width channels"],
    reconstructions: UInt8[np.ndarray, "n height width channels"],
    *,
    title: str,
    mask: Bool[np.ndarray, "n height width channels"] | None = None,
    has_originals: bool = True,
) -> DataFigure:
    """Draw originals, ten per row; below each its known pixels, if there is a mask, and its
    reconstruction. Images with missing pixels have no originals."""
    stacks = [shrink(originals, _LARGEST), shrink(reconstructions, _LARGEST)]
    order = "originals above reconstructions"
    if mask is not None:
        stacks.insert(1, show_known(originals, mask, _LARGEST))
        order = "originals, what was seen of them, and reconstructions"
        if not has_originals:
            del stacks[0]
            order = "images (missing pixels in a blue pattern) above reconstructions"
    return _draw(stacks, min(10, len(originals)), f"{title}: {order}")


@default_style()
def plot_interpolations(
    images: UInt8[np.ndarray, "rows steps height width channels"], *, title: str
) -> DataFigure:
    """Draw interpolations between images, one per row."""
    shown = shrink(images.reshape(-1, *images.shape[2:]), _LARGEST)
    return _draw([shown], images.shape[1], title)


def _draw(
    stacks: Sequence[UInt8[np.ndarray, "n height width _"]], per_row: int, caption: str
) -> DataFigure:
    """A figure of stacked images, with 1 inch of width per image of a row, and 0.8 to 14 inches of
    height for the images."""
    pixels = sheet(stacks, per_row)
    height = float(np.clip(per_row * pixels.shape[0] / pixels.shape[1], 0.8, 14))
    figure = DataFigure(caption, figsize=(per_row, height), layout="constrained")
    axes = figure.subplots()
    axes.set_axis_off()
    axes.imshow(pixels)
    return figure
