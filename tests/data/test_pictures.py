"""Folders of images as data sets."""

import logging
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.data.builders import assert_same
from tests.data.pictures import animation, bomb, classes, plain, quarters, save

from autodecoder.data import Dataset, ImageSet, load_dataset, storage, subset
from autodecoder.data.decode import Head
from autodecoder.data.given import open_given
from autodecoder.data.pictures import choose_size
from autodecoder.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return classes(tmp_path / "pets", {"cat": 10, "dog": 5})


def levels(images: np.ndarray) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def test_labels_order_and_held_out_images(pets: Path) -> None:
    data = load_dataset(f"folder:{pets}")
    assert data.name == "pets"
    assert data.class_names == ("cat", "dog")
    assert data.image_shape == (4, 6, 1)
    assert np.bincount(data.val.labels).tolist() == [2, 1]
    assert np.bincount(data.train.labels).tolist() == [8, 4]
    for part in (data.train, data.val):
        assert levels(part.images) == sorted(levels(part.images))
        assert (part.labels == np.array(levels(part.images)) // 10).all()
    assert sorted(levels(data.train.images) + levels(data.val.images)) == list(range(15))


def test_the_seed_draws_what_is_held_out(pets: Path) -> None:
    one, same, other = (load_dataset(f"folder:{pets}", seed=seed) for seed in (1, 1, 2))
    assert_same(one, same)
    assert levels(one.val.images) != levels(other.val.images)
    half = load_dataset(f"folder:{pets}", seed=1, val_fraction=0.5)
    assert np.bincount(half.val.labels).tolist() in ([5, 3], [5, 2])


def test_a_share_is_that_of_the_whole_but_nothing_else_is_decoded(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_dataset(f"folder:{pets}", seed=3)
    decoded = []
    from autodecoder.data import pictures

    real = pictures.decode_image
    monkeypatch.setattr(pictures, "decode_image", lambda *args: decoded.append(1) or real(*args))
    part = load_dataset(f"folder:{pets}", seed=3, examples_frac=0.5)
    assert_same(part, subset(whole, 0.5, seed=3))
    assert len(decoded) == len(part.train) + len(part.val) == 8


def test_a_published_split_is_kept(tmp_path: Path) -> None:
    classes(tmp_path / "train", {"cat": 1, "dog": 2})
    classes(tmp_path / "test", {"bird": 1, "dog": 3})
    data = load_dataset(f"folder:{tmp_path}", val_fraction=0.9)
    assert data.class_names == ("bird", "cat", "dog")
    assert data.train.labels.tolist() == [1, 2, 2]
    assert data.val.labels.tolist() == [0, 2, 2, 2]
    assert levels(data.val.images) == [0, 10, 11, 12]


def test_images_without_folders(tmp_path: Path) -> None:
    for k in range(5):
        save(tmp_path / f"{k}.png", plain(k))
    data = load_dataset(f"folder:{tmp_path}")
    assert data.class_names == ("images",)
    assert (len(data.train), len(data.val)) == (4, 1)
    assert not data.train.labels.any()


@pytest.mark.parametrize(("colour", "channels"), [("auto", 3), ("grey", 1), ("rgb", 3)])
def test_channels(pets: Path, colour: str, channels: int) -> None:
    """One picture in colour among grey ones."""
    save(pets / "cat" / "0.png", Image.fromarray(quarters()))
    data = load_dataset(f"folder:{pets}", colour=colour)
    assert data.image_shape == (4, 6, channels)
    grey = load_dataset(f"folder:{pets / 'dog'}", colour=colour)
    assert grey.image_shape[2] == (3 if colour == "rgb" else 1)


def test_sizes_must_be_one_or_be_given(pets: Path) -> None:
    save(pets / "dog" / "3.png", plain(9, size=(8, 7)))
    with pytest.raises(
        DataError, match=r"cat/0\.png is 4 × 6 and dog/3\.png is 7 × 8 .*--image_size"
    ):
        load_dataset(f"folder:{pets}")
    assert load_dataset(f"folder:{pets}", image_size=5).image_shape == (5, 5, 1)
    assert load_dataset(f"folder:{pets}", image_size="5x3").image_shape == (5, 3, 1)


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([(48, 64)] * 3, (48, 64)),  # as they are
        ([(128, 100)], (128, 100)),
        ([(1200, 1600)] * 2, (48, 64)),  # in their aspect ratio
        ([(3000, 10)], (64, 1)),
        ([(300, 400), (500, 200), (90, 900)], (64, 64)),
        ([(20, 30), (40, 25), (50, 60)], (25, 25)),  # the median of the shorter sides
        ([(28, 28)] * 9 + [(500, 400)], (28, 28)),
    ],
)
def test_a_size_is_chosen_from_the_images(
    sizes: list[tuple[int, int]], chosen: tuple[int, int]
) -> None:
    assert choose_size([Head(*size, grey=True) for size in sizes]) == chosen


