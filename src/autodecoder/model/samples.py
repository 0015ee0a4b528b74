"""Samples as a model is given them, pixels or features: checked, and as rows of its outputs."""

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
    """Samples of the right shape as an array, see `as_images`, of a memory map unread.

    Errors call them `name`, or by what they are.
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
    """Warn of images to infer that seem to have another range than they are read by."""
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
    """Checked samples as the decoder's outputs are compared with them, but for the scaling, and
    what counts of them: `weights`, and 0 where a value is missing; None where every value counts.

    Errors count samples from `first`.
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
    """Known samples, then those of the others that are not among them.

    Parameters
    ----------
    known : (n, ...)
    samples : (m, ...)
        Of the same shape each.
    typed : bool
        Whether the type says what values mean, as of pixels without a range of their own.

    Returns
    -------
    samples : (k, ...)
    are_fresh : (m,)
        Which of the others are among them.

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
    seen = {_bits(sample) for sample in known}
    fresh = np.array([_bits(sample) not in seen for sample in samples], bool)
    are_masked = any(isinstance(array, np.ma.MaskedArray) for array in (known, samples))
    return (np.ma if are_masked else np).concatenate([known, samples[fresh]]), fresh


def _bits(sample: Shaped[np.ndarray, "..."]) -> bytes:
    """What tells a sample from another: its values, and which of them are missing."""
    if isinstance(sample, np.ma.MaskedArray):
        return sample.filled(0).tobytes() + np.ma.getmaskarray(sample).tobytes()
    return sample.tobytes()
