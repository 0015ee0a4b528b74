"""What the header of a JPEG tells about the memory that decoding takes."""

import struct

from autodecoder.data.png import Stream

#: Markers of frames (SOF), which tell the number of components; of these, the ones of tables.
_FRAMES, _TABLES = range(0xC0, 0xD0), (0xC4, 0xC8, 0xCC)
_SCAN = 0xDA
#: Most segments before the first scan.
_MOST = 10_000


def has_one_scan(file: Stream) -> bool:
    """Whether one scan holds all components, so that rows can be decoded one after the other.

    Otherwise the whole image is held in memory, at its full size.

    Parameters
    ----------
    file : binary file
        Its position is restored.
    """
    place = file.tell()
    try:
        file.seek(2)
        n_components = 0
        for _ in range(_MOST):
            marker = _next_marker(file)
            content = file.read(2)
            if marker is None or len(content) < 2:
                return False
            size = struct.unpack(">H", content)[0] - 2
            if marker == _SCAN:
                return file.read(1) == bytes([n_components])
            if marker in _FRAMES and marker not in _TABLES:
                frame = file.read(6)
                n_components, size = frame[5] if len(frame) == 6 else 0, size - len(frame)
            file.seek(max(0, size), 1)
        return False
    finally:
        file.seek(place)


def _next_marker(file: Stream) -> int | None:
    """The next marker; `None` if there is none."""
    if file.read(1) != b"\xff":
        return None
    byte = file.read(1)
    while byte == b"\xff":  # filling
        byte = file.read(1)
    return byte[0] if byte else None
