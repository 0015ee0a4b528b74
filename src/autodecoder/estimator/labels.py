"""Labels of any kind as classes: words, numbers and booleans by value, measurements by range."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float, Int32, Shaped

from autodecoder.data.carriers import as_array
from autodecoder.data.labelled import number_classes
from autodecoder.errors import DataError
from autodecoder.model import Model
from autodecoder.text import count, told

#: Numbers of more different values become ranges: whole numbers, and fractions.
_MOST_WHOLE, _MOST_FRACTIONS = 100, 10
#: Ranges that hold equally many labels each.
_N_RANGES = 16
#: The class of a sample without a label, where others have one.
_UNLABELLED = "unlabelled"


@dataclass(frozen=True)
class Classes:
    """The classes that labels are counted by."""

    names: tuple[str, ...]
    edges: tuple[float, ...] | None = None
    """Of ranges of numbers, from the lowest to the highest; `None` where each value is a class."""

    def number(self, labels: Shaped[np.ndarray, " n"]) -> "tuple[Int32[np.ndarray, ' n'], Classes]":
        """The class of each label, counted from 0, and the classes with the new ones behind.

        Parameters
        ----------
        labels : (n,)
            From `read_labels`.

        Raises
        ------
        DataError
            If they are words where the classes are ranges of numbers.
        """
        if self.edges is None:
            words = _as_words(labels)
        elif labels.dtype.kind == "f":
            words = self._find_ranges(labels, self.edges)
        else:
            raise DataError(f"y must be numbers as before, got {told(next(iter(labels)))}.")
        places = {name: k for k, name in enumerate(self.names)}
        new = [word for word in dict.fromkeys(words) if word not in places and word is not None]
        names = [*self.names, *number_classes(new)[1]] if new else [*self.names]
        if None in words and _UNLABELLED not in names:
            names.append(_UNLABELLED)
        places = {name: k for k, name in enumerate(names)}
        numbers = [places[_UNLABELLED if word is None else word] for word in words]
        return np.array(numbers, np.int32), replace(self, names=tuple(names))

    def fit(self, labels: Shaped[np.ndarray, " n"]) -> bool:
        """Whether labels are of these classes: some of the values, or numbers for ranges."""
        if self.edges is not None:
            return labels.dtype.kind == "f"
        return not set(self.names).isdisjoint(_as_words(labels))

    def _find_ranges(
        self, labels: Float[np.ndarray, " n"], edges: tuple[float, ...]
    ) -> list[str | None]:
        found = np.searchsorted(edges, labels, side="right") - 1
        found = np.clip(found, 0, len(edges) - 2)
        return [
            self.names[k] if known else None
            for k, known in zip(found, np.isfinite(labels), strict=True)
        ]


#: The class of each sample, and the classes; nothing where there are no labels.
Labelled = tuple[Int32[np.ndarray, " n"] | None, Classes | None]
#: Labels and names of samples.
Named = tuple[Labelled, list[str] | None]


def read_labels(y: Any, n: int) -> Shaped[np.ndarray, " n"] | None:
    """Labels of `n` samples: floats, not a number where one is missing; or words and `None`.

    Parameters
    ----------
    y : array-like
        Numbers, booleans or words: an array, a column of a frame, a tensor or a list; or one-hot
        rows. Several numbers for each sample are no labels.

    Returns
    -------
    (n,) float64 or object
        `None` for several numbers.

    Raises
    ------
    DataError
        If there are more or fewer labels than samples.
    """
    column = _read(y)
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.shape[:1] != (n,):
        raise DataError(
            f"y must have one label for each of {count(n, 'sample')}, got an array of shape "
            f"{column.shape}."
        )
    if column.ndim == 2 and column.dtype.kind == "f" and _are_one_hot(column):
        return column.argmax(axis=1).astype(np.float64)
    return column if column.ndim == 1 else None


def find_classes(labels: Shaped[np.ndarray, " n"]) -> Classes:
    """The classes of labels: the values in order; or ranges, of numbers that are too many."""
    if labels.dtype.kind == "f":
        known = np.unique(labels[np.isfinite(labels)])
        most = _MOST_WHOLE if (known == np.rint(known)).all() else _MOST_FRACTIONS
        if len(known) > most:
            shares = np.linspace(0, 1, _N_RANGES + 1)
            edges = np.unique(np.quantile(labels[np.isfinite(labels)], shares))
            return Classes(tuple(_name_ranges(edges)), tuple(edges.tolist()))
    words = [word for word in _as_words(labels) if word is not None]
    return Classes(number_classes(words)[1] if words else ())


def number_labels(
    labels: Shaped[np.ndarray, " n"], classes: Classes | None = None
) -> tuple[Int32[np.ndarray, " n"], Classes]:
    """The class of each label of `read_labels`: by known classes, or by those that they have."""
    return (classes or find_classes(labels)).number(labels)


def join_labels(
    start: Model | None,
    classes: Classes | None,
    labels: Shaped[np.ndarray, " k"] | None,
    n: int,
) -> Labelled:
    """Classes of `n` samples, which begin with those of a model, if any.

    Parameters
    ----------
    start : Model, optional
    classes : Classes, optional
        That the labels of the model are counted by.
    labels : (k,), optional
        Labels of the other samples, from `read_labels`.
    n : int
    """
    n_known = 0 if start is None else len(start.latents)
    if start is None or start.labels is None or classes is None or n < n_known:
        if labels is None:
            return None, None
        return number_labels(np.concatenate([_missing(n_known, labels.dtype), labels]))
    if labels is None:
        labels = _missing(n - n_known, np.dtype(np.float64))
    numbers, classes = classes.number(labels)
    return np.concatenate([start.labels, numbers]), classes


def _missing(n: int, dtype: np.dtype) -> Shaped[np.ndarray, " n"]:
    return np.full(n, None if dtype.kind == "O" else np.nan, dtype)


def _read(y: Any) -> Shaped[np.ndarray, "..."]:
    """Numbers as float64, all else as objects; missing ones as not a number or `None`."""
    try:
        numbers = as_array("y", y, may_miss=True)
    except DataError:
        return _read_words(y)
    if numbers.dtype.kind == "b":
        words = np.where(numbers, "True", "False").astype(object)
        words[np.ma.getmaskarray(numbers)] = None
        return words
    return np.ma.filled(numbers.astype(np.float64), np.nan)


def _read_words(y: Any) -> Shaped[np.ndarray, "..."]:
    try:
        words = np.asarray(y, dtype=object)
    except ValueError as error:
        raise DataError(f"y must be one label for each sample, got {told(y)}.") from error
    found = np.empty(words.size, object)
    for k, word in enumerate(words.flat):
        found[k] = None if _is_missing(word) else _as_word(word)
    return found.reshape(words.shape)


def _as_word(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _is_missing(value: Any) -> bool:
    """NA and NaT, `None`, and not a number."""
    return value is None or type(value).__name__ in ("NAType", "NaTType") or value != value


def _are_one_hot(rows: Float[np.ndarray, "n k"]) -> bool:
    return bool(np.isin(rows, (0, 1)).all() and (rows.sum(axis=1) == 1).all())


def _as_words(labels: Shaped[np.ndarray, " n"]) -> list[str | None]:
    if labels.dtype.kind != "f":
        return labels.tolist()
    return [_name_number(value) if np.isfinite(value) else None for value in labels.tolist()]


def _name_number(value: float) -> str:
    return str(int(value)) if value.is_integer() else f"{value:.6g}"


def _name_ranges(edges: Float[np.ndarray, " k"]) -> Iterator[str]:
    """A name a range, with as many digits as tell the edges apart, three at least."""
    digits = next(d for d in range(3, 18) if len({f"{e:.{d}g}" for e in edges}) == len(edges))
    shown = [f"{edge:.{digits}g}" for edge in edges]
    return (f"{low} to {high}" for low, high in itertools.pairwise(shown))
