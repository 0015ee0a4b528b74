"""Features of any kind in the place of pixels: checked, standardised, and brought back.

In a table of features a missing value is not a number.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped

from autodecoder.brief import brief
from autodecoder.data.pixels import as_numbers
from autodecoder.errors import DataError

#: A column that varies by less than this share of its largest value is constant.
_CONSTANT = 1e-7
_LARGEST = 1e37
#: Standardised values are clipped to this, so that their squares stay finite in single precision.
_FARTHEST = 1e15


@brief
class Standardization(NamedTuple):
    """Mean and standard deviation of each feature of the training samples."""

    mean: Float64[np.ndarray, " features"]
    std: Float64[np.ndarray, " features"]
    """0 for a constant feature, which is decoded to its mean whatever the decoder puts out."""


def fit_standardization(table: Float[np.ndarray, "n features"]) -> Standardization:
    """Mean and standard deviation of the known values of each column.

    A column without any is taken for zeros.

    Raises
    ------
    DataError
        If values are too large for single precision, in which they are decoded.
    """
    known = ~np.isnan(table)
    table = np.where(known, table, 0)
    n_known = np.maximum(known.sum(axis=0), 1)
    largest = np.abs(table).max(axis=0)
    if largest.max() > _LARGEST:
        column = int(np.argmax(largest))
        raise DataError(
            f"samples must be of at most {_LARGEST:g}, but those of column {column} reach "
            f"{largest[column]:g}."
        )
    scale = np.where(largest > 0, largest, 1)  # so that no square overflows
    scaled = table / scale
    mean = scaled.sum(axis=0) / n_known
    std = np.sqrt((np.where(known, scaled - mean, 0) ** 2).sum(axis=0) / n_known)
    return Standardization(mean * scale, np.where(std > _CONSTANT, std * scale, 0.0))


def standardize(
    table: Float[np.ndarray, "n features"], by: Standardization
) -> Float32[np.ndarray, "n features"]:
    """Bring features to mean 0 and standard deviation 1; constant ones keep their unit."""
    unit = np.where(by.std > 0, by.std, 1)
    return np.clip((table - by.mean) / unit, -_FARTHEST, _FARTHEST).astype(np.float32)


def unstandardize(
    outputs: Float[np.ndarray, "n features"], by: Standardization
) -> Float32[np.ndarray, "n features"]:
    """Bring a decoder's outputs back to the units of the features."""
    return (outputs * by.std + by.mean).astype(np.float32)


def check_table_shape(name: str, shape: tuple[int, ...], n_features: int | None = None) -> None:
    """Refuse what has not a row for each sample, of so many features.

    Raises
    ------
    DataError
    """
    if len(shape) != 2 or n_features not in (None, shape[1]):
        wanted = "n_features" if n_features is None else n_features
        raise DataError(f"{name} must be (n, {wanted}), got {tuple(shape)}.")


def as_table(
    name: str,
    values: Any,
    *,
    weights: Shaped[np.ndarray, "n features"] | None = None,
    first: int = 0,
) -> Float64[np.ndarray, "n features"]:
    """Check samples of any features: numbers, a row a sample; missing ones are not a number.

    What has weight 0 counts as missing, whatever it is. Errors count rows from `first`.

    Raises
    ------
    DataError
        If they are of another shape or infinite.
    """
    table = as_numbers(name, values, np.float64)
    check_table_shape(name, table.shape)
    if weights is not None:
        table = np.where(weights > 0, table, np.nan)
    good = ~np.isinf(table).any(axis=1)
    if not good.all():
        row = first + int(np.argmin(good))
        raise DataError(f"{name} must be finite, but row {row} is not (counted from 0).")
    return table