def test_images_of_several_sizes_become_squares_where_that_is_asked_for(pets: Path) -> None:
    save(pets / "dog" / "3.png", plain(9, size=(8, 7)))
    found = load_dataset(f"folder:{pets}", image_size="auto")
    given = load_dataset(f"folder:{pets}", image_size=found.image_shape[0])
    assert found.image_shape == (4, 4, 1)
    assert found.fingerprint == given.fingerprint


@pytest.fixture
def bad(pets: Path) -> Path:
    (pets / "cat" / "0.png").write_bytes(b"")
    (pets / "cat" / "1.png").write_bytes(b"just text")
    (pets / "cat" / "2.png").write_bytes(bomb(10_000, 10_000))
    noise = np.random.default_rng(0).integers(0, 256, (4, 6), np.uint8)
    path = save(pets / "dog" / "4.png", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[:60])
    (pets / "dog" / "readme.txt").write_bytes(b"text")
    (pets / "dog" / "a.gif").write_bytes(animation())
    return pets


def test_unreadable_files_are_left_out_with_one_warning(
    bad: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "autodecoder"):
        data = load_dataset(f"folder:{bad}", colour="grey")
    (record,) = caplog.records
    assert record.getMessage() == (
        "pets: 4 of 16 files cannot be read: cat/0.png (empty), cat/1.png (no image of a format "
        "that is read), cat/2.png (larger than 50 megapixels) and 1 more; left out."
    )
    assert len(data.train) + len(data.val) == 12
    assert data.notes[-1] == "classes cat 7, dog 5", "only images that were read are counted"
    kept = sorted(levels(data.train.images) + levels(data.val.images))
    assert kept == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 76], "what stays is not mixed up"
    for part in (data.train, data.val):
        assert all(
            label == (level > 9)
            for label, level in zip(part.labels, levels(part.images), strict=True)
        )


def test_or_are_an_error(bad: Path) -> None:
    with pytest.raises(DataError, match=r"pets: 4 of 16 files .*cat/0\.png \(empty\).*--strict"):
        load_dataset(f"folder:{bad}", strict=True)


def test_the_only_image_of_a_class_is_trained_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classes(tmp_path / "some", {"cat": 5, "cow": 1, "dog": 1})
    data = load_dataset(f"folder:{tmp_path / 'some'}", val_fraction=0.4)
    assert np.bincount(data.train.labels).tolist() == [3, 1, 1]
    assert data.val.labels.tolist() == [0, 0]
    assert caplog.messages == [
        "2 of 3 classes (cow, dog) have one image only: it is trained on, not held out."
    ]
    caplog.clear()
    one = load_dataset(f"folder:{tmp_path / 'some' / 'dog'}")
    assert (len(one.train), len(one.val), one.image_shape) == (1, 0, (4, 6, 1))
    assert caplog.messages == ["there is only one image, so none is held out for validation."]


