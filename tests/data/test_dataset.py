import hashlib
import struct
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest

from autodecoder.data.dataset import Dataset, ImageSet
from autodecoder.errors import DataError

IMAGES = ImageSet(np.arange(24, dtype=np.uint8).reshape(2, 2, 3, 2), np.array([1, 0]))
DATASET = Dataset("tiny", IMAGES, IMAGES.take(np.array([1])), ("cat", "dog"))


def test_flat_rows_are_whole_images_in_pixel_order() -> None:
    np.testing.assert_array_equal(IMAGES.flat, np.arange(24).reshape(2, 12))


def test_take_keeps_images_and_labels_together() -> None:
    taken = IMAGES.take(np.array([1, 1, 0]))
    assert len(taken) == 3
    assert taken.labels.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(taken.images, IMAGES.images[[1, 1, 0]])


def test_sizes() -> None:
    assert DATASET.image_shape == (2, 3, 2)
    assert DATASET.n_pixels == 12
    assert (len(DATASET.train), len(DATASET.val)) == (2, 1)


def test_sets_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        DATASET.train.labels = np.array([0, 0])  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("n_images", "n_labels", "message"),
    [
        (2, 3, "one label, got 2 images and 3 labels"),
        (0, 1, "one label, got 0 images and 1 label"),
    ],
)
def test_images_and_labels_must_pair_up(
    as_shipped: None, n_images: int, n_labels: int, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        ImageSet(np.zeros((n_images, 2, 2, 1), np.uint8), np.zeros(n_labels, int))


def test_only_the_validation_set_may_be_empty() -> None:
    none = IMAGES.take(np.arange(0))
    data = replace(DATASET, val=none)
    assert (len(data.val), data.val.flat.shape, data.image_shape) == (0, (0, 12), (2, 3, 2))
    assert data.fingerprint != DATASET.fingerprint
    with pytest.raises(DataError, match="tiny must hold at least one image to train on, got none"):
        replace(DATASET, train=none)


def test_names_stay_with_their_images(as_shipped: None) -> None:
    named = ImageSet(IMAGES.images, IMAGES.labels, np.array(["b/1.png", "a/2.png"], object))
    assert IMAGES.names is None
    assert IMAGES.take(np.array([1])).names is None
    taken = named.take(np.array([1, 0, 1])).names
    assert taken is not None
    assert taken.tolist() == ["a/2.png", "b/1.png", "a/2.png"]
    with pytest.raises(DataError, match="one name, got 2 images and 3 names"):
        ImageSet(IMAGES.images, IMAGES.labels, np.arange(3))


@pytest.mark.parametrize("shape", [(3, 2, 2), (2, 3, 1), (12, 1, 1)])
def test_both_sets_must_be_of_one_shape(shape: tuple[int, int, int]) -> None:
    other = ImageSet(np.zeros((1, *shape), np.uint8), np.zeros(1, int))
    with pytest.raises(DataError, match=r"tiny: .* one shape, got \(2, 3, 2\) and \("):
        Dataset("tiny", IMAGES, other, ("cat", "dog"))


def test_fingerprint_is_the_same_in_every_release() -> None:
    """Stored results name it, so a change of it must be a choice."""
    digest = hashlib.sha256(b"(2, 2, 3, 2)" + bytes(range(24)) + struct.pack("<2q", 1, 0))
    digest.update(b"(1, 2, 3, 2)" + bytes(range(12, 24)) + struct.pack("<q", 0))
    assert DATASET.fingerprint == digest.hexdigest()


@pytest.mark.parametrize(
    "same",
    [
        replace(DATASET, name="other", class_names=("a", "b")),
        replace(DATASET, train=replace(IMAGES, names=np.arange(2))),
        replace(DATASET, train=ImageSet(IMAGES.images, IMAGES.labels.astype(np.int16))),
        replace(DATASET, train=ImageSet(np.asfortranarray(IMAGES.images), IMAGES.labels)),
    ],
    ids=["names", "names of images", "type of the labels", "memory layout"],
)
def test_fingerprint_ignores_what_is_not_content(same: Dataset) -> None:
    assert same.fingerprint == DATASET.fingerprint


@pytest.mark.parametrize(
    "other",
    [
        replace(DATASET, train=ImageSet(IMAGES.images ^ 1, IMAGES.labels)),
        replace(DATASET, train=ImageSet(IMAGES.images, IMAGES.labels[::-1].copy())),
        replace(DATASET, train=IMAGES.take(np.array([1, 0]))),
        replace(DATASET, val=IMAGES.take(np.array([0]))),
        replace(DATASET, train=DATASET.val, val=DATASET.train),
        Dataset(
            "tiny",
            *(ImageSet(s.images.reshape(-1, 3, 2, 2), s.labels) for s in (IMAGES, DATASET.val)),
            class_names=DATASET.class_names,
        ),
    ],
    ids=["pixels", "labels", "order", "validation", "sets swapped", "shape"],
)
def test_fingerprint_tells_contents_apart(other: Dataset) -> None:
    assert other.fingerprint != DATASET.fingerprint


@pytest.mark.usefixtures("as_shipped")
def test_images_of_another_type_or_shape_are_refused() -> None:
    labels = np.zeros(4, np.int32)
    for images in (np.zeros((4, 2, 2, 1)), np.zeros((4, 2, 2), np.uint8)):
        with pytest.raises(DataError, match="images of a set must be uint8 from 0 to 255"):
            ImageSet(images, labels)
