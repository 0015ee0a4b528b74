"""Tables of features instead of images: checks, standardisation and its inverse.

Missing values in a table are NaN.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64, Shaped

from autodecoder.brief import brief
from autodecoder.data.pixels import as_numbers
from autodecoder.errors import DataError

#: A column whose standard deviation is at most this share of its largest value is constant.
_CONSTANT = 1e-7
#: Largest accepted absolute value.
_LARGEST = 1e37
#: Standardised values are clipped to this, so that their squares stay finite in single precision.
_FARTHEST = 1e15


@brief
class Standardization(NamedTuple):
    """Mean and standard deviation of each feature of the training samples."""

    mean: Float64[np.ndarray, " features"]
    std: Float64[np.ndarray, " features"]
    """0 for a constant feature, which is always decoded to its mean."""


def fit_standardization(table: Float[np.ndarray, "n features"]) -> Standardization:
    """Mean and standard deviation of the known values of each column.

    A column without known values counts as zeros.

    Raises
    ------
    DataError
        If values are too large for single precision, in which features are decoded.
    """
    known = ~np.isnan(table)
    table = np.where(known, table, 0)
    n_known = np.maximum(known.sum(axis=0), 1)
    largest = np.abs(table).max(axis=0)
    if largest.max() > _LARGEST:
        column = int(np.argmax(largest))
        raise DataError(
            f"samples must be at most {_LARGEST:g}, but column {column} reaches "
            f"{largest[column]:g} (counted from 0)."
        )
    scale = np.where(largest > 0, largest, 1)  # so that no square overflows
    scaled = table / scale
    mean = scaled.sum(axis=0) / n_known
    std = np.sqrt((np.where(known, scaled - mean, 0) ** 2).sum(axis=0) / n_known)
    return Standardization(mean * scale, np.where(std > _CONSTANT, std * scale, 0.0))


def standardize(
    table: Float[np.ndarray, "n features"], by: Standardization
) -> Float32[np.ndarray, "n features"]:
    """Scale features to mean 0 and standard deviation 1. Constant features are only shifted."""
    unit = np.where(by.std > 0, by.std, 1)
    return np.clip((table - by.mean) / unit, -_FARTHEST, _FARTHEST).astype(np.float32)


def unstandardize(
    outputs: Float[np.ndarray, "n features"], by: Standardization
) -> Float32[np.ndarray, "n features"]:
    """Convert a decoder's outputs to the units of the features."""
    return (outputs * by.std + by.mean).astype(np.float32)


def check_table_shape(name: str, shape: tuple[int, ...], n_features: int | None = None) -> None:
    """Check that a table has shape (n, `n_features`), or two axes if `n_features` is `None`.

    Raises
    ------
    DataError
        If it has another shape.
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
    """Check a table of features: numbers, one row per sample, NaN for missing values.

    Values with weight 0 become NaN. Errors count rows from `first`.

    Raises
    ------
    DataError
        If the table has another shape or infinite values.
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