def test_without_validation_all_are_trained_on(pets: Path, tmp_path: Path) -> None:
    data = load_dataset(f"folder:{pets}", val_fraction=0.0)
    assert sorted(levels(data.train.images)) == list(range(15))
    assert data.val.images.shape == (0, 4, 6, 1)
    half = load_dataset(f"folder:{pets}", val_fraction=0.0, examples_frac=0.5)
    assert (len(half.train), len(half.val)) == (8, 0)


def test_what_has_validation_images_keeps_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    classes(tmp_path / "train", {"cat": 2})
    classes(tmp_path / "val", {"cat": 1})
    data = load_dataset(f"folder:{tmp_path}", val_fraction=0.0)
    assert (len(data.train), len(data.val)) == (2, 1)
    assert "val_fraction 0 holds out none, but it has validation images" in caplog.text
    assert names_of(data.train) == ["train/cat/0.png", "train/cat/1.png"]
    assert names_of(data.val) == ["val/cat/0.png"]


def names_of(images: ImageSet) -> list:
    assert images.names is not None
    return images.names.tolist()


def test_names_are_paths_below_the_folder(pets: Path) -> None:
    (pets / "cat" / "3.png").write_bytes(b"")  # no header
    whole = (pets / "cat" / "4.png").read_bytes()
    (pets / "cat" / "4.png").write_bytes(whole[:-30])  # a header, but no pixels
    for fraction in (1.0, 0.5):
        data = load_dataset(f"folder:{pets}", seed=2, examples_frac=fraction)
        found = names_of(data.train) + names_of(data.val)
        assert not {"cat/3.png", "cat/4.png"} & set(found)
        for images in (data.train, data.val):
            for name, pixels in zip(names_of(images), images.images, strict=True):
                with Image.open(pets / name) as file:
                    assert (np.asarray(file) == pixels[..., 0]).all()


def test_a_file_says_what_to_validate_with(pets: Path, tmp_path: Path) -> None:
    whole = load_dataset(f"folder:{pets}", val_fraction=0.0)
    names = names_of(whole.train)
    held_out = names[::4]
    table = tmp_path / "split.csv"
    table.write_text("".join(f"{n},{'val' if n in held_out else 'train'}\n" for n in names))
    (pets / held_out[0]).write_bytes(b"")  # in the file still, though it cannot be read
    data = load_dataset(f"folder:{pets}", split_by=table)
    assert names_of(data.val) == held_out[1:]
    assert set(names_of(data.train)) == set(names) - set(held_out)
    half = load_dataset(f"folder:{pets}", split_by=table, examples_frac=0.5)
    assert set(names_of(half.val)) < set(held_out)
    assert data.fingerprint != load_dataset(f"folder:{pets}").fingerprint


def test_groups_of_files_stay_together(pets: Path, tmp_path: Path) -> None:
    names = names_of(load_dataset(f"folder:{pets}", val_fraction=0.0).train)
    group = {name: f"p{k // 2}" for k, name in enumerate(names)}
    table = tmp_path / "groups.csv"
    table.write_text("file,patient\n" + "".join(f"{n},{g}\n" for n, g in group.items()))
    data = load_dataset(f"folder:{pets}", split_by=table, val_fraction=0.25, seed=1)
    parts = [{group[name] for name in names_of(images)} for images in (data.train, data.val)]
    assert not parts[0] & parts[1]
    assert 3 <= len(data.val) <= 5
    assert_same(data, load_dataset(f"folder:{pets}", split_by=table, val_fraction=0.25, seed=1))
    with pytest.raises(ConfigError, match="val_fraction must be above 0 with split_by"):
        load_dataset(f"folder:{pets}", split_by=table, val_fraction=0.0)


