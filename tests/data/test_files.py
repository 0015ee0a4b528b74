import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.builders import TarMode, flip, idx, tar, unless_refused, write

from autodecoder.data.files import read_maybe_gzipped, read_members
from autodecoder.data.idx import parse_idx
from autodecoder.errors import DataError

CONTENT = idx(np.arange(200).reshape(8, 5, 5))
# Noise of few values: packed, it fills more than one of the blocks that gzip is read by.
NOISE = np.random.default_rng(0).integers(0, 8, 300_000, dtype=np.uint8).tobytes()
MEMBERS = {"set/a.bin": NOISE[:150_000], "set/b.bin": NOISE[150_000:]}
PACKED = tar(MEMBERS)
READ = {"a.bin": MEMBERS["set/a.bin"], "b.bin": MEMBERS["set/b.bin"]}
POSITION = st.integers(0, 1_000_000)
MASK = st.integers(1, 255)


def zipped(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", content)
    return buffer.getvalue()


OTHER_PACKERS = {
    "xz": lzma.compress(CONTENT),
    "bzip2": bz2.compress(CONTENT),
    "zip": zipped(CONTENT),
    "zstandard": b"\x28\xb5\x2f\xfd" + CONTENT,
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that every example of a hypothesis test may overwrite."""
    return tmp_path_factory.mktemp("files") / "damaged.gz"


# ---------------------------------------------------------------- single files


@pytest.mark.parametrize("name", ["images", "images.gz"])
@pytest.mark.parametrize(
    "stored",
    [CONTENT, gzip.compress(CONTENT), gzip.compress(CONTENT[:9]) + gzip.compress(CONTENT[9:])],
    ids=["plain", "gzipped", "gzipped in two parts"],
)
def test_files_are_unpacked_by_content_whatever_their_name(
    tmp_path: Path, name: str, stored: bytes
) -> None:
    write(tmp_path, {name: stored})
    assert read_maybe_gzipped(tmp_path / name) == CONTENT
    assert [file.name for file in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"", "is empty"),
        (gzip.compress(CONTENT)[:-1], "truncated or damaged gzip file"),
        (gzip.compress(CONTENT)[:2], "truncated or damaged gzip file"),
        (gzip.compress(CONTENT) + b"more", "truncated or damaged gzip file"),
        (gzip.compress(gzip.compress(CONTENT)), "is gzipped twice"),
        *((stored, f"is packed with {kind} where") for kind, stored in OTHER_PACKERS.items()),
        *(
            (gzip.compress(stored), f"is packed with {kind} where")
            for kind, stored in OTHER_PACKERS.items()
        ),
    ],
)
def test_error_names_file_and_fault(tmp_path: Path, stored: bytes | None, message: str) -> None:
    if stored is not None:
        write(tmp_path, {"images.gz": stored})
    with pytest.raises(DataError, match=f"^{re.escape(str(tmp_path / 'images.gz'))} .*{message}"):
        read_maybe_gzipped(tmp_path / "images.gz")


def test_folder_under_the_name_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(str(tmp_path))} cannot be read: Is a dir"):
        read_maybe_gzipped(tmp_path)


@settings(deadline=None)
@given(content=st.binary(max_size=200), data=st.data())
def test_truncated_gzip_is_refused(path: Path, content: bytes, data: st.DataObject) -> None:
    packed = gzip.compress(content)
    path.write_bytes(packed[: data.draw(st.integers(2, len(packed) - 1))])
    with pytest.raises(DataError, match=r"damaged\.gz is a truncated or damaged gzip file"):
        read_maybe_gzipped(path)


@settings(deadline=None)
@given(position=POSITION, mask=MASK)
def test_changed_gzip_is_refused_or_read_as_it_was(path: Path, position: int, mask: int) -> None:
    path.write_bytes(flip(gzip.compress(CONTENT), position, mask))
    # The parser has its part: without its magic number a gzip file is any other file.
    array = unless_refused(
        lambda: parse_idx(read_maybe_gzipped(path), n_axes=3, name=str(path)), name=str(path)
    )
    assert array is None or idx(array) == CONTENT


# -------------------------------------------------------------------- archives


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("folder", ["", "set/", "./deep/er/", "../", "/"])
def test_members_are_read_from_any_folder_and_never_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: TarMode, folder: str
) -> None:
    work = tmp_path / "work"
    write(
        work, {"set.tar.gz": tar({f"{folder}{n}": n.encode() for n in ("a", "b", "c")}, mode=mode)}
    )
    monkeypatch.chdir(work)
    assert read_members(work / "set.tar.gz", ["c", "a"]) == {"a": b"a", "c": b"c"}
    assert sorted(tmp_path.rglob("*")) == [work, work / "set.tar.gz"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, None])
def test_links_and_folders_do_not_stand_for_a_file(tmp_path: Path, kind: bytes | None) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("set/b.bin"))
        if kind is not None:
            member = tarfile.TarInfo("set/a.bin")
            member.type = kind
            member.linkname = "" if kind == tarfile.DIRTYPE else "set/b.bin"
            archive.addfile(member)
    with pytest.raises(DataError, match=r"set\.tar must hold a\.bin, b\.bin, but lacks a\.bin\.$"):
        read_members(tmp_path / "set.tar", ["a.bin", "b.bin"])


@pytest.mark.parametrize(
    "stored",
    [
        None,
        b"",
        b"<!DOCTYPE html>" * 100,
        PACKED[:1000],
        PACKED[:-1],
        tar(MEMBERS, mode="w")[:200_000],
        flip(tar(MEMBERS, mode="w:xz"), 50_000, 1),
        flip(tar(MEMBERS, mode="w:bz2"), 50_000, 1),
        gzip.compress(tar(MEMBERS)),
    ],
    ids=["missing", "empty", "html", "head", "tail", "plain head", "bad xz", "bad bz2", "twice"],
)
def test_unreadable_archive_is_named(tmp_path: Path, stored: bytes | None) -> None:
    if stored is not None:
        write(tmp_path, {"set.tar.gz": stored})
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "set.tar.gz"))):
        read_members(tmp_path / "set.tar.gz", ["a.bin", "b.bin"])


@settings(max_examples=40, deadline=None)
@given(position=POSITION, mask=MASK)
def test_changed_packed_archive_is_refused_or_read_as_it_was(
    path: Path, position: int, mask: int
) -> None:
    path.write_bytes(flip(PACKED, position, mask))
    found = unless_refused(lambda: read_members(path, ["a.bin", "b.bin"]), name=str(path))
    assert found is None or found == READ


@settings(max_examples=40, deadline=None)
@given(kept=st.floats(0, 1, exclude_max=True))
def test_truncated_packed_archive_is_refused(path: Path, kept: float) -> None:
    path.write_bytes(PACKED[: int(kept * len(PACKED))])
    with pytest.raises(DataError, match=r"damaged\.gz"):
        read_members(path, ["a.bin", "b.bin"])


@settings(deadline=None)
@given(position=POSITION, mask=MASK, kept=st.integers(0, 10_240))
def test_damaged_plain_archive(path: Path, position: int, mask: int, kept: int) -> None:
    """A bare tar file has no checksum over its content; its members' sizes must hold yet."""
    members = {"set/a.bin": bytes(700), "set/b.bin": bytes(5)}
    path.write_bytes(flip(tar(members, mode="w"), position, mask)[:kept])
    found = unless_refused(lambda: read_members(path, ["a.bin", "b.bin"]), name=str(path))
    if found is not None:
        assert {name: len(content) for name, content in found.items()} == {"a.bin": 700, "b.bin": 5}
