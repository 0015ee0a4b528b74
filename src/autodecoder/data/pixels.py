"""Checking users' images, masks and labels with NumPy; memory maps stay on disk."""

import logging
import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Num, Shaped

from autodecoder.data.carriers import as_array
from autodecoder.errors import DataError
from autodecoder.text import count

_log = logging.getLogger(__name__)

#: Values of black and white.
PixelRange = tuple[float | int, float | int]

#: Float pixels may exceed the range by this share of it, because of rounding.
_SLACK = 1e-3
#: Integer images without larger values look black if white is 255.
_DARK = 16
#: Usual ranges, smallest first; messages suggest the first that holds all values.
_RANGES = (
    *((0, 1), (-1, 1), (-128, 127), (0, 255), (0, 1023), (0, 4095), (0, 16383), (0, 65535)),
    *((-1024, 3071), (-32768, 32767)),
)


def as_images(
    images: Any, image_shape: tuple[int, int, int], name: str = "images"
) -> Shaped[np.ndarray, "n ..."]:
    """Check the shape of images; returns them as an array, and a memory map unread.

    Missing values are NaN in floats, and masked in integers.

    Parameters
    ----------
    images : array-like
        `(n, height, width, channels)`, `(n, height, width)` for one channel, or `(n, pixels)`;
        numbers of any type, see `to_pixels`.
    image_shape : (height, width, channels)
    name : str
        Name of the images in errors.

    Raises
    ------
    DataError
        If they are not images of this shape.
    """
    images = as_array(name, images, may_miss=True)
    height, width, channels = image_shape
    shapes = [(height, width, channels), (height * width * channels,)]
    if channels == 1:
        shapes.append((height, width))
    if images.ndim < 2 or images.shape[1:] not in shapes:
        check_channels_last(name, images.shape)
        raise DataError(f"{name} must be (n, {height}, {width}, {channels}), got {_shape(images)}.")
    return images


def check_channels_last(name: str, shape: tuple[int, ...]) -> None:
    """Refuse images whose channels come first, and warn if the order is ambiguous.

    Raises
    ------
    DataError
        If the second axis has 1 or 3 places and the last one more than 4.
    """
    if len(shape) != 4:
        return
    sides = " × ".join(map(str, shape))
    _, first, middle, last = shape
    if first in (1, 3) and last > 4:
        raise DataError(
            f"{name} must have its channels last, (n, height, width, channels), got {sides}; "
            "images.transpose(0, 2, 3, 1) moves them."
        )
    is_small = first in (1, 3) and last in (2, 4) and middle != 1
    is_square = first in (2, 4) and middle == last > 4  # such as RGBA, channels first
    if is_small or is_square:
        _log.warning(
            "%s of %s are taken for %d × %d pixels of %d channels; if the channels come first, "
            "images.transpose(0, 2, 3, 1) moves them.",
            *(name, sides, *shape[1:]),
        )