def test_a_file_may_cut_a_published_split_anew(tmp_path: Path) -> None:
    classes(tmp_path / "pets" / "train", {"cat": 2})
    classes(tmp_path / "pets" / "val", {"cat": 2})
    table = tmp_path / "split.csv"
    parts = {"train/cat/0.png": "val", "train/cat/1.png": "train"}
    parts |= {"val/cat/0.png": "train", "val/cat/1.png": "val"}
    table.write_text("".join(f"{n},{part}\n" for n, part in parts.items()))
    data = load_dataset(f"folder:{tmp_path / 'pets'}", split_by=table)
    assert names_of(data.train) == ["train/cat/1.png", "val/cat/0.png"]
    assert names_of(data.val) == ["train/cat/0.png", "val/cat/1.png"]


def test_too_few_images(tmp_path: Path) -> None:
    classes(tmp_path / "one", {"cat": 5, "dog": 1})
    with pytest.raises(DataError, match=r"val_fraction 0\.99 leaves none of 5 images"):
        load_dataset(f"folder:{tmp_path / 'one' / 'cat'}", val_fraction=0.99)
    (tmp_path / "one" / "dog" / "0.png").write_bytes(b"")
    with pytest.raises(
        DataError, match=r"dog has no image to train on.*in 1 file; unreadable: 0\.png \(empty\)"
    ):
        load_dataset(f"folder:{tmp_path / 'one' / 'dog'}")


