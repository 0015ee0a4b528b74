"""Many images in one picture: shrunk, enlarged, and side by side."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

#: Two blues that alternate where pixels are missing or hidden; no image looks like this pattern.
_HIDDEN = np.array([(86, 180, 233), (50, 140, 195)], np.uint8)


def shrink(
    images: UInt8[np.ndarray, "n height width channels"], longest: int
) -> UInt8[np.ndarray, "n rows columns shown"]:
    """Shrink images to at most `longest` pixels of the longer side, by means of their pixels.

    If there are not 1 or 3 channels, only the first is kept.
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
    """The known pixels of images in colour, and a blue pattern elsewhere; see `shrink`."""
    known = shrink(np.where(mask, np.uint8(255), np.uint8(0)), longest) > 127
    rows, columns = np.indices(known.shape[1:3])
    return np.where(known, shrink(images, longest), _HIDDEN[(rows + columns) % 2])


def enlarge(
    images: UInt8[np.ndarray, "n height width channels"], longest: int
) -> UInt8[np.ndarray, "n rows columns channels"]:
    """Enlarge images by the largest whole factor that keeps the longer side within `longest`."""
    factor = max(1, longest // max(images.shape[1:3]))
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def mosaic(
    images: UInt8[np.ndarray, "n height width channels"], per_row: int, gap: int
) -> UInt8[np.ndarray, "rows columns channels"]:
    """Images side by side, `per_row` in each row, with white gaps between them."""
    margins = ((0, -len(images) % per_row), (0, gap), (0, gap), (0, 0))
    tiles = np.pad(images, margins, constant_values=255)
    _, height, width, channels = tiles.shape
    rows = tiles.reshape(-1, per_row, height, width, channels).swapaxes(1, 2)
    return rows.reshape(-1, per_row * width, channels)[:-gap, :-gap]


def sheet(
    stacks: Sequence[UInt8[np.ndarray, "n height width _"]], per_row: int
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Images of the first stack, and below each those of the other stacks; `per_row` in each row,
    on white. Stacks may be grey or in colour."""
    # In colour, since matplotlib's grey scale depends on the user's settings.
    columns = np.stack([np.broadcast_to(s, (*s.shape[:3], 3)) for s in stacks], axis=1)
    gap = max(1, round(0.08 * max(columns.shape[2:4])))
    spaced = np.pad(columns, ((0, 0), (0, 0), (0, gap), (0, 0), (0, 0)), constant_values=255)
    return mosaic(spaced.reshape(len(columns), -1, *spaced.shape[3:]), per_row, gap)[:-gap]