def to_pixels(
    images: Shaped[np.ndarray, "n ..."],
    first: int = 0,
    weights: Shaped[np.ndarray, "n pixels"] | None = None,
    pixel_range: PixelRange | None = None,
    beside: Shaped[np.ndarray, "m ..."] | None = None,
) -> Num[np.ndarray, "n pixels"]:
    """Scale images of `as_images` to 0..255, one row per image.

    Parameters
    ----------
    images : (n, ...) array
    first : int
        Number of the first image in errors.
    weights : (n, pixels), optional
        From `to_weights`: pixels of weight 0 become black.
    pixel_range : (low, high), optional
        Values of black and white; by default 0 and 255 for integers, 0 and 1 for floats and
        booleans.
    beside : (m, ...) array, optional
        More images of the source; a suggested range holds them too.

    Returns
    -------
    (n, pixels) uint8 or float32
        uint8 for integers in the range 0 to 255, else float32.

    Raises
    ------
    DataError
        If pixels are not finite or outside their range.
    """
    rows = np.asarray(images).reshape(len(images), math.prod(images.shape[1:]))
    is_whole = rows.dtype.kind in "iu"
    as_bytes = is_whole and pixel_range in (None, (0, 255))
    if as_bytes and rows.dtype == np.uint8 and weights is None:
        return rows
    low, high = pixel_range or ((0, 255) if is_whole else (0, 1))
    if rows.dtype.kind == "b":
        rows = rows.astype(np.float32)
    if weights is not None:
        rows = np.where(weights > 0, rows, low)
    if not is_whole:
        good = np.isfinite(rows)
        if not good.all():
            raise DataError(
                f"images must have finite pixels, but image {first + _bad(good)} has not."
            )
    slack = 0 if is_whole else _SLACK * (high - low)
    good = (rows >= low - slack) & (rows <= high + slack)
    if not good.all():
        i = _bad(good)
        seen = float(rows[i].min()), float(rows[i].max())
        kind = "pixels" if pixel_range else f"{'whole-number' if is_whole else 'float'} pixels"
        raise DataError(
            f"{kind} must lie between {low:g} and {high:g}, but those of image {first + i} lie "
            f"between {seen[0]:g} and {seen[1]:g}; {_remedy(*_range_of(rows, beside))}."
        )
    if as_bytes:
        return rows.astype(np.uint8)
    dtype = np.result_type(rows.dtype, np.float64 if is_whole else np.float32)
    from_black = np.clip(rows, low, high).astype(dtype) - low
    return (from_black * (255 / (high - low))).astype(np.float32)


def dark(images: Shaped[np.ndarray, "..."]) -> str | None:
    """Warning if integer images are nearly black: no value above 16; else `None`."""
    images = np.asarray(images)
    if images.dtype.kind not in "iu" or images.size == 0:
        return None
    most = int(images.max())
    if not 0 < most <= _DARK or images.min() < 0:
        return None
    seen = "only 0 and 1" if most == 1 else f"nothing above {most}"
    return f"hold {seen}, where white is 255; {_remedy(0, most)}"


def read_already(images: Shaped[np.ndarray, "..."], pixel_range: PixelRange) -> str | None:
    """Warning if images seem to be scaled to 0..255 already, but `pixel_range` is much wider; else
    `None`."""
    high = pixel_range[1]
    if images.size == 0 or high < 4 * 255:
        return None
    known = np.asarray(images)
    least, most = np.fmin.reduce(known, axis=None), np.fmax.reduce(known, axis=None)
    if not _DARK < most <= 255 or least < 0:
        return None
    return (
        f"hold nothing above {most:g}, where white is {high:.6g}; for images that load_dataset has "
        "scaled to 0 to 255, use dataclasses.replace(model, pixel_range=None)"
    )


def _range_of(*images: Shaped[np.ndarray, "..."] | None) -> PixelRange:
    """A range that holds all finite values of these images, usually the first usual one.

    Without negative values, black is 0. White is then the largest value, if the usual white is more
    than twice as high and would leave the images dark.
    """
    values = np.concatenate([np.ravel(part) for part in images if part is not None])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    if low >= 0:
        white = next((w for b, w in _RANGES if b == 0 and high <= w), high)
        return 0, white if white > 255 or 2 * high >= white else high
    for black, white in _RANGES:
        fits = black <= low and high <= white
        # -0.2 to 1.3 is no range of signed bytes.
        if fits and (black >= -1 or (low.is_integer() and high.is_integer())):
            return black, white
    return low, high


def _remedy(black: float | int, white: float | int) -> str:
    """How to set the range of images, for messages."""
    return (
        f"training with --range {black:.6g}:{white:.6g}, in Python pixel_range=({black:.6g}, "
        f"{white:.6g}), takes {black:.6g} for black and {white:.6g} for white"
    )