def test_many_pixels_lie_in_a_file_without_a_name(
    pets: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    small = load_dataset(f"folder:{pets}")
    monkeypatch.setattr(storage, "MOST_IN_MEMORY", 100)
    large = load_dataset(f"folder:{pets}")
    assert isinstance(large.train.images, np.memmap)
    assert not isinstance(small.train.images, np.memmap)
    assert_same(large, small)
    assert large.fingerprint == small.fingerprint
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    monkeypatch.setattr(tempfile, "TemporaryFile", _no_room)
    with pytest.raises(OSError, match=r"cannot hold the .* GB that the images take: No space left"):
        load_dataset(f"folder:{pets}")


def _no_room(**_options: object) -> None:
    raise OSError(28, "No space left on device")


def test_files_named_in_no_language(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for k in range(4):
        save(folder / f"{k}.png", plain(k))
    broken = Path(str(folder / "x\udcff.png"))
    try:
        broken.write_bytes(b"")
    except OSError:
        pytest.skip("this file system refuses such names")
    with pytest.raises(DataError) as told:
        load_dataset(f"folder:{folder}", strict=True)
    str(told.value).encode()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_what_is_used_is_noted(pets: Path) -> None:
    (pets / "cat" / "10.heic").write_bytes(b"x")
    data = load_dataset(f"folder:{pets}", examples_frac=0.5)
    assert data.notes == (
        "16 files: 1 passed over (.heic 1)",
        "classes cat 10, dog 5",
        "examples_frac 0.5 keeps half",
    )
    assert load_dataset("digits").notes[0].startswith("classes 0 178, 1 182, ")
    assert load_dataset("digits", examples_frac=0.25).notes[1:] == (
        "examples_frac 0.25 keeps 25 %",
    )
    with pytest.raises(DataError, match=r"1 of 16 files are images of kinds that are not read"):
        load_dataset(f"folder:{pets}", strict=True)


def test_notes_of_parts_and_of_many_classes(tmp_path: Path) -> None:
    for part in ("train", "dev"):
        classes(tmp_path / part, {f"c{k:02}": 2 for k in range(12)})
    data = load_dataset(f"folder:{tmp_path}")
    named = ", ".join(f"c{k:02} 4" for k in range(10))
    assert data.notes == ("48 files in train and dev", f"12 classes: {named} and others")


def stack(folder: Path, levels: list[np.ndarray]) -> str:
    for k, one in enumerate(levels):
        save(folder / f"{k}.png", Image.fromarray(one))
    return f"folder:{folder}"


def test_bytes_of_0_and_1_are_told_and_have_a_remedy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    masks = [np.eye(4, dtype=np.uint8) * (k != 2) for k in range(5)]
    name = stack(tmp_path / "masks", masks)
    load_dataset(name)
    assert told(caplog) == [
        "masks: 5 images of 8 bits without a value above 1, read as nearly black: "
        "--range 0:1 makes 1 white."
    ]
    caplog.clear()
    data = load_dataset(name, pixel_range="0:1")
    assert told(caplog) == []
    assert sorted(np.unique(data.train.images).tolist()) == [0, 255]
    save(tmp_path / "masks" / "5.png", plain(200, (4, 4)))
    load_dataset(name)
    assert told(caplog) == [], "one bright image among them: the data set is of bytes"
    load_dataset(name, pixel_range=(0.0, 1.0))
    assert told(caplog) == [
        "masks: 1 of 6 images with pixels outside of --range 0:1, from 200 to 200: they are cut "
        "off."
    ]


@pytest.mark.parametrize(
    ("most", "end"), [(4000, 4095), (1023, 1023), (16_000, 16_383), (200, 255)]
)
def test_16_bits_that_are_used_in_part(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, most: int, end: int
) -> None:
    """Told of the whole, not of each."""
    levels = [np.full((4, 4), most * k // 4, np.uint16) for k in range(5)]
    name = stack(tmp_path / "scans", levels)
    load_dataset(name)
    assert told(caplog) == [
        f"scans: 5 images of 16 bits without a value above {most}, read as nearly "
        f"black: --range 0:{end} makes {end} white."
    ]
    caplog.clear()
    data = load_dataset(name, pixel_range=f"0:{end}")
    assert told(caplog) == []
    assert max(levels_of(data)) == round(255 * most / end)
    save(tmp_path / "scans" / "5.png", Image.fromarray(np.full((4, 4), 40_000, np.uint16)))
    load_dataset(name)
    assert told(caplog) == []


def levels_of(data: Dataset) -> list[int]:
    return sorted(levels(data.train.images) + levels(data.val.images))


def test_floats_by_a_range(tmp_path: Path) -> None:
    for k in range(5):
        save(tmp_path / f"{k}.tif", Image.fromarray(np.full((4, 4), k / 4, np.float32)))
    with pytest.raises(DataError, match=r"32-bit floats, .* --range LOW:HIGH"):
        load_dataset(f"folder:{tmp_path}")
    data = load_dataset(f"folder:{tmp_path}", pixel_range="0:1")
    assert levels_of(data) == [0, 64, 128, 191, 255]


def test_wholly_transparent_images_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for k in range(4):
        picture = Image.fromarray(quarters()).convert("RGBA")
        picture.putalpha(0 if k < 2 else 255)
        save(tmp_path / "icons" / f"{k}.png", picture)
    data = load_dataset(f"folder:{tmp_path / 'icons'}")
    assert len(np.unique(data.train.images, axis=0)) == 1
    (words,) = told(caplog)
    assert words.startswith("icons: 2 of 4 images transparent everywhere: read as if")


def test_files_for_a_model_are_read_by_its_range(tmp_path: Path) -> None:
    save(tmp_path / "a.png", Image.fromarray(np.array([[0, 1024, 4095]], np.uint16)))
    found = open_given(f"folder:{tmp_path}", (1, 3, 1), is_table=False, pixel_range=(0.0, 4095.0))
    assert found.samples.ravel().tolist() == [0, 64, 255]


@pytest.mark.parametrize("name", ["digits", "npy:some.npy"])
def test_conversions_are_refused_where_there_are_none(name: str) -> None:
    kind = name.partition(":")[0]
    with pytest.raises(
        ConfigError, match=f"image_size is for folder:, csv:, tar: and hf:, not for {kind}"
    ):
        load_dataset(name, image_size=8)
    with pytest.raises(
        ConfigError, match=f"colour is for folder:, csv:, tar: and hf:, not for {kind}"
    ):
        load_dataset(name, colour="grey")


@pytest.mark.parametrize("name", ["folder:", "hf: ", "npz:", "folders:x", "./photos"])
def test_names_that_lead_nowhere(name: str) -> None:
    with pytest.raises(ConfigError, match="dataset must be"):
        load_dataset(name)
