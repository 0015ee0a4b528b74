"""The sample types of image files, and their conversion to 8 bits.

A file stores samples as bytes, 12 or 16 bits, signed integers or floats. For unsigned types, white
is the largest value of the type. For other types, and for files that use only a part of their type,
`pixel_range` gives the stored values of black and white. It is ignored for a type that cannot hold
this white: bytes among files of 12 bits are read as bytes.
"""

import io
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Num, UInt8
from PIL import Image, TiffImagePlugin

from autodecoder.data.deep import join_bytes, lower_bytes, mend_planes

_TAG_BITS, _TAG_PHOTOMETRIC, _TAG_SAMPLE_FORMAT = 258, 262, 339
_SIGNED, _FLOAT = 2, 3
#: Values that are converted at once.
_BLOCK = 2**20


class UnreadableImage(Exception):
    """A file is no image, is damaged or too large; the message gives the reason in a few words."""


class Kind(NamedTuple):
    """The type of an image's samples, as its header tells it."""

    name: str
    bits: int
    white: float | None
    """Stored value of white for the type; `None` if the type defines none."""
    unit: float
    """Stored value that corresponds to 1 in Pillow's pixels."""
    inverted: bool
    """Whether black and white are swapped in the file, and Pillow has swapped them back."""
    white_is_low: bool
    """Whether black and white are swapped in the file, and Pillow leaves them so."""


class Seen(NamedTuple):
    """Type and range of the samples of one image, to judge all images of a data set by."""

    bits: int
    white: float | None
    low: float
    """Smallest sample, as stored."""
    high: float
    """Largest sample, as stored."""
    is_cut: bool
    """Whether some samples lie outside `pixel_range`."""
    is_clear: bool
    """Whether the image is transparent everywhere."""
    has_alpha: bool
    """Whether some pixels may be transparent."""


def kind_of(image: Image.Image) -> Kind:
    """Read the type of the samples from the header; call it before Pillow loads the pixels."""
    codec, rawmode, most = _coding(image)
    tags = getattr(image, "tag_v2", {})
    bits = _first(tags.get(_TAG_BITS, 8))
    small = re.match(r"L;([24])", rawmode)
    inverted = image.mode in ("1", "L") and bool(re.search(r";\d*I", rawmode))
    white_is_low = tags.get(_TAG_PHOTOMETRIC) == 0 and not inverted and image.mode != "1"
    name, white, unit = "bytes", 255.0, 1.0
    if image.mode == "F":
        name, bits, white = "32-bit floats", 32, None
    elif codec.startswith("ppm"):
        bits, white = most.bit_length(), float(most)
        unit = white / (65_535 if image.mode == "I" else 255)
    elif image.mode == "I" and tags:
        name, white = _type_name(tags), None
    elif image.mode == "I" or image.mode.startswith("I;16"):
        bits = 12 if bits == 12 else 16
        white = 2.0**bits - 1
    elif _first(tags.get(_TAG_SAMPLE_FORMAT, 1)) == _SIGNED:
        name, white = "signed 8-bit integers", None
    elif image.mode == "1":
        bits, white = 1, 1.0
    elif small:
        bits = int(small[1])
        white = 2.0**bits - 1
        unit = white / 255
    elif ";16" in rawmode:  # colours, of which Pillow keeps the upper byte
        bits, white, unit = 16, 65_535.0, 257.0
    else:
        bits = 8
    return Kind(name, bits, white, unit, inverted, white_is_low)


def _type_name(tags: Mapping[int, Any]) -> str:
    """The type of a TIFF's samples in words."""
    bits = _first(tags.get(_TAG_BITS, 1))
    sample_format = _first(tags.get(_TAG_SAMPLE_FORMAT, 1))
    if sample_format == _FLOAT:
        return f"{bits}-bit floats"
    return f"{'signed' if sample_format == _SIGNED else 'unsigned'} {bits}-bit integers"


