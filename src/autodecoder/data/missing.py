"""Missing pixels: finding the known ones, and describing the missing ones.

A pixel is missing if a mask hides it, if it is NaN, if a frame or a masked array has no value for
it, or, on request, if it is transparent.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from autodecoder.data.pixels import PixelRange
from autodecoder.errors import DataError

#: Error message for augmentation of images with missing pixels.
MISSING_AND_AUGMENTED = (
    "augmentation moves pixels and cannot be used with missing ones: leave it out or fill them in."
)
#: Numbers of channels of images with alpha as the last channel.
WITH_ALPHA = (2, 4)


def find_known(images: Shaped[np.ndarray, "n ..."], weights: Any = None) -> Any:
    """Find the pixels that count: those that are neither missing nor hidden.

    Parameters
    ----------
    images : (n, ...) array
        As `as_images` returns them.
    weights : (n, pixels) bool or float, optional
        From `to_weights` or `to_known`: 0 where a pixel is hidden.

    Returns
    -------
    (n, pixels) bool or float, or None
        `weights`, set to 0 where a pixel is missing; `None` if every pixel counts.
    """
    rows = images.reshape(len(images), math.prod(images.shape[1:]))
    if isinstance(rows, np.ma.MaskedArray):
        missing = np.ma.getmaskarray(rows)
    elif rows.dtype.kind == "f":
        missing = np.isnan(rows)
    else:
        return weights
    if not missing.any():
        return weights
    return ~missing if weights is None else np.where(missing, weights.dtype.type(0), weights)


def to_known(mask: Shaped[np.ndarray, "n ..."], first: int = 0) -> Bool[np.ndarray, "n pixels"]:
    """Convert masks of `as_mask` to booleans, one row per image; True where a pixel is known.

    Raises
    ------
    DataError
        If a mask holds anything but booleans, 0 and 1, or 0 and 255; the message counts images
        from `first`.
    """
    rows = np.asarray(mask).reshape(len(mask), math.prod(mask.shape[1:]))
    if rows.dtype.kind == "b":
        return rows
    known = rows != 0
    for white in (1, 255):
        if (rows[known] == white).all():
            return known
    row, column = np.argwhere(known & (rows != 1) & (rows != 255) | ~np.isfinite(rows))[:1].T
    seen = f"{rows[row, column][0]:g}" if len(row) else "both 1 and 255"
    raise DataError(
        "mask must hold booleans, 0 and 1, or 0 and 255, but that of image "
        f"{first + (int(row[0]) if len(row) else 0)} holds {seen}."
    )


def check_some_known(
    known: Bool[np.ndarray, "n pixels"] | None, name: str = "images", first: int = 0
) -> None:
    """Refuse images without a known pixel; the message counts them from `first`.

    Raises
    ------
    DataError
    """
    if known is None:
        return
    blank = np.flatnonzero(~known.any(axis=1))
    if len(blank):
        raise DataError(
            f"each of the {name} must have a known value, but number {first + int(blank[0])} has "
            "none (counted from 0)."
        )


def split_alpha(
    images: Shaped[np.ndarray, "n height width channels"], pixel_range: PixelRange | None
) -> tuple[Shaped[np.ndarray, "n height width colours"], Bool[np.ndarray, "n height width"]]:
    """Split images into colours and booleans, True where alpha, the last channel, is above half."""
    alpha = np.asarray(images[..., -1])
    low, high = pixel_range or ((0, 255) if alpha.dtype.kind in "iu" else (0, 1))
    return images[..., :-1], alpha > (low + high) / 2


def tell_unseen(known: Bool[np.ndarray, "n ..."] | None) -> str | None:
    """Warning of values that are missing from every training sample; `None` if there are none."""
    if known is None:
        return None
    seen = known.any(axis=0)
    n_unseen = int(np.count_nonzero(~seen))
    if not n_unseen:
        return None
    return (
        f"{n_unseen} of {seen.size} values of an image are missing from every training image: what "
        "the decoder draws there is not learnt from data"
    )


def share_missing(known: Bool[np.ndarray, "n ..."] | None) -> float:
    """Share of missing values, from 0 to 1."""
    return 0.0 if known is None or not known.size else 1 - float(known.mean(dtype=np.float64))


def describe_missing(
    train: Bool[np.ndarray, "n ..."] | None, val: Bool[np.ndarray, "m ..."] | None
) -> str | None:
    """Describe the shares of missing training and validation pixels, for people."""
    if train is None and val is None:
        return None
    shares = " and ".join(
        f"{_percent(share_missing(known))} of the {name} images"
        for name, known in (("training", train), ("validation", val))
        if known is not None
    )
    return f"missing pixels: {shares}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
