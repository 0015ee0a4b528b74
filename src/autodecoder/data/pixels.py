"""Checking images and masks that users hand over; NumPy only, memory maps stay on disk."""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Int32, Num, Shaped

from autodecoder.errors import DataError

#: Float pixels may pass the range by as much, as rounding makes them.
_SLACK = 1e-3


def as_images(
    images: Any, image_shape: tuple[int, int, int], name: str = "images"
) -> Num[np.ndarray, "n ..."]:
    """Check the shape and dtype of images; returns them as an array, unread.

    Parameters
    ----------
    images : array
        `(n, height, width, channels)`, `(n, height, width)` for one channel, or `(n, pixels)`;
        uint8 from 0 to 255, or floats from 0 to 1.
    image_shape : (height, width, channels)
    name : str
        What errors call them.

    Raises
    ------
    DataError
        If they are no images of this shape.
    """
    images = _as_array(name, images)
    height, width, channels = image_shape
    shapes = [(height, width, channels), (height * width * channels,)]
    if channels == 1:
        shapes.append((height, width))
    if images.ndim < 2 or images.shape[1:] not in shapes:
        raise DataError(f"{name} must be (n, {height}, {width}, {channels}), got {_shape(images)}.")
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise DataError(
            f"{name} must be uint8 from 0 to 255 or floats from 0 to 1, got {images.dtype}."
        )
    return images


def to_pixels(
    images: Num[np.ndarray, "n ..."],
    first: int = 0,
    weights: Shaped[np.ndarray, "n pixels"] | None = None,
) -> Num[np.ndarray, "n pixels"]:
    """Bring some of the images of `as_images` to 0..255, as uint8 or float32, a row an image.

    Floats are 0 where `weights`, those of `to_weights`, are 0, whatever they were.

    Raises
    ------
    DataError
        If floats are not finite or outside of [0, 1]; images are counted from `first`.
    """
    rows = np.asarray(images).reshape(len(images), math.prod(images.shape[1:]))
    if rows.dtype == np.uint8:
        return rows
    if weights is not None:
        rows = np.where(weights > 0, rows, 0)
    good = np.isfinite(rows)
    if not good.all():
        raise DataError(f"images must have finite pixels, but image {first + _bad(good)} has not.")
    good = (rows >= -_SLACK) & (rows <= 1 + _SLACK)
    if not good.all():
        i = _bad(good)
        raise DataError(
            "float pixels must lie between 0 and 1, but those of image "
            f"{first + i} lie between {rows[i].min():g} and {rows[i].max():g}."
        )
    return np.clip(rows, 0, 1).astype(np.float32) * 255


def as_mask(mask: Any, n: int, image_shape: tuple[int, int, int]) -> Shaped[np.ndarray, "n ..."]:
    """Check the shape and dtype of a mask; returns a view of it that has a mask for each image.

    Parameters
    ----------
    mask : array
        True where a pixel counts, or weights, 0 or more: of every image, or of one for all; of
        every pixel, or of one channel for all.
    n : int
        Number of images.
    image_shape : (height, width, channels)

    Raises
    ------
    DataError
        If it is no mask of such images.
    """
    mask = _as_array("mask", mask)
    height, width, channels = image_shape
    if mask.dtype.kind not in "buif":
        raise DataError(f"mask must be of booleans or numbers, got {mask.dtype}.")
    if mask.shape in ((height, width), (height, width, channels), (height * width * channels,)):
        mask = mask[None]
    if mask.shape[:1] not in ((n,), (1,)):
        raise DataError(f"mask must be for {n} images or for one, got {_shape(mask)}.")
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
    """Bring some of the masks of `as_mask` to booleans or to weights up to 1, a row an image.

    Raises
    ------
    DataError
        If a weight is negative or not finite; images are counted from `first`.
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
    """Check class labels, whole numbers of 32 bits from 0.

    Raises
    ------
    DataError
        If they are others, or not `n`.
    """
    labels = np.asarray(labels)
    most = np.iinfo(np.int32).max
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{name} must be {n} whole numbers, got {labels.dtype} of {_shape(labels)}."
        )
    if n and not 0 <= int(labels.min()) <= int(labels.max()) <= most:
        raise DataError(
            f"{name} must be whole numbers from 0 to {most}, got {labels.min()} to {labels.max()}."
        )
    return labels.astype(np.int32)


def as_numbers(
    name: str, values: Any, dtype: type[np.floating] = np.float32
) -> Float[np.ndarray, "..."]:
    """Values as an array of floats.

    Raises
    ------
    DataError
        If they are no numbers, or rows of different lengths.
    """
    try:
        array = _as_array(name, values)
        if array.dtype.kind == "c":
            raise DataError(f"{name} must be real numbers, got {array.dtype}.")
        return array.astype(dtype)
    except (ValueError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{name} must be an array of numbers.") from error


def _as_array(name: str, values: Any) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray):
        raise DataError(f"{name} must be an array without a mask of its own: give it as mask.")
    try:
        return np.asanyarray(values)
    except ValueError as error:  # rows of different lengths
        raise DataError(f"{name} must be one array, all of one shape.") from error


def _bad(good: np.ndarray) -> int:
    return int(np.argmin(good.all(axis=1)))


def _shape(array: np.ndarray) -> str:
    return f"({', '.join(map(str, array.shape))})"
