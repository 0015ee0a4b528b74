"""Every conversion that docs/datasets.md promises, and every file that is refused."""

import io
import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin
from tests.data.builders import flip
from tests.data.pictures import RED, WHITE, animation, bomb, plain, quarters, save
from tests.data.tiffs import tiff

from autodecoder.data.decode import UnreadableImage, decode_image, quiet_pillow, read_head
from autodecoder.data.samples import Seen


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_pillow():
        yield


def pixels_of(
    source: Path | bytes,
    size: tuple[int, int] | None = None,
    channels: int = 3,
    pixel_range: tuple[float, float] | None = None,
) -> np.ndarray:
    """What `decode` makes of a file of the size that `read_head` tells."""
    found = io.BytesIO(source) if isinstance(source, bytes) else source
    ends = floats(pixel_range)
    head = read_head(found, size, ends)
    out = np.zeros((*(size or head[:2]), channels), np.uint8)
    decode_image(found, size, out, ends)
    return out


def floats(pixel_range: tuple[float, float] | None) -> tuple[float, float] | None:
    return None if pixel_range is None else (float(pixel_range[0]), float(pixel_range[1]))


def grey_of(content: bytes, pixel_range: tuple[float, float] | None = None) -> list[int]:
    return pixels_of(content, channels=1, pixel_range=pixel_range).ravel().tolist()


def seen_in(content: bytes, pixel_range: tuple[float, float] | None = None) -> Seen:
    file = io.BytesIO(content)
    ends = floats(pixel_range)
    out = np.zeros((*read_head(file, None, ends)[:2], 3), np.uint8)
    return decode_image(file, None, out, ends)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name", ["a.png", "a.bmp", "a.tiff", "a.gif", "a.ppm", "a.webp", "wrong.jpg"]
)
def test_formats_without_loss_come_back_as_they_were(tmp_path: Path, name: str) -> None:
    """Whatever the name says: what a file is is told by its content."""
    options: dict = {"lossless": True} if name.endswith("webp") else {}
    if name == "wrong.jpg":
        options["format"] = "PNG"
    path = save(tmp_path / name, Image.fromarray(quarters()), **options)
    assert read_head(path, None)[:2] == (4, 6)
    np.testing.assert_array_equal(pixels_of(path), quarters())


def test_a_jpeg_is_close(tmp_path: Path) -> None:
    image = Image.linear_gradient("L").resize((32, 32))
    path = save(tmp_path / "a.jpg", image, quality=95)
    assert read_head(path, None) == (32, 32, True)
    off = pixels_of(path, channels=1)[..., 0].astype(int) - np.asarray(image)
    assert np.abs(off).max() <= 4


