"""Checks of samples (images or rows of features), and their conversion to rows of values."""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Bool, Num, Shaped

from autodecoder.data.carriers import as_array
from autodecoder.data.missing import find_known
from autodecoder.data.pixels import PixelRange, as_images, dark, read_already, to_pixels
from autodecoder.errors import DataError, DataWarning
from autodecoder.model.tables import Standardization, as_table, check_table_shape, standardize


def check_samples(
    samples: Any,
    image_shape: tuple[int, int, int],
    standardization: Standardization | None,
    name: str = "",
) -> Shaped[np.ndarray, "n ..."]:
    """Convert samples to an array of the right shape, see `as_images`; a memory map is not read.

    Errors call them `name`, by default `images` or `samples`.
    """
    if standardization is None:
        return as_images(samples, image_shape, name or "images")
    table = as_array(name or "samples", samples, may_miss=True)
    check_table_shape(name or "samples", table.shape, image_shape[1])
    return table


def doubt_range(
    samples: Shaped[np.ndarray, "n ..."],
    standardization: Standardization | None,
    pixel_range: PixelRange | None,
) -> None:
    """Warn if images for inference seem to have another range than the one assumed."""
    if standardization is None and len(samples) > 1:
        what = dark(samples) if pixel_range is None else read_already(samples, pixel_range)
        if what:
            warnings.warn(f"images {what}.", DataWarning, stacklevel=2)


def to_rows(
    samples: Shaped[np.ndarray, "n ..."],
    first: int,
    weights: Shaped[Any, "n pixels"] | None,
    standardization: Standardization | None,
    pixel_range: PixelRange | None,
) -> tuple[Num[np.ndarray, "n pixels"], Shaped[Any, "n pixels"] | None]:
    """Convert checked samples to rows of stored values, which only lack the scaling.

    Returns the rows and the weights of their values: `weights` with 0 for missing values, or `None`
    if all values count. Errors count samples from `first`.
    """
    if standardization is None:
        weights = find_known(samples, weights)
        return to_pixels(samples, first, weights, pixel_range), weights
    table = as_table("samples", samples, weights=weights, first=first)
    rows = standardize(table, standardization)
    return np.where(np.isnan(rows), rows.dtype.type(0), rows), find_known(rows, weights)


def add_samples(
    known: Shaped[np.ndarray, "n ..."], samples: Shaped[np.ndarray, "m ..."], *, typed: bool
) -> tuple[Shaped[np.ndarray, "k ..."], Bool[np.ndarray, " m"]]:
    """Append to known samples those of `samples` that are not among them.

    Parameters
    ----------
    known : (n, ...)
    samples : (m, ...)
        Samples of the same shape as the known ones.
    typed : bool
        Whether the dtype defines the range of values, as for pixels without a pixel range.

    Returns
    -------
    samples : (k, ...)
        Known samples, then new ones.
    are_fresh : (m,)
        Which of `samples` are new.

    Raises
    ------
    DataError
        If `typed` is True, and the dtypes define different ranges.
    """
    are_whole = [array.dtype.kind in "iu" for array in (known, samples)]
    if typed and are_whole[0] != are_whole[1]:
        raise DataError(
            f"X must have dtype {known.dtype} like the samples before, or a similar one, since the "
            f"dtype defines the value of white; got {samples.dtype}."
        )
    dtype = np.result_type(known, samples)
    known, samples = known.astype(dtype), samples.astype(dtype)
    seen = {_bits(sample) for sample in known}
    fresh = np.array([_bits(sample) not in seen for sample in samples], bool)
    are_masked = any(isinstance(array, np.ma.MaskedArray) for array in (known, samples))
    return (np.ma if are_masked else np).concatenate([known, samples[fresh]]), fresh


def _bits(sample: Shaped[np.ndarray, "..."]) -> bytes:
    """The bytes that identify a sample: its values, and its mask of missing ones."""
    if isinstance(sample, np.ma.MaskedArray):
        return sample.filled(0).tobytes() + np.ma.getmaskarray(sample).tobytes()
    return sample.tobytes()
