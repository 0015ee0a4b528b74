"""Images as small as pictures of many show them, so that these stay files of a sane size."""

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
