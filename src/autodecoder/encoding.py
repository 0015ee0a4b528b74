"""Reading text files: UTF-8, with or without a byte order mark."""

import itertools
from pathlib import Path

from autodecoder.errors import DataError

#: Bytes that are read at once.
_PIECE = 2**20


def read_text(path: Path, most: int) -> str:
    """Read and decode a text file of at most `most` bytes, or what a pipe holds.

    Raises
    ------
    DataError
        If it is longer, or is not UTF-8.
    OSError
        If it cannot be read.
    """
    return decode_text(read_limited(path, most), path)


def read_limited(path: Path, most: int) -> bytes:
    """Read a file of at most `most` bytes, or what a pipe holds.

    Raises
    ------
    DataError
        If it is longer.
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:  # in pieces, since `read` allocates as much as it may read
        pieces = iter(lambda: file.read(_PIECE), b"")
        content = b"".join(itertools.islice(pieces, most // _PIECE + 1))
    if len(content) > most:
        raise DataError(f"{path} must have at most {most:,} bytes, but has more.")
    return content


def decode_text(content: bytes, name: object) -> str:
    """Decode UTF-8 text, without the byte order mark that Windows editors write.

    Raises
    ------
    DataError
        If the text is not UTF-8; the message names UTF-16 and UTF-32 where they are recognised.
    """
    # Without a mark, zero bytes between the first letters show UTF-16 or UTF-32.
    n_zeros = content[:4].count(0)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or n_zeros in (2, 3):
        wide = b"\0\0" in content[:4]
        raise DataError(f"{name} is encoded in UTF-{32 if wide else 16}; save it in UTF-8.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name} is not encoded in UTF-8 (line {line} is not); save it in UTF-8."
        ) from error