def turned(seen: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores of what it saw."""
    stored = {
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.swapaxes(0, 1),
        6: np.rot90(seen),
        7: seen[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(seen, -1),
    }
    return np.ascontiguousarray(stored.get(orientation, seen))


@pytest.mark.parametrize("suffix", ["jpg", "mpo", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    """By hand: what a camera stores that is held so, comes back as it was seen."""
    seen = np.kron(quarters(), np.ones((16, 16, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict = {"exif": exif}
    if suffix == "mpo":
        options |= {"save_all": True, "append_images": [plain(9)]}
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(turned(seen, orientation)), **options)
    assert read_head(path, None)[:2] == (64, 96)
    off = pixels_of(path).astype(int) - seen
    assert np.abs(off).mean() < 8
    small = pixels_of(path, (4, 6)).astype(int) - quarters()
    assert np.abs(small).mean() < 25


@pytest.mark.parametrize(
    ("mode", "way"),
    [
        (mode, way)
        for mode in ("1", "L", "I;16", "I;16B", "P", "RGB", "RGBA", "CMYK", "F", "I")
        for way in ("strip", "lzw", "tiles")
        if way != "tiles" or mode not in ("1", "P")
    ],
)
def test_turned_tiffs_are_the_picture_whatever_holds_them(
    tmp_path: Path, mode: str, way: str
) -> None:
    """Not only of one size: a picture of another width comes back pixel by pixel."""
    expected = seen = np.random.default_rng(0).integers(0, 256, (8, 12), np.uint8)
    if mode in ("RGB", "RGBA", "CMYK"):
        seen = np.random.default_rng(0).integers(0, 256, (8, 12, len(mode)), np.uint8)
        seen[..., 3:] = 255 if mode == "RGBA" else 0
        expected = 255 - seen[..., :3] if mode == "CMYK" else seen[..., :3]
    stored = {"I;16": np.uint16, "I;16B": np.uint16, "F": np.float32, "I": np.int32}
    if mode == "1":
        seen, expected = seen > 127, np.where(seen > 127, 255, 0)
    seen = seen.astype(stored.get(mode, seen.dtype))
    if mode.startswith("I;16"):
        seen *= 257
    pixel_range = (0.0, 255.0) if mode in ("F", "I") else None
    channels = 3 if seen.ndim == 3 else 1
    for orientation in range(1, 9):
        pixels = turned(seen, orientation)
        if way == "tiles" or mode == "I;16B":
            photometric = {"RGB": 2, "RGBA": 2, "CMYK": 5}.get(mode, 1)
            content = tiff(
                pixels,
                photometric=photometric,
                order=">" if mode == "I;16B" else "<",
                tile=16 if way == "tiles" else 0,
                extra=2 if mode == "RGBA" else None,
                orientation=orientation,
            )
        else:
            image = Image.fromarray(pixels)
            if mode == "P":
                image.putpalette(np.repeat(np.arange(256), 3).tolist())
            elif mode == "CMYK":
                image = Image.frombytes("CMYK", image.size, pixels.tobytes())
            options = {"compression": "tiff_lzw"} if way == "lzw" else {}
            content = encoded(image, "TIFF", tiffinfo={274: orientation}, **options)
        path = tmp_path / f"{orientation}.tif"
        path.write_bytes(content)
        for source in (path, content):
            found = pixels_of(source, channels=channels, pixel_range=pixel_range)
            np.testing.assert_array_equal(found.reshape(expected.shape), expected)


@pytest.mark.parametrize("orientation", [0, 9, 65_535])
def test_orientations_that_are_none(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for suffix in ("png", "tiff"):
        path = save(tmp_path / f"a.{suffix}", Image.fromarray(quarters()), exif=exif)
        np.testing.assert_array_equal(pixels_of(path), quarters())


@pytest.mark.parametrize("suffix", ["png", "tiff", "webp"])
def test_an_orientation_in_xmp_alone(tmp_path: Path, suffix: str) -> None:
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    options: dict = {"xmp": xmp}
    if suffix == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        options = {"pnginfo": info}
    elif suffix == "tiff":
        options = {"tiffinfo": {700: xmp}}
    else:
        options |= {"lossless": True}
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(turned(quarters(), 6)), **options)
    np.testing.assert_array_equal(pixels_of(path), quarters())


def test_tags_behind_the_pixels_of_a_png(tmp_path: Path) -> None:
    """Where some programs put them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(Image.fromarray(turned(quarters(), 6)), "PNG", exif=exif)
    length = int.from_bytes(content[33:37], "big") + 12
    assert content[37:41] == b"eXIf"
    moved = content[:33] + content[33 + length : -12] + content[33 : 33 + length] + content[-12:]
    path = tmp_path / "a.png"
    path.write_bytes(moved)
    for source in (path, moved):
        np.testing.assert_array_equal(pixels_of(source), quarters())


@pytest.mark.parametrize("kind", ["zTXt", "tEXt", "iTXt", "iCCP"])
def test_texts_and_profiles_of_any_length_in_a_png(kind: str) -> None:
    text, options = "x" * 70_000_000 if kind == "tEXt" else "x" * 2_000_000, {}
    info = PngImagePlugin.PngInfo()
    if kind == "iCCP":
        options["icc_profile"] = text.encode()
    elif kind == "iTXt":
        info.add_itxt("workflow", text, zip=True)
    else:
        info.add_text("workflow", text, zip=kind == "zTXt")
    content = encoded(Image.fromarray(quarters()), "PNG", pnginfo=info, **options)
    assert kind.encode() in content
    np.testing.assert_array_equal(pixels_of(content), quarters())


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(animation())
    assert (pixels_of(path) == RED).all()


@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.pgm"])
def test_16_bits_become_8(tmp_path: Path, name: str) -> None:
    levels = np.array([[0, 128, 257, 32_768], [65_535, 65_407, 65_406, 514]], np.uint16)
    path = save(tmp_path / name, Image.fromarray(levels))
    assert read_head(path, None) == (2, 4, True)
    expected = np.rint(levels * (255 / 65_535))
    np.testing.assert_array_equal(pixels_of(path, channels=1)[..., 0], expected)


def test_one_bit(tmp_path: Path) -> None:
    bits = np.array([[True, False, True]])
    path = save(tmp_path / "a.png", Image.fromarray(bits))
    assert read_head(path, None) == (1, 3, True)
    assert pixels_of(path, channels=1).ravel().tolist() == [255, 0, 255]


def test_cmyk(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95)
    assert not read_head(path, None).grey
    assert np.abs(pixels_of(path).astype(int) - RED).max() <= 6


def test_palettes(tmp_path: Path) -> None:
    coloured = save(tmp_path / "a.png", Image.fromarray(quarters()).quantize(4))
    np.testing.assert_array_equal(pixels_of(coloured), quarters())
    assert not read_head(coloured, None).grey
    levels = Image.new("P", (3, 1))
    levels.putpalette([0, 0, 0, 90, 90, 90, 200, 200, 200])
    levels.putdata([2, 0, 1])
    for name in ("b.png", "b.bmp"):
        path = save(tmp_path / name, levels)
        assert read_head(path, None).grey
        assert pixels_of(path, channels=1).ravel().tolist() == [200, 0, 90]


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(tmp_path: Path, kind: str) -> None:
    picture = Image.new("RGBA", (3, 1), (*RED, 255))
    picture.putpixel((1, 0), (0, 0, 0, 0))
    picture.putpixel((2, 0), (0, 0, 0, 51))
    options: dict = {}
    if kind == "P":
        picture = Image.new("P", (3, 1))
        picture.putpalette([*RED, 0, 0, 0, 0, 0, 0])
        picture.putdata([0, 1, 2])
        options["transparency"] = bytes((255, 0, 51))
    elif kind == "LA":
        picture = picture.convert("LA")
    path = save(tmp_path / "a.png", picture, **options)
    first, clear, faint = pixels_of(path)[0].tolist()
    assert first == ([76] * 3 if kind == "LA" else list(RED))
    assert clear == list(WHITE)
    assert faint == [204, 204, 204]
    assert read_head(path, None).grey == (kind == "LA")


def test_colours_become_grey_by_their_brightness(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(quarters()))
    assert sorted(set(pixels_of(path, channels=1).ravel())) == [29, 76, 150]
    grey = save(tmp_path / "b.png", plain(77))
    assert (pixels_of(grey) == 77).all()


def test_images_are_cropped_around_the_centre_then_scaled(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 200
    path = save(tmp_path / "a.png", Image.fromarray(wide))
    assert (pixels_of(path, (10, 10))[:, 2:-2] >= 199).all()
    assert 195 <= pixels_of(path, (5, 15), channels=1)[2, 7, 0] <= 205
    assert pixels_of(save(tmp_path / "b.png", plain(9)), (40, 30)).shape == (40, 30, 3)


BAD = {
    "zero bytes": (b"", "empty"),
    "text": (b"not a picture at all", "no image of a format that is read"),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no image of a format"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image of a format"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_image(tmp_path: Path, case: str) -> None:
    content, reason = BAD[case]
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for source in (path, io.BytesIO(content)):
        with pytest.raises(UnreadableImage, match=reason):
            read_head(source, None)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "gif", "bmp", "tiff"])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableImage, match=r"damaged|truncated|no image"):
        pixels_of(path)


