"""Archives of a WebDataset."""

import io
import json
import logging
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.builders import flip, tar, unless_refused

from autodecoder.data import load_dataset
from autodecoder.errors import DataError


def png(level: int, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (6, 4), level).save(buffer, kind)
    return buffer.getvalue()


def archive(folder: Path, files: dict[str, bytes], mode: str = "w") -> str:
    (folder / "some.tar").write_bytes(tar(files, mode=mode))  # pyright: ignore[reportArgumentType]
    return f"tar:{folder / 'some.tar'}"


def test_images_with_labels(tmp_path: Path) -> None:
    files = {}
    for k in range(4):
        files[f"part/{k:04}.png"] = png(10 * k)
        files[f"part/{k:04}.cls"] = b"10\n" if k % 2 else b"9"
    data = load_dataset(archive(tmp_path, files), val_fraction=0.0)
    assert (data.name, data.class_names) == ("some", ("9", "10"))
    assert data.train.images[:, 0, 0, 0].tolist() == [0, 10, 20, 30]
    assert data.train.labels.tolist() == [0, 1, 0, 1]
    assert data.train.names is not None
    assert data.train.names.tolist() == [f"part/{k:04}.png" for k in range(4)]


@pytest.mark.parametrize(
    ("content", "label"),
    [
        *(("7", "7"), ('"cat"', "cat"), ('{"label": 3, "x": [1]}', "3"), ('{"cls": "a"}', "a")),
        *(('{"class": 2.0}', "2"), ('{"label": null}', "unlabelled"), ("{}", "unlabelled")),
    ],
)
def test_labels_in_json(tmp_path: Path, content: str, label: str) -> None:
    files = {"a.JPG": png(3, "JPEG"), "a.json": content.encode(), "b.png": png(4), "b.cls": b"0"}
    data = load_dataset(archive(tmp_path, files), val_fraction=0.0)
    assert data.class_names[data.train.labels[0]] == label


def test_a_cls_comes_before_a_json(tmp_path: Path) -> None:
    files = {"a.json": b'{"label": 5}', "a.png": png(0), "a.cls": b"1", "b.png": png(1)}
    for names in (list(files), list(files)[::-1]):
        data = load_dataset(
            archive(tmp_path, {name: files[name] for name in names}), val_fraction=0.0
        )
        assert set(data.class_names) == {"1", "unlabelled"}


def test_values_in_json_are_further_columns(tmp_path: Path) -> None:
    told = {"label": "x", "age": 7, "site": "<b>N</b>", "box": [1, 2], "nested": {"a": 1}}
    files = {
        "a.png": png(0),
        "a.json": json.dumps(told).encode(),
        "b.png": png(1),
        "b.json": b'{"site": "S", "ok": true, "age": null}',
        "b.cls": b"y",
        "c.png": png(2),
        "c.json": b"[no json",
        "c.cls": b"y",
    }
    name = archive(tmp_path, files)
    data = load_dataset(name, val_fraction=0.0)
    assert data.class_names == ("x", "y")
    assert {key: values.tolist() for key, values in data.train.columns.items()} == {
        "age": ["7", "", ""],
        "site": ["<b>N</b>", "S", ""],
        "ok": ["", "True", ""],
    }
    assert load_dataset(name, columns="none", val_fraction=0.0).train.columns == {}
    with pytest.raises(DataError, match=r"among those of some\.tar, age, site, ok, got box"):
        load_dataset(name, columns="box")


def test_other_members_are_passed_over(tmp_path: Path) -> None:
    files = {"a.png": png(1), "a.seg.png": png(2), "a.txt": b"a cat", "b.jpg": png(3)}
    data = load_dataset(archive(tmp_path, files), val_fraction=0.0)
    assert data.train.images[:, 0, 0, 0].tolist() == [1, 3]
    assert data.class_names == ("images",)
    assert data.notes[0] == "2 other members passed over"


def test_links_and_folders_are_no_images(tmp_path: Path) -> None:
    path = tmp_path / "some.tar"
    with tarfile.open(path, "w") as made:
        for name, kind in (("a.png", tarfile.SYMTYPE), ("b.png", tarfile.DIRTYPE)):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            made.addfile(member)
        member = tarfile.TarInfo("c" * 150 + ".png")
        member.size = len(png(5))
        made.addfile(member, io.BytesIO(png(5)))
    data = load_dataset(f"tar:{path}", val_fraction=0.0)
    assert data.train.images[:, 0, 0, 0].tolist() == [5]


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_archive_is_refused(tmp_path: Path, mode: str) -> None:
    with pytest.raises(DataError, match=r"is compressed by \w+, and .*: decompress the archive"):
        load_dataset(archive(tmp_path, {"a.png": png(0)}, mode))


def test_what_is_no_such_archive(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must be a tar archive, but is no file"):
        load_dataset(f"tar:{tmp_path}")
    (tmp_path / "a.tar").write_bytes(b"just text" * 100)
    with pytest.raises(DataError, match=r"a\.tar cannot be read as a tar archive"):
        load_dataset(f"tar:{tmp_path / 'a.tar'}")
    with pytest.raises(DataError, match=r"must hold images, such as .* but holds none"):
        load_dataset(archive(tmp_path, {"a.txt": b"text"}))


def test_an_image_twice(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"once, but has a\.png and a\.jpg"):
        load_dataset(archive(tmp_path, {"a.png": png(0), "a.jpg": png(1)}))


@pytest.mark.parametrize(
    "content", ["[1, 2]", '{"label": [1]}', "true", "1.5", "{", '"' + "x" * 300]
)
def test_labels_that_are_none(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"some\.tar: a\.json cannot be read: it is no label"):
        load_dataset(archive(tmp_path, {"a.png": png(0), "a.json": content.encode()}))
    with pytest.raises(DataError, match="200 letters or fewer"):
        load_dataset(archive(tmp_path, {"a.png": png(0), "a.json": json.dumps("x" * 300).encode()}))


def test_damaged_images_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {"a.png": png(0), "b.png": b"", "c.png": png(2)[:-30], "d.png": png(3)}
    with caplog.at_level(logging.WARNING, "autodecoder"):
        data = load_dataset(archive(tmp_path, files), val_fraction=0.0)
    assert data.train.images[:, 0, 0, 0].tolist() == [0, 3]
    assert "2 of 4 files cannot be read: b.png (empty), c.png" in caplog.text


def test_a_member_that_is_too_large_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = {"a.png": png(0), "b.png": png(1) + bytes(2**20), "c.png": png(2)}
    monkeypatch.setattr("autodecoder.data.webdataset._LARGEST_IMAGE", 2**20)
    data = load_dataset(archive(tmp_path, files), val_fraction=0.0)
    assert data.train.images[:, 0, 0, 0].tolist() == [0, 2]
    assert "1 of 3 files cannot be read: b.png (larger than 1 MiB)" in caplog.text


@pytest.mark.thorough
def test_whatever_byte_is_changed(tmp_path: Path) -> None:
    whole = tar({"a.png": png(0), "a.cls": b"1", "b.png": png(9), "b.json": b"2"}, mode="w")
    rng = np.random.default_rng(0)
    path = tmp_path / "some.tar"
    for position in rng.integers(0, 5 * 512, 300):
        path.write_bytes(flip(whole, int(position), int(rng.integers(1, 256))))
        unless_refused(lambda: load_dataset(f"tar:{path}", val_fraction=0.0), name="some")
