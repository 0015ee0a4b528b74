"""The binary records of CIFAR-10 and CIFAR-100.

A record is one label byte (CIFAR-100: a coarse and a fine one), then 3,072 pixels: 32 × 32 of red,
of green and of blue, each row by row (Krizhevsky 2009).
"""

import numpy as np
from jaxtyping import UInt8

from autodecoder.errors import DataError

_PIXELS = 3 * 32 * 32


def parse_cifar(
    content: bytes, *, label_ranges: tuple[int, ...], name: str
) -> tuple[UInt8[np.ndarray, "n 32 32 3"], UInt8[np.ndarray, " n"]]:
    """Read one binary file of CIFAR records.

    Parameters
    ----------
    content : bytes
    label_ranges : tuple of int
        Number of classes of each label byte; the last byte is the label returned.
    name : str
        Name of the file in errors.

    Returns
    -------
    images : (n, 32, 32, 3) uint8
    labels : (n,) uint8

    Raises
    ------
    DataError
        If the file is empty, is not a whole number of records, or holds a label out of range.
    """
    record = len(label_ranges) + _PIXELS
    if len(content) == 0 or len(content) % record:
        raise DataError(
            f"{name}: the size must be a positive multiple of {record} bytes (one record), "
            f"got {len(content)}; the file is truncated or damaged, fetch it again."
        )
    records = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
    for k, n_classes in enumerate(label_ranges):
        if records[:, k].max() >= n_classes:
            raise DataError(
                f"{name}: label byte {k} must be below {n_classes}, got {records[:, k].max()}; "
                "the file is damaged or of another data set, fetch it again."
            )
    channels_first = records[:, len(label_ranges) :].reshape(-1, 3, 32, 32)
    images = np.ascontiguousarray(channels_first.transpose(0, 2, 3, 1))
    return images, records[:, len(label_ranges) - 1].copy()
