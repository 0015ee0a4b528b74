"""Images and masks of users' own, from array files; what can be mapped is not read into memory."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

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
                return {given: found[given] for given in (name, *optional) if given in found}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None)
        why = f": {reason}" if reason else ", it is damaged or holds something else"
        raise DataError(f"{path} cannot be read as an array of numbers{why}.") from error
