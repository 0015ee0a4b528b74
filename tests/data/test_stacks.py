"""NumPy files as data sets."""

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.data.builders import assert_same

from autodecoder.data import arrays, load_dataset, stacks, subset
from autodecoder.errors import ConfigError, DataError

PIXELS = np.arange(20 * 12, dtype=np.uint8).reshape(20, 3, 4)


def npy(folder: Path, images: np.ndarray) -> str:
    np.save(folder / "some.npy", images)
    return f"npy:{folder / 'some.npy'}"


def npz(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "some.npz", **arrays)
    return f"npz:{folder / 'some.npz'}"


def both(data: Any) -> np.ndarray:
    images = np.concatenate([data.train.images, data.val.images])
    return images[np.lexsort(images.reshape(len(images), -1).T[::-1])]


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("shape", [(20, 3, 4), (20, 3, 4, 1), (20, 2, 2, 3), (20, 3, 2, 2)])
def test_shapes_and_dtypes(tmp_path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    images = PIXELS.reshape(shape)
    stored = images if dtype == "uint8" else (images / 255).astype(dtype)
    data = load_dataset(npy(tmp_path, stored))
    assert data.name == "some"
    assert data.image_shape == ((*shape, 1)[1:4])
    assert (len(data.train), len(data.val)) == (16, 4)
    assert data.train.images.dtype == np.uint8
    np.testing.assert_array_equal(both(data), images.reshape(both(data).shape))


def test_floats_are_rounded(tmp_path: Path) -> None:
    stored = np.repeat(np.array([[[0.0, 1.0, 0.5, 100.4 / 255, 100.6 / 255]]]), 4, axis=0)
    data = load_dataset(npy(tmp_path, stored))
    assert data.train.images[0].ravel().tolist() == [0, 255, 128, 100, 101]


def test_a_share_is_that_of_the_whole_but_nothing_else_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = npy(tmp_path, PIXELS)
    whole = load_dataset(name, seed=3)
    taken = []
    real = stacks.to_pixels

    def counted(images: np.ndarray, **other: Any) -> np.ndarray:
        taken.append(len(images))
        return real(images, **other)

    monkeypatch.setattr(stacks, "to_pixels", counted)
    part = load_dataset(name, seed=3, examples_frac=0.25)
    assert_same(part, subset(whole, 0.25, seed=3))
    assert sum(taken) == len(part.train) + len(part.val) == 5


def test_labels_and_validation_images(tmp_path: Path) -> None:
    labels = np.arange(20) % 2 + 5
    data = load_dataset(npz(tmp_path, images=PIXELS, labels=labels))
    assert data.class_names == ("5", "6")
    assert np.bincount(data.val.labels).tolist() == [2, 2]
    first = data.train.images[:, 0, 0, 0] // 12
    np.testing.assert_array_equal(data.train.labels, first % 2)
    given = {"val_images": PIXELS[:2] + 1, "labels": labels, "val_labels": np.array([5, 9])}
    data = load_dataset(npz(tmp_path, images=PIXELS, **given))
    assert data.class_names == ("5", "6", "9")
    assert data.val.labels.tolist() == [0, 2]
    np.testing.assert_array_equal(data.train.images[..., 0], PIXELS)
    np.testing.assert_array_equal(data.val.images[..., 0], PIXELS[:2] + 1)
    words = load_dataset(npz(tmp_path, images=PIXELS, labels=np.where(labels == 5, "dog", "cat")))
    assert words.class_names == ("cat", "dog")


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_names_are_rows_of_the_file(tmp_path: Path, kind: str) -> None:
    name = npy(tmp_path, PIXELS) if kind == "npy" else npz(tmp_path, images=PIXELS)
    for fraction in (1.0, 0.5):
        data = load_dataset(name, seed=3, examples_frac=fraction)
        for images in (data.train, data.val):
            assert images.names is not None
            assert (images.images[..., 0] == PIXELS[images.names]).all()
    data = load_dataset(npz(tmp_path, images=PIXELS, val_images=PIXELS[:3]))
    assert data.val.names is not None
    assert data.val.names.tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_without_validation(tmp_path: Path, kind: str) -> None:
    name = npy(tmp_path, PIXELS) if kind == "npy" else npz(tmp_path, images=PIXELS)
    data = load_dataset(name, val_fraction=0.0)
    np.testing.assert_array_equal(data.train.images[..., 0], PIXELS)
    assert data.val.images.shape == (0, 3, 4, 1)


def test_labels_of_which_each_has_one_image(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = load_dataset(npz(tmp_path, images=PIXELS, labels=np.arange(20)))
    assert (len(data.train), len(data.val)) == (20, 0)
    assert "20 of 20 classes (0, 1, 2 and 17 more) have one image only" in caplog.text
    assert "not held out. So no image is held out for validation." in caplog.text


def test_a_file_says_which_rows_to_validate_with(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    table = tmp_path / "split.csv"
    table.write_text("index,part\n" + "".join(f"{k},{'val' if k in (3, 17) else 'train'}\n"
                                              for k in range(20)))  # fmt: skip
    for name in (npy(tmp_path, PIXELS), npz(tmp_path, images=PIXELS)):
        data = load_dataset(name, split_by=str(table))
        np.testing.assert_array_equal(data.val.images[..., 0], PIXELS[[3, 17]])
    given = npz(tmp_path, images=PIXELS, val_images=PIXELS + 1)
    data = load_dataset(given, split_by=table)
    np.testing.assert_array_equal(data.val.images[..., 0], PIXELS[[3, 17]])
    assert "its own validation images are not used, because of split_by" in caplog.text


def test_published_sets_are_not_split_by_a_file() -> None:
    with pytest.raises(ConfigError, match="split_by is for images of your own, not for digits"):
        load_dataset("digits", split_by="some.csv")


def with_pixel(value: float) -> np.ndarray:
    images = np.zeros((20, 3, 4), np.float32)
    images[13, 1, 1] = value
    return images


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": PIXELS}, r"some\.npz must hold an array images, but holds pictures"),
        ({"images": np.array([{}], object)}, r"images\.npy holds Python objects, which are never"),
        ({"images": PIXELS * 1j}, "images must be real numbers, got complex128"),
        (
            {"images": PIXELS.astype(np.int16) * 16},
            r"between 0 and 255, but those of image 1 lie .* --range 0:4095, in Python pixel_range",
        ),
        ({"images": PIXELS.astype(np.int16) - 5}, "image 0 lie between -5 and 6; .* -1024:3071"),
        (
            {"images": np.repeat([15.0, 16.0], (9, 30 * 9)).reshape(31, 3, 3)},
            r"image \d+ lie between .*; training with --range 0:16, .* takes 0 for black",
        ),
        ({"images": PIXELS / 127.5 - 1}, "image 0 lie between -1 and -0.9.*; .* --range -1:1,"),
        ({"images": PIXELS.reshape(20, 12)}, r"images must be \(n, height, width\).*got 20 × 12"),
        ({"images": PIXELS[:0]}, "images must be .*, got 0 × 3 × 4"),
        ({"images": np.zeros((4, 3, 8, 8), np.uint8)}, r"channels last.*got 4 × 3 × 8 × 8"),
        ({"images": with_pixel(np.inf)}, "finite pixels, but image 13 has not"),
        (
            {"images": with_pixel(255)},
            "between 0 and 1, but those of image 13 lie between 0 and 255",
        ),
        (
            {"images": PIXELS, "labels": np.zeros(3, int)},
            "labels must be 20 whole numbers.*, got 3",
        ),
        ({"images": PIXELS, "labels": np.full(20, 0.5)}, "labels must be .*, got 20 of float64"),
        ({"images": PIXELS, "labels": np.array(["a"] * 20, object)}, r"labels\.astype\(str\)"),
        ({"images": PIXELS, "val_label": np.zeros(20, int)}, "images where it holds val_label,"),
        ({"images": PIXELS, "val_labels": np.zeros(20, int)}, "must hold val_images"),
        (
            {"images": PIXELS, "val_images": PIXELS, "labels": np.zeros(20, int)},
            "labels for training and for validation images, or for neither",
        ),
        ({"images": PIXELS, "val_images": PIXELS[:, 1:]}, r"one shape, got \(3, 4, 1\)"),
    ],
)
def test_bad_content_is_told(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(npz(tmp_path, **arrays))


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.npy cannot be read .*: No such file"):
        load_dataset(f"npy:{tmp_path / 'none.npy'}")
    for name in (npy(tmp_path, PIXELS), npz(tmp_path, images=PIXELS)):
        path = Path(name.partition(":")[2])
        for content in (b"", b"text", path.read_bytes()[:-50]):
            path.write_bytes(content)
            with pytest.raises(DataError, match=r"cannot be read|is damaged"):
                load_dataset(name)


def test_an_archive_that_promises_more_than_it_holds(tmp_path: Path) -> None:
    """The promised array would need 713 TiB; it is refused before memory is asked for."""
    header = io.BytesIO()
    about = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 28, 28)}
    np.lib.format.write_array_header_1_0(header, about)
    with zipfile.ZipFile(tmp_path / "some.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(100))
    with pytest.raises(
        DataError, match=r"images\.npy is damaged: it promises 784000000000128 bytes, but has 228"
    ):
        load_dataset(f"npz:{tmp_path / 'some.npz'}")


def test_signed_and_unsigned_labels_stay_whole_numbers(tmp_path: Path) -> None:
    labels = {
        "labels": np.arange(20, dtype=np.int64) % 3,
        "val_labels": np.arange(20, dtype=np.uint64) % 3,
    }
    data = load_dataset(npz(tmp_path, images=PIXELS, val_images=PIXELS, **labels))
    assert data.class_names == ("0", "1", "2")
    labels["val_labels"][0] = 2**64 - 1
    with pytest.raises(DataError, match="labels must be whole numbers of 64 bits"):
        load_dataset(npz(tmp_path, images=PIXELS, val_images=PIXELS, **labels))


@pytest.mark.parametrize("kind", ["folder", "npz", "npy"])
@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("~nosuchuser/x", "dataset cannot be ~nosuchuser/x: there is no user nosuchuser"),
        ("x" * 5000, "cannot be used as a path"),
    ],
)
def test_what_is_no_path_is_told(kind: str, place: str, told: str) -> None:
    with pytest.raises((ConfigError, DataError), match=told):
        load_dataset(f"{kind}:{place}")


