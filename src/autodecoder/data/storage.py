"""Storage for the pixels of a data set: memory, or a file if they are many."""

import math
import os
import tempfile

import numpy as np
from jaxtyping import UInt8

from autodecoder.data.download import cache_dir
from autodecoder.errors import OutputError

#: Largest data set in memory, in bytes; a larger one lies in a file.
MOST_IN_MEMORY = 2**30


def allocate(shape: tuple[int, ...]) -> UInt8[np.ndarray, "..."]:
    """Allocate an empty array; beyond 1 GiB, it is mapped from a file in the cache folder.

    Where the system allows it, the file has no name and disappears with the array, even if the
    program is killed.

    Raises
    ------
    OutputError
        If the file cannot be written, or the disk has not enough room.
    """
    size = math.prod(shape)
    if size <= MOST_IN_MEMORY:
        return np.empty(shape, np.uint8)
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                # Reserve the space: a disk that fills up later would kill the program by a signal.
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.memmap(file, np.uint8, mode="r+", shape=shape)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot hold the {size / 1e9:.1f} GB that the images take: {error.strerror}."
        ) from error
