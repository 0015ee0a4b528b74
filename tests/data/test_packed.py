"""Packed images as an array, and as a data set; folders that are not as they were written."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.builders import assert_same

from autodecoder.config import DataConfig
from autodecoder.data import ImageSet, load_dataset, subset, unpacking
from autodecoder.data.manifest import Head, Manifest, Shard
from autodecoder.data.pack_writer import PackWriter
from autodecoder.data.packed import Packed, PackedImages, check_packed, open_packed
from autodecoder.data.packing import pack_images
from autodecoder.data.shards import MOST_SHARDS
from autodecoder.errors import ConfigError, DataError
from autodecoder.files import format_json

PIXELS = np.random.default_rng(0).integers(0, 256, (25, 3, 4, 2), np.uint8)
LABELS = np.arange(25) % 3


@pytest.fixture
def packed(tmp_path: Path) -> Packed:
    """Three shards to train on and one to validate with, of 10, 10, 1 and 4 images."""
    parts = {"train": (np.arange(21), 10), "val": (np.arange(21, 25), 10)}
    with PackWriter(tmp_path / "out", (3, 4, 2), "abc", {"made": "here"}) as writer:
        for part, (rows, size) in parts.items():
            for number, first in enumerate(range(0, len(rows), size)):
                some = rows[first : first + size]
                writer.write(part, number, PIXELS[some], LABELS[some], some)
        return writer.finish()


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No set is small enough for the memory."""
    monkeypatch.setattr(unpacking, "MOST_IN_MEMORY", 0)


