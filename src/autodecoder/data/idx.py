"""The IDX format of MNIST and Fashion-MNIST: a big-endian header, then the bare bytes.

Layout: two zero bytes, a type code (8: unsigned bytes), the number of axes, the length of each
axis as a 32-bit integer, and the values in C order (LeCun, Cortes, Burges 1998).
"""

import math

import numpy as np
from jaxtyping import UInt8

from autodecoder.errors import DataError

_UNSIGNED_BYTE = 8


def parse_idx(content: bytes, *, n_axes: int, name: str) -> UInt8[np.ndarray, "..."]:
    """Read an uncompressed IDX file of unsigned bytes.

    Parameters
    ----------
    content : bytes
    n_axes : int
        Number of axes that the array must have: 3 for images, 1 for labels.
    name : str
        Name of the file in errors.

    Raises
    ------
    DataError
        If the header is no IDX header of unsigned bytes with that many axes, or the values are
        more or fewer than it announces.
    """
    header_size = 4 + 4 * n_axes
    if len(content) < header_size:
        raise DataError(
            f"{name}: an IDX file of {n_axes} axes starts with a header of {header_size} bytes, "
            f"got {len(content)} bytes in all; fetch the file again."
        )
    expected = bytes((0, 0, _UNSIGNED_BYTE, n_axes))
    if content[:4] != expected:
        raise DataError(
            f"{name}: an IDX file of {n_axes} axes of unsigned bytes starts with "
            f"{expected.hex(' ')}, got {content[:4].hex(' ')}; is it the right file?"
        )
    shape = tuple(int(n) for n in np.frombuffer(content, dtype=">u4", count=n_axes, offset=4))
    size = math.prod(shape)
    if len(content) - header_size != size:
        raise DataError(
            f"{name}: the header announces {' × '.join(map(str, shape))} = {size} bytes of values, "
            f"got {len(content) - header_size}; the file is truncated or damaged, fetch it again."
        )
    try:
        return np.frombuffer(content, dtype=np.uint8, offset=header_size).reshape(shape)
    except ValueError as error:  # an empty axis beside huge ones
        raise DataError(
            f"{name}: the header announces an array of {' × '.join(map(str, shape))}, which "
            "is impossible; the file is damaged, fetch it again."
        ) from error
