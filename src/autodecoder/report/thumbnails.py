"""Many images in one picture: small enough for a file of a sane size, and side by side."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

#: Two blues, in turn from pixel to pixel, where a pixel is missing or hidden: no image looks so.
_HIDDEN = np.array([(86, 180, 233), (50, 140, 195)], np.uint8)


def shrink(
    images: UInt8[np.ndarray, "n height width channels"], longest: int
) -> UInt8[np.ndarray, "n rows columns shown"]:
    """Images whose longer side has so many pixels at most, each the mean of those it stands for.

    Of other numbers of channels than 1 and 3, the first is kept.
    """
    images = images if images.shape[3] == 3 else images[..., :1]
    n, height, width, channels = images.shape
    factor = longest / max(height, width)
    if factor >= 1:
        return images
    rows, columns = max(1, round(factor * height)), max(1, round(factor * width))
    small = np.empty((n, rows, columns, channels), np.uint8)
    for k, image in enumerate(images):
        whole = Image.fromarray(np.ascontiguousarray(image if channels == 3 else image[..., 0]))
        resized = np.asarray(whole.resize((columns, rows), Image.Resampling.BOX))
        small[k] = resized.reshape(rows, columns, channels)
    return small


def show_known(
    images: UInt8[np.ndarray, "n height width channels"],
    mask: Bool[np.ndarray, "n height width channels"],
    longest: int,
) -> UInt8[np.ndarray, "n rows columns 3"]:
    """What a mask leaves of images, in colours, and a blue pattern elsewhere; see `shrink`."""
    known = shrink(np.where(mask, np.uint8(255), np.uint8(0)), longest) > 127
    rows, columns = np.indices(known.shape[1:3])
    return np.where(known, shrink(images, longest), _HIDDEN[(rows + columns) % 2])


def enlarge(
    images: UInt8[np.ndarray, "n height width channels"], longest: int
) -> UInt8[np.ndarray, "n rows columns channels"]:
    """Images whose pixels are squares, as large as fit into that length of the longer side."""
    factor = max(1, longest // max(images.shape[1:3]))
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def mosaic(
    images: UInt8[np.ndarray, "n height width channels"], per_row: int, gap: int
) -> UInt8[np.ndarray, "rows columns channels"]:
    """Images side by side, so many to a row, with white gaps between them."""
    margins = ((0, -len(images) % per_row), (0, gap), (0, gap), (0, 0))
    tiles = np.pad(images, margins, constant_values=255)
    _, height, width, channels = tiles.shape
    rows = tiles.reshape(-1, per_row, height, width, channels).swapaxes(1, 2)
    return rows.reshape(-1, per_row * width, channels)[:-gap, :-gap]


def sheet(
    stacks: Sequence[UInt8[np.ndarray, "n height width _"]], per_row: int
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Images of the first stack, below each those of the others; so many to a row, on white. Stacks
    may be grey or in colours."""
    # In colours, since the size of matplotlib's scale of greys is a setting of the user's.
    columns = np.stack([np.broadcast_to(s, (*s.shape[:3], 3)) for s in stacks], axis=1)
    gap = max(1, round(0.08 * max(columns.shape[2:4])))
    spaced = np.pad(columns, ((0, 0), (0, 0), (0, gap), (0, 0), (0, 0)), constant_values=255)
    return mosaic(spaced.reshape(len(columns), -1, *spaced.shape[3:]), per_row, gap)[:-gap]