@pytest.mark.parametrize(
    "names",
    [
        ("images", "label"),
        ("images", "targets"),
        ("X", "y"),
        ("data", "target"),
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("trainX", "trainY", "valX", "valY"),
        ("images", "labels", "val_image", "val_label"),
        ("images", "labels", "validation_images", "validation_labels"),
    ],
)
def test_usual_names(
    names: tuple[str, ...], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    values = (PIXELS, np.arange(20) % 2 + 5, PIXELS[:4] + 1, np.array([5, 6, 5, 6]))
    given = dict(zip(names, values, strict=False))
    data = load_dataset(npz(tmp_path, **given))
    assert data.class_names == ("5", "6")
    assert not caplog.messages
    if len(names) == 4:
        np.testing.assert_array_equal(data.val.images[..., 0], PIXELS[:4] + 1)
        assert data.val.labels.tolist() == [0, 1, 0, 1]


def test_the_files_of_medmnist_as_they_are(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    arrays = {}
    for k, part in enumerate(("train", "val", "test")):
        arrays[f"{part}_images"] = PIXELS + k
        arrays[f"{part}_labels"] = (np.arange(20, dtype=np.uint8) % 3)[:, None]
    data = load_dataset(npz(tmp_path, **arrays))
    np.testing.assert_array_equal(data.train.images[..., 0], PIXELS)
    np.testing.assert_array_equal(data.val.images[..., 0], PIXELS + 1)
    np.testing.assert_array_equal(data.val.labels, np.arange(20) % 3)
    assert caplog.messages[0].endswith("not used test_images, test_labels.")
    for part in ("train", "val", "test"):
        arrays[f"{part}_labels"] = np.ones((20, 14), np.uint8)
    assert load_dataset(npz(tmp_path, **arrays)).class_names == ("images",)
    assert "labels of 20 × 14 do not give one class" in caplog.text


def test_what_is_not_understood_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_dataset(npz(tmp_path, images=PIXELS, lable=np.arange(20)))
    assert caplog.messages == [f"{tmp_path}/some.npz: used images as images; not used lable."]


@pytest.mark.parametrize(
    "labels",
    [
        (np.arange(20) % 3)[:, None],
        (np.arange(20) % 3).astype(float),
        (np.arange(20) % 3).astype(np.float16),
        np.eye(3)[np.arange(20) % 3],
        np.array([b"0", b"1", b"2"])[np.arange(20) % 3],
        (np.arange(20) % 3)[None].astype(np.uint8),
    ],
)
def test_labels_of_every_kind(labels: np.ndarray, tmp_path: Path) -> None:
    data = load_dataset(npz(tmp_path, images=PIXELS, labels=labels))
    assert data.class_names == ("0", "1", "2")
    np.testing.assert_array_equal(data.train.labels, data.train.images[:, 0, 0, 0] // 12 % 3)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "int32", "int64", "float32", ">u2"])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 100), (-20, 107)])
def test_values_of_black_and_white(dtype: str, low: int, high: int, tmp_path: Path) -> None:
    if np.dtype(dtype).kind == "u" and low < 0:
        return
    grey = np.linspace(low, high, 12).astype(dtype)
    images = np.repeat(grey.reshape(1, 3, 4), 20, 0)
    data = load_dataset(npy(tmp_path, images), pixel_range=f"{low}:{high}")
    expected = np.rint((grey.astype(float) - low) * 255 / (high - low))
    np.testing.assert_array_equal(data.train.images[0].ravel(), expected)


def test_whole_numbers_of_any_type_are_bytes_and_booleans_are_black_and_white(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for dtype in ("int16", "uint16", "int32", "int64", "uint64"):
        np.testing.assert_array_equal(
            both(load_dataset(npy(tmp_path, PIXELS.astype(dtype))))[..., 0], PIXELS
        )
    of_bool = load_dataset(npy(tmp_path, PIXELS > 100))
    assert set(np.unique(of_bool.train.images)) == {0, 255}
    assert not caplog.messages
    for images in (PIXELS % 2, (PIXELS % 2).astype(np.int64)):
        caplog.clear()
        load_dataset(npy(tmp_path, images))
        assert "images hold only 0 and 1, where white is 255" in caplog.text
        assert "--range 0:1" in caplog.text
    caplog.clear()
    load_dataset(npy(tmp_path, PIXELS % 2), pixel_range=(0, 1))
    assert not caplog.messages


@pytest.mark.parametrize("shape", [(3, 4, 4), (4, 16, 16), (2, 8, 8)])
def test_channels_that_may_come_first_are_told(
    shape: tuple[int, int, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_dataset(npy(tmp_path, np.zeros((6, *shape), np.uint8)))
    taken = "taken for {} × {} pixels of {} channels; if the channels come first"
    assert taken.format(*shape) in caplog.text


def header(shape: str, version: int = 1, descr: str = "'|u1'", order: str = "False") -> bytes:
    about = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(about))
    return b"\x93NUMPY" + bytes([version, 0]) + length + about


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (header("(4, 8, 8)")[:-2] + b"\n" + bytes(256), "cannot be read as an array of numbers"),
        (header("(True, 8, 8)") + bytes(64), r"damaged: its array has the shape \(True, 8, 8\)"),
        (header(f"({2**63 - 1}, 8, 8)") + bytes(64), "is damaged: it promises"),
        (header(f"({2**200}, 0, 8)"), "cannot be read as an array of numbers"),
        (header("(-1, -8, 8)") + bytes(64), r"has the shape \(-1, -8, 8\)"),
        (header("(4, 2, 3)") + bytes(20), "is damaged: it promises"),
        (header("[4, 2, 3]") + bytes(24), "cannot be read as an array of numbers"),
        (header("(4, 2, 3)", descr="'|O'") + bytes(192), "holds Python objects"),
        (header("(4, 2, 3)", descr="[('a', '|u1')]") + bytes(24), "images must be real numbers"),
        (header("(4, 2, 3)", version=9) + bytes(24), "cannot be read as an array of numbers"),
        (header("(" * 9000), "cannot be read as an array of numbers"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + bytes(100), "cannot be read as an array"),
        (b"\x93NUMPY", "cannot be read as an array of numbers"),
        (header("()") + bytes(1), r"images must be \(n, height, width\)"),
    ],
)
def test_headers_that_are_nonsense(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "some.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "some.npz", "w") as archive:
        archive.writestr("images.npy", content)
    for kind in ("npy", "npz"):
        with pytest.raises(DataError, match=message):
            load_dataset(f"{kind}:{tmp_path / 'some'}.{kind}")


@pytest.mark.parametrize(("version", "order"), [(1, "True"), (2, "False"), (3, "False")])
def test_sound_headers_of_other_kinds(version: int, order: str, tmp_path: Path) -> None:
    (tmp_path / "some.npy").write_bytes(header("(4, 2, 3)", version, order=order) + bytes(24))
    assert load_dataset(f"npy:{tmp_path / 'some.npy'}").image_shape == (2, 3, 1)


def test_members_that_are_no_arrays_and_archives_larger_than_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "some.npz", "w") as archive:
        archive.writestr("images", b"text")
    with pytest.raises(DataError, match="cannot be read as an array of numbers"):
        load_dataset(f"npz:{tmp_path / 'some.npz'}")
    monkeypatch.setattr(arrays, "MOST_UNPACKED", 300)
    with pytest.raises(DataError, match=r"that fit into memory; save the images as \.npy"):
        load_dataset(npz(tmp_path, images=PIXELS))
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(DataError, match="is a device or a pipe"):
        load_dataset(f"npy:{tmp_path / 'pipe.npy'}")
