"""Writing files atomically, and reading JSON and arrays with checks for damage."""

import contextlib
import errno
import json
import math
import os
import secrets
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from safetensors import SafetensorError, safe_open

from autodecoder.encoding import decode_text
from autodecoder.errors import DataError, OutputError

try:
    import fcntl
except ImportError:  # Windows, where files always have locks
    fcntl = None


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when it is complete.

    It has a temporary name until the block ends. After an error, nothing is left.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    # Hidden and different for each writer, since two processes may write the same file.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise OutputError(f"{path} cannot be written: {error.strerror}.") from error
        raise


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that renames and links survive a crash (POSIX only)."""
    if os.name == "posix":
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with whole_file(path) as file:
        file.write(content)


def new_folder(folder: Path) -> None:
    """Make a folder for results, or accept an empty one.

    Raises
    ------
    OutputError
        If it holds other files, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep_temporary(folder)  # left by a run that was killed
        is_empty = not any(folder.iterdir())
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}.") from error
    if not is_empty:
        raise OutputError(f"out must be a new or an empty folder, but {folder} is not empty.")


def refuse_link(folder: Path, name: str) -> None:
    """Refuse to write to a link that leads out of a folder: a folder that came from elsewhere must
    not redirect the files written to it.

    Raises
    ------
    OutputError
        If `folder / name` is a link to a place outside `folder`.
    """
    path = folder / name
    if not path.is_symlink():
        return
    try:
        leads = path.resolve()
        if leads.is_relative_to(folder.resolve()):
            return
    except (OSError, RuntimeError):  # links in a circle
        leads = path
    raise OutputError(
        f"{path} must be a folder of its own, but is a link to {leads}, whose files would be "
        "replaced: remove the link."
    )


def sweep_temporary(folder: Path) -> None:
    """Remove the temporary files of killed processes from a folder and its subfolders.

    Only for a folder that no other process writes to.
    """
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def readable(value: Any) -> Any:
    """Replace what UTF-8 cannot encode in a text, such as a path; return other values unchanged."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


#: Errors of file systems without locks: Lustre by default, some network and user-space ones.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


def has_locks(path: Path) -> bool:
    """Whether the file system of a file has locks; a missing file is created.

    Raises
    ------
    OSError
        If the file cannot be created.
    """
    if fcntl is None:
        return True
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in _NO_LOCKS
    return True


def finite(content: Any) -> Any:
    """Plain values with `None` in place of numbers that are not finite, which JSON lacks."""
    if isinstance(content, Mapping):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def format_json(content: Mapping[str, Any]) -> bytes:
    """Format strict JSON; values that JSON lacks raise a `TypeError` or a `ValueError`."""
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON."""
    write_file(path, format_json(content))


#: Largest JSON file that is read, in bytes, and the deepest nesting of its lists and objects.
_LARGEST_JSON = 2**24
_DEEPEST = 100


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file of at most 16 MiB.

    Raises
    ------
    DataError
        If it cannot be read or is damaged.
    """
    try:
        refuse_special(path)
        with path.open("rb") as file:
            text = file.read(_LARGEST_JSON + 1)
        if len(text) > _LARGEST_JSON:
            raise DataError(f"{path} is damaged: it has more than {_LARGEST_JSON} bytes.")
        content = json.loads(decode_text(text, path), parse_constant=_refuse_constant)
        _refuse_deep(content)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged: it is no JSON ({error}).") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: it holds no JSON object.")
    return content


def refuse_special(path: Path) -> None:
    """Refuse devices and pipes, which may never end.

    Raises
    ------
    DataError
        If the path is one of them.
    OSError
        If nothing exists at the path.
    """
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise DataError(f"{path} must be a file, but is a device or a pipe.")


def _refuse_deep(content: Any) -> None:
    """Refuse nesting that is too deep for code that walks the content recursively."""
    level = [content] if isinstance(content, dict | list) else []
    for _ in range(_DEEPEST):
        inner = (part.values() if isinstance(part, dict) else part for part in level)
        level = [one for parts in inner for one in parts if isinstance(one, dict | list)]
        if not level:
            return
    raise ValueError(f"more than {_DEEPEST} levels")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


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
    path: Path, check: Callable[[Shapes], None] | None = None
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Parameters
    ----------
    path : Path
    check : callable, optional
        Called with the shapes in the header before memory is allocated; raises a `ValueError` to
        refuse them.

    Raises
    ------
    DataError
        If the file is absent or damaged.
    """
    try:
        refuse_special(path)
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            if check is not None:
                parts = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
                check(
                    {
                        name: (tuple(part.get_shape()), _DTYPES.get(part.get_dtype(), "unknown"))
                        for name, part in parts.items()
                    }
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        whole = metadata["crc32"] == str(_checksum(tensors, metadata["about"]))
        about = json.loads(metadata["about"])
        _refuse_deep(about)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged ({error}).") from error
    if not whole:
        raise DataError(f"{path} is damaged (its checksum differs).")
    if not isinstance(about, dict):
        raise DataError(f"{path} is damaged (it does not say what it holds).")
    return tensors, about


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
        metadata = file.metadata() or {}
    try:
        about = json.loads(metadata["about"])
    except (KeyError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}).") from error
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
        with safe_open(path, framework="numpy") as file:
            yield file
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except SafetensorError as error:
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
