"""Counting the strips of a TIFF before Pillow makes a list of them."""

import struct
from typing import Any

from autodecoder.data.png import Stream
from autodecoder.data.samples import UnreadableImage

#: Formats of the number of tags, a tag and an offset, and where the first offset is: of a TIFF, and
#: of a BigTIFF.
_CLASSIC, _BIG = ("H", "HHL4s", "L", 4), ("Q", "HHQ8s", "Q", 8)
#: Start of the file; byte order and formats, as Pillow reads them, also of what is no valid TIFF.
_KINDS = {
    b"II*\0": ("<", *_CLASSIC),
    b"II\0*": ("<", *_CLASSIC),
    b"MM\0*": (">", *_CLASSIC),
    b"MM*\0": (">", *_CLASSIC),
    b"II+\0": ("<", *_BIG),
    b"MM\0+": (">", *_CLASSIC),  # Pillow looks for the + of a BigTIFF at the third byte
}
#: Tags of the offsets of strips and of tiles.
_OFFSETS = (273, 324)
#: Most tags; the images of cameras have a hundred.
_MOST_TAGS = 10_000
#: Most strips or tiles, of which Pillow reads a hundred thousand in a second.
_MOST_STRIPS = 2**17


def refuse_many_strips(file: Stream) -> None:
    """Refuse a TIFF whose first image has more tags or strips than any of a readable size.

    Parameters
    ----------
    file : binary file
        At its beginning, where it is afterwards, too. Other formats pass.

    Raises
    ------
    UnreadableImage
        If it has more than 10,000 tags or 131,072 strips.
    """
    kind = _KINDS.get(file.read(4))
    if kind is not None:
        order, of_number, of_tag, of_offset, place = kind
        file.seek(place)
        for (first,) in _read(file, order + of_offset, 1):
            file.seek(first)
        for (n_tags,) in _read(file, order + of_number, 1):
            if n_tags > _MOST_TAGS:
                raise UnreadableImage(f"a TIFF of {n_tags:,} tags, more than {_MOST_TAGS:,}")
            for tag, _, n, _ in _read(file, order + of_tag, n_tags):
                if tag in _OFFSETS and n > _MOST_STRIPS:
                    raise UnreadableImage(f"a TIFF of {n:,} strips, more than {_MOST_STRIPS:,}")
    file.seek(0)


def _read(file: Stream, layout: str, n: int) -> list[tuple[Any, ...]]:
    """Up to `n` records; fewer at the end of the file."""
    size = struct.calcsize(layout)
    content = file.read(n * size)
    return list(struct.iter_unpack(layout, content[: len(content) // size * size]))
