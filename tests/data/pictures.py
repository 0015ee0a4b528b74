"""Image files as cameras, scanners and accidents make them; written by Pillow."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def save(path: Path, image: Image.Image, **options: object) -> Path:
    """Write an image, with the folders around it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)  # pyright: ignore[reportArgumentType]
    return path


def plain(level: int, size: tuple[int, int] = (6, 4)) -> Image.Image:
    """A grey image of one level, (width, height)."""
    return Image.new("L", size, level)


def quarters() -> np.ndarray:
    """A (4, 6, 3) picture that no turn or flip leaves as it is: a red corner on blue and green."""
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:, :3], pixels[:, 3:] = BLUE, GREEN
    pixels[:2, :3] = RED
    return pixels


def animation() -> bytes:
    """A GIF of a red frame, then a blue one."""
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (6, 4), colour) for colour in (RED, BLUE)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A small PNG whose header announces a huge grey image."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compressobj()
    content = b"".join(rows.compress(bytes(width + 1)) for _ in range(height)) + rows.flush()
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", content), chunk(b"IEND", b""))
    )


def classes(root: Path, counts: dict[str, int]) -> Path:
    """A folder of classes; image k of the class c has the level 10 c + k."""
    for c, (name, count) in enumerate(counts.items()):
        for k in range(count):
            save(root / name / f"{k}.png", plain(10 * c + k))
    return root
