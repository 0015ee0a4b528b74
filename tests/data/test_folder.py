import os
from pathlib import Path

import pytest
from tests.data.pictures import classes, plain, save

from autodecoder.data import load_dataset
from autodecoder.data.folder import Listing, describe_files, list_files, list_images
from autodecoder.data.walk import shown
from autodecoder.errors import DataError


def found(root: Path) -> dict[str, list[str]]:
    train, val = list_images(root)
    assert val is None
    return names_in(train)


def names_in(listing: Listing) -> dict[str, list[str]]:
    return {
        name: [found.path.relative_to(listing.root).as_posix() for found in images]
        for name, images in listing.classes.items()
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
        (("train", "dev"), "dev"),
        (("train", "eval"), "eval"),
        (("train", "holdout"), "holdout"),
        (("train", "Testing"), "Testing"),
        (("Training", "VALIDATE"), "VALIDATE"),
        (("training_set", "test_set"), "test_set"),
        (("train2017", "val2017"), "val2017"),
        (("TRAIN", "TEST", "DEV"), "DEV"),
        (("seg_train", "seg_test"), "seg_test"),
        (("images-train", "images-val", "images-test"), "images-val"),
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
    "names",
    [
        ("train", "bus"),
        ("test", "val"),
        ("train", "test", "bus"),
        ("evaluate", "set"),
        ("a_1", "a_2"),
    ],
)
def test_classes_that_are_named_like_parts(
    tmp_path: Path, names: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """With a word where two of them are."""
    classes(tmp_path, dict.fromkeys(names, 2))
    assert list(found(tmp_path)) == sorted(names)
    told = " ".join(record.getMessage() for record in caplog.records)
    assert ("named like parts of a split" in told) == ("test" in names)


@pytest.mark.parametrize("name", ["train", "Training", "test"])
def test_the_only_part_is_looked_into(tmp_path: Path, name: str) -> None:
    classes(tmp_path / name, {"cat": 2, "dog": 1})
    train, val = list_images(tmp_path)
    assert val is None
    assert train.root == tmp_path / name
    assert names_in(train) == {"cat": ["cat/0.png", "cat/1.png"], "dog": ["dog/0.png"]}
    save(tmp_path / name / "beside.png", plain(1))
    assert list(found(tmp_path)) == [name], "images beside folders: one class, as ever"


@pytest.mark.parametrize(
    ("folders", "words"),
    [
        (("data/train/cat", "data/test/cat"), "one class, data, which holds folders (test, train)"),
        (("data/cat", "data/dog"), "data, which holds folders (cat, dog): folder:"),
        (("cat/train", "cat/test", "dog/train"), "cat/train, dog/train lie inside classes"),
        (("train/cat", "unlabeled"), "read as classes, though named like parts of a split: train;"),
        (("train", "car"), ""),
        (("cat/0", "cat/1", "dog/0"), ""),
        (("data/cat",), ""),
    ],
)
def test_folders_that_are_not_read_as_classes_or_parts(
    tmp_path: Path, folders: tuple[str, ...], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in folders:
        save(tmp_path / folder / "0.png", plain(1))
    list_images(tmp_path)
    told = "".join(record.getMessage() for record in caplog.records)
    assert words in told if words else not told


def test_further_parts_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for part in ("train", "test", "val"):
        classes(tmp_path / part, {"cat": 1})
    list_images(tmp_path)
    (record,) = caplog.records
    assert record.getMessage().endswith(": val is used for validation; not read: test.")


def test_images_of_other_kinds_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = classes(tmp_path / "pets", {"cat": 3, "dog": 2})
    for k in range(4):
        (root / "cat" / f"{k}.HEIC").write_bytes(b"x")
    for name in ("a.avif", "labels.csv", "none", "Thumbs.db", ".DS_Store", "desktop.ini"):
        (root / "dog" / name).write_bytes(b"x")
    train, _ = list_images(root)
    (record,) = caplog.records
    assert record.getMessage() == (
        "pets: 5 of 12 files are images of kinds that are not read (.heic 4, .avif 1); passed "
        "over: PNG, JPEG or TIFF copies would be read."
    )
    assert describe_files(root, [train]) == (
        "12 files: 7 passed over (.heic 4, .avif 1, .csv 1, others 1)"
    )
    with pytest.raises(
        DataError, match=r"pets: 5 of 12 .*\(\.heic 4, \.avif 1\); without --strict"
    ):
        list_images(root, strict=True)
    for path in root.rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"but holds none \(\.heic 4, .* passed over\)"):
        list_images(root)


def test_files_that_are_no_images_need_no_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = classes(tmp_path / "pets", {"cat": 1})
    for name in ("labels.csv", "notes.txt", "LICENSE", "0.xml"):
        (root / "cat" / name).write_bytes(b"x")
    list_images(root, strict=True)
    assert caplog.records == []


def test_classes_linked_to_each_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"c{k}" for k in range(12)]
    root = classes(tmp_path / "pets", dict.fromkeys(names, 2))
    for one in names:
        for other in names:
            if one != other:
                (root / one / f"like {other}").symlink_to(root / other)
    assert found(root) == {name: [f"{name}/0.png", f"{name}/1.png"] for name in names}
    (record,) = caplog.records
    assert "pets: 24 files would be in more than one class (c0/0.png is c1/" in record.getMessage()
    assert len(list_files(root)) == 24