UNKNOWN = {
    "i1": "signed 8-bit integers",
    "i2": "signed 16-bit integers",
    "i4": "signed 32-bit integers",
    "u4": "unsigned 32-bit integers",
    "f4": "32-bit floats",
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", UNKNOWN)
def test_samples_whose_range_no_file_tells(kind: str, order: Literal["<", ">"]) -> None:
    levels = np.array([[0, 25, 50], [75, 100, 120]], kind)
    content = tiff(levels, order=order)
    if (kind, order) == ("u4", ">"):
        with pytest.raises(UnreadableImage, match="unsigned 32-bit integers in big-endian order"):
            read_head(io.BytesIO(content), None)
        return
    with pytest.raises(UnreadableImage, match=f"of {UNKNOWN[kind]}, .* train --range LOW:HIGH"):
        read_head(io.BytesIO(content), None)
    assert grey_of(content, (0, 100)) == [0, 64, 128, 191, 255, 255]
    assert seen_in(content, (0, 100)).is_cut
    assert not seen_in(content, (0, 120)).is_cut
    if kind != "u4":
        low = tiff(np.array([[-100, 0, 100]], kind), order=order)
        assert grey_of(low, (-100, 100)) == [0, 128, 255]
    if kind == "u4":
        high = tiff(np.array([[2**31, 2**32 - 1]], kind))
        assert grey_of(high, (0, 2**32 - 1)) == [128, 255]
    if kind in ("i4", "f4"):
        packed = encoded(Image.fromarray(levels.astype(kind)), "TIFF", compression="tiff_lzw")
        assert grey_of(packed, (0, 100)) == [0, 64, 128, 191, 255, 255]


def test_a_portable_float_map() -> None:
    rows = np.array([[0, 0.25], [0.5, 1]], "<f4")
    content = b"Pf\n2 2\n-1.0\n" + rows[::-1].tobytes()
    with pytest.raises(UnreadableImage, match="of 32-bit floats"):
        read_head(io.BytesIO(content), None)
    assert grey_of(content, (0, 1)) == [0, 64, 128, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_floats_that_are_not_finite(value: float) -> None:
    content = tiff(np.array([[0, value]], "f4"))
    with pytest.raises(UnreadableImage, match="no finite numbers"):
        grey_of(content, (0, 1))


@pytest.mark.parametrize(
    ("kind", "words"), [("f8", "64-bit floats"), ("f2", "16-bit floats"), ("u8", "unsigned 64-bit")]
)
def test_a_tiff_that_is_not_read_is_named(kind: str, words: str) -> None:
    with pytest.raises(UnreadableImage, match=f"a TIFF of {words}.*, which Pillow does not read"):
        read_head(io.BytesIO(tiff(np.ones((2, 2), kind))), None)


@pytest.mark.parametrize("pack", ["raw", "tiff_lzw", "tiles"])
def test_a_tiff_in_which_0_is_white(pack: str) -> None:
    """Whatever its bits: it is the negative of the one in which 0 is black."""
    for kind, white in (("u2", 65_535), ("u1", 255), ("f4", 1)):
        levels = np.linspace(0, white, 48).reshape(6, 8).astype(kind)
        pixel_range = (0.0, 1.0) if kind == "f4" else None
        if pack == "tiff_lzw":
            files = [
                encoded(
                    Image.fromarray(levels if photometric or kind != "u1" else 255 - levels),
                    "TIFF",
                    tiffinfo={262: photometric},
                    compression=pack,
                )
                for photometric in (0, 1)
            ]
        else:
            tile = 16 if pack == "tiles" else 0
            files = [tiff(levels, photometric=k, tile=tile) for k in (0, 1)]
        negative, positive = (np.array(grey_of(file, pixel_range)) for file in files)
        np.testing.assert_array_equal(negative, 255 - positive)
        assert positive[0] == 0


def test_a_range_where_0_is_white() -> None:
    for kind in ("u1", "u2", "f4"):
        content = tiff(np.array([[0, 10, 25, 100]], kind), photometric=0)
        assert grey_of(content, (0, 100)) == [255, 230, 191, 0], kind
        assert (seen := seen_in(content, (0, 50))).is_cut
        assert (seen.low, seen.high) == (0, 100)


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 4])
def test_few_bits(bits: int, photometric: int) -> None:
    levels = np.array([[0, 1, 1, 0, 1, 0, 0, 1]]) * (2**bits - 1)
    expected = 255 * (levels > 0).ravel() if photometric else 255 * (levels == 0).ravel()
    content = tiff(levels.astype(np.uint8), bits=bits, photometric=photometric)
    assert grey_of(content) == expected.tolist()
    assert grey_of(content, (0, 2**bits - 1)) == expected.tolist()


