"""Images and masks of users' own, from array files; what can be mapped is not read into memory."""

import zipfile
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
        return _open_array(path, "images")
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
    return _open_array(path, "mask")


def _open_array(path: Path, name: str) -> np.ndarray:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if isinstance(found, np.ndarray):
            return np.atleast_1d(found)
        with found:
            if name not in found:
                raise DataError(
                    f"{path} must hold an array {name}, but holds {', '.join(found) or 'nothing'}."
                )
            return found[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None)
        why = f": {reason}" if reason else ", it is damaged or holds something else"
        raise DataError(f"{path} cannot be read as an array of numbers{why}.") from error
