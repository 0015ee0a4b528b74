import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.data.builders import assert_same

from autodecoder.data.dataset import Dataset, ImageSet
from autodecoder.data.splits import split, subset
from autodecoder.errors import DataError

LABELS = st.lists(st.integers(0, 9), min_size=1, max_size=150).map(np.array)
FRACTION = st.floats(0, 1, exclude_min=True, exclude_max=True)
SEED = st.integers(0, 2**31)


def numbered(labels: np.ndarray) -> ImageSet:
    """Images whose two pixels tell their number."""
    numbers = np.arange(len(labels), dtype=np.uint16)
    return ImageSet(numbers.view(np.uint8).reshape(-1, 1, 2, 1), labels)


def numbers_of(images: ImageSet) -> np.ndarray:
    return np.ascontiguousarray(images.flat).view(np.uint16).ravel()


def dataset(train: np.ndarray, val: np.ndarray) -> Dataset:
    return Dataset("numbered", numbered(train), numbered(val), tuple("0123456789"))


def assert_fair_share(kept: ImageSet, labels: np.ndarray, fraction: float) -> None:
    numbers = numbers_of(kept)
    assert len(kept) == max(1, round(fraction * len(labels)))
    assert np.all(np.diff(numbers.astype(int)) > 0), "in their first order, none twice"
    np.testing.assert_array_equal(kept.labels, labels[numbers])
    off = np.bincount(kept.labels, minlength=10) - fraction * np.bincount(labels, minlength=10)
    assert np.abs(off).max() <= 1 + 1e-9


@settings(deadline=None)
@given(train=LABELS, val=LABELS, fraction=FRACTION, seed=SEED)
@example(train=np.repeat(np.arange(10), 10), val=np.arange(10), fraction=0.29, seed=0)
@example(train=np.array([3]), val=np.array([3]), fraction=1e-300, seed=0)
@example(train=np.arange(10), val=np.repeat(np.arange(5), 2), fraction=1 - 2**-53, seed=0)
def test_subset_is_a_fair_share_of_both_sets(
    train: np.ndarray, val: np.ndarray, fraction: float, seed: int
) -> None:
    whole = dataset(train, val)
    part = subset(whole, fraction, seed=seed)
    assert_fair_share(part.train, train, fraction)
    assert_fair_share(part.val, val, fraction)
    assert (part.name, part.class_names) == (whole.name, whole.class_names)
    assert_same(part, subset(whole, fraction, seed=seed))


@settings(deadline=None)
@given(labels=LABELS, fraction=FRACTION, seed=SEED)
def test_split_parts_are_the_whole(labels: np.ndarray, fraction: float, seed: int) -> None:
    if round(fraction * len(labels)) == len(labels) or len(labels) == 1:
        with pytest.raises(DataError, match="at least one image"):
            split(numbered(labels), fraction, seed=seed)
        return
    rest, held_out = split(numbered(labels), fraction, seed=seed)
    assert_fair_share(held_out, labels, fraction)
    both = np.concatenate([numbers_of(rest), numbers_of(held_out)])
    np.testing.assert_array_equal(np.sort(both), np.arange(len(labels)))
    assert np.all(np.diff(numbers_of(rest).astype(int)) > 0)
    np.testing.assert_array_equal(rest.labels, labels[numbers_of(rest)])


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_both_ends_mean_everything(fraction: float) -> None:
    whole = dataset(np.arange(10), np.arange(5))
    assert_same(subset(whole, fraction, seed=0), whole)


def test_another_seed_and_another_set_draw_other_images() -> None:
    labels = np.arange(400) % 10
    first, second = (subset(dataset(labels, labels), 0.5, seed=seed) for seed in (0, 1))
    for one, other in (
        (first.train, second.train),
        (first.val, second.val),
        (first.train, first.val),
    ):
        common = np.intersect1d(numbers_of(one), numbers_of(other))
        assert 50 < len(common) < 150, "independent halves share about a quarter: 100 of 400"


def test_no_class_is_favoured_where_only_some_can_have_one() -> None:
    """Ten classes of one image, five to keep: over seeds, every class has its turn."""
    chosen = np.concatenate(
        [
            subset(dataset(np.arange(10), np.arange(10)), 0.5, seed=seed).train.labels
            for seed in range(100)
        ]
    )
    counts = np.bincount(chosen, minlength=10)
    assert counts.sum() == 500
    assert counts.min() > 25
    assert counts.max() < 75


def test_subset_of_unbalanced_classes() -> None:
    """By hand: halves of 5, 4 and 1 images are 2.5, 2 and 0.5; five stay."""
    labels = np.array([0] * 5 + [1] * 4 + [2])
    seen = set()
    for seed in range(20):
        kept = subset(dataset(labels, labels), 0.5, seed=seed).train.labels
        seen.add(tuple(np.bincount(kept, minlength=3).tolist()))
    assert seen == {(3, 2, 0), (2, 2, 1)}
