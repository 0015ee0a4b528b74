"""Converting frames, tensors, lists and arrays of any library to NumPy arrays."""

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from autodecoder.errors import DataError

#: Integer dtypes narrower than a byte, which libraries add to NumPy, and what replaces them.
_SMALL_WHOLE = {"int4": np.int8, "int2": np.int8, "uint4": np.uint8, "uint2": np.uint8}
_UNREADABLE = (TypeError, ValueError, OverflowError, RuntimeError, AttributeError, BufferError)


def as_array(name: str, values: Any, *, may_miss: bool = False) -> np.ndarray:
    """Convert numbers to an array; equal numbers give equal arrays, whatever the container.

    The dtype is that of the values: a column of `Int64` in pandas, of `Int64` in polars and a
    tensor of `torch.int64` all become `int64`. Several columns get the smallest dtype that holds
    them all. A memory map stays a memory map.

    Parameters
    ----------
    name : str
        Name of the values in errors.
    values : array-like
        An array of any library; a frame or column of pandas, polars or Arrow, or one with
        `__dataframe__`; a tensor of PyTorch; lists of numbers, or of arrays.
    may_miss : bool
        Whether values may be missing: NA, None, null, masked. Missing floats become NaN. Integers
        and booleans are returned as a masked array, which keeps their dtype.

    Raises
    ------
    DataError
        If the values are not real numbers, differ in length, are sparse, or are missing without
        `may_miss`.
    """
    try:
        array, missing = _read(values)
    except DataError as error:
        raise DataError(f"{name} {error}") from None
    except _UNREADABLE as error:
        reason = " ".join(str(error).split())[:200].rstrip(".")
        raise DataError(
            f"{name} must be one array of numbers, all of one shape, but its "
            f"{type(values).__name__} cannot be read as one: {reason}."
        ) from error
    if array.dtype.kind not in "biuf":
        raise DataError(f"{name} must be real numbers, got {type(values).__name__}{_of(array)}.")
    if missing is None or not missing.any():
        return array
    if not may_miss:
        place = ", ".join(map(str, np.argwhere(missing)[0]))
        raise DataError(
            f"{name} must have no missing values, but the one at [{place}] is missing; fill them "
            "in, for example by SimpleImputer of scikit-learn."
        )
    if array.dtype.kind == "f":
        return np.where(missing, array.dtype.type(np.nan), array)
    return np.ma.MaskedArray(array, missing)


def _of(array: np.ndarray) -> str:
    return f" of {array.dtype}" if array.dtype.kind != "O" else ""


#: An array, and booleans that are True where a value is missing; `None` if none is.
_Read = tuple[np.ndarray, np.ndarray | None]


