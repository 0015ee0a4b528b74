"""Numbers as text, for the scripts of pages."""

import base64

import numpy as np

#: The largest number of half precision.
_MOST_HALF = 65504


def pack(array: np.ndarray, dtype: str) -> str:
    """Numbers as bytes in base64, as the page's script reads them."""
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode("ascii")


def pack_half(array: np.ndarray) -> str:
    """The same in half precision; what is beyond its range becomes the largest number in it."""
    return pack(np.clip(array, -_MOST_HALF, _MOST_HALF), "<f2")
