"""Numbers are the same numbers, whatever holds them."""

import warnings
from decimal import Decimal
from typing import Any

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from autodecoder.data.carriers import as_array
from autodecoder.errors import DataError

VALUES = np.array([[0, 1, 7], [200, 1, 0]], np.uint8)
FRAME = pd.DataFrame(VALUES, columns=["a", "b", "c"])


class Interchange:
    """A frame of a library that is not known."""

    def __dataframe__(self, *args: Any, **options: Any) -> Any:
        return FRAME.__dataframe__(*args, **options)


class Exchange:
    """An array of a library that is not known."""

    def __dlpack__(self, **options: Any) -> Any:
        return VALUES.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return VALUES.__dlpack_device__()


def pandas_kinds() -> dict[str, Any]:
    return {
        "array": VALUES,
        "frame": FRAME,
        "nullable": FRAME.astype("UInt8"),
        "categories": FRAME.astype("category"),
        "sparse": FRAME.astype(pd.SparseDtype("uint8", 0)),
        "memory": VALUES.data,
        "jax": jnp.asarray(VALUES),
        "rows of jax": list(jnp.asarray(VALUES)),
        "columns": [pd.Series(row) for row in VALUES],
        "interchange": Interchange(),
        "exchange": Exchange(),
        "matrix": np.asmatrix(VALUES),
    }


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("kind", pandas_kinds())
def test_bytes(kind: str) -> None:
    found = as_array("X", pandas_kinds()[kind])
    assert type(found) is np.ndarray
    np.testing.assert_array_equal(found, VALUES, strict=True)


@pytest.mark.parametrize(
    "kind", ["polars", "arrow", "arrow in pandas", "dictionary", "tensor", "tensors", "lists"]
)
def test_bytes_of_libraries_that_may_be_missing(kind: str) -> None:
    columns = {name: FRAME[name].to_numpy() for name in FRAME}
    if kind == "polars":
        held: Any = pytest.importorskip("polars").DataFrame(columns)
    elif "tensor" in kind:
        torch = pytest.importorskip("torch")
        held = [torch.tensor(r) for r in VALUES] if kind == "tensors" else torch.tensor(VALUES)
    else:
        arrow = pytest.importorskip("pyarrow")
        held = {
            "arrow": arrow.table(columns),
            "arrow in pandas": FRAME.astype("uint8[pyarrow]"),
            "dictionary": arrow.table(
                {name: arrow.array(c).dictionary_encode() for name, c in columns.items()}
            ),
            "lists": arrow.FixedSizeListArray.from_arrays(arrow.array(VALUES.ravel()), 3),
        }[kind]
    np.testing.assert_array_equal(as_array("X", held), VALUES, strict=True)


def test_tensors_of_every_type() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor([[0.5, 1.0], [0.25, 0.0]])
    for held in (
        tensor.bfloat16(),
        tensor.half(),
        tensor.double(),
        tensor.clone().requires_grad_(),
        torch.nn.Parameter(tensor),
        tensor.to_sparse(),
    ):
        np.testing.assert_array_equal(as_array("X", held), tensor.numpy())
    assert as_array("X", tensor > 0.3).dtype == bool
    assert as_array("X", torch.tensor([1, 2], dtype=torch.uint16)).dtype == np.uint16


@pytest.mark.parametrize(
    ("held", "dtype"),
    [
        (VALUES.tolist(), np.int64),
        (FRAME.astype(object), np.int64),
        (FRAME.map(Decimal), np.float64),
        (FRAME.assign(b=[True, True]), np.uint8),
        (FRAME.assign(b=[1.0, 1.0]), np.float64),
        (FRAME.astype("Int64"), np.int64),
        (FRAME.astype("Float32"), np.float32),
        (VALUES.astype(object), np.int64),
        (pd.Series(VALUES.tolist()), np.int64),
        (jnp.asarray(VALUES, jnp.bfloat16), np.float32),
    ],
)
def test_other_types(held: Any, dtype: type) -> None:
    np.testing.assert_array_equal(as_array("X", held), VALUES.astype(dtype), strict=True)


def test_booleans_stay_booleans() -> None:
    for held in (FRAME > 0, (FRAME > 0).astype("boolean"), (VALUES > 0).tolist()):
        np.testing.assert_array_equal(as_array("X", held), VALUES > 0, strict=True)


@pytest.mark.parametrize("dtype", ["Int64", "Float32", object])
def test_missing_values(dtype: Any) -> None:
    held = FRAME.astype(dtype).mask(FRAME == 7, pd.NA)
    with pytest.raises(DataError, match=r"X must have no missing values, but the one at \[0, 2\]"):
        as_array("X", held)
    found = as_array("X", held, may_miss=True)
    if dtype == "Float32":
        assert found.dtype.kind == "f"
        np.testing.assert_array_equal(found, np.where(VALUES == 7, np.nan, VALUES))
    else:  # whole numbers stay such
        assert isinstance(found, np.ma.MaskedArray)
        assert found.dtype == np.int64
        np.testing.assert_array_equal(found.mask, VALUES == 7)
        np.testing.assert_array_equal(found.filled(7), VALUES)
    np.testing.assert_array_equal(as_array("X", [[1.5, None]], may_miss=True), [[1.5, np.nan]])


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_masked_arrays_have_missing_values(dtype: type) -> None:
    values = VALUES.astype(dtype)
    found = as_array("X", np.ma.masked_equal(values, 7), may_miss=True)
    assert found.dtype == dtype
    np.testing.assert_array_equal(np.ma.filled(found, 0)[VALUES != 7], values[VALUES != 7])
    missing = np.isnan(found) if dtype is np.float32 else np.ma.getmaskarray(found)
    np.testing.assert_array_equal(missing, VALUES == 7)
    np.testing.assert_array_equal(as_array("X", np.ma.array(values)), values, strict=True)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (pd.DataFrame({"a": ["x", "y"]}), "X must be numbers, but holds words"),
        (pd.DataFrame({"a": ["x", "y"]}).astype("category"), "holds words"),
        (pd.DataFrame({"a": pd.date_range("2020", periods=2)}), "got DataFrame of datetime64"),
        (sparse.csr_matrix(VALUES), r"X must be dense, got a sparse csr_matrix; use toarray\(\)"),
        (VALUES * 1j, "X must be real numbers, got ndarray of complex128"),
        (np.ma.masked_equal(VALUES, 7), r"X must have no missing values, but the one at \[0, 2\]"),
        ([[1, 2], [3]], "X must be one array of numbers, all of one shape, but its list"),
        ((k for k in range(3)), "its generator cannot be read as one"),
        (None, "its NoneType cannot be read as one"),
        ("text", "X must be real numbers, got str"),
        ({"a": 1}, "its dict cannot be read as one"),
        (np.zeros(2, [("a", "u1")]), "X must be real numbers, got ndarray of"),
    ],
)
def test_what_is_no_numbers(held: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        as_array("X", held)


def test_memory_maps_stay_maps(tmp_path: Any) -> None:
    np.save(tmp_path / "x.npy", VALUES)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert as_array("X", mapped) is mapped
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_array("X", FRAME.astype("float64")).base is not None, "no copy of a frame"