KEYS: list[Any] = [
    *(slice(None), slice(8, 12), slice(5, 5), slice(30, 40), slice(-3, None), slice(20, 2, -7)),
    *(slice(2, 21, 6), [0], [20, 0, 11, 11, 9, 10], [-1, -21], [], np.arange(21) % 4 == 1),
    *(np.arange(21)[::-1], np.array([3], np.uint8)),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_images_are_those_of_an_array(packed: Packed, key: Any) -> None:
    array, images = PIXELS[:21], packed.train.images
    expected = (
        array[np.array(key, int) if key == [] else key] if isinstance(key, list) else array[key]
    )
    for given in (images, images.select(np.arange(21))):
        found = given[key]
        assert type(found) is np.ndarray
        np.testing.assert_array_equal(found, expected, strict=True)
    flat = images.reshape(21, 24)
    np.testing.assert_array_equal(flat[key], expected.reshape(-1, 24), strict=True)
    assert flat.shape == (21, 24)


def test_what_is_told_without_reading(packed: Packed) -> None:
    images = packed.train.images
    assert (images.shape, images.dtype, images.ndim) == ((21, 3, 4, 2), np.uint8, 4)
    assert (len(images), images.size, images.nbytes) == (21, 504, 504)
    np.testing.assert_array_equal(images[-2], PIXELS[19])
    np.testing.assert_array_equal(images[np.int64(3)], PIXELS[3])
    np.testing.assert_array_equal(np.asarray(images), PIXELS[:21], strict=True)
    assert np.asarray(images, np.float32).dtype == np.float32
    assert len(list(images)) == 21
    with pytest.raises(ValueError, match="must be copied"):
        np.array(images, copy=False)


def test_some_of_some(packed: Packed) -> None:
    some = packed.train.images.select(np.array([20, 3, 15, 4, 5]))
    assert some.shape == (5, 3, 4, 2)
    np.testing.assert_array_equal(some[1:4], PIXELS[[3, 15, 4]])
    np.testing.assert_array_equal(np.asarray(some.select(np.array([4, 0]))), PIXELS[[5, 20]])


@pytest.mark.parametrize("key", [21, -22, [0, 21], [-22], 2.5, [0.5], "a", (0, 1), [[0, 1]], None])
def test_what_is_no_image(packed: Packed, key: Any) -> None:
    with pytest.raises(IndexError):
        packed.train.images[key]


def test_rows_far_apart_are_read_by_themselves(
    packed: Packed, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autodecoder.data import packed as module

    for name, size in (("_GAP", 48), ("_SPAN", 72)):
        monkeypatch.setattr(module, name, size)
    read: list[tuple[int, int]] = []
    real = module._read_into

    def note(file: Any, shard: Any, first: int, out: np.ndarray) -> None:
        read.append((first, len(out)))
        real(file, shard, first, out)

    monkeypatch.setattr(module, "_read_into", note)
    rows = [0, 1, 3, 8, 9, 10, 11, 12, 13]
    np.testing.assert_array_equal(packed.train.images[rows], PIXELS[rows])
    # In spans; of a shard with neighbours alone, at once.
    assert read == [(0, 2), (3, 1), (8, 2), (0, 4)]


def test_a_set_of_images(packed: Packed) -> None:
    """Takes them in the place of an array, and leaves them on the disk."""
    images: Any = packed.train.images
    part = ImageSet(images, packed.train.labels, packed.train.names)
    assert len(part) == 21
    assert part.flat.shape == (21, 24)
    np.testing.assert_array_equal(np.asarray(part.flat), PIXELS[:21].reshape(21, -1))
    taken = part.take(np.array([4, 2]))
    assert isinstance(taken.images, PackedImages)
    np.testing.assert_array_equal(taken.images, PIXELS[[4, 2]])
    assert taken.names is not None
    assert (taken.labels.tolist(), taken.names.tolist()) == ([1, 2], [4, 2])
    with pytest.raises(DataError, match=r"uint8 from 0 to 255, \(n, height, width, channels\)"):
        ImageSet(part.flat, part.labels)


def test_a_data_set(packed: Packed) -> None:
    data = load_dataset(f"packed:{packed.folder}")
    assert type(data.train.images) is np.ndarray
    assert (data.name, data.class_names) == ("out", ("a", "b", "c"))
    np.testing.assert_array_equal(data.train.images, PIXELS[:21])
    np.testing.assert_array_equal(data.val.labels, LABELS[21:])
    assert data.val.names is not None
    assert data.val.names.tolist() == [21, 22, 23, 24]
    assert data.fingerprint == packed.manifest.fingerprint


@pytest.mark.usefixtures("on_disk")
def test_a_large_one_stays_on_the_disk(
    packed: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"packed:{packed.folder}"
    small = load_dataset(f"npz:{npz(tmp_path)}")
    data = load_dataset(name)
    with monkeypatch.context() as patch:
        patch.setattr(PackedImages, "__getitem__", None)
        assert isinstance(data.train.images, PackedImages)
        assert data.fingerprint == small.fingerprint, "known without reading"
    assert_same(data, small)
    half = load_dataset(name, examples_frac=0.5, seed=3)
    assert isinstance(half.val.images, PackedImages)
    assert_same(half, subset(small, 0.5, seed=3))
    assert half.fingerprint == subset(small, 0.5, seed=3).fingerprint != data.fingerprint
    other = load_dataset(name, val_fraction=0.0)
    assert other.fingerprint == data.fingerprint


def npz(folder: Path) -> Path:
    """The same images as a source of its own."""
    path = folder / "some.npz"
    words = np.array(list("abc"))[LABELS]
    np.savez(
        path, images=PIXELS[:21], labels=words[:21], val_images=PIXELS[21:], val_labels=words[21:]
    )
    return path


def test_only_a_share_is_read(packed: Packed, monkeypatch: pytest.MonkeyPatch) -> None:
    from autodecoder.data import packed as module

    read = 0
    real = module._read_into

    def note(file: Any, shard: Any, first: int, out: np.ndarray) -> None:
        nonlocal read
        read += len(out)
        real(file, shard, first, out)

    monkeypatch.setattr(module, "_read_into", note)
    monkeypatch.setattr(module, "_GAP", 0)
    whole, part = (load_dataset(f"packed:{packed.folder}", examples_frac=f) for f in (1.0, 0.2))
    assert read == 25 + len(part.train) + len(part.val) == 25 + 4 + 1
    assert_same(part, subset(whole, 0.2, seed=0))


@pytest.mark.parametrize("most", [0, 2**30])
def test_without_validation_images_some_are_held_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(unpacking, "MOST_IN_MEMORY", most)
    np.savez(tmp_path / "a.npz", images=PIXELS, labels=LABELS)
    name = f"npz:{tmp_path / 'a.npz'}"
    config = DataConfig(dataset=name, val_fraction=0.0)
    pack_images(config, tmp_path / "out", shard_images=7)
    held = load_dataset(f"packed:{tmp_path / 'out'}", seed=4)
    same = load_dataset(name, seed=4)
    assert len(held.val) == 5
    assert_same(held, same)
    assert held.fingerprint == same.fingerprint
    table = tmp_path / "split.csv"
    table.write_text(
        "row,part\n" + "".join(f"{k},{'val' if k > 20 else 'train'}\n" for k in range(25))
    )
    split = load_dataset(f"packed:{tmp_path / 'out'}", split_by=table)
    np.testing.assert_array_equal(split.val.images, PIXELS[21:])


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"image_size": 2}, "image_size is for folder:, csv:, tar: and hf:, not for packed"),
        ({"pixel_range": "0:1"}, "range is for image files and arrays, not for packed"),
        ({"alpha": "mask"}, "alpha is for image files and arrays, not for packed"),
        ({"mask": "a.npy"}, "mask is for npy: and npz:, not for packed"),
    ],
)
def test_settings_of_other_sources(packed: Packed, setting: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        load_dataset(f"packed:{packed.folder}", **setting)


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def put_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def put_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def put_other(path: Path) -> None:
    np.save(path, np.load(path)[:, ::-1].copy()[:5])


def put_columns(path: Path) -> None:
    np.save(path, np.asfortranarray(np.load(path)))


def put_objects(path: Path) -> None:
    np.save(path, np.array([{}], object), allow_pickle=True)


def put_text(path: Path) -> None:
    path.write_text("no array\n")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (Path.unlink, "train-00001.npy is missing"),
        (shorten, "train-00001.npy is damaged: it must have 368 bytes, but has 367"),
        (put_link, "train-00001.npy must be a file, but is not"),
        (put_pipe, "train-00001.npy must be a file, but is not"),
        (put_other, "must hold 10 × 3 × 4 × 2 of uint8, but has 5 × 3 × 4 × 2"),
        (put_columns, "train-00001.npy is damaged"),
        (put_objects, "train-00001.npy is damaged"),
        (put_text, "train-00001.npy is damaged: it is no .npy file"),
    ],
)
def test_a_shard_that_is_not_as_it_was(packed: Packed, change: Any, match: str) -> None:
    change(packed.folder / "train-00001.npy")
    with pytest.raises(DataError, match=match) as error:
        open_packed(packed.folder)
    assert f"`autodecoder pack SOURCE {packed.folder}`, with the same source" in str(error.value)


