"""TIFF files written by hand, of the kinds that Pillow reads but does not write."""

import struct
from typing import Literal

import numpy as np

_CODES = {"u": 1, "i": 2, "f": 3}


def tiff(
    samples: np.ndarray,
    *,
    photometric: int = 1,
    order: Literal["<", ">"] = "<",
    tile: int = 0,
    planar: bool = False,
    extra: int | None = None,
    orientation: int = 1,
    bits: int = 0,
) -> bytes:
    """An uncompressed TIFF of a (height, width) or (height, width, channels) array.

    It is one strip, or square tiles of the given side, or a strip for each channel; `bits` below 8
    packs samples into bytes.
    """
    height, width = samples.shape[:2]
    planes = samples.reshape(height, width, -1)
    n = planes.shape[2]
    planes = planes.astype(planes.dtype.newbyteorder(order))
    if tile:
        down, across = -(-height // tile), -(-width // tile)
        whole = np.zeros((down * tile, across * tile, n), planes.dtype)
        whole[:height, :width] = planes
        parts = [
            whole[i * tile : (i + 1) * tile, j * tile : (j + 1) * tile].tobytes()
            for i in range(down)
            for j in range(across)
        ]
    elif planar:
        parts = [planes[..., k].tobytes() for k in range(n)]
    elif bits:
        each = np.unpackbits(planes[..., 0].astype(np.uint8)[..., None], axis=2)[..., -bits:]
        parts = [np.packbits(each.reshape(height, -1), axis=1).tobytes()]
    else:
        parts = [planes.tobytes()]
    where, sizes = (324, 325) if tile else (273, 279)
    tags = {
        256: ("H", [width]),
        257: ("H", [height]),
        258: ("H", [bits or planes.dtype.itemsize * 8] * n),
        259: ("H", [1]),
        262: ("H", [photometric]),
        where: ("I", [0] * len(parts)),
        274: ("H", [orientation]),
        277: ("H", [n]),
        sizes: ("I", [len(part) for part in parts]),
        284: ("H", [2 if planar else 1]),
        339: ("H", [_CODES[planes.dtype.kind]] * n),
    }
    tags |= {322: ("H", [tile]), 323: ("H", [tile])} if tile else {278: ("H", [height])}
    if extra is not None:
        tags[338] = ("H", [extra])
    packed = {
        tag: struct.pack(f"{order}{len(values)}{code}", *values)
        for tag, (code, values) in tags.items()
    }
    place = 8 + 2 + 12 * len(tags) + 4
    behind = {}
    for tag in sorted(packed):
        if len(packed[tag]) > 4:
            behind[tag] = place
            place += len(packed[tag])
    places = [place + sum(map(len, parts[:k])) for k in range(len(parts))]
    packed[where] = struct.pack(f"{order}{len(parts)}I", *places)
    entries = b"".join(
        struct.pack(f"{order}HHI", tag, {"H": 3, "I": 4}[tags[tag][0]], len(tags[tag][1]))
        + (struct.pack(f"{order}I", behind[tag]) if tag in behind else packed[tag].ljust(4, b"\0"))
        for tag in sorted(packed)
    )
    mark = b"II*\0" if order == "<" else b"MM\0*"
    head = mark + struct.pack(f"{order}IH", 8, len(tags))
    return head + entries + bytes(4) + b"".join(packed[tag] for tag in behind) + b"".join(parts)