def test_colours_in_planes_and_tiles() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    ways: tuple[dict, ...] = ({"planar": True}, {"tile": 16}, {"order": ">"})
    for options in ways:
        np.testing.assert_array_equal(pixels_of(tiff(pixels, photometric=2, **options)), pixels)


def test_lab_becomes_grey_too() -> None:
    lab = encoded(Image.new("LAB", (2, 2), (128, 128, 128)), "TIFF")
    grey = grey_of(lab)
    assert max(grey) - min(grey) == 0
    assert abs(grey[0] - 119) < 4
    assert np.ptp(pixels_of(lab).reshape(-1, 3), axis=1).max() <= 4


def test_a_range_of_bytes() -> None:
    levels = np.array([[0, 1, 2, 4]], np.uint8)
    for kind in ("PNG", "TIFF", "BMP", "PPM"):
        content = encoded(Image.fromarray(levels), kind)
        assert grey_of(content, (0, 4)) == [0, 64, 128, 255], kind
        assert seen_in(content, (0, 1)).is_cut
    colours = np.stack([levels, levels[:, ::-1], 0 * levels], axis=2)
    for image in (Image.fromarray(colours), Image.fromarray(colours).convert("RGBA")):
        found = pixels_of(encoded(image, "PNG"), pixel_range=(0, 4))
        np.testing.assert_array_equal(found, np.rint(colours * 63.75))
    half = Image.fromarray(levels).convert("LA")
    half.putalpha(Image.fromarray(np.array([[255, 255, 0, 255]], np.uint8)))
    assert grey_of(encoded(half, "PNG"), (0, 4)) == [0, 64, 255, 255]


