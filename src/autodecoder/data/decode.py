"""One image file: what its header says, and its pixels as bytes; by Pillow.

Every conversion that docs/datasets.md promises is made here.
"""

import contextlib
import io
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageOps

from autodecoder.data.png import Stream, lean_png
from autodecoder.data.samples import (
    Seen,
    UnreadableImage,
    check_range_known,
    kind_of,
    to_bytes,
    why_not_opened,
)

#: Formats that are read, whatever the name of a file says.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
#: Names of files that are taken for images.
SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif"),
        *("tif", "tiff", "pbm", "pgm", "ppm", "pnm", "pfm"),
    )
)
#: Largest image that is decoded whole.
MAX_PIXELS = 50_000_000
#: Larger ones are decoded one at a time, so that threads do not hold many of them at once.
_LARGE = 4_000_000
_one_large = threading.Lock()
_ORIENTATION = 0x0112
_XMP_ORIENTATION = re.compile(r'tiff:Orientation(?:="|>)([1-8])')
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


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


def read_head(
    source: Path | io.BytesIO,
    size: tuple[int, int] | None,
    pixel_range: tuple[float, float] | None = None,
) -> Head:
    """Read the header of an image.

    Parameters
    ----------
    source : path or file in memory
    size : (height, width) or None
        What `decode_image` will be asked for: a large JPEG can be decoded in part.
    pixel_range : (low, high) or None
        Likewise.

    Raises
    ------
    UnreadableImage
        If it is no image, larger than `MAX_PIXELS` where it would be decoded whole, or of samples
        whose black and white are not known.
    """
    with _opened(source) as image:
        width, height = _stored_size(image)
        turned = _orientation(image) >= 5
        _limit(image, size, turned=turned)
        check_range_known(kind_of(image), pixel_range)
        grey = _is_grey(image)
        return Head(*((width, height) if turned else (height, width)), grey)


def decode_image(
    source: Path | io.BytesIO,
    size: tuple[int, int] | None,
    out: UInt8[np.ndarray, "height width channels"],
    pixel_range: tuple[float, float] | None = None,
    known: Bool[np.ndarray, "height width"] | None = None,
) -> Seen:
    """Decode an image into an array of one channel, which makes it grey, or of three.

    Parameters
    ----------
    source : path or file in memory
    size : (height, width) or None
        Crop to this aspect ratio around the centre and scale by Lanczos' filter; or take the image
        as it is.
    out : (height, width, channels) uint8
        Where the pixels go.
    pixel_range : (low, high) or None
        Stored values of black and of white; `None` for those of the type.
    known : (height, width) bool, optional
        Set to whether a pixel is more opaque than transparent; others are then 0 in `out`. Without
        it, what is transparent lies on white.

    Returns
    -------
    Seen
        What its samples were.

    Raises
    ------
    UnreadableImage
        If it is no image, damaged, too large, or of samples whose black and white are not known.
    """
    with _opened(source) as image:
        orientation = _orientation(image)
        n_pixels = _limit(image, size, turned=orientation >= 5)
        with _one_large if n_pixels > _LARGE else contextlib.nullcontext():
            mode = "L" if out.shape[2] == 1 else "RGB"
            upright, seen = to_bytes(
                *(image, mode, pixel_range, lambda: _opened(source)), keep_alpha=known is not None
            )
            # Pillow turns a TIFF itself.
            if image.format != "TIFF" and orientation in _UPRIGHT:
                upright = upright.transpose(_UPRIGHT[orientation])
            if size is not None:
                # By colours times alpha where there is alpha: clear ones do not bleed.
                upright = ImageOps.fit(upright, (size[1], size[0]), Image.Resampling.LANCZOS)
            pixels = np.asarray(upright)
    if known is not None and pixels.shape[:2] == out.shape[:2]:
        known[...] = pixels[..., -1] > 127
        pixels = pixels[..., :-1] * known[..., None]
    if pixels.shape[:2] != out.shape[:2]:
        raise UnreadableImage("changed while it was read")
    out[...] = pixels.reshape(out.shape)
    return seen


@contextlib.contextmanager
def _opened(source: Path | io.BytesIO) -> Iterator[Image.Image]:
    Image.init()  # which knows few formats before; once in a process
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        # A file, never a path: of a path, Pillow maps the pixels of some formats, those of a TIFF
        # that it will turn by the wrong width.
        with _stream(source) as file, Image.open(lean_png(file), formats=formats) as image:
            yield image
    except (UnreadableImage, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise UnreadableImage(_too_large()) from None
    except Image.UnidentifiedImageError:
        with _stream(source) as file:
            raise UnreadableImage(why_not_opened(file)) from None
    except OSError as error:
        raise UnreadableImage((error.strerror or "damaged or truncated").lower()) from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged bytes
        raise UnreadableImage("damaged") from error


@contextlib.contextmanager
def _stream(source: Path | io.BytesIO) -> Iterator[Stream]:
    """The bytes of a source, from their beginning."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        source.seek(0)
        yield source


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
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or ""
    found = _XMP_ORIENTATION.search(xmp.decode("latin-1") if isinstance(xmp, bytes) else str(xmp))
    orientation = int(found[1]) if found else 1
    # Pillow would decode a PNG to look for a tag behind the pixels, where `lean_png` leaves none.
    if image.format != "PNG" or {"exif", "Raw profile type exif"} & set(image.info):
        try:
            tags = image.getexif()
            orientation = int(tags.get(_ORIENTATION, orientation))
            if image.format == "TIFF":
                tags[_ORIENTATION] = orientation  # not every release of Pillow looks into XMP
        except Exception:  # a damaged tag does not make the pixels bad
            return 1
    return orientation if orientation in _UPRIGHT else 1


def _stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height before the image is turned; some releases of Pillow tell those after."""
    if image.format == "TIFF":
        tags = image.tag_v2  # pyright: ignore[reportAttributeAccessIssue]
        return int(tags[256]), int(tags[257])
    return image.size


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
