"""Files of packed images: arrays of bytes in .npy files, with labels, names and further columns
beside them."""

import csv
import hashlib
import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from autodecoder.config import MOST_COLUMNS
from autodecoder.data.arrays import UNREADABLE, read_header
from autodecoder.data.columns import LONGEST_VALUE, Columns, read_columns
from autodecoder.errors import DataError
from autodecoder.files import whole_file

PARTS = ("train", "val")
#: Kinds of names of the images of a shard: rows of their source, or texts.
ROWS, TEXTS = "rows", "texts"
_ENDINGS = {ROWS: ".names.npy", TEXTS: ".names.txt"}
_FILE = re.compile(r"(train|val)-([0-9]{5})\.npy")
#: Most shards of a part, so that the manifest is no larger than `files.read_json` accepts.
MOST_SHARDS = 10_000
#: Longest name, in characters.
LONGEST_NAME = 16_384
#: Bytes that are read, written or hashed at once.
_PIECE = 2**22


class Files(NamedTuple):
    """Names of the files of a shard."""

    images: str
    labels: str
    names: str | None
    columns: str | None = None

    def all(self) -> tuple[str, ...]:
        return tuple(name for name in self if name is not None)


def files_of(part: str, number: int, names: str | None, *, has_columns: bool = False) -> Files:
    """Names of the files of a shard; `names` is `ROWS`, `TEXTS` or `None`."""
    stem = f"{part}-{number:05d}"
    of_names = None if names is None else stem + _ENDINGS[names]
    of_columns = f"{stem}.columns.csv" if has_columns else None
    return Files(f"{stem}.npy", f"{stem}.labels.npy", of_names, of_columns)


def place_of(file: str) -> tuple[str, int] | None:
    """Part and number in the name of a shard's file; `None` for another name."""
    found = _FILE.fullmatch(file)
    return None if found is None else (found[1], int(found[2]))


def write_array(path: Path, array: np.ndarray) -> str:
    """Write an .npy file whole or not at all; returns its SHA-256.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    array = np.ascontiguousarray(array)
    digest = hashlib.sha256()
    with whole_file(path) as file:
        # Not by `np.save`, which does not say why a disk could not be written.
        header = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(_Hashed(file, digest), header)
        if array.size:
            content = array.data.cast("B")
            for first in range(0, len(content), _PIECE):
                piece = content[first : first + _PIECE]
                digest.update(piece)
                file.write(piece)
    return digest.hexdigest()


class _Hashed:
    """A file that hashes what is written."""

    def __init__(self, file: BinaryIO, digest: Any) -> None:
        self._file = file
        self._digest = digest

    def write(self, content: bytes) -> int:
        self._digest.update(content)
        return self._file.write(content)


def write_names(path: Path, names: Shaped[np.ndarray, " n"]) -> str:
    """Write names, numbers as .npy and texts as lines; returns the file's SHA-256."""
    if names.dtype.kind in "iu":
        return write_array(path, names.astype("<i8"))
    content = "".join(f"{name}\n" for name in names.tolist()).encode("utf-8", "replace")
    with whole_file(path) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def read_names(path: Path, n: int) -> Shaped[np.ndarray, " n"]:
    """Read a file of `write_names` with the names of `n` images.

    Raises
    ------
    DataError
        If it is damaged or does not hold `n` names.
    """
    if path.suffix == ".npy":
        return read_array(path, (n,), "<i8")
    try:
        with open_file(path) as file:
            most = n * (4 * LONGEST_NAME + 1)
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise DataError(f"{path} is damaged: it is longer than {n} names can be.")
            *names, rest = file.read(size).decode().split("\n")
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged: it cannot be read as text.") from error
    if len(names) != n or rest:
        raise DataError(f"{path} is damaged: it must hold {n} names, got {len(names)}.")
    return np.array(names, object)


