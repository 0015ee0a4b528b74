"""Writing packed images from Python."""

import doctest
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autodecoder.data import pack_writer
from autodecoder.data.pack_writer import PackWriter, default_shard_images
from autodecoder.data.packed import open_packed
from autodecoder.errors import ConfigError, DataError, OutputError

IMAGES = np.arange(6 * 8, dtype=np.uint8).reshape(6, 2, 4, 1)
LABELS = np.array([0, 1, 0, 1, 1, 0])


def writer_of(folder: Path, source: dict[str, Any] | None = None) -> PackWriter:
    return PackWriter(folder, (2, 4, 1), ("a", "b"), source or {"made": "here"})


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_example_is_true() -> None:
    result = doctest.testmod(pack_writer)
    assert result.attempted > 0
    assert result.failed == 0


def test_what_is_written_numpy_reads(tmp_path: Path) -> None:
    with writer_of(tmp_path / "new" / "out") as writer:
        writer.write("train", 0, IMAGES[:4], LABELS[:4], np.array(list("wxyz")))
        writer.write("train", 1, IMAGES[4:], LABELS[4:], np.array(["ä b", "c,\r"], object))
        packed = writer.finish()
    folder = tmp_path / "new" / "out"
    assert files(folder) == {
        *(".pack.lock", "manifest.json", "train-00000.npy", "train-00000.labels.npy"),
        *("train-00000.names.txt", "train-00001.npy", "train-00001.labels.npy"),
        "train-00001.names.txt",
    }
    mapped = np.load(folder / "train-00000.npy", mmap_mode="r")
    np.testing.assert_array_equal(mapped, IMAGES[:4], strict=True)
    np.testing.assert_array_equal(np.load(folder / "train-00001.labels.npy"), LABELS[4:])
    assert packed.train.names is not None
    assert packed.train.names.tolist() == ["w", "x", "y", "z", "ä b", "c,\r"]
    assert len(packed.val.labels) == 0
    assert packed.val.names is None


