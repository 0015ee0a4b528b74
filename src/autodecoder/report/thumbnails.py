"""Images as small as pictures of many show them, so that these stay files of a sane size."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image


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
