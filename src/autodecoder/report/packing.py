"""Numbers as text, for the scripts of pages."""

import base64

import numpy as np

#: Largest number in half precision.
_MOST_HALF = 65504


def pack(array: np.ndarray, dtype: str) -> str:
    """Numbers as base64 bytes for the page's script."""
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode("ascii")


def pack_half(array: np.ndarray) -> str:
    """Numbers in half precision; numbers beyond its range are clipped."""
    return pack(np.clip(array, -_MOST_HALF, _MOST_HALF), "<f2")
