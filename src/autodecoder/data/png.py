"""Making PNG files readable for Pillow: without long texts, with tags before the pixels."""

import io
import struct

#: An open file, or one in memory.
Stream = io.BufferedReader | io.BytesIO
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Chunks of texts and colour profiles, which do not change the pixels: Pillow unpacks them, and
#: refuses a file if one is long.
_UNUSED = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
#: Beginnings of texts that may hold the orientation.
_USED_TEXTS = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
_EXIF = b"eXIf"


def lean_png(file: Stream) -> Stream:
    """The same PNG without texts and profiles, and with EXIF tags before the pixels.

    Parameters
    ----------
    file : binary file
        At its beginning. Other formats than PNG are returned unchanged.

    Returns
    -------
    binary file
        `file` itself, at its beginning, if there is nothing to change.
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
    """Kind, offset and size of the chunks to keep, and whether the file has to change."""
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
