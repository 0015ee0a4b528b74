"""One image file: what its header says, and its pixels as bytes; by Pillow.

Every conversion that docs/datasets.md promises is made here.
"""

import contextlib
import io
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

#: Formats that are read, whatever the name of a file says.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
#: Names of files that are taken for images.
SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif"),
        *("tif", "tiff", "pbm", "pgm", "ppm", "pnm"),
    )
)
#: Largest image that is decoded whole.
MAX_PIXELS = 50_000_000
#: Larger ones are decoded one at a time, so that threads do not hold many of them at once.
_LARGE = 4_000_000
_one_large = threading.Lock()
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImage(Exception):
    """A file that is no image, is damaged or too large; says why in a few words."""


class Head(NamedTuple):
    """What is known of an image before it is decoded."""

    height: int
    """As it is shown: upright."""
    width: int
    grey: bool


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Without Pillow's warnings: what cannot be read is told by `UnreadableImage`.

    For the thread that starts others, since filters of warnings belong to all of them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.init()  # threads would each do so
        yield


def read_head(source: Path | io.BytesIO, size: tuple[int, int] | None) -> Head:
    """Read the header of an image.

    Parameters
    ----------
    source : path or file in memory
    size : (height, width) or None
        What `decode` will be asked for: a large JPEG can be decoded in part.

    Raises
    ------
    UnreadableImage
        If it is no image, or larger than `MAX_PIXELS` where it would be decoded whole.
    """
    with _opened(source) as image:
        width, height = image.size
        turned = _orientation(image) >= 5
        _limit(image, size, turned=turned)
        grey = _is_grey(image)
        return Head(*((width, height) if turned else (height, width)), grey)


def decode(
    source: Path | io.BytesIO,
    size: tuple[int, int] | None,
    out: UInt8[np.ndarray, "height width channels"],
) -> None:
    """Decode an image into an array of one channel, which makes it grey, or of three.

    Parameters
    ----------
    source : path or file in memory
    size : (height, width) or None
        Crop to this aspect ratio around the centre and scale by Lanczos' filter; or take the image
        as it is.
    out : (height, width, channels) uint8
        Where the pixels go.

    Raises
    ------
    UnreadableImage
        If it is no image, damaged, too large, or of pixels without a known range.
    """
    with _opened(source) as image:
        orientation = _orientation(image)
        n_pixels = _limit(image, size, turned=orientation >= 5)
        with _one_large if n_pixels > _LARGE else contextlib.nullcontext():
            upright = _flatten(image, "L" if out.shape[2] == 1 else "RGB")
            if orientation in _UPRIGHT:
                upright = upright.transpose(_UPRIGHT[orientation])
            if size is not None:
                upright = ImageOps.fit(upright, (size[1], size[0]), Image.Resampling.LANCZOS)
            pixels = np.asarray(upright)
    if pixels.shape[:2] != out.shape[:2]:
        raise UnreadableImage("changed while it was read")
    out[...] = pixels.reshape(out.shape)


@contextlib.contextmanager
def _opened(source: Path | io.BytesIO) -> Iterator[Image.Image]:
    Image.init()  # which knows few formats before; once in a process
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        with Image.open(source, formats=formats) as image:
            yield image
    except (UnreadableImage, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise UnreadableImage(_too_large()) from None
    except Image.UnidentifiedImageError:
        raise UnreadableImage(
            "empty" if _is_empty(source) else "no image of a format that is read"
        ) from None
    except OSError as error:
        raise UnreadableImage((error.strerror or "damaged or truncated").lower()) from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged bytes
        raise UnreadableImage("damaged") from error


def _is_empty(source: Path | io.BytesIO) -> bool:
    if isinstance(source, Path):
        return source.stat().st_size == 0
    return source.seek(0, 2) == 0


def _limit(image: Image.Image, size: tuple[int, int] | None, *, turned: bool) -> int:
    """Refuse what is too large to decode; returns the number of pixels that will be decoded.

    A JPEG can be decoded at a half, a fourth or an eighth of its size: the least is taken that
    leaves twice the pixels asked for, so that the filter still has something to choose from. A
    progressive one is held whole in memory even so.
    """
    n_pixels = image.width * image.height
    if size is not None and image.format in ("JPEG", "MPO"):
        height, width = size[::-1] if turned else size
        image.draft(None, (2 * width, 2 * height))
        if not image.info.get("progressive"):
            n_pixels = image.width * image.height
    if n_pixels > MAX_PIXELS:
        raise UnreadableImage(_too_large())
    return n_pixels


def _too_large() -> str:
    return f"larger than {MAX_PIXELS // 1_000_000} megapixels"


def _orientation(image: Image.Image) -> int:
    """How a camera was held, from 1 to 8; 1 is upright."""
    # Pillow turns a TIFF itself, and would decode a PNG to look for a tag behind the pixels.
    if image.format == "TIFF":
        return 1
    if image.format == "PNG" and not {"exif", "Raw profile type exif"} & set(image.info):
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged tag does not make the pixels bad
        return 1


def _is_grey(image: Image.Image) -> bool:
    if image.mode in ("P", "PA"):
        palette = _header_palette(image)
        if palette is None:  # the decoder alone knows it
            large = image.width * image.height > _LARGE
            with _one_large if large else contextlib.nullcontext():
                image.load()
                palette = np.asarray(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")


def _header_palette(image: Image.Image) -> UInt8[np.ndarray, "colours 3"] | None:
    """The palette as far as the header has it, so that nothing is decoded to see it."""
    if image.palette is None:
        return None
    order, data = image.palette.getdata()
    values = np.frombuffer(bytes(data), np.uint8)
    if order == "RGB;L" and len(values) % 3 == 0:  # all red ones first
        return values.reshape(3, -1).T
    if order in ("RGB", "BGR", "RGBX", "BGRX", "RGBA", "BGRA") and len(values) % len(order) == 0:
        return values.reshape(-1, len(order))[:, :3]
    return None


def _flatten(image: Image.Image, mode: str) -> Image.Image:
    """The first frame of any image, in 8 bits, on white where it is transparent."""
    wide = image.mode == "I" and image.format in ("PNG", "PPM")  # older releases of Pillow
    if wide or image.mode.startswith("I;16"):
        levels = np.asarray(image).astype(np.uint32)
        image = Image.fromarray(((levels * 255 + 32_767) // 65_535).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise UnreadableImage("pixels of 32 bits, whose range is not known")
    elif image.has_transparency_data:
        picture = image.convert("RGBA")
        image = Image.new("RGBA", picture.size, "white")
        image.alpha_composite(picture)
    return image.convert(mode)