def why_not_opened(file: io.BufferedReader | io.BytesIO) -> str:
    """Why Pillow cannot open a file; for a TIFF, with the type of its samples."""
    file.seek(0)
    head = file.read(16)
    if not head:
        return "empty"
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(head if head[2] == 43 else head[:8])
        file.seek(tags.next)
        tags.load(file)
        name = _type_name(tags)
        order = " in big-endian order" if head.startswith(b"MM") else ""
        colours = " of which 0 is white" if tags.get(_TAG_PHOTOMETRIC) == 0 else ""
        return f"a TIFF of {name}{order}{colours}, which Pillow does not read"
    except Exception:  # it is no TIFF, or damaged
        return "no image of a format that is read"


def check_range_known(kind: Kind, pixel_range: tuple[float, float] | None) -> None:
    """Refuse samples whose black and white are given neither by their type nor by the user.

    Raises
    ------
    UnreadableImage
    """
    if kind.white is None and pixel_range is None:
        raise UnreadableImage(
            f"of {kind.name}, whose black and white are not known: set them by train --range "
            "LOW:HIGH"
        )


def to_bytes(
    image: Image.Image,
    mode: str,
    pixel_range: tuple[float, float] | None,
    reopened: Callable[[], AbstractContextManager[Image.Image]],
    *,
    keep_alpha: bool = False,
) -> tuple[Image.Image, Seen]:
    """Convert the first frame of an image to 8 bits, blended onto white where transparent.

    Parameters
    ----------
    image : Image
        Opened; its pixels need not be loaded.
    mode : str
        Mode of the result: `L` or `RGB`.
    pixel_range : (low, high) or None
        Stored values of black and white; `None` for those of the type. It is ignored for images of
        one bit. For an image with a palette, it applies to the colours of the palette.
    reopened : callable
        Opens the same image again.
    keep_alpha : bool
        Do not blend, and return alpha beside the colours: the mode is then `LA` or `RGBA`.

    Raises
    ------
    UnreadableImage
        If black and white are not known, or floats are not finite.
    """
    mend_planes(image)
    kind = kind_of(image)
    check_range_known(kind, pixel_range)
    if pixel_range is not None and kind.white is not None and pixel_range[1] > kind.white:
        pixel_range = None
    image.load()
    if image.mode in ("I", "F") or image.mode.startswith("I;16") or kind.white is None:
        grey, opaque, seen = _wide_to_bytes(image, kind, pixel_range)
        grey = grey.convert(mode)
        if keep_alpha:
            grey.putalpha(Image.fromarray(opaque))
        return grey, seen
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode in ("LAB", "CMYK", "YCbCr") or (image.mode == "P" and pixel_range is not None):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    levels = None
    if pixel_range is not None and kind.bits == 16:
        with reopened() as again:
            mend_planes(again)
            if lower_bytes(again):
                levels, kind = join_bytes(image, again), kind._replace(unit=1.0)
    seen, is_clear, alpha = None, False, 255
    has_alpha = image.has_transparency_data
    if has_alpha:
        picture = image.convert("RGBA")
        if pixel_range is not None and kind.bits > 1:
            picture, seen = _stretch_colours(picture, levels, kind, pixel_range)
        is_clear = picture.getextrema()[3][1] == 0  # pyright: ignore
        if keep_alpha:
            alpha, image = picture.getchannel("A"), picture.convert("RGB")
        else:
            image = _on_white(picture, ignore_alpha=is_clear and not _is_plain(picture))
    elif pixel_range is not None and kind.bits > 1:
        image, seen = _stretch_colours(image, levels, kind, pixel_range)
    image = image.convert(mode)
    if seen is None:
        ends = np.ravel(image.getextrema())
        low, high = _stored(float(ends.min()), float(ends.max()), kind)
        seen = Seen(kind.bits, kind.white, low, high, False, False, False)
    if keep_alpha:
        image.putalpha(alpha)
    # With `keep_alpha`, no transparent image is read as if it were opaque.
    return image, seen._replace(is_clear=is_clear and not keep_alpha, has_alpha=has_alpha)


