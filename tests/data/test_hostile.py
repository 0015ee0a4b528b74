"""Small files that promise much, or never end, are refused before memory and time are spent."""

import io
import json
import os
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from autodecoder.data import load_dataset
from autodecoder.data.arrays import open_images
from autodecoder.data.decode import decode_image, read_head
from autodecoder.data.files import read_maybe_gzipped, read_members
from autodecoder.data.jpeg import has_one_scan
from autodecoder.data.manifest import FORMAT, SCHEMA, Head, read_manifest
from autodecoder.data.samples import UnreadableImage
from autodecoder.data.shards import read_columns_of, read_names
from autodecoder.data.tables import read_table
from autodecoder.data.tiff import refuse_many_strips
from autodecoder.errors import DataError


def npy(dtype: str, shape: tuple[int, ...], content: bytes = b"") -> bytes:
    """An array file whose header may promise more than its content."""
    file = io.BytesIO()
    about = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, about)
    return file.getvalue() + content


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_archives_of_arrays_have_numpy_s_compression(tmp_path: Path, method: int) -> None:
    """685 bytes of bzip2 took 1.2 GiB, although only a header was read."""
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("images.npy", npy("|u1", (4, 8, 8), bytes(256)))
    with pytest.raises(DataError, match=r"compressed by another method than that of np\.savez_c"):
        open_images(path)


def test_labels_of_no_bytes_are_refused(tmp_path: Path) -> None:
    """Twenty million of them had 726 bytes, and took 11 s to decode."""
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", npy("|u1", (4, 8, 8), bytes(256)))
        archive.writestr("labels.npy", npy("|S0", (20_000_000,)))
    with pytest.raises(DataError, match="its values have no bytes"):
        load_dataset(f"npz:{tmp_path / 'a.npz'}")