def test_a_range_of_16_bits() -> None:
    levels = np.array([[0, 1024, 2048, 4095]], np.uint16)
    for kind in ("PNG", "TIFF", "PPM"):
        content = encoded(Image.fromarray(levels), kind)
        assert grey_of(content) == [0, 4, 8, 16], kind
        assert grey_of(content, (0, 4095)) == [0, 64, 128, 255], kind
        assert (seen_in(content).bits, seen_in(content).high) == (16, 4095)
    own = b"P5 4 1 4095\n" + levels.astype(">u2").tobytes()
    assert grey_of(own) == grey_of(own, (0, 4095)) == [0, 64, 128, 255], (
        "a largest value of its own"
    )


def png16(levels: np.ndarray) -> bytes:
    """A PNG of 16-bit colours, or colours and alpha, which Pillow does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    height, width, bands = levels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


DEEP: dict[str, dict] = {
    "png": {},
    "strip": {},
    "big-endian": {"order": ">"},
    "planes": {"planar": True},
    "big-endian planes": {"planar": True, "order": ">"},
    "tiles": {"tile": 16},
}


@pytest.mark.parametrize("way", DEEP)
def test_colours_of_16_bits(way: str) -> None:
    """By their upper bytes; all of their bits count where a range is given."""
    levels = np.random.default_rng(0).integers(0, 4096, (5, 6, 3)).astype(np.uint16)
    levels[0, 0] = 4095
    content = png16(levels) if way == "png" else tiff(levels, photometric=2, **DEEP[way])
    np.testing.assert_array_equal(pixels_of(content), levels >> 8)
    assert 3840 <= seen_in(content).high <= 4095
    found = pixels_of(content, pixel_range=(0, 4095))
    np.testing.assert_array_equal(found, np.rint(levels / 4095 * 255))
    assert seen_in(content, (0, 4095)).high == 4095
    assert not seen_in(content, (0, 4095)).is_cut
    alpha = np.dstack([levels, np.full((5, 6), 65_535, np.uint16)])
    extra: dict = {"photometric": 2, "extra": 2, **DEEP[way]}
    content = png16(alpha) if way == "png" else tiff(alpha, **extra)
    if not extra.get("planar"):
        np.testing.assert_array_equal(pixels_of(content, pixel_range=(0, 4095)), found)


def test_a_transparent_level_of_16_bits() -> None:
    levels = np.array([[0, 7, 65_535]], np.uint16)
    assert grey_of(encoded(Image.fromarray(levels), "PNG", transparency=7)) == [0, 255, 255]


@pytest.mark.parametrize("kind", ["png", "tiff", "webp", "bmp"])
def test_colours_behind_an_alpha_of_0_everywhere(kind: str) -> None:
    """Some programs leave it unset: the colours are the picture."""
    pixels = np.dstack([quarters(), np.zeros((4, 6), np.uint8)])
    options: dict = {"lossless": True, "exact": True} if kind == "webp" else {}
    content = encoded(Image.fromarray(pixels), kind, **options)
    if kind == "bmp":
        content = bitmap(pixels)
    np.testing.assert_array_equal(pixels_of(content), quarters())
    assert seen_in(content).is_clear


def bitmap(pixels: np.ndarray) -> bytes:
    """A BMP of 32 bits that names the place of each channel, alpha too."""
    height, width = pixels.shape[:2]
    rows = pixels[::-1, :, [2, 1, 0, 3]].tobytes()
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    info = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, 3, len(rows), 0, 0, 0, 0)
    info += struct.pack("<4I", *masks) + bytes(108 - 40 - 16)
    return b"BM" + struct.pack("<IHHI", 14 + 108 + len(rows), 0, 0, 14 + 108) + info + rows


def test_a_blank_picture_stays_white() -> None:
    blank = encoded(Image.new("RGBA", (3, 2), (0, 0, 0, 0)), "PNG")
    assert (pixels_of(blank) == 255).all()
    assert seen_in(blank).is_clear
    grey = Image.new("LA", (3, 2), (0, 0))
    grey.putpixel((0, 0), (90, 0))
    assert grey_of(encoded(grey, "PNG")) == [90, 0, 0, 0, 0, 0]
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *WHITE])
    palette.putdata([0, 1])
    clear = encoded(palette, "PNG", transparency=bytes(2))
    np.testing.assert_array_equal(pixels_of(clear)[0], [RED, WHITE])


def test_premultiplied_alpha() -> None:
    for channels, photometric in ((2, 1), (4, 2)):
        pixels = np.full((2, 3, channels), 60, np.uint8)
        pixels[..., -1] = 128
        try:
            found = pixels_of(tiff(pixels, photometric=photometric, extra=1))
        except UnreadableImage as error:  # older releases of Pillow
            assert "which Pillow does not read" in str(error)  # noqa: PT017
        else:
            assert np.abs(found.astype(int) - (60 + 127)).max() <= 2


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="no such file"):
        read_head(tmp_path / "a.png", None)


@pytest.mark.parametrize("width", [10_000, 20_000], ids=["100 megapixels", "200 megapixels"])
def test_huge_images_are_refused_by_their_header(tmp_path: Path, width: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(bomb(width, 10_000))
    tracemalloc.start()
    for size in (None, (8, 8)):
        with pytest.raises(UnreadableImage, match="larger than 50 megapixels"):
            read_head(path, size)
        with pytest.raises(UnreadableImage, match="larger than 50 megapixels"):
            decode_image(path, size, np.zeros((8, 8, 1), np.uint8))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


def test_a_huge_jpeg_is_decoded_at_an_eighth_where_that_is_enough(tmp_path: Path) -> None:
    path = save(tmp_path / "a.jpg", Image.new("L", (10_000, 6_000), 90))
    with pytest.raises(UnreadableImage, match="larger"):
        read_head(path, None)
    assert read_head(path, (8, 8)) == (6_000, 10_000, True)
    assert (pixels_of(path, (8, 8), channels=1) == 90).all()
    progressive = save(tmp_path / "b.jpg", Image.new("L", (10_000, 6_000), 90), progressive=True)
    with pytest.raises(UnreadableImage, match="larger"):
        read_head(progressive, (8, 8))


FILES = {
    "png": plain(7),
    "jpg": plain(7),
    "gif": plain(7),
    "bmp": plain(7),
    "tiff": plain(7),
    "webp": plain(7),
}


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_files_are_read_or_refused(kind: str, data: st.DataObject) -> None:
    """Never another error: one bad file must not end the reading of thousands."""
    buffer = io.BytesIO()
    FILES[kind].save(buffer, {"jpg": "jpeg"}.get(kind, kind))
    content = buffer.getvalue()
    for _ in range(data.draw(st.integers(1, 4))):
        content = flip(content, data.draw(st.integers(0, 10**4)), data.draw(st.integers(1, 255)))
    content = (
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    with quiet_pillow():
        try:
            head = read_head(io.BytesIO(content), (4, 6))
            assert head.height > 0
            decode_image(io.BytesIO(content), (4, 6), np.zeros((4, 6, 1), np.uint8))
        except UnreadableImage:
            pass
