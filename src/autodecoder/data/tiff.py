"""Counting the strips of a TIFF before Pillow makes a list of them."""

import struct
from typing import Any

from autodecoder.data.png import Stream
from autodecoder.data.samples import UnreadableImage

#: Start of the file; byte order, and the formats of number of tags, tag and offset.
_KINDS = {
    b"II*\0": ("<", "H", "HHL4s", "L"),
    b"MM\0*": (">", "H", "HHL4s", "L"),
    b"II+\0": ("<", "Q", "HHQ8s", "Q"),
    b"MM\0+": (">", "Q", "HHQ8s", "Q"),
}
#: Tags of the offsets of strips and of tiles.
_OFFSETS = (273, 324)
_MOST_TAGS = 10_000
#: Most strips or tiles, of which Pillow reads a hundred thousand in a second.
_MOST_STRIPS = 2**17


def refuse_many_strips(file: Stream) -> None:
    """Refuse a TIFF whose first image has more strips than any of a readable size.

    Parameters
    ----------
    file : binary file
        At its beginning, where it is afterwards, too. Other formats pass.

    Raises
    ------
    UnreadableImage
        If it has more than 131,072.
    """
    kind = _KINDS.get(file.read(4))
    if kind is not None:
        order, of_number, of_tag, of_offset = kind
        if of_offset == "Q":
            file.seek(8)
        for (first,) in _read(file, order + of_offset, 1):
            file.seek(first)
        for (n_tags,) in _read(file, order + of_number, 1):
            for tag, _, n, _ in _read(file, order + of_tag, min(n_tags, _MOST_TAGS)):
                if tag in _OFFSETS and n > _MOST_STRIPS:
                    raise UnreadableImage(f"a TIFF of {n:,} strips, more than {_MOST_STRIPS:,}")
    file.seek(0)


def _read(file: Stream, layout: str, n: int) -> list[tuple[Any, ...]]:
    """Up to `n` records; fewer at the end of the file."""
    size = struct.calcsize(layout)
    content = file.read(n * size)
    return list(struct.iter_unpack(layout, content[: len(content) // size * size]))