def test_it_is_whole_once_it_is_finished(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.write("train", 0, IMAGES, LABELS)
    with pytest.raises(DataError, match=r"is not finished: run the same command.*again"):
        open_packed(tmp_path)
    with writer_of(tmp_path) as writer:
        assert writer.has("train", 0)
        assert not writer.has("train", 1)
        assert not writer.has("val", 0)
        writer.finish()
    np.testing.assert_array_equal(open_packed(tmp_path).train.images, IMAGES)
    before = (tmp_path / "manifest.json").stat().st_mtime_ns
    with writer_of(tmp_path) as writer:
        assert writer.has("train", 0)
        writer.finish()
    assert (tmp_path / "manifest.json").stat().st_mtime_ns == before


def test_a_shard_that_was_damaged_is_written_again(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.write("train", 0, IMAGES[:3], LABELS[:3])
        writer.write("train", 1, IMAGES[3:], LABELS[3:])
        writer.finish()
    manifest = (tmp_path / "manifest.json").read_bytes()
    np.save(tmp_path / "train-00001.npy", IMAGES[:3])
    with writer_of(tmp_path) as writer:
        assert writer.has("train", 0)
        assert not writer.has("train", 1)
        writer.write("train", 1, IMAGES[3:], LABELS[3:])
        assert "manifest.json" not in files(tmp_path), "it is not finished meanwhile"
        writer.finish()
    assert (tmp_path / "manifest.json").read_bytes() == manifest


def test_a_line_of_the_account_that_is_cut_off(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.write("train", 0, IMAGES[:3], LABELS[:3])
        writer.write("train", 1, IMAGES[3:], LABELS[3:])
    path = tmp_path / "unfinished.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    with writer_of(tmp_path) as writer:
        assert writer.has("train", 0)
        assert not writer.has("train", 1)
        writer.write("train", 1, IMAGES[3:], LABELS[3:])
        writer.finish()
    np.testing.assert_array_equal(open_packed(tmp_path).train.images, IMAGES)


@pytest.mark.parametrize(
    "line", ["", "{}\n", "no json\n", "[]\n", '{"format": "other"}\n', "[" * 5000 + "\n", "\xff\n"]
)
def test_an_account_that_is_damaged(tmp_path: Path, line: str) -> None:
    (tmp_path / "unfinished.jsonl").write_bytes(line.encode("latin-1"))
    with (
        pytest.raises(DataError, match=r"unfinished\.jsonl is damaged.*: remove "),
        writer_of(tmp_path),
    ):
        pass


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("text")
    with pytest.raises(OutputError, match="holds other files"), writer_of(tmp_path):
        pass
    refused = pytest.raises(OutputError, match="cannot be written: File exists")
    with refused, writer_of(tmp_path / "mine.txt"):
        pass
    assert (tmp_path / "mine.txt").read_text() == "text"


def test_another_source(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.write("train", 0, IMAGES, LABELS)
    for _ in range(2):
        refused = pytest.raises(OutputError, match=r"\(made here there, elsewhere now\): name")
        with refused, writer_of(tmp_path, {"made": "elsewhere"}):
            pass
        with writer_of(tmp_path) as writer:
            assert writer.has("train", 0)
            writer.finish()


def test_one_at_a_time(tmp_path: Path) -> None:
    refused = pytest.raises(OutputError, match="is being packed by another process")
    with writer_of(tmp_path), refused, writer_of(tmp_path):
        pass
    with writer_of(tmp_path):
        pass


def test_it_needs_an_image(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.write("val", 0, IMAGES, LABELS)
        writer.write("train", 0, IMAGES[:0], LABELS[:0])
        with pytest.raises(DataError, match="at least one image to train on"):
            writer.finish()
        writer.write("train", 1, IMAGES, LABELS)
        packed = writer.finish()
    assert len(packed.train.images) == 6
    assert np.load(tmp_path / "train-00000.npy", mmap_mode="r").shape == (0, 2, 4, 1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"part": "test"}, "a shard must be of train or val"),
        ({"number": -1}, "a shard must be of train or val"),
        ({"number": 10_000}, "use larger shards"),
        ({"images": IMAGES[:5]}, "images of a shard must be uint8"),
        ({"images": IMAGES.astype(np.float32)}, r"must be uint8, .* got float32"),
        ({"images": IMAGES[..., 0]}, "images of a shard must be uint8"),
        ({"labels": LABELS + 1}, "labels must lie from 0 to 1, got 1 to 2"),
        ({"labels": LABELS - 1}, "labels must lie from 0 to 1"),
        ({"names": np.arange(5)}, "names must be 6, one for each image"),
        ({"names": np.array(["a\nb"] * 6)}, "names must be of one line"),
        ({"names": np.array(["a" * 20_000] * 6)}, "16384 letters or fewer"),
        ({"names": np.array(["a"] * 6)}, "names of train must be of one kind"),
    ],
)
@pytest.mark.usefixtures("as_shipped")
def test_what_is_no_shard(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    given: dict[str, Any] = {"part": "train", "number": 1, "images": IMAGES, "labels": LABELS}
    with writer_of(tmp_path) as writer:
        writer.write("train", 0, IMAGES, LABELS)
        with pytest.raises((ConfigError, DataError), match=match):
            writer.write(**{**given, **change})


@pytest.mark.parametrize("shape", [(2, 4), (0, 4, 1), (2, 4, 2**40)])
@pytest.mark.usefixtures("as_shipped")
def test_what_is_no_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="image_shape"):
        PackWriter(tmp_path, shape, ("a",), {})
    with pytest.raises(DataError, match="class_names"):
        PackWriter(tmp_path, (2, 4, 1), (), {})


def test_the_manifest_says_what_there_is(tmp_path: Path) -> None:
    with writer_of(tmp_path) as writer:
        writer.write("val", 0, IMAGES[:2], LABELS[:2], left_out=3)
        writer.write("train", 0, IMAGES[2:], LABELS[2:])
        writer.finish()
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert content["parts"] == {"train": 4, "val": 2}
    assert [shard["file"] for shard in content["shards"]] == ["train-00000.npy", "val-00000.npy"]
    assert content["shards"][1]["left_out"] == 3
    assert content["source"] == {"made": "here"}


def test_the_usual_size_of_a_shard() -> None:
    assert 64e6 < default_shard_images((28, 28, 1)) * 784 < 256e6
    assert default_shard_images((20_000, 20_000, 3)) == 1