@pytest.mark.skipif(not hasattr(os, "truncate"), reason="no files with holes here")
def test_a_file_that_is_mostly_a_hole(packed: Packed) -> None:
    """It promises more than the memory holds, and takes no room on the disk."""
    n = 2**40
    manifest = packed.folder / "manifest.json"
    content = json.loads(manifest.read_text())
    content["shards"][0]["n"], content["parts"]["train"] = n, n + 11
    content["image_shape"] = [1, 1, 1]
    for name, kind in (("train-00000.npy", "|u1"), ("train-00000.labels.npy", "<i4")):
        shape = (n, 1, 1, 1) if kind == "|u1" else (n,)
        with (packed.folder / name).open("wb") as file:
            about = {"descr": kind, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, about)
            try:
                file.truncate(file.tell() + n * np.dtype(kind).itemsize)
            except OSError:
                pytest.skip("the file system holds no such file")
    manifest.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"train-00000\.labels\.npy is larger than the memory"):
        open_packed(packed.folder)


@pytest.mark.parametrize("name", ["train-00001.labels.npy", "val-00000.names.npy"])
def test_labels_and_names_that_are_not_as_they_were(packed: Packed, name: str) -> None:
    shorten(packed.folder / name)
    with pytest.raises(DataError, match=f"{name} is damaged"):
        open_packed(packed.folder)


def test_labels_of_no_class(packed: Packed) -> None:
    np.save(packed.folder / "val-00000.labels.npy", np.array([0, 1, 2, 3], np.int32))
    with pytest.raises(DataError, match="labels must lie from 0 to 2, got 0 to 3"):
        open_packed(packed.folder)


@pytest.mark.parametrize(
    "name", ["train-00001.npy", "train-00000.labels.npy", "val-00000.names.npy"]
)
def test_hashes(packed: Packed, name: str) -> None:
    check_packed(packed.folder)
    path = packed.folder / name
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    if "labels" not in name:  # a label may be of no class now
        open_packed(packed.folder)
    with pytest.raises(DataError, match=f"{name} has changed: its SHA-256|labels must lie"):
        check_packed(packed.folder)


def test_a_shard_that_is_shortened_while_it_is_in_use(packed: Packed) -> None:
    shorten(packed.folder / "train-00001.npy")
    np.testing.assert_array_equal(packed.train.images[:10], PIXELS[:10])
    for key in (slice(15, 21), [19, 2]):
        with pytest.raises(DataError, match=r"train-00001\.npy was shortened while it was in use"):
            packed.train.images[key]
    (packed.folder / "train-00001.npy").unlink()
    with pytest.raises(DataError, match=r"train-00001\.npy cannot be read: No such file"):
        packed.train.images[15]


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing must be a folder .* but is no folder"):
        load_dataset(f"packed:{tmp_path / 'nothing'}")
    with pytest.raises(DataError, match=r"but has no manifest\.json"):
        load_dataset(f"packed:{tmp_path}")


