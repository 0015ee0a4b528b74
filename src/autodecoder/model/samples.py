"""Samples as a model is given them, pixels or features: checked, and as rows of its outputs."""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Num, Shaped

from autodecoder.data.pixels import PixelRange, as_images, dark, read_already, to_pixels
from autodecoder.errors import DataError, DataWarning
from autodecoder.model.tables import Standardization, as_table, standardize


def check_samples(
    samples: Any,
    image_shape: tuple[int, int, int],
    standardization: Standardization | None,
    *,
    finite: bool,
) -> Shaped[np.ndarray, "n ..."]:
    """Samples of the right shape as an array; of features finite unless that is left open."""
    if standardization is None:
        return as_images(samples, image_shape)
    return as_table("samples", samples, image_shape[1], finite=finite)


def to_rows(
    samples: Shaped[np.ndarray, "n ..."],
    first: int,
    weights: Shaped[Any, "n pixels"] | None,
    standardization: Standardization | None,
    pixel_range: PixelRange | None,
) -> Num[np.ndarray, "n pixels"]:
    """Checked samples as the decoder's outputs are compared with them, but for the scaling.

    Errors count them from `first`.
    """
    if standardization is None:
        what = None
        if len(samples) > 1:
            what = dark(samples) if pixel_range is None else read_already(samples, pixel_range)
        if what:
            warnings.warn(f"images {what}.", DataWarning, stacklevel=2)
        return to_pixels(samples, first, weights, pixel_range)
    seen = samples if weights is None else np.where(weights > 0, samples, standardization.mean)
    return standardize(as_table("samples that count", seen, first=first), standardization)


def add_samples(
    known: Shaped[np.ndarray, "n ..."], samples: Shaped[np.ndarray, "m ..."], *, typed: bool
) -> Shaped[np.ndarray, "k ..."]:
    """Known samples, then those of the others that are not among them.

    Parameters
    ----------
    known : (n, ...)
    samples : (m, ...)
        Of the same shape each.
    typed : bool
        Whether the type says what values mean, as of pixels without a range of their own.

    Raises
    ------
    DataError
        If the types then mean different things.
    """
    are_whole = [array.dtype.kind in "iu" for array in (known, samples)]
    if typed and are_whole[0] != are_whole[1]:
        raise DataError(
            f"X must be of {known.dtype} as the samples before, or of a type like it, since the "
            f"type says which value is white; got {samples.dtype}."
        )
    dtype = np.result_type(known, samples)
    known, samples = known.astype(dtype), samples.astype(dtype)
    seen = {sample.tobytes() for sample in known}
    fresh = np.array([sample.tobytes() not in seen for sample in samples], bool)
    return np.concatenate([known, samples[fresh]])