@pytest.mark.parametrize("link", ["symlink", "hard"])
def test_a_file_of_several_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, link: str
) -> None:
    root = classes(tmp_path / "pets", {"cat": 2, "dog": 2})

    def name_again(path: Path, name: Path) -> None:
        name.hardlink_to(path) if link == "hard" else name.symlink_to(path)

    name_again(root / "cat" / "0.png", root / "cat" / "9.png")
    (root / "cat" / "deeper").mkdir()
    name_again(root / "cat" / "1.png", root / "cat" / "deeper" / "1.png")
    train, _ = list_images(root)
    assert names_in(train)["cat"] == ["cat/0.png", "cat/1.png"]
    assert caplog.records == []
    assert describe_files(root, [train]) == "6 files: 2 further names of the same"
    name_again(root / "dog" / "1.png", root / "cat" / "dog.png")
    # Of hard links, none is the file itself: the first class has it.
    dogs = ["dog/0.png"] if link == "hard" else ["dog/0.png", "dog/1.png"]
    assert names_in(list_images(root)[0])["dog"] == dogs
    (record,) = caplog.records
    assert "pets: 1 file would be in more than one class (cat/dog.png is dog/1.png)" in (
        record.getMessage()
    )


def test_a_class_that_is_a_link_to_another(tmp_path: Path) -> None:
    root = classes(tmp_path / "pets", {"dog": 2})
    (root / "cat").symlink_to(root / "dog")
    assert found(root) == {"dog": ["dog/0.png", "dog/1.png"]}


def test_training_images_that_are_validation_images(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "pets"
    classes(root / "train", {"cat": 3, "dog": 2})
    (root / "val" / "cat").mkdir(parents=True)
    (root / "val" / "cat" / "x.png").symlink_to(root / "train" / "cat" / "1.png")
    train, val = list_images(root)
    assert val is not None
    assert names_in(train)["cat"] == ["cat/0.png", "cat/2.png"]
    assert names_in(val) == {"cat": ["cat/x.png"]}
    (record,) = caplog.records
    assert record.getMessage() == ("pets: 1 file in both train and val, left out of the training.")


def test_validation_images_of_unknown_classes_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "pets"
    classes(root / "train", {"cat": 1, "dog": 1})
    classes(root / "val", {"Cat": 1, "dog": 1})
    list_images(root)
    (record,) = caplog.records
    assert record.getMessage() == "pets: val has classes that train lacks: Cat."


def test_a_validation_set_that_is_the_training_set(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classes(tmp_path / "train", {"cat": 3})
    (tmp_path / "val").symlink_to(tmp_path / "train")
    train, val = list_images(tmp_path)
    assert val is not None
    assert (len(train.paths), len(val.paths)) == (3, 3)
    assert "validation errors are those of images that are trained on" in caplog.text


def test_names_of_classes_that_are_no_text(tmp_path: Path) -> None:
    for name in (b"\xe9", b"\xe8"):
        folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
        try:
            folder.mkdir()
        except OSError:
            pytest.skip("this file system refuses such names")
        for k in range(3):
            save(folder / f"{k}.png", plain(k))
    data = load_dataset(f"folder:{tmp_path}")
    assert data.class_names == ("\\xe8", "\\xe9")
    assert data.notes == ("6 files", "classes \\xe8 3, \\xe9 3")


def test_what_a_name_holds_cannot_reach_the_terminal() -> None:
    assert shown("a\x1b[31m\nb ü") == "a\\x1b[31m\\nb ü"


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