HUGE = 10**30
#: Paths in the manifest, and what a stranger may have put there.
HOSTILE: list[tuple[tuple[Any, ...], Any]] = [
    *((("shards", 0, "file"), value) for value in ("../x.npy", "/etc/passwd", 3, None, ["a"])),
    *((("shards", 0, "file"), f"train-0000{end}") for end in ("1.npy", "0.npy/", "0.npz", "٠.npy")),
    *((("shards", 0, "labels"), value) for value in ("../train-00000.labels.npy", None, 7)),
    *((("shards", 0, "names"), value) for value in ("../../etc/passwd", 7, {}, None, ["a"])),
    *((("shards", 0, "n"), value) for value in (HUGE, 2**48, -1, 1.5, "10", None, True, [10])),
    *((("shards", 0, "sha256"), value) for value in ("", "0" * 63, 5, None, "../" * 21 + "0")),
    *((("shards", 0, "part"), value) for value in ("val", "test", None, 0)),
    *((("shards", 0), value) for value in (None, [], "train-00000.npy", 3)),
    *((("shards", 0, "left_out"), value) for value in (-1, "0", HUGE)),
    *((("shards",), value) for value in (None, {}, "x", [], [None] * 50_000)),
    *((("parts",), value) for value in (None, {}, {"train": 21}, {"train": HUGE, "val": 4}, [])),
    *((("image_shape",), value) for value in ([3, 4], [3, 4, HUGE], [3, 4, 0], [True, 24, 1])),
    *((("image_shape",), value) for value in ([24.0, 1, 1], "3x4", None, {"a": 1}, [2, 4, 3])),
    *((("class_names",), value) for value in ([], "abc", None, [1, 2, 3], ["a"], [None] * 3)),
    *((("schema",), value) for value in (2, 0, "1", None, True, 1.0, HUGE)),
    *((("format",), value) for value in ("other", None, 1)),
    *((("fingerprint",), value) for value in (None, "", 3, "x" * 65, [])),
    *((("source",), value) for value in (None, [], "mnist")),
]


@pytest.mark.usefixtures("as_shipped")
def test_hostile_manifests(packed: Packed) -> None:
    path = packed.folder / "manifest.json"
    text = path.read_text()
    for place, value in HOSTILE:
        content = json.loads(text)
        inner = content
        for step in place[:-1]:
            inner = inner[step]
        inner[place[-1]] = value
        path.write_text(json.dumps(content))
        with pytest.raises(DataError) as error:
            open_packed(packed.folder)
        assert str(packed.folder) in str(error.value), (place, value)
        assert len(str(error.value)) < 1000, (place, value)
    for content in ("", "{", "[]", "NaN", "[" * 10_000, '{"a": 1e999}', "\0", "3"):
        path.write_text(content)
        with pytest.raises(DataError, match=r"manifest\.json"):
            open_packed(packed.folder)


def test_a_shard_in_the_manifest_twice(packed: Packed) -> None:
    path = packed.folder / "manifest.json"
    content = json.loads(path.read_text())
    content["shards"].append(content["shards"][1])
    content["parts"]["train"] += 10
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="the order of shards"):
        open_packed(packed.folder)


def test_a_manifest_of_a_later_version(packed: Packed) -> None:
    path = packed.folder / "manifest.json"
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 2'))
    with pytest.raises(DataError, match=r"of a later version of autodecoder \(schema 2\)"):
        open_packed(packed.folder)


@pytest.mark.usefixtures("as_shipped")
def test_the_largest_manifest_can_be_read() -> None:
    head = Head((3, 4, 2), tuple(f"{k:0400}" for k in range(10_000)), {"made": "here"})
    shards = [
        Shard(part, number, 2**40, "0" * 64, "0" * 64, "rows", "0" * 64, 2**40)
        for part in ("train", "val")
        for number in range(MOST_SHARDS)
    ]
    assert len(format_json(Manifest(head, tuple(shards), "0" * 64).to_plain())) < 2**24
    with pytest.raises(DataError, match="class_names and source must take 4194304 bytes or fewer"):
        Head((3, 4, 2), ("a" * 500,) * 10_000, {})


@pytest.mark.thorough
def test_whatever_byte_of_a_header_is_changed(packed: Packed) -> None:
    """It is an error of ours, or it changes nothing."""
    path = packed.folder / "train-00000.npy"
    content = path.read_bytes()
    for position in range(128):
        for mask in (1, 0x20, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= mask
            path.write_bytes(damaged)
            try:
                found = open_packed(packed.folder)
            except DataError:
                continue
            np.testing.assert_array_equal(found.train.images, PIXELS[:21])
