"""Every conversion that docs/datasets.md promises, and every file that is refused."""

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.builders import flip
from tests.data.pictures import RED, WHITE, animation, bomb, plain, quarters, save

from autodecoder.data.decode import UnreadableImage, decode, quiet_pillow, read_head


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_pillow():
        yield


def pixels_of(path: Path, size: tuple[int, int] | None = None, channels: int = 3) -> np.ndarray:
    """What `decode` makes of a file of the size that `read_head` tells."""
    head = read_head(path, size)
    out = np.zeros((*(size or head[:2]), channels), np.uint8)
    decode(path, size, out)
    return out


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


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright(tmp_path: Path, suffix: str, orientation: int) -> None:
    """By hand: what a camera stores that is held so, comes back as it was seen."""
    seen = np.kron(quarters(), np.ones((16, 16, 1), np.uint8))
    stored = {
        1: seen,
        2: seen[:, ::-1],
        3: seen[::-1, ::-1],
        4: seen[::-1],
        5: seen.swapaxes(0, 1),
        6: np.rot90(seen),
        7: seen[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(seen, -1),
    }

    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored[orientation]))
    path = save(tmp_path / f"a.{suffix}", image, exif=exif)
    assert read_head(path, None)[:2] == (64, 96)
    off = pixels_of(path).astype(int) - seen
    assert np.abs(off).mean() < 8
    small = pixels_of(path, (4, 6)).astype(int) - quarters()
    assert np.abs(small).mean() < 25


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


def test_pixels_of_no_known_range_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tiff", Image.fromarray(np.ones((2, 2), np.float32)))
    with pytest.raises(UnreadableImage, match="32 bits"):
        pixels_of(path)


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
            decode(path, size, np.zeros((8, 8, 1), np.uint8))
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
            decode(io.BytesIO(content), (4, 6), np.zeros((4, 6, 1), np.uint8))
        except UnreadableImage:
            pass
