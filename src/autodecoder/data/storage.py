"""Where the pixels of a whole data set lie: in memory, or in a file where they are many."""

import math
import os
import tempfile

import numpy as np
from jaxtyping import UInt8

from autodecoder.data.download import cache_dir
from autodecoder.errors import OutputError

#: Bytes beyond which a data set lies in a file.
MOST_IN_MEMORY = 2**30


def allocate(shape: tuple[int, ...]) -> UInt8[np.ndarray, "..."]:
    """An array to be filled; beyond a GiB, it is mapped from a file in the cache folder.

    The file has no name where the system allows it, so it goes when the array goes, whatever ends
    the program.

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
                # A disk that fills up later would end the program by a signal.
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.memmap(file, np.uint8, mode="r+", shape=shape)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot hold the {size / 1e9:.1f} GB that the images take: {error.strerror}."
        ) from error