def _coding(image: Image.Image) -> tuple[str, str, int]:
    """Codec, raw mode and largest value of what Pillow is about to decode."""
    if not getattr(image, "tile", None):
        return "", "", 0
    codec, _, _, arguments = image.tile[0]  # pyright: ignore[reportAttributeAccessIssue]
    if isinstance(arguments, str):
        return codec, arguments, 0
    arguments = (*(arguments or ()), 0, 0)
    rawmode, most = arguments[0], arguments[1]
    return codec, rawmode if isinstance(rawmode, str) else "", most if type(most) is int else 0


def _first(value: Any) -> int:
    return int(value[0] if isinstance(value, tuple) else value)


def _wide_to_bytes(
    image: Image.Image, kind: Kind, pixel_range: tuple[float, float] | None
) -> tuple[Image.Image, UInt8[np.ndarray, "height width"], Seen]:
    """Convert an image of one channel, of any type, to 8 bits and alpha; clear pixels are white."""
    levels = np.asarray(image)
    if kind.white is None and kind.bits == 8:
        levels = levels.view(np.int8)
    elif kind.name.startswith("unsigned 32"):
        levels = levels.view(np.uint32)
    elif kind.unit != 1:
        levels = np.rint(levels * kind.unit)
    low, high = float(levels.min()), float(levels.max())
    if not np.isfinite((low, high)).all():
        raise UnreadableImage("some of its floats are no finite numbers")
    black, white = pixel_range or (0.0, kind.white or 0.0)
    clear = image.info.get("transparency")
    has_alpha = isinstance(clear, int)
    is_cut = low < black or high > white
    seen = Seen(kind.bits, kind.white, low, high, is_cut, False, has_alpha)
    pixels = _stretch(levels, *((white, black) if kind.white_is_low else (black, white)))
    opaque = np.full(pixels.shape, 255, np.uint8)
    if has_alpha:
        pixels[levels == clear] = 255
        opaque[levels == clear] = 0
    return Image.fromarray(pixels), opaque, seen


def _stretch_colours(
    picture: Image.Image,
    levels: Num[np.ndarray, "height width bands"] | None,
    kind: Kind,
    pixel_range: tuple[float, float],
) -> tuple[Image.Image, Seen]:
    """Scale the colours of an image so that `pixel_range` is black and white; alpha is unchanged.

    `levels` holds the samples if they are wider than those of the picture.
    """
    pixels = np.array(picture)
    colours = pixels[..., :3] if picture.mode == "RGBA" else pixels
    samples = colours if levels is None else levels[..., :3]
    low, high = _stored(float(samples.min()), float(samples.max()), kind)
    black, white = pixel_range
    seen = Seen(kind.bits, kind.white, low, high, low < black or high > white, False, False)
    if kind.inverted:
        whole = kind.white or 0.0
        black, white = whole - black, whole - white
        black, white = white, black
    colours[...] = _stretch(samples, black / kind.unit, white / kind.unit)
    return Image.fromarray(pixels), seen


def _stored(low: float, high: float, kind: Kind) -> tuple[float, float]:
    """Convert the smallest and largest of Pillow's values to stored values."""
    low, high = low * kind.unit, high * kind.unit
    whole = kind.white or 0.0
    return (whole - high, whole - low) if kind.inverted else (low, high)


def _stretch(
    levels: Num[np.ndarray, "height ..."], black: float, white: float
) -> UInt8[np.ndarray, "height ..."]:
    """Map `black` to 0 and `white` to 255, and clip values outside; in blocks of rows."""
    out = np.empty(levels.shape, np.uint8)
    step = max(1, _BLOCK // max(1, levels[0].size))
    for first in range(0, len(levels), step):
        part = (levels[first : first + step].astype(np.float64) - black) / (white - black)
        out[first : first + step] = np.rint(np.clip(part, 0, 1) * 255)
    return out


def _is_plain(picture: Image.Image) -> bool:
    """Whether all pixels have one colour, so that only alpha can hold a picture."""
    return all(low == high for low, high in picture.getextrema()[:3])  # pyright: ignore


def _on_white(picture: Image.Image, *, ignore_alpha: bool) -> Image.Image:
    if ignore_alpha:
        return picture.convert("RGB")
    white = Image.new("RGBA", picture.size, "white")
    white.alpha_composite(picture)
    return white
