"""Users' images and masks in array files; an .npy is memory-mapped."""

import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from autodecoder.data.files import MOST_UNPACKED, read_maybe_gzipped
from autodecoder.data.idx import parse_idx
from autodecoder.data.parts import find_images, find_masks
from autodecoder.errors import DataError
from autodecoder.machine import machine_memory

#: NumPy's own bound for the text that describes an array.
_LONGEST_HEADER = 10_000
#: Compressions of NumPy. Others unpack a few bytes to a gigabyte, even if only one is read.
_PACKED = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
#: Errors that damaged array files cause. The last one comes from archives that are encrypted or use
#: an unknown compression.
UNREADABLE = (
    *(OSError, ValueError, TypeError, OverflowError, EOFError, MemoryError, RecursionError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError, SyntaxError, RuntimeError),
)


def open_images(path: Path) -> dict[str, np.ndarray]:
    """Open images: an .npy as a memory map, the array `images` of an .npz, or IDX, gzipped or not.

    Returns
    -------
    dict
        `images`, (n, ...), as stored and not yet checked (see `as_images`); also `mask`, if an .npz
        has one.

    Raises
    ------
    DataError
        If the file is none of these, or is damaged.
    """
    if path.suffix.lower() in (".npy", ".npz"):
        return open_arrays(path, "images", find_images)
    return {"images": parse_idx(read_maybe_gzipped(path), n_axes=3, name=str(path))}


def open_masks(path: Path) -> dict[str, np.ndarray]:
    """Open masks: an .npy holds `mask` and is memory-mapped; an .npz holds `mask` and optionally
    `val_mask`, by these or other usual names.

    Raises
    ------
    DataError
        If the file is neither, or is damaged.
    """
    if path.suffix.lower() not in (".npy", ".npz"):
        raise DataError(f"mask must be an .npy or .npz file, got {path}.")
    return open_arrays(path, "mask", find_masks)


def open_arrays(
    path: Path,
    name: str,
    choose: Callable[[Sequence[str]], Mapping[str, str]] | None = None,
) -> dict[str, np.ndarray]:
    """Open arrays of an .npz, or the array of an .npy, which is returned as `name`.

    Parameters
    ----------
    path : Path
        The content of the file, not its suffix, decides its format.
    name : str
        The array that the file must hold.
    choose : callable, optional
        Called with the names in an .npz; returns a mapping from new names to names in the file, of
        the arrays to open. By default only `name` is opened.

    Raises
    ------
    DataError
        If the file cannot be read, is damaged, holds Python objects, or lacks the array; if the
        arrays of an .npz take more than 64 GiB, or more than the memory.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise DataError(f"{path} must be a file, but is a device or a pipe.")
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns of old headers
            # Opened here, since NumPy leaves a damaged archive open.
            if file.read(2) != b"PK":
                file.seek(0)
                _check_header(file, path.stat().st_size, str(path), exact=False)
                return {name: np.atleast_1d(np.load(path, mmap_mode="r", allow_pickle=False))}
            file.seek(0)
            return _open_archive(file, path, name, choose)
    except UNREADABLE as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None)
        why = f": {reason}" if reason else ", it is damaged or holds something else"
        raise DataError(f"{path} cannot be read as an array of numbers{why}.") from error


def _open_archive(
    file: BinaryIO,
    path: Path,
    name: str,
    choose: Callable[[Sequence[str]], Mapping[str, str]] | None,
) -> dict[str, np.ndarray]:
    with np.load(file, allow_pickle=False) as found, zipfile.ZipFile(file) as archive:
        if not {info.compress_type for info in archive.infolist()} <= _PACKED:
            raise DataError(
                f"{path} is compressed by another method than that of np.savez_compressed."
            )
        names = list(found.files)
        chosen = choose(names) if choose else {given: given for given in names if given == name}
        if name not in chosen:
            raise DataError(
                f"{path} must hold an array {name}, but holds {', '.join(names) or 'nothing'}."
            )
        total = 0
        for given in chosen.values():
            info = archive.getinfo(given if given in archive.namelist() else f"{given}.npy")
            total += info.file_size
            with archive.open(info) as member:
                _check_header(member, info.file_size, f"{path}: {info.filename}", exact=True)
        most = min(MOST_UNPACKED, machine_memory())
        if total > most:
            raise DataError(
                f"{path} holds arrays of {total / 2**30:.1f} GiB, more than the {most / 2**30:.1f} "
                "GiB that fit into memory; save the images as .npy, which is mapped."
            )
        return {key: np.atleast_1d(found[given]) for key, given in chosen.items()}


def _check_header(file: Any, size: int, name: str, *, exact: bool) -> None:
    """Compare the size in an array's header with the bytes present, before memory is allocated."""
    shape, dtype, _, begin = read_header(file)
    if any(type(side) is not int or side < 0 for side in shape):
        raise DataError(f"{name} is damaged: its array has the shape {shape}.")
    if dtype.hasobject:
        raise DataError(
            f"{name} holds Python objects, which are never unpickled; save numbers, or labels as "
            "words by labels.astype(str)."
        )
    if dtype.itemsize == 0:
        raise DataError(f"{name} is damaged: its values have no bytes.")
    promised = begin + math.prod(shape) * dtype.itemsize
    if promised > size or (exact and promised != size):
        raise DataError(f"{name} is damaged: it promises {promised} bytes, but has {size}.")


def read_header(file: Any) -> tuple[tuple[int, ...], np.dtype, bool, int]:
    """Read the header of an .npy file: shape, dtype, whether in Fortran order, and the offset of
    the values in bytes.

    Raises
    ------
    Exception
        One of `UNREADABLE` if the file has no such header.
    """
    start = file.read(12)
    if start[:6] != b"\x93NUMPY":
        raise ValueError("no array")
    length, begin = (struct.unpack("<H", start[8:10])[0], 10)
    if start[6] > 1:
        length, begin = (struct.unpack("<I", start[8:12])[0], 12)
    if length > _LONGEST_HEADER or start[6] > 3:
        raise ValueError("no header of an array")
    file.seek(0)
    np.lib.format.read_magic(file)
    read = np.lib.format
    header = read.read_array_header_1_0 if start[6] == 1 else read.read_array_header_2_0
    shape, is_fortran, dtype = header(file)
    return shape, dtype, bool(is_fortran), begin + length
