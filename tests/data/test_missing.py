"""Missing pixels: not a number, hidden by a mask, or transparent; what is told of them, and what is
refused."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.test_stacks import PIXELS, npy, npz

from autodecoder.data import Dataset, ImageSet, load_dataset, subset
from autodecoder.data.given import open_given
from autodecoder.data.missing import describe_missing, find_known, tell_unseen, to_known
from autodecoder.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
KNOWN = RNG.random(PIXELS.shape) < 0.7
HOLED = np.where(KNOWN, PIXELS / 255, np.nan)


def by_row(images: ImageSet, whole: np.ndarray) -> np.ndarray:
    assert images.names is not None
    return whole[images.names].reshape(len(images), *whole.shape[1:], -1)


def check(data: Dataset, known: np.ndarray = KNOWN) -> None:
    """Both sets have the pixels and the mask of the file."""
    for part in (data.train, data.val):
        seen = by_row(part, known)
        assert part.mask is not None
        assert part.flat_mask is not None
        np.testing.assert_array_equal(part.mask, seen)
        np.testing.assert_array_equal(part.flat_mask.sum(axis=1), seen.sum(axis=(1, 2, 3)))
        np.testing.assert_array_equal(part.images, np.where(seen, by_row(part, PIXELS), 0))


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_not_a_number_is_a_missing_pixel(tmp_path: Path, kind: str) -> None:
    name = npy(tmp_path, HOLED) if kind == "npy" else npz(tmp_path, images=HOLED)
    data = load_dataset(name)
    check(data)
    assert "of the training images and" in data.notes[-1]
    half = load_dataset(name, examples_frac=0.5)
    np.testing.assert_array_equal(half.train.images, subset(data, 0.5, seed=0).train.images)
    check(half)


@pytest.mark.parametrize("block", [3, 1024])
def test_holes_that_begin_in_a_later_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr("autodecoder.data.stacks._BLOCK", block)
    known = np.where(np.arange(20)[:, None, None] < 9, True, KNOWN)
    data = load_dataset(npy(tmp_path, np.where(known, PIXELS / 255, np.nan)), val_fraction=0.0)
    np.testing.assert_array_equal(data.train.mask, known[..., None])
    assert data.val.mask is None


@pytest.mark.parametrize("form", ["booleans", "0 and 255", "floats", "in an npz", "one for all"])
def test_a_mask_beside_images(tmp_path: Path, form: str) -> None:
    path, known = tmp_path / "mask.npy", KNOWN
    if form == "in an npz":
        path = tmp_path / "mask.npz"
        np.savez(path, mask=KNOWN)
    elif form == "one for all":
        known = np.broadcast_to(KNOWN[0], KNOWN.shape)
        np.save(path, KNOWN[0])
    else:
        dtype = {"booleans": bool, "0 and 255": np.uint8, "floats": float}[form]
        np.save(path, (255 if form == "0 and 255" else 1) * KNOWN.astype(dtype))
    for name in (npy(tmp_path, PIXELS), npz(tmp_path, images=PIXELS)):
        check(load_dataset(name, mask=path), known)


def test_masks_in_the_file_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    check(load_dataset(npz(tmp_path, images=PIXELS, mask=KNOWN)))
    val = {"x_test": PIXELS[:3], "mask_test": ~KNOWN[:3]}
    data = load_dataset(npz(tmp_path, x_train=PIXELS, mask=KNOWN, **val))
    assert data.train.mask is not None
    assert data.val.mask is not None
    np.testing.assert_array_equal(data.train.mask[..., 0], KNOWN)
    np.testing.assert_array_equal(data.val.mask[..., 0], ~KNOWN[:3])
    one = load_dataset(npz(tmp_path, images=PIXELS, val_images=PIXELS[:3], mask=KNOWN[0]))
    assert one.val.mask is not None
    np.testing.assert_array_equal(one.val.mask[2, ..., 0], KNOWN[0])
    segmented = load_dataset(npz(tmp_path, images=PIXELS, masks=KNOWN))
    assert segmented.train.mask is None, "what images are segmented into"
    assert not caplog.messages or "not used masks" in caplog.text
    np.save(tmp_path / "other.npy", ~KNOWN)
    name = npz(tmp_path, images=PIXELS, mask=KNOWN)
    check(load_dataset(name, mask=tmp_path / "other.npy"), ~KNOWN)
    assert "its own mask is not used" in caplog.text


def test_a_mask_that_hides_nothing_is_none(tmp_path: Path) -> None:
    name = npz(tmp_path, images=PIXELS, mask=np.ones(PIXELS.shape, bool))
    data, plain = load_dataset(name), load_dataset(npz(tmp_path, images=PIXELS))
    assert data.train.mask is None
    assert (data.fingerprint, data.notes) == (plain.fingerprint, plain.notes)


def test_the_fingerprint_covers_masks_but_not_what_they_hide() -> None:
    images, labels = PIXELS[..., None], np.zeros(20, int)
    none = ImageSet(images[:0], labels[:0])

    def of(images: np.ndarray, mask: np.ndarray | None) -> str:
        mask = None if mask is None else mask[..., None]
        return Dataset("x", ImageSet(images, labels, None, mask), none, ("a",)).fingerprint

    masked = of(images, KNOWN)
    assert masked == of(np.where(KNOWN[..., None], images, 9).astype(np.uint8), KNOWN)
    other = KNOWN.copy()
    other[0, 0, 0] ^= True
    assert len({masked, of(images, None), of(images, other)}) == 3
    digest = hashlib.sha256(repr(images.shape).encode())
    digest.update(images.tobytes() + labels.tobytes() + repr(none.images.shape).encode())
    assert of(images, None) == digest.hexdigest(), "that of earlier studies"


def rgba(alpha: Any) -> np.ndarray:
    """20 images of 3 × 4 in colours, with an alpha channel."""
    colours = np.repeat(PIXELS[..., None], 3, axis=3)
    alpha = np.broadcast_to(alpha, PIXELS.shape)[..., None]
    return np.concatenate([colours, alpha], axis=3).astype(np.uint8)


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_of_arrays_is_a_mask_on_request(tmp_path: Path, channels: int) -> None:
    images = rgba(np.where(KNOWN, 128, 127))[..., 4 - channels :]
    name = npy(tmp_path, images)
    assert load_dataset(name).image_shape == (3, 4, channels)
    data = load_dataset(name, alpha="mask")
    assert data.image_shape == (3, 4, channels - 1)
    for part in (data.train, data.val):
        assert part.mask is not None
        np.testing.assert_array_equal(
            part.mask, np.broadcast_to(by_row(part, KNOWN), part.mask.shape)
        )
    floats = load_dataset(npy(tmp_path, images / 255), alpha="mask")
    assert floats.fingerprint == data.fingerprint
    found = open_given(str(tmp_path / "some.npy"), data.image_shape, is_table=False, alpha="mask")
    assert found.samples.shape[1:] == data.image_shape
    np.testing.assert_array_equal(found.mask, KNOWN)


@pytest.fixture
def stickers(tmp_path: Path) -> Path:
    folder = tmp_path / "stickers"
    folder.mkdir()
    for k, image in enumerate(rgba(np.where(KNOWN, 200, 0))):
        Image.fromarray(image).save(folder / f"{k:02}.png")
    return folder


def test_alpha_of_files_is_a_mask_on_request(stickers: Path) -> None:
    whole = load_dataset(f"folder:{stickers}")
    assert whole.train.mask is None
    assert whole.train.images.max() == 255, "on white"
    data = load_dataset(f"folder:{stickers}", alpha="mask", val_fraction=0.0)
    assert data.train.mask is not None
    assert data.image_shape == (3, 4, 3)
    np.testing.assert_array_equal(data.train.mask, np.repeat(KNOWN[..., None], 3, axis=3))
    np.testing.assert_array_equal(data.train.images[..., 1], np.where(KNOWN, PIXELS, 0))
    grey = load_dataset(f"folder:{stickers}", alpha="mask", colour="grey", val_fraction=0.0)
    np.testing.assert_array_equal(grey.train.mask, KNOWN[..., None])
    np.testing.assert_allclose(grey.train.images[..., 0], np.where(KNOWN, PIXELS, 0), atol=1)
    given = open_given(f"folder:{stickers}", (3, 4, 3), is_table=False, alpha="mask")
    np.testing.assert_array_equal(given.mask, KNOWN)


def test_transparent_colours_do_not_bleed_where_images_are_scaled(tmp_path: Path) -> None:
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[:, :20] = 200, 200, 200, 255
    pixels[:, 20:] = 0, 255, 0, 0
    for k in range(2):
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
    data = load_dataset(f"folder:{tmp_path}", image_size=10, alpha="mask", val_fraction=0.0)
    assert data.train.mask is not None
    seen = data.train.mask[..., 0]
    assert seen[:, :, :5].all()
    assert not seen[:, :, 5:].any()
    np.testing.assert_allclose(data.train.images[:, :, :5].astype(int), 200, atol=4)


@pytest.mark.parametrize("mode", ["L", "P", "I;16"])
def test_a_level_that_stands_for_transparent(tmp_path: Path, mode: str) -> None:
    level = 40 if mode != "I;16" else 40 * 257
    dtype = np.uint16 if mode == "I;16" else np.uint8
    pixels = np.full((4, 6), level, dtype)
    pixels[:, :3] = 9
    for k in range(2):
        image = Image.fromarray(pixels)
        if mode == "P":
            image = image.convert("P")
        image.save(tmp_path / f"{k}.png", transparency=level)
    data = load_dataset(f"folder:{tmp_path}", alpha="mask", val_fraction=0.0)
    assert data.train.mask is not None
    assert data.train.mask[:, :, :3].all()
    assert not data.train.mask[:, :, 3:].any()


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (
            {"images": np.where(np.arange(20)[:, None, None] == 7, np.nan, HOLED)},
            {},
            "but number 7 has none",
        ),
        (
            {"mask": KNOWN & (np.arange(20) != 7)[:, None, None]},
            {},
            "npz: each of the images .* but number 7 has",
        ),
        ({"mask": KNOWN[:5]}, {}, "npz: mask must be for 20 images or for one, got"),
        ({"mask": KNOWN[:, :2]}, {}, r"npz: mask must be \(n, 3, 4\) or \(n, 3, 4, 1\), got"),
        ({"mask": PIXELS}, {}, "mask must hold booleans, 0 and 1, or 0 and 255, but that of image"),
        ({"mask": KNOWN * 0.5}, {}, "0 and 255, but that of image . holds 0.5"),
        ({"mask": KNOWN, "val_mask": KNOWN}, {}, "must hold val_images where it holds val_mask"),
        ({}, {"alpha": "mask"}, "alpha mask needs images with an alpha channel, .* got 1"),
        ({}, {"mask": "some.txt"}, "mask must be an .npy or .npz file"),
        ({}, {"mask": "some.npz"}, "must hold an array mask, but holds images"),
        ({"images": np.where(KNOWN, np.inf, HOLED)}, {}, "finite pixels, but image"),
    ],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path, arrays: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    if "mask" in options:
        options = {"mask": tmp_path / options["mask"]}
    with pytest.raises(DataError, match=message):
        load_dataset(npz(tmp_path, **{"images": PIXELS, **arrays}), **options)


def test_masks_and_alpha_are_for_sources_that_can_have_them(tmp_path: Path, stickers: Path) -> None:
    np.save(tmp_path / "mask.npy", KNOWN)
    for name in (f"folder:{stickers}", "digits", "hf:some/where"):
        with pytest.raises(ConfigError, match="mask is for npy: and npz:, not for"):
            load_dataset(name, mask=tmp_path / "mask.npy")
    with pytest.raises(ConfigError, match="alpha is for images of your own, not for digits"):
        load_dataset("digits", alpha="mask")
    with pytest.raises(ConfigError, match="alpha must be one of white, mask, got 'black'"):
        load_dataset(f"folder:{stickers}", alpha="black")
    for k, image in enumerate(PIXELS):
        Image.fromarray(image).save(stickers / f"{k:02}.png")
    with pytest.raises(
        DataError, match=r"alpha mask needs .* alpha channel, but none of 20 has one"
    ):
        load_dataset(f"folder:{stickers}", alpha="mask")


def test_images_that_are_transparent_everywhere_are_named(stickers: Path) -> None:
    for k in (3, 5):
        Image.fromarray(rgba(0)[k]).save(stickers / f"{k:02}.png")
    with pytest.raises(DataError, match=r"03\.png, 05\.png have no known pixel"):
        load_dataset(f"folder:{stickers}", alpha="mask", val_fraction=0.0)


def test_pixels_that_no_image_shows_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    known = KNOWN.copy()
    known[:, 1, 1:3] = False
    load_dataset(npz(tmp_path, images=PIXELS, mask=known))
    assert "2 of 12 values of an image are missing from every training image" in caplog.text
    assert "not learnt from data" in caplog.text
    caplog.clear()
    load_dataset(npz(tmp_path, images=PIXELS, mask=KNOWN))
    assert not caplog.messages


def test_shares_and_parts() -> None:
    half = np.arange(12).reshape(2, 6) % 2 == 0
    assert describe_missing(half, None) == "missing pixels: 50 % of the training images"
    assert describe_missing(None, None) is None
    assert tell_unseen(half) is not None
    np.testing.assert_array_equal(to_known(255 * half.astype(int)), half)
    with pytest.raises(DataError, match="holds both 1 and 255"):
        to_known(np.array([[0, 1, 255]]))
    assert find_known(half.astype(float)) is None
    weights = np.full((2, 6), 0.5)
    found = find_known(np.where(half, 1.0, np.nan), weights)
    np.testing.assert_array_equal(found, np.where(half, 0.5, 0))