def as_mask(mask: Any, n: int, image_shape: tuple[int, int, int]) -> Shaped[np.ndarray, "n ..."]:
    """Check the shape and dtype of a mask; returns a view with one mask per image.

    Parameters
    ----------
    mask : array
        True where a pixel counts, or weights of 0 or more. One mask per image or one for all, with
        all channels or one for all.
    n : int
        Number of images.
    image_shape : (height, width, channels)

    Raises
    ------
    DataError
        If it is not a mask of such images.
    """
    mask = as_array("mask", mask)
    height, width, channels = image_shape
    if mask.shape in ((height, width), (height, width, channels), (height * width * channels,)):
        mask = mask[None]
    if mask.shape[:1] not in ((n,), (1,)):
        raise DataError(f"mask must be for {count(n, 'image')} or for one, got {_shape(mask)}.")
    if mask.shape[1:] in ((height, width), (height, width, 1)):
        pixels = mask.reshape(len(mask), height, width, 1)
        mask = np.broadcast_to(pixels, (len(mask), *image_shape))
    if mask.shape[1:] not in (image_shape, (height * width * channels,)):
        raise DataError(
            f"mask must be (n, {height}, {width}) or (n, {height}, {width}, {channels}), "
            f"got {_shape(mask)}."
        )
    return np.broadcast_to(mask, (n, *mask.shape[1:]))


def to_weights(
    mask: Shaped[np.ndarray, "n ..."], first: int = 0
) -> Bool[np.ndarray, "n pixels"] | Float32[np.ndarray, "n pixels"]:
    """Convert masks of `as_mask` to booleans, or to weights with a maximum of 1 in each image; one
    row per image.

    Raises
    ------
    DataError
        If a weight is negative or not finite; the message counts images from `first`.
    """
    rows = np.asarray(mask).reshape(len(mask), math.prod(mask.shape[1:]))
    if rows.dtype.kind == "b":
        return rows
    good = np.isfinite(rows) & (rows >= 0)
    if not good.all():
        raise DataError(
            f"mask must hold weights of 0 or more, but that of image {first + _bad(good)} does not."
        )
    largest = rows.max(axis=1, keepdims=True)
    return (rows / np.where(largest > 0, largest, 1)).astype(np.float32)


def as_labels(name: str, labels: Any, n: int) -> Int32[np.ndarray, " n"]:
    """Check class labels, (n,) or (n, 1), and convert them to int32; they are counted from 0.

    Raises
    ------
    DataError
        If they are not whole numbers of 32 bits from 0, or not `n`.
    """
    labels = as_array(name, labels)
    if labels.shape == (n, 1):
        labels = labels[:, 0]
    if labels.dtype.kind == "b" or (labels.dtype.kind == "f" and are_whole(labels)):
        labels = labels.astype(np.int64)
    most = np.iinfo(np.int32).max
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{name} must be {count(n, 'whole number')}, got {labels.dtype} of {_shape(labels)}."
        )
    if n and not 0 <= int(labels.min()) <= int(labels.max()) <= most:
        raise DataError(
            f"{name} must be whole numbers from 0 to {most}, got {labels.min()} to {labels.max()}."
        )
    return labels.astype(np.int32)


def are_whole(values: Float[np.ndarray, "..."]) -> bool:
    """Whether all floats are whole numbers that they represent exactly."""
    # Below 2**53, since larger floats each stand for several whole numbers.
    return bool(((values == np.rint(values)) & (abs(values.astype(float)) < 2**53)).all())


def as_numbers(
    name: str, values: Any, dtype: type[np.floating] = np.float32
) -> Float[np.ndarray, "..."]:
    """Convert values to an array of floats; missing ones become NaN.

    Raises
    ------
    DataError
        See `as_array`.
    """
    return np.ma.filled(as_array(name, values, may_miss=True).astype(dtype), np.nan)


def _bad(good: np.ndarray) -> int:
    return int(np.argmin(good.all(axis=1)))


def _shape(array: np.ndarray) -> str:
    return f"({', '.join(map(str, array.shape))})"
