"""Reading one image file by Pillow: its header, and its pixels as bytes.

All conversions that docs/datasets.md describes are made here.
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

from autodecoder.data.jpeg import has_one_scan
from autodecoder.data.png import Stream, lean_png
from autodecoder.data.samples import (
    Seen,
    UnreadableImage,
    check_range_known,
    kind_of,
    to_bytes,
    why_not_opened,
)
from autodecoder.data.tiff import refuse_many_strips

#: Formats that are read; the content of a file decides, not its name.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")
#: Suffixes of files that are taken for images.
SUFFIXES = frozenset(
    f".{suffix}"
    for suffix in (
        *("png", "apng", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "dib", "gif"),
        *("tif", "tiff", "pbm", "pgm", "ppm", "pnm", "pfm"),
    )
)
#: Largest image that is decoded whole, in pixels.
MAX_PIXELS = 50_000_000
#: Images of more pixels are decoded one at a time, to limit the memory that threads take.
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
    """What the header of an image tells."""

    height: int
    """Height in pixels of the upright image."""
    width: int
    grey: bool


@contextlib.contextmanager
def quiet_pillow() -> Iterator[None]:
    """Silence Pillow's warnings; images that cannot be read raise `UnreadableImage`.

    Use it in the thread that starts the others, since all threads share the warning filters.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        Image.init()  # here, so that not every thread does so
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
        As for `decode_image`: a large JPEG can be decoded at a reduced size.
    pixel_range : (low, high) or None
        As for `decode_image`.

    Raises
    ------
    UnreadableImage
        If it is no image, more than `MAX_PIXELS` would have to be decoded, or black and white of
        its samples are not known.
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
    """Decode an image into an array: grey if it has one channel, RGB if it has three.

    Parameters
    ----------
    source : path or file in memory
    size : (height, width) or None
        Crop to this aspect ratio around the centre and scale to this size by Lanczos' filter;
        `None` keeps the image's own size.
    out : (height, width, channels) uint8
        Array that receives the pixels.
    pixel_range : (low, high) or None
        Stored values of black and white; `None` for those of the sample type.
    known : (height, width) bool, optional
        Array that is set to True where a pixel is more opaque than transparent; other pixels are
        then 0 in `out`. Without it, transparent pixels are blended onto white.

    Returns
    -------
    Seen
        Type and range of its samples.

    Raises
    ------
    UnreadableImage
        If it is no image, damaged or too large, or black and white of its samples are not known.
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
                # Pillow multiplies colours by alpha first, so that clear pixels do not bleed.
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
    Image.init()  # loads all formats, once per process
    formats = [name for name in FORMATS if name in Image.OPEN]
    try:
        # Pass an open file, never a path: from a path, Pillow memory-maps some formats, and with
        # the wrong width for a TIFF that it turns.
        with _stream(source) as file:
            refuse_many_strips(file)
            with Image.open(lean_png(file), formats=formats) as image:
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
    """Open a source at its beginning."""
    if isinstance(source, Path):
        if source.exists() and not source.is_file():  # a pipe would never end
            raise UnreadableImage("no file")
        with source.open("rb") as file:
            yield file
    else:
        source.seek(0)
        yield source


def _limit(image: Image.Image, size: tuple[int, int] | None, *, turned: bool) -> int:
    """Refuse images that are too large to decode; returns the number of pixels to decode.

    A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size. The smallest size that keeps twice the
    requested height and width is used, so that the filter has enough detail. A progressive JPEG,
    and one of several scans, is held whole in memory all the same.
    """
    n_pixels = image.width * image.height
    if size is not None and image.format in ("JPEG", "MPO"):
        height, width = size[::-1] if turned else size
        image.draft(None, (2 * width, 2 * height))
        file = image.fp  # pyright: ignore[reportAttributeAccessIssue]
        if not image.info.get("progressive") and has_one_scan(file):
            n_pixels = image.width * image.height
    if n_pixels > MAX_PIXELS:
        raise UnreadableImage(_too_large())
    return n_pixels


def _too_large() -> str:
    return f"larger than {MAX_PIXELS // 1_000_000} megapixels"


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, from 1 to 8; 1 is upright."""
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or ""
    found = _XMP_ORIENTATION.search(xmp.decode("latin-1") if isinstance(xmp, bytes) else str(xmp))
    orientation = int(found[1]) if found else 1
    # Pillow would decode a whole PNG to find tags behind the pixels; `lean_png` leaves none there.
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
    """Width and height before the image is turned; some Pillow releases report the turned size."""
    if image.format == "TIFF":
        tags = image.tag_v2  # pyright: ignore[reportAttributeAccessIssue]
        return int(tags[256]), int(tags[257])
    return image.size


def _is_grey(image: Image.Image) -> bool:
    if image.mode in ("P", "PA"):
        palette = _header_palette(image)
        if palette is None:  # known only after decoding
            large = image.width * image.height > _LARGE
            with _one_large if large else contextlib.nullcontext():
                image.load()
                palette = np.asarray(image.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")


def _header_palette(image: Image.Image) -> UInt8[np.ndarray, "colours 3"] | None:
    """The palette in the header, read without decoding the image; `None` if there is none."""
    if image.palette is None:
        return None
    order, data = image.palette.getdata()
    values = np.frombuffer(bytes(data), np.uint8)
    if order == "RGB;L" and len(values) % 3 == 0:  # all red ones first
        return values.reshape(3, -1).T
    if order in ("RGB", "BGR", "RGBX", "BGRX", "RGBA", "BGRA") and len(values) % len(order) == 0:
        return values.reshape(-1, len(order))[:, :3]
    return None
