"""Labels of any kind become classes, and later ones are counted by the same classes."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from autodecoder.errors import DataError
from autodecoder.estimator.labels import find_classes, number_labels, read_labels


def numbered(y: Any) -> tuple[list[int], tuple[str, ...]]:
    labels = read_labels(y, len(y))
    assert labels is not None
    numbers, classes = number_labels(labels)
    return numbers.tolist(), classes.names


@pytest.mark.parametrize(
    ("y", "numbers", "names"),
    [
        ([7, 3, 7], [1, 0, 1], ("3", "7")),
        ([-1, 1, 10, 9], [0, 1, 3, 2], ("-1", "1", "9", "10")),
        ([1.0, 0.0, 1.0], [1, 0, 1], ("0", "1")),
        ([0.5, 0.25], [1, 0], ("0.25", "0.5")),
        ([True, False], [1, 0], ("False", "True")),
        (["ship", "cat", "ship"], [1, 0, 1], ("cat", "ship")),
        ([b"ship", b"cat"], [1, 0], ("cat", "ship")),
        (["cat", None, "ship"], [0, 2, 1], ("cat", "ship", "unlabelled")),
        ([2.0, np.nan], [0, 1], ("2", "unlabelled")),
        (["3", 1], [1, 0], ("1", "3")),
        (np.array([["a"], ["b"]]), [0, 1], ("a", "b")),
        (np.array([[0, 1], [1, 0]]), [1, 0], ("0", "1")),
        (pd.Series(["b", "a"], index=[5, 9]), [1, 0], ("a", "b")),
        (pd.Series(["b", "a", None], dtype="category"), [1, 0, 2], ("a", "b", "unlabelled")),
        (pd.Series([3, None], dtype="Int64"), [0, 1], ("3", "unlabelled")),
        (pd.DataFrame({"kind": ["b", "a"]}), [1, 0], ("a", "b")),
        (pd.to_datetime(["2024-01-02", "2023-01-01"]), [1, 0], None),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, list | tuple) else "",
)
def test_values_are_classes(y: Any, numbers: list[int], names: tuple[str, ...] | None) -> None:
    found = numbered(y)
    assert found[0] == numbers
    assert names is None or found[1] == names


def test_measurements_become_ranges_that_hold_equally_many() -> None:
    y = np.random.default_rng(0).exponential(size=1600)
    labels = read_labels(y, len(y))
    assert labels is not None
    numbers, classes = number_labels(labels)
    assert np.bincount(numbers).tolist() == [100] * 16
    assert (np.diff(numbers[np.argsort(y)]) >= 0).all(), "in order"
    low, _, high = classes.names[3].partition(" to ")
    inside = y[numbers == 3]
    assert float(low) == pytest.approx(inside.min(), rel=0.05)
    assert float(high) == pytest.approx(inside.max(), rel=0.05)
    later, same = classes.number(np.array([-5.0, 1e9, np.nan]))
    assert later.tolist() == [0, 15, 16]
    assert same.names == (*classes.names, "unlabelled")
    with pytest.raises(DataError, match="y must be numbers as before, got 'cat'"):
        classes.number(np.array(["cat"], object))


def test_as_many_whole_numbers_as_classes_can_be_are_classes() -> None:
    assert find_classes(np.arange(100.0)).edges is None
    assert find_classes(np.arange(101.0)).edges is not None


def test_new_classes_come_behind_the_known_ones() -> None:
    classes = find_classes(np.array(["b", "d"], object))
    numbers, more = classes.number(np.array(["c", "d", None, "a"], object))
    assert more.names == ("b", "d", "a", "c", "unlabelled")
    assert numbers.tolist() == [3, 1, 4, 2]


def test_several_targets_are_no_labels() -> None:
    assert read_labels(np.random.default_rng(0).normal(size=(5, 3)), 5) is None
    assert read_labels([["a", "b"], ["c", "d"]], 2) is None


@pytest.mark.parametrize("y", [[1, 2], "ab", 3, ["x", "y"], None])
def test_more_or_fewer_labels_than_samples_are_told(y: Any) -> None:
    with pytest.raises(DataError, match="y must"):
        read_labels(y, 3)
