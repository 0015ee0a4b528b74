"""Images and labels from files of any kind."""

from pathlib import Path

import numpy as np
import pytest

from autodecoder.data.given import open_given, open_labels
from autodecoder.data.pixels import as_labels
from autodecoder.errors import DataError

LABELS = np.array([3, 0, 1, 1], np.uint8)


@pytest.mark.parametrize("prefix", ["", "npy:"])
def test_a_file_may_be_named_as_a_data_set_is(tmp_path: Path, prefix: str) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.save(tmp_path / "some.npy", images)
    given = open_given(f"{prefix}{tmp_path / 'some.npy'}", (3, 4, 1), is_table=False)
    np.testing.assert_array_equal(np.squeeze(given.samples), images)
    with pytest.raises(DataError, match=r"nowhere\.npy"):
        open_given(f"{prefix}{tmp_path / 'nowhere.npy'}", (3, 4, 1), is_table=False)


@pytest.mark.parametrize("kind", ["npy", "npz", "csv", "idx1-ubyte"])
def test_labels_are_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"labels.{kind}"
    if kind == "npy":
        np.save(path, LABELS)
    elif kind == "npz":
        np.savez(path, images=np.zeros((4, 2, 2)), y=LABELS)
    elif kind == "csv":
        path.write_text("class\n3\n0\n1\n1\n")
    else:
        path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 4]) + LABELS.tobytes())
    np.testing.assert_array_equal(as_labels("labels", open_labels(path), 4), LABELS)


def test_what_holds_no_labels_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=np.zeros((4, 2, 2)))
    (tmp_path / "x.txt").write_text("3 0 1 1")
    for name, message in (
        ("x.npz", "must hold an array labels, but holds images"),
        ("x.txt", "x.txt"),
        ("nowhere.npy", "cannot be read"),
    ):
        with pytest.raises(DataError, match=message):
            open_labels(tmp_path / name)