def _with_size(name: str, size: int) -> bytes:
    """The header of a tar member with a binary size, which may be negative."""
    header = bytearray(tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"\xff" + size.to_bytes(11, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _with_extended_size(name: str, size: int) -> bytes:
    about = tarfile.TarInfo("pax")
    record = f" size={size}\n"
    content = f"{len(record) + 2}{record}".encode()
    about.type, about.size = b"x", len(content)
    header = about.tobuf(tarfile.USTAR_FORMAT) + content.ljust(512, b"\0")
    return header + tarfile.TarInfo(name).tobuf(tarfile.USTAR_FORMAT)


@pytest.mark.parametrize("member", [_with_size("b.txt", -512), _with_extended_size("b.txt", -1536)])
def test_members_of_negative_size_do_not_follow_for_ever(tmp_path: Path, member: bytes) -> None:
    path = tmp_path / "a.tar"
    first = tarfile.TarInfo("a.txt").tobuf(tarfile.USTAR_FORMAT)
    path.write_bytes(first + member + bytes(1024))
    # Some releases of Python end the archive there, others would read it for ever.
    with pytest.raises(DataError, match=r"a member has the size -\d+|but holds none"):
        load_dataset(f"tar:{path}")
    with pytest.raises(DataError, match=r"a member has the size -\d+|lacks b\.txt"):
        read_members(path, ["b.txt"])


@pytest.fixture
def zarr() -> Any:
    return pytest.importorskip("zarr", reason="zarr is not installed")


def _zarr_array(folder: Path, chunk: bytes = b"", **about: Any) -> str:
    folder.mkdir()
    given = {"zarr_format": 2, "shape": [20, 4, 4], "chunks": [20, 4, 4], "dtype": "|u1"}
    given |= {"compressor": None, "fill_value": 0, "order": "C", "filters": None}
    (folder / ".zarray").write_text(json.dumps({**given, **about}))
    if chunk:
        (folder / "0.0.0").write_bytes(chunk)
    return f"zarr:{folder}"


@pytest.mark.usefixtures("zarr")
@pytest.mark.filterwarnings("default")
def test_arrays_of_zarr_have_known_codecs_and_chunks_of_a_readable_size(tmp_path: Path) -> None:
    """401 bytes of bzip2 took a gigabyte, and 150 bytes that promise one chunk 2.5."""
    with pytest.raises(DataError, match="is encoded by bz2, which is not read"):
        load_dataset(_zarr_array(tmp_path / "codec", compressor={"id": "bz2", "level": 9}))
    huge = [2_000_000, 64, 64]
    with pytest.raises(DataError, match="has chunks of more than 2 GiB"):
        load_dataset(_zarr_array(tmp_path / "huge", shape=huge, chunks=huge))
    with pytest.raises(DataError, match="which is too large"):
        load_dataset(_zarr_array(tmp_path / "impossible", shape=[10**20, 4, 4]))
    with pytest.raises(DataError, match=r"zarr:.*short cannot be read: "):
        load_dataset(_zarr_array(tmp_path / "short", b"abc"))


def _scans(*components: tuple[int, ...], side: int = 16) -> bytes:
    """A JPEG of three components with these scans; all of its pixels are grey."""

    def segment(marker: int, content: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content

    parts = [b"\xff\xd8", segment(0xDB, b"\0" + b"\1" * 64)]
    frame = b"".join(bytes([k, 0x11, 0]) for k in (1, 2, 3))
    parts.append(segment(0xC0, struct.pack(">BHHB", 8, side, side, 3) + frame))
    code = bytes([1, *[0] * 15, 0])
    parts += [segment(0xC4, b"\x00" + code), segment(0xC4, b"\x10" + code)]
    for some in components:
        content = bytes([len(some), *(value for k in some for value in (k, 0)), 0, 63, 0])
        n_bits = 2 * len(some) * (side // 8) ** 2
        parts += [segment(0xDA, content), bytes(-(-n_bits // 8))]
    return b"".join([*parts, b"\xff\xd9"])


def test_a_jpeg_of_several_scans_counts_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is held in memory at its full size, although it is decoded at a reduced one."""
    together, apart = io.BytesIO(_scans((1, 2, 3))), io.BytesIO(_scans((1,), (2,), (3,)))
    assert has_one_scan(together)
    assert not has_one_scan(apart)
    assert (together.tell(), apart.tell()) == (0, 0)
    for options in ({}, {"progressive": True}, {"comment": b"words", "exif": b"Exif\0\0MM\0*"}):
        made = io.BytesIO()
        Image.new("RGB", (16, 16)).save(made, "JPEG", **options)
        assert has_one_scan(made) or options.get("progressive")
    assert not has_one_scan(io.BytesIO(b"\xff\xd8\xff\xe0"))
    for content in (together, apart):
        out = np.zeros((2, 2, 3), np.uint8)
        decode_image(content, (2, 2), out)
        assert (out == out[0, 0]).all()
    monkeypatch.setattr("autodecoder.data.decode.MAX_PIXELS", 100)
    assert read_head(together, (2, 2)).height
    with pytest.raises(UnreadableImage, match="megapixels"):
        read_head(apart, (2, 2))


def _tiff(prefix: bytes, n_strips: int, *, n_tags: int = 4, big: bool = False) -> io.BytesIO:
    """A TIFF of 8 × 8 pixels; the tag of its strips is the last one, after tags of no meaning."""
    order = "<" if prefix.startswith(b"II") else ">"
    tags = [(256, 3, 1, 8), (257, 3, 1, 8), (278, 3, 1, 1)]
    tags += [(60_000, 3, 1, 0)] * (n_tags - 4) + [(273, 1, n_strips, 200)]
    head, of_tag = ("HHQQ", "HHQQ") if big else ("LH", "HHLL")
    start = (8, 0, 16, len(tags)) if big else (8, len(tags))
    made = prefix + struct.pack(order + head, *start)
    return io.BytesIO(made + b"".join(struct.pack(order + of_tag, *t) for t in tags) + bytes(300))


@pytest.mark.parametrize("prefix", TiffImagePlugin.PREFIXES)
def test_a_tiff_of_a_million_strips_is_refused(prefix: bytes) -> None:
    """Pillow took ten seconds for the list of strips of an image of 8 × 8."""
    try:  # Pillow also reads invalid beginnings, and one of a BigTIFF as that of a TIFF
        TiffImagePlugin.ImageFileDirectory_v2(prefix + bytes(12))
        big = True
    except struct.error:
        big = False
    many, few = (_tiff(prefix, n, big=big) for n in (1_000_000, 8))
    with pytest.raises(UnreadableImage, match=r"a TIFF of 1,000,000 strips, more than 131,072"):
        read_head(many, None)
    refuse_many_strips(few)
    assert few.tell() == 0


@pytest.mark.parametrize("big", [False, True])
def test_a_tiff_of_many_tags_is_refused(big: bool) -> None:
    """Tags after the ten thousandth were not looked at."""
    prefix = b"II+\0" if big else b"II*\0"
    with pytest.raises(UnreadableImage, match=r"a TIFF of 10,001 tags, more than 10,000"):
        read_head(_tiff(prefix, 1_000_000, n_tags=10_001, big=big), None)
    with pytest.raises(UnreadableImage, match="strips"):
        read_head(_tiff(prefix, 1_000_000, n_tags=10_000, big=big), None)


def test_a_cut_off_tiff_is_no_error_of_the_count() -> None:
    for cut in range(4, 40):
        with pytest.raises(UnreadableImage):
            read_head(io.BytesIO((b"II*\0" + struct.pack("<LH", 8, 3) + bytes(36))[:cut]), None)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe.png")
    return tmp_path / "pipe.png"


def test_pipes_are_not_waited_for(pipe: Path) -> None:
    with pytest.raises(DataError, match="must be a file, but is a device or a pipe"):
        read_maybe_gzipped(pipe)
    with pytest.raises(UnreadableImage, match="no file"):
        read_head(pipe, None)


def test_tables_are_read_from_files_of_limited_size(
    pipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(DataError, match="must be a file, but is a device or a pipe"):
            read_table(path)
    (tmp_path / "a.csv").write_text("1,2\n3,4\n")
    monkeypatch.setattr("autodecoder.data.tables._LARGEST", 7)
    with pytest.raises(DataError, match=r"a\.csv must have at most 7 bytes, but has more"):
        read_table(tmp_path / "a.csv")


def test_a_manifest_of_an_infinite_number_is_damaged(tmp_path: Path) -> None:
    """JSON can write a number that is too large for one, which ended in a traceback."""
    head = {"format": FORMAT, "schema": SCHEMA, "image_shape": [4, 4, 1], "class_names": ["a"]}
    text = json.dumps({**head, "source": {"seed": "?"}}).replace('"?"', "1e999")
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"is damaged: source must hold only what JSON can hold"):
        read_manifest(tmp_path)
    with pytest.raises(DataError, match="source must hold only what JSON can hold"):
        Head((4, 4, 1), ("a",), {"seed": {1, 2}})


def test_short_files_of_many_images_take_little_memory(tmp_path: Path) -> None:
    """Their longest possible length was allocated."""
    (tmp_path / "names.txt").write_bytes(b"a\nb\n")
    (tmp_path / "columns.csv").write_bytes(b"site\na\n")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="must hold 3000000 names, got 2"):
            read_names(tmp_path / "names.txt", 3_000_000)
        with pytest.raises(DataError, match="is damaged"):
            read_columns_of(tmp_path / "columns.csv", 3_000_000)
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
