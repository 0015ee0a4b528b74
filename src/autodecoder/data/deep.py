"""16-bit colours: Pillow keeps the upper byte only, so an image is decoded twice to get both."""

import re
import sys
from typing import Any

import numpy as np
from jaxtyping import UInt16
from PIL import Image

_OTHER_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}
_TAG_BITS = 258


def mend_planes(image: Image.Image) -> None:
    """Make Pillow decode planar 16-bit colours correctly; it takes their samples for bytes.

    Call it before the pixels are loaded.
    """
    tags: Any = getattr(image, "tag_v2", {})
    if set(np.atleast_1d(tags.get(_TAG_BITS, 8))) == {16}:
        order = "B" if tags.prefix == b"MM" else "L"
        image.tile = [  # pyright: ignore[reportAttributeAccessIssue]
            _with_rawmode(tile, f"{_rawmode(tile)};16{order}")
            if re.fullmatch("[RGBA]", _rawmode(tile))
            else tile
            for tile in image.tile  # pyright: ignore[reportAttributeAccessIssue]
        ]


def lower_bytes(image: Image.Image) -> bool:
    """Make Pillow keep the lower byte of each sample instead of the upper one.

    Returns
    -------
    bool
        Whether this is possible; if not, the image is unchanged.
    """
    tiles = list(getattr(image, "tile", ()))
    swapped = []
    for tile in tiles:
        found = re.fullmatch(r"(RGBA?|[RGBA]);16([BLN])", _rawmode(tile))
        if not found:
            return False
        swapped.append(_with_rawmode(tile, f"{found[1]};16{_OTHER_ORDER[found[2]]}"))
    image.tile = swapped  # pyright: ignore[reportAttributeAccessIssue]
    return bool(swapped)


def join_bytes(upper: Image.Image, lower: Image.Image) -> UInt16[np.ndarray, "height width bands"]:
    """Combine upper and lower bytes into 16-bit samples."""
    return np.asarray(upper).astype(np.uint16) * 256 + np.asarray(lower)


def _rawmode(tile: Any) -> str:
    arguments = tile[3]
    found = arguments if isinstance(arguments, str) else (arguments or ("",))[0]
    return found if isinstance(found, str) else ""


def _with_rawmode(tile: Any, rawmode: str) -> Any:
    arguments = rawmode if isinstance(tile[3], str) else (rawmode, *tile[3][1:])
    return type(tile)(*tile[:3], arguments)
