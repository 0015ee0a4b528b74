import os
from pathlib import Path

import pytest
from tests.data.pictures import classes, plain, save

from autodecoder.data.folder import list_images
from autodecoder.errors import DataError


def found(root: Path) -> dict[str, list[str]]:
    train, val = list_images(root)
    assert val is None
    return {
        name: [path.relative_to(root).as_posix() for path in paths]
        for name, paths in train.classes.items()
    }


def test_folders_are_classes_and_their_images_stand_in_order(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.PNG", "b/deeper/1.jpg", "a/z.gif", "empty/notes.txt"):
        save(tmp_path / name.replace("txt", "png"), plain(1))
    (tmp_path / "empty" / "notes.png").rename(tmp_path / "empty" / "notes.txt")
    assert found(tmp_path) == {
        "a": ["a/z.gif"],
        "b": ["b/10.PNG", "b/2.png", "b/deeper/1.jpg"],
    }


def test_images_without_folders_are_of_one_class(tmp_path: Path) -> None:
    for name in ("2.png", "1.png"):
        save(tmp_path / name, plain(1))
    assert found(tmp_path) == {"": ["1.png", "2.png"]}


def test_what_is_hidden_or_no_image_is_passed_over(tmp_path: Path) -> None:
    classes(tmp_path, {"a": 1, ".hidden": 2})
    for name in ("a/.0.png", "a/Thumbs.db", "a/readme.md", ".DS_Store", "labels.csv"):
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    assert found(tmp_path) == {"a": ["a/0.png"]}


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    root = classes(tmp_path / "root", {"a": 1})
    elsewhere = classes(tmp_path / "elsewhere", {"cats": 2})
    (root / "b").symlink_to(elsewhere / "cats")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    (elsewhere / "cats" / "round").symlink_to(elsewhere)
    (root / "loop").symlink_to(root / "loop")
    (root / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    listed = found(root)
    assert listed["a"] == ["a/0.png", "a/gone.png"]
    assert listed["b"][:2] == ["b/0.png", "b/1.png"]
    assert len(listed["b"]) <= 4


@pytest.mark.parametrize(
    ("parts", "used"),
    [
        (("train", "test"), "test"),
        (("train", "val"), "val"),
        (("Train", "Validation"), "Validation"),
        (("train", "test", "val"), "val"),
    ],
)
def test_a_published_split(tmp_path: Path, parts: tuple[str, ...], used: str) -> None:
    for part in parts:
        classes(tmp_path / part, {"cat": 2, "dog": 1})
    train, val = list_images(tmp_path)
    assert val is not None
    assert (train.root.name, val.root.name) == (parts[0], used)
    assert list(train.classes) == list(val.classes) == ["cat", "dog"]
    assert len(train.paths) == 3


@pytest.mark.parametrize(
    "names", [("train", "bus"), ("train",), ("test", "val"), ("train", "test", "bus")]
)
def test_classes_that_are_named_like_parts(tmp_path: Path, names: tuple[str, ...]) -> None:
    classes(tmp_path, dict.fromkeys(names, 2))
    assert list(found(tmp_path)) == sorted(names)


def test_folders_that_make_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere must be a folder of images, but does not exist"):
        list_images(tmp_path / "nowhere")
    file = save(tmp_path / "one" / "a.png", plain(1))
    with pytest.raises(DataError, match=r"a\.png must be a folder of images, but is a file"):
        list_images(file)
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    with pytest.raises(DataError, match=r"empty must hold images \(\.apng, .*but holds none"):
        list_images(tmp_path / "empty")
    save(tmp_path / "one" / "cats" / "b.png", plain(1))
    with pytest.raises(DataError, match=r"holds a\.png beside the folder cats"):
        list_images(tmp_path / "one")