def _read(values: Any) -> _Read:
    held: Any = values  # Any, so that the checks below do not narrow it
    if isinstance(values, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(values)
        array, missing = _plain(np.asarray(values.data))
        return np.where(hidden, array.dtype.type(0), array), hidden | _or_none(missing)
    if isinstance(values, np.ndarray):
        return _plain(values)
    # The library that made the values is already imported.
    pandas, polars, arrow = (sys.modules.get(name) for name in ("pandas", "polars", "pyarrow"))
    if pandas and isinstance(values, pandas.DataFrame):
        if len(set(values.dtypes)) == 1 and isinstance(values.dtypes.iloc[0], np.dtype):
            return _plain(values.to_numpy())
        return _stack([_of_pandas(values.iloc[:, k]) for k in range(values.shape[1])], values.shape)
    if pandas and isinstance(
        values, pandas.Series | pandas.Index | pandas.api.extensions.ExtensionArray
    ):
        return _of_pandas(pandas.Series(values))
    if polars and isinstance(values, polars.LazyFrame):
        raise DataError("must be collected first, got a LazyFrame; use collect().")
    if polars and isinstance(values, polars.DataFrame):
        return _stack([_of_polars(column) for column in values.get_columns()], values.shape)
    if polars and isinstance(values, polars.Series):
        return _of_polars(values)
    if arrow and isinstance(values, arrow.Table | arrow.RecordBatch):
        return _stack([_of_arrow(column) for column in values.columns], values.shape)
    if arrow and isinstance(values, arrow.ChunkedArray | arrow.Array):
        return _of_arrow(values)
    if hasattr(values, "detach") and hasattr(values, "resolve_neg"):
        return _plain(_of_torch(values))
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        raise DataError(f"must be dense, got a sparse {type(values).__name__}; use toarray().")
    if isinstance(values, list | tuple) and _are_arrays(values):
        return _stack([_read(part) for part in values], None)
    if hasattr(values, "__array__") or hasattr(values, "__array_interface__"):
        return _plain(np.asarray(values))
    if hasattr(values, "__dataframe__"):
        import pandas as pd

        with warnings.catch_warnings():  # pandas recommends Arrow instead
            warnings.simplefilter("ignore")
            return _read(pd.api.interchange.from_dataframe(values))
    if hasattr(values, "__dlpack__"):
        return _plain(np.from_dlpack(held))
    return _plain(np.asarray(values))


def _plain(array: np.ndarray) -> _Read:
    """Convert objects and dtypes of other libraries in a NumPy array to NumPy's own dtypes."""
    if isinstance(array, np.matrix):
        array = np.asarray(array)
    if array.dtype.isbuiltin == 2:  # of another library, such as bfloat16
        return array.astype(_SMALL_WHOLE.get(array.dtype.name, np.float32)), None
    if array.dtype.kind != "O":
        return array, None
    if array.ndim == 0:
        raise TypeError("it is no sequence")
    if array.ndim == 1 and _are_arrays(array):
        return _stack([_read(part) for part in array], None)
    if array.ndim == 1 and len(array) and isinstance(array[0], list | tuple):
        return _plain(np.asarray(array.tolist()))
    missing = np.array([_is_missing(value) for value in array.flat], bool).reshape(array.shape)
    present = array[~missing].tolist()
    if any(isinstance(value, str | bytes) for value in present):
        raise DataError("must be numbers, but holds words.")
    numbers = np.asarray(present) if present else np.zeros(0)
    if numbers.dtype.kind == "O":  # decimals, fractions, whole numbers beyond 64 bits
        numbers = numbers.astype(np.float64)
    filled = np.zeros(array.shape, numbers.dtype)
    filled[~missing] = numbers
    return filled, missing


def _or_none(missing: np.ndarray | None) -> np.ndarray | bool:
    return False if missing is None else missing


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def _are_arrays(values: Sequence[Any] | np.ndarray) -> bool:
    """Whether a sequence holds arrays, tensors or columns, not numbers."""
    if len(values) == 0 or isinstance(values[0], np.generic):
        return False
    kinds = ("__array__", "__array_interface__", "__dlpack__")
    return any(hasattr(values[0], kind) for kind in kinds)


def _stack(parts: Sequence[_Read], shape: tuple[int, ...] | None) -> _Read:
    """Stack columns side by side if the shape of the result is given, else arrays as rows."""
    if not parts:
        return np.zeros(shape or 0), None
    axis = 0 if shape is None else 1
    array = np.stack([part for part, _ in parts], axis)
    if all(missing is None for _, missing in parts):
        return array, None
    blanks = [np.zeros(part.shape, bool) if gaps is None else gaps for part, gaps in parts]
    return array, np.stack(blanks, axis)


def _of_pandas(column: Any) -> _Read:
    dtype = column.dtype
    if hasattr(dtype, "fill_value"):  # sparse
        return _plain(np.asarray(column).astype(dtype.subtype))
    if hasattr(dtype, "categories"):
        column = column.astype(object if column.hasnans else dtype.categories.dtype)
        return _plain(np.asarray(column)) if column.dtype == object else _of_pandas(column)
    if not isinstance(dtype, np.dtype) and hasattr(dtype, "numpy_dtype"):
        kind = np.dtype(dtype.numpy_dtype)
        if kind.kind in "biuf" and not column.hasnans:
            return column.to_numpy(kind), None
        column = column.astype(object)
    return _plain(np.asarray(column))


def _of_polars(column: Any) -> _Read:
    if column.null_count():
        return _plain(np.array(column.to_list(), object))
    return _plain(column.to_numpy())


def _of_arrow(column: Any) -> _Read:
    if column.null_count:
        return _plain(np.array(column.to_pylist(), object))
    return _of_pandas(column.to_pandas())


def _of_torch(tensor: Any) -> np.ndarray:
    tensor = tensor.detach()
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    tensor = tensor.to_dense().cpu().resolve_conj().resolve_neg()
    if tensor.is_floating_point() and tensor.dtype.itemsize < 4:  # float16 fits as well
        tensor = tensor.float()
    return tensor.numpy()
