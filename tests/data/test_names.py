"""The table of images."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from autodecoder.data import load_dataset
from autodecoder.data.names import Named, format_names, read_names
from autodecoder.errors import DataError

NONE = Named(None, None)
ODD = ["a/1.png", "b/x,y.png", 'b/"q".png', "c/\n.png", "ü/7.png", " ", ""]


def write(folder: Path, train: Named, val: Named = NONE) -> Path:
    (folder / "images.csv").write_bytes(format_names(train, val, ("cat", "dog")))
    return folder / "images.csv"


def test_names_come_back(tmp_path: Path) -> None:
    path = write(tmp_path, Named(np.array(ODD, object), np.array([0, 1, 0, 1, 2, 0, 0])))
    train, val = read_names(path, len(ODD), 3)
    assert train.names is not None
    assert train.names.tolist() == ODD
    assert val.names is None
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    assert rows[1] == {"set": "train", "index": "1", "name": "b/x,y.png", "class": "dog"}
    assert rows[4]["class"] == "2", "a class without a name"


def test_rows_come_back_as_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, Named(np.array([5, 0]), None), Named(np.array([10**17]), None))
    for found, wanted in zip(read_names(path, 2, 1), ([5, 0], [10**17]), strict=True):
        assert found.names is not None
        assert found.names.dtype == np.int64
        assert found.names.tolist() == wanted
    text = read_names(write(tmp_path, Named(np.array(["07", "1"], object), None)), 2, 0)[0].names
    assert text is not None
    assert text.tolist() == ["07", "1"]


def test_further_columns_come_back(tmp_path: Path) -> None:
    words = np.array(["<b>", 'a\n"b",', "日本"], object)
    train = Named(np.array(["x", "y", "z"], object), None, {"word": words, "note": words[::-1]})
    val = Named(None, np.array([1, 0]), {"site": np.array(["", "N"], object)})
    path = write(tmp_path, train, val)
    found, val_found = read_names(path, 3, 2)
    assert (found.names is not None, val_found.names) == (True, None)
    assert {k: v.tolist() for k, v in found.columns.items()} == {
        "word": words.tolist(),
        "note": words[::-1].tolist(),
    }
    assert {k: v.tolist() for k, v in val_found.columns.items()} == {"site": ["", "N"]}
    lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"), newline="")))
    assert list(lines[0]) == ["set", "index", "name", "class", "word", "note", "site"]
    assert (lines[1]["word"], lines[4]["site"], lines[4]["class"]) == ('a\n"b",', "N", "cat")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "first line must begin with set,index,name,class"),
        (b"set,index,name,class\ntrain,1,a,b\n", "line 2 is not the next image"),
        (b"set,index,name,class\nother,0,a,b\n", "line 2 is not the next image"),
        (b"set,index,name,class\ntrain,0,a\n", "line 2 is not the next image"),
        (b"set,index,name,class\ntrain,0,a,b\n", "names 1 image of train instead of 2"),
        (b"set,index,name,class\ntrain,0,\xff,b\n", "is not encoded in UTF-8"),
        (b"set,index,name,class\n" + b"train,0,a,b\n" * 10**5, "longer than a table"),
        (b'set,index,name,class\ntrain,0,"a"x,b\n', "is damaged"),
        (b"set,index,name,class,x\ntrain,0,a,b\n", "line 2 is not the next image"),
        (b"set,index,name,class,x,x\ntrain,0,a,b,c,d\n", "further columns of distinct names"),
        (b"set,index,name,class" + b",x" * 40, "at most 32 further columns"),
        (b"set,index,name,class,x\n" + b"train,0,a,b,c\n" * 10**5, "longer than a table"),
    ],
)
def test_damaged_tables(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "images.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_names(tmp_path / "images.csv", 2, 0)
    with pytest.raises(DataError, match="must be a file, but is not"):
        read_names(tmp_path, 2, 0)


def test_published_images_are_known_by_their_rows() -> None:
    from sklearn.datasets import load_digits

    pixels = np.asarray(load_digits(return_X_y=True)[0]).reshape(-1, 8, 8)
    published = np.rint(pixels * (255 / 16))
    for fraction in (1.0, 0.3):
        data = load_dataset("digits", examples_frac=fraction, seed=4)
        for images in (data.train, data.val):
            assert images.names is not None
            assert (images.images[..., 0] == published[images.names]).all()