def write_columns(path: Path, columns: Columns) -> str:
    """Write further columns as CSV, their names in the first line; returns the file's SHA-256."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
    content = text.getvalue().encode("utf-8", "replace")
    with whole_file(path) as file:
        file.write(content)
    return hashlib.sha256(content).hexdigest()


def read_columns_of(path: Path, n: int) -> Columns:
    """Read a file of `write_columns` with the further columns of `n` images.

    Raises
    ------
    DataError
        If it is damaged or does not hold `n` values of each column.
    """
    try:
        with open_file(path) as file:
            most = 8 * LONGEST_VALUE * MOST_COLUMNS * (n + 1)
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise DataError(f"{path} is damaged: it is longer than {n} lines can be.")
            text = file.read(size).decode()
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        values = [[row[k] for row in rows if len(row) == len(header)] for k in range(len(header))]
        return read_columns("columns", dict(zip(header, values, strict=True)), n)
    except (OSError, ValueError, csv.Error) as error:
        reason = str(error) if isinstance(error, DataError) else "it cannot be read as a table."
        raise DataError(f"{path} is damaged: {reason}") from error


def read_array(path: Path, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Read an .npy file of a known shape and type.

    Raises
    ------
    DataError
        If shape or dtype differ, or the size of the file does not match its header.
    """
    offset = check_array(path, shape, dtype)
    try:
        with open_file(path) as file:
            file.seek(offset)
            return np.fromfile(file, dtype, int(np.prod(shape))).reshape(shape)
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: it was changed meanwhile.") from error
    except MemoryError as error:  # from a sparse file
        raise DataError(f"{path} is larger than the memory.") from error


def check_array(path: Path, shape: tuple[int, ...], dtype: str) -> int:
    """Check the header and the size of an .npy file; returns the offset of its values in bytes.

    Raises
    ------
    DataError
        If the file is missing, cannot be read, is not an .npy file, or differs.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            found_shape, found, is_fortran, offset = read_header(file)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise DataError(
            f"{path} is missing." if missing else f"{path} cannot be read: {error.strerror}."
        ) from error
    except UNREADABLE as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged: it is no .npy file.") from error
    wanted = np.dtype(dtype)
    if found_shape != shape or found != wanted or (is_fortran and len(shape) > 1):
        sides = " × ".join(map(str, found_shape))
        raise DataError(
            f"{path} is damaged: it must hold {' × '.join(map(str, shape))} of {wanted}, but has "
            f"{sides} of {found}."
        )
    promised = offset + wanted.itemsize * int(np.prod(shape, dtype=object))
    if size != promised:
        raise DataError(f"{path} is damaged: it must have {promised} bytes, but has {size}.")
    return offset


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading without a buffer.

    Raises
    ------
    DataError
        If it is a device, a pipe or a folder.
    OSError
        If it does not exist, or may not be read.
    """
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would block
        raise DataError(f"{path} must be a file, but is not.")
    return path.open("rb", buffering=0)


def hash_file(path: Path) -> str:
    """The SHA-256 of a file.

    Raises
    ------
    DataError
        If it cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open_file(path) as file:
            for piece in _pieces(file):
                digest.update(piece)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def hash_lines(*values: object) -> str:
    """SHA-256 of plain values and of arrays of integers or texts."""
    digest = hashlib.sha256()
    for value in values:
        if isinstance(value, np.ndarray) and value.dtype.kind in "iu":
            digest.update(np.ascontiguousarray(value, np.int64).data)
        elif isinstance(value, np.ndarray):
            for first in range(0, len(value), _PIECE):
                part = value[first : first + _PIECE].tolist()
                digest.update("\n".join(map(str, part)).encode("utf-8", "replace"))
        else:
            digest.update(repr(value).encode("utf-8", "replace"))
        digest.update(b"\0")
    return digest.hexdigest()


def as_label_array(labels: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Labels in the dtype in which they are stored."""
    return np.asarray(labels, "<i4")


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
