"""Storage for the pixels of a data set: memory, or a file if they are many."""

import errno
import math
import os
import tempfile
from typing import IO

import numpy as np
from jaxtyping import UInt8

from autodecoder.data.download import cache_dir
from autodecoder.errors import OutputError

#: Largest data set in memory, in bytes; a larger one lies in a file.
MOST_IN_MEMORY = 2**30
#: Errors of file systems that cannot reserve space.
_NOT_RESERVED = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


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
            reserve(file, size)
            return np.memmap(file, np.uint8, mode="r+", shape=shape)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot hold the {size / 1e9:.1f} GB that the images take: {error.strerror}."
        ) from error


def reserve(file: IO[bytes], size: int) -> None:
    """Extend an empty file to its size, and reserve the space where the file system can.

    Without it, a disk that fills up later would kill a program that maps the file by a signal.

    Raises
    ------
    OSError
        If the disk has not enough room.
    """
    file.truncate(size)
    if size and hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in _NOT_RESERVED:
                raise
