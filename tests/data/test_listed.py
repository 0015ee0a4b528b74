"""Image files that a table lists."""

import logging
import os
from pathlib import Path

import pytest
from tests.data.pictures import classes, plain, save

from autodecoder.data import load_dataset
from autodecoder.errors import ConfigError, DataError


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return classes(tmp_path / "pets", {"cat": 4, "dog": 3})


def table(folder: Path, text: str) -> str:
    (folder / "list.csv").write_text(text, encoding="utf-8")
    return f"csv:{folder / 'list.csv'}"


def test_paths_and_labels(pets: Path) -> None:
    data = load_dataset(
        table(pets, "path,label\ndog/1.png,10\ncat/0.png,9\ncat/3.png,9\n"), val_fraction=0.0
    )
    assert (data.name, data.class_names) == ("list", ("9", "10"))
    assert data.train.images[:, 0, 0, 0].tolist() == [11, 0, 3], "in the order of the table"
    assert data.train.labels.tolist() == [1, 0, 0]
    assert data.train.names is not None
    assert data.train.names.tolist() == ["dog/1.png", "cat/0.png", "cat/3.png"]


@pytest.mark.parametrize(
    "text",
    [
        "dog/1.png,b\ncat/0.png,a\n",
        "b;x;dog/1.png\n".replace("b;x;dog/1.png", "class;x;file\nb;1;dog/1.png\na;2;cat/0.png"),
        "File\tCategory\ndog/1.png\tb\ncat/0.png\ta\n",
        "\ufeffpath,label\r\n./dog/1.png,b\r\n\r\ncat/0.png, a\r\n",
    ],
)
def test_other_tables(pets: Path, text: str) -> None:
    data = load_dataset(table(pets, text), val_fraction=0.0)
    assert data.class_names == ("a", "b")
    assert data.train.images[:, 0, 0, 0].tolist() == [11, 0]
    assert data.train.labels.tolist() == [1, 0]


@pytest.mark.parametrize("text", ["path\ncat/0.png\ndog/0.png\n", "cat/0.png\ndog/0.png\n"])
def test_without_labels(pets: Path, text: str) -> None:
    data = load_dataset(table(pets, text), val_fraction=0.0)
    assert data.class_names == ("images",)
    assert len(data.train) == 2


def test_some_labels(pets: Path) -> None:
    data = load_dataset(
        table(pets, "path,label\ncat/0.png,b\ncat/1.png,\ncat/2.png,a\n"), val_fraction=0.0
    )
    assert data.class_names == ("a", "b", "unlabelled")
    assert data.train.labels.tolist() == [1, 2, 0]


def test_settings_of_files_apply(pets: Path, tmp_path: Path) -> None:
    name = table(pets, "".join(f"cat/{k}.png,a\n" for k in range(4)))
    data = load_dataset(name, image_size="2x3", colour="rgb", seed=1)
    assert data.image_shape == (2, 3, 3)
    assert (len(data.train), len(data.val)) == (3, 1)
    (tmp_path / "split.csv").write_text(
        "".join(f"cat/{k}.png,{'val' if k else 'train'}\n" for k in range(4))
    )
    assert len(load_dataset(name, split_by=tmp_path / "split.csv").val) == 3


def test_paths_anywhere(pets: Path, tmp_path: Path) -> None:
    save(tmp_path / "other.png", plain(77))
    data = load_dataset(table(pets, f"../other.png\n{pets}/cat/1.png\n"), val_fraction=0.0)
    assert data.train.images[:, 0, 0, 0].tolist() == [77, 1]


def test_files_that_cannot_be_read(pets: Path, caplog: pytest.LogCaptureFixture) -> None:
    os.mkfifo(pets / "pipe.png")
    name = table(pets, "cat/0.png\nno.png\ncat\npipe.png\n")
    with caplog.at_level(logging.WARNING, "autodecoder"):
        data = load_dataset(name, val_fraction=0.0)
    assert len(data.train) == 1
    assert (
        "3 of 4 files cannot be read: no.png (no such file or directory), cat (no file), pipe.png "
        "(no file)"
    ) in caplog.text


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", r"the table of images must be a table of paths, but .* is empty"),
        ("path,label\n", "has only a header"),
        ("a.png,1\na.png,2\n", r"must list each image once, but has a\.png in lines 1 and 2"),
        ("path,label\n,1\n", "line 2 must have the path of an image, got none"),
        ("a.png,1\nb.png\n", "line 2 must have 2 columns, got 1"),
        ("a,b,c\nd,e,f\n", "must name its 3 columns in the first line, one of them path"),
    ],
)
def test_what_is_no_such_table(pets: Path, text: str, match: str) -> None:
    with pytest.raises(DataError, match=match):
        load_dataset(table(pets, text))


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the table of images must be a file, but .* is none"):
        load_dataset(f"csv:{tmp_path}")
    (tmp_path / "a.csv").write_bytes(b"\x89PNG\r\n\xff\xfe\0")
    with pytest.raises(DataError, match=r"a\.csv"):
        load_dataset(f"csv:{tmp_path / 'a.csv'}")


SITES = (
    "path;label;site;name;note;age\n"
    "dog/1.png;d;N;Bello;<b>;7\n"
    'cat/0.png;c;S;Mia;"a\nb";\n'
    "cat/3.png;c;N;Maunz;;1\n"
)


def test_further_columns_come_along(pets: Path) -> None:
    name = table(pets, SITES)
    data = load_dataset(name, val_fraction=0.0)
    assert {key: values.tolist() for key, values in data.train.columns.items()} == {
        "site": ["N", "S", "N"],
        "name_2": ["Bello", "Mia", "Maunz"],
        "note": ["<b>", "a\nb", ""],
        "age": ["7", "", "1"],
    }
    assert "with columns site, name_2, note, age" in data.notes
    assert load_dataset(name, columns="none", val_fraction=0.0).train.columns == {}
    some = load_dataset(name, columns=["age", "site"], val_fraction=0.0)
    assert list(some.train.columns) == ["age", "site"]
    assert data.fingerprint == some.fingerprint, "they are no part of the images"
    with pytest.raises(
        DataError, match=r"among those of list\.csv, site, name_2, note, age, got x"
    ):
        load_dataset(name, columns="age, x")
    with pytest.raises(
        ConfigError, match="columns is for csv:, tar:, hf: and packed:, not for folder"
    ):
        load_dataset(f"folder:{pets}", columns="age")


def test_columns_stay_with_their_images(pets: Path) -> None:
    (pets / "broken.png").write_bytes(b"no image")
    files = [
        "broken.png",
        *(f"{kind}/{k}.png" for kind, n in (("cat", 4), ("dog", 3)) for k in range(n)),
    ]
    name = table(pets, "path,of\n" + "".join(f"{file},<{file}>\n" for file in files))
    data = load_dataset(name, val_fraction=0.4, examples_frac=0.7, seed=3)
    assert 0 < len(data.val) < len(data.train) < 5
    for part in (data.train, data.val):
        assert part.names is not None
        assert part.columns["of"].tolist() == [f"<{file}>" for file in part.names]
        assert "<broken.png>" not in part.columns["of"]
