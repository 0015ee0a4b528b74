"""Images and masks of users' own, from array files; what can be mapped is not read into memory."""

import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from autodecoder.data.files import read_maybe_gzipped
from autodecoder.data.idx import parse_idx
from autodecoder.errors import DataError


def open_images(path: Path) -> np.ndarray:
    """Open images: .npy, as a memory map; .npz, its array `images`; IDX, gzipped or not.

    Returns
    -------
    (n, ...) array
        As it is stored; `as_images` checks it.

    Raises
    ------
    DataError
        If it is none of these, or damaged.
    """
    if path.suffix.lower() in (".npy", ".npz"):
        return open_arrays(path, "images")["images"]
    return parse_idx(read_maybe_gzipped(path), n_axes=3, name=str(path))


def open_mask(path: Path) -> np.ndarray:
    """Open a mask: .npy, as a memory map, or .npz, its array `mask`.

    Raises
    ------
    DataError
        If it is neither, or damaged.
    """
    if path.suffix.lower() not in (".npy", ".npz"):
        raise DataError(f"mask must be an .npy or .npz file, got {path}.")
    return open_arrays(path, "mask")["mask"]


def open_arrays(path: Path, name: str, optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Open the arrays of an .npz, or the only one of an .npy, under the name given.

    Parameters
    ----------
    path : Path
        What it is is told by its content.
    name : str
        The array that must be there.
    optional : sequence of str
        Those that are returned too if they are there.

    Raises
    ------
    DataError
        If the file cannot be read, is damaged, or lacks the array.
    """
    try:
        with path.open("rb") as file:
            # Opened here, since NumPy leaves a damaged archive open.
            if file.read(2) != b"PK":
                return {name: np.atleast_1d(np.load(path, mmap_mode="r", allow_pickle=False))}
            file.seek(0)
            with np.load(file, allow_pickle=False) as found:
                if name not in found:
                    names = ", ".join(found) or "nothing"
                    raise DataError(f"{path} must hold an array {name}, but holds {names}.")
                _refuse_promises(file, path)
                return {given: found[given] for given in (name, *optional) if given in found}
    except _UNREADABLE as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None)
        why = f": {reason}" if reason else ", it is damaged or holds something else"
        raise DataError(f"{path} cannot be read as an array of numbers{why}.") from error


#: The last: encrypted, or packed in a way that is not known.
_UNREADABLE = (
    *(OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error),
    RuntimeError,
)


def _refuse_promises(file: BinaryIO, path: Path) -> None:
    """Compare what the arrays of an archive say of their size with what the archive says, before
    memory is taken for them."""
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if not info.filename.endswith(".npy"):
                continue
            with archive.open(info) as member:
                older = np.lib.format.read_magic(member) == (1, 0)
                read = np.lib.format
                header = read.read_array_header_1_0 if older else read.read_array_header_2_0
                shape, _, dtype = header(member)
                size = member.tell() + math.prod(shape) * dtype.itemsize
            if size != info.file_size and not dtype.hasobject:
                raise DataError(
                    f"{path} is damaged: {info.filename} promises {size} bytes, and has "
                    f"{info.file_size}."
                )
    file.seek(0)
