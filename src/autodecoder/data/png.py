"""PNG files without what Pillow stumbles over: text of any length, and tags behind the pixels."""

import io
import struct

#: An open file, or one in memory.
Stream = io.BufferedReader | io.BytesIO
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Texts and colour profiles: Pillow unpacks them, refuses a file where one is long, and none
#: changes the pixels.
_UNUSED = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
#: Texts that may tell how a camera was held.
_USED_TEXTS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
_EXIF = b"eXIf"


def lean_png(file: Stream) -> Stream:
    """The same PNG without texts and profiles, and with EXIF tags before the pixels.

    Parameters
    ----------
    file : binary file
        At its beginning; of any format.

    Returns
    -------
    binary file
        `file` itself, at its beginning, where there is nothing to change.
    """
    kept, changed = _chunks(file)
    if changed:
        # The header must come first; tags that follow the pixels go before them.
        kept.sort(key=lambda chunk: (chunk[0] != b"IHDR", chunk[0] != _EXIF))
        parts = []
        for _, first, size in kept:
            file.seek(first)
            parts.append(file.read(size))
        return io.BytesIO(_SIGNATURE + b"".join(parts))
    file.seek(0)
    return file


def _chunks(file: Stream) -> tuple[list[tuple[bytes, int, int]], bool]:
    """Kind, place and size of the chunks to keep, and whether that is not the file as it is."""
    kept: list[tuple[bytes, int, int]] = []
    changed = seen_pixels = False
    if file.read(len(_SIGNATURE)) != _SIGNATURE:
        return kept, False
    place = len(_SIGNATURE)
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        unused = kind in _UNUSED and not file.read(32).startswith(_USED_TEXTS)
        changed |= unused or (kind == _EXIF and seen_pixels)
        seen_pixels |= kind == b"IDAT"
        if not unused:
            kept.append((kind, place, length + 12))
        if kind == b"IEND":
            break
        place += length + 12
        file.seek(place)
    return kept, changed
