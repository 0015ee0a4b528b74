"""Files of arrays and plain values, in the format safetensors, with checks for damage."""

import contextlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from autodecoder.errors import DataError, MemoryLimitError
from autodecoder.files import LARGEST_JSON, refuse_deep, refuse_special, unreadable, whole_file
from autodecoder.machine import free_memory


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> str:
    """Write arrays and plain values as one safetensors file; returns the checksum in it.

    Arrays are written one by one, since they may be memory maps; the library would first copy
    all of them.
    """
    # `ascontiguousarray` would turn a 0-d array into a 1-d one.
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    text = json.dumps(about)
    kinds = {dtype: kind for kind, dtype in _DTYPES.items()}
    crc32 = str(_checksum(arrays, text))
    header: dict[str, Any] = {"__metadata__": {"about": text, "crc32": crc32}}
    end = 0
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    for name in order:
        array, begin = arrays[name], end
        end += array.nbytes
        header[name] = {
            "dtype": kinds[array.dtype.name],
            "shape": array.shape,
            "data_offsets": (begin, end),
        }
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    with whole_file(path) as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for name in order:
            file.write(_bytes_of(arrays[name]))
    return crc32


#: Shape and dtype of each array, as the header of a file states them.
Shapes = dict[str, tuple[tuple[int, ...], str]]


def read_tensors(
    path: Path, check: Callable[[Shapes], None] | None = None, crc32: str | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Parameters
    ----------
    path : Path
    check : callable, optional
        Called with the shapes in the header before memory is allocated; raises a `ValueError` to
        refuse them.
    crc32 : str, optional
        The checksum that another file records of this one.

    Raises
    ------
    DataError
        If the file is absent, damaged, or another one than that of the checksum. If it may be
        intact but cannot be read, an `UnreadableError`.
    MemoryLimitError
        If it is larger than the free memory.
    """
    with _opened(path) as file:
        metadata = file.metadata() or {}
        if check is not None:
            parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            check(
                {
                    name: (tuple(part.get_shape()), _DTYPES.get(part.get_dtype(), "unknown"))
                    for name, part in parts.items()
                }
            )
        if crc32 not in (None, metadata["crc32"]):
            raise misplaced(path)
        _check_memory(path)
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata["crc32"] != str(_checksum(tensors, metadata["about"])):
            raise ValueError("its checksum differs")
        about = _parse(metadata["about"])
        if not isinstance(about, dict):
            raise ValueError("it does not say what it holds")
    return tensors, about


def misplaced(path: Path) -> DataError:
    """The error for an intact file of which another file records another checksum."""
    return DataError(
        f"{path} belongs to other files than those beside it, by its checksum: copy all of them "
        "together again."
    )


def _check_memory(path: Path) -> None:
    needed, free = path.stat().st_size, free_memory()
    if needed > free:
        raise MemoryLimitError(
            f"{path} holds {needed / 1e9:.1f} GB of arrays, but {free / 1e9:.1f} GB of memory are "
            "free: end other programs, or use a machine with more memory."
        )


def _parse(text: str) -> Any:
    if len(text) > LARGEST_JSON:
        raise ValueError(f"its settings have more than {LARGEST_JSON} characters")
    about = json.loads(text)
    refuse_deep(about)
    return about


def read_checksum(path: Path) -> str:
    """Read the checksum in the header of a file of `write_tensors`; arrays are not read.

    Raises
    ------
    DataError
        If the file is absent, shortened or damaged.
    """
    with _opened(path) as file:
        return str((file.metadata() or {}).get("crc32"))


def read_about(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Read array shapes and plain values of a file of `write_tensors`; arrays are not read.

    Raises
    ------
    DataError
        If the file is absent, shortened or damaged.
    """
    with _opened(path) as file:
        names = file.keys()
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
        about = _parse((file.metadata() or {})["about"])
    return shapes, about if isinstance(about, dict) else {}


def read_tensor_rows(path: Path, name: str, first: int, stop: int) -> np.ndarray:
    """Read rows of one array of a file of `write_tensors`; the checksum is not compared.

    Raises
    ------
    DataError
        If they cannot be read.
    """
    with _opened(path) as file:
        return file.get_slice(name)[first:stop]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        refuse_special(path)
        path.open("rb").close()  # safetensors takes any file that it cannot open for absent
        with safe_open(path, framework="numpy") as file:
            yield file
    except OSError as error:
        raise unreadable(path, error) from error
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged ({error}).") from error


#: dtype names of safetensors, with those of NumPy.
_DTYPES = {
    "F32": "float32",
    "F64": "float64",
    "BF16": "bfloat16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "I16": "int16",
    "U16": "uint16",
    "U64": "uint64",
    "I8": "int8",
    "U32": "uint32",
    "U8": "uint8",
    "BOOL": "bool",
}


def _checksum(tensors: Mapping[str, np.ndarray], about: str) -> int:
    crc = zlib.crc32(about.encode())
    for name in sorted(tensors):
        array = tensors[name]
        header = f"{name} {array.dtype} {array.shape}"
        crc = zlib.crc32(_bytes_of(array), zlib.crc32(header.encode(), crc))
    return crc


def _bytes_of(array: np.ndarray) -> memoryview:
    """An array's bytes in C order."""
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
