"""The table `images.csv`: the set, index, name and class of each image of a data set."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from autodecoder.encoding import decode_text
from autodecoder.errors import DataError
from autodecoder.text import count, told

FILE = "images.csv"
_COLUMNS = ["set", "index", "name", "class"]
_SETS = ("train", "val")
#: Longest line, in bytes: a path has up to 4096 bytes, each of which takes up to three in UTF-8.
_LONGEST = 16_384
#: Longest given name, in characters; each takes up to four bytes, a quote is written twice.
_LONGEST_NAME = _LONGEST // 8
#: Most digits of a row number.
_DIGITS = 18


class Named(NamedTuple):
    """Names and labels of the images of a set."""

    names: Shaped[np.ndarray, " n"] | None
    labels: Int[np.ndarray, " n"] | None


def as_names(name: str, names: Any, n: int) -> Shaped[np.ndarray, " n"]:
    """Convert any sequence to names of `n` images: integers if all are integers, else texts.

    Raises
    ------
    DataError
        If there are more or fewer than `n`, or one is too long for a table.
    """
    given = [] if isinstance(names, str | bytes) or not isinstance(names, Iterable) else [*names]
    if len(given) != n or getattr(names, "ndim", 1) > 1:
        raise DataError(
            f"{name} must be {count(n, 'name')}, one for each image, got {told(names)}."
        )
    words = [str(one) for one in given]
    for word in words:
        if len(word) > _LONGEST_NAME:
            raise DataError(f"{name} must have {_LONGEST_NAME} letters or fewer, got {told(word)}.")
    return _as_array(words)


def format_names(train: Named, val: Named, class_names: Sequence[str]) -> bytes:
    """A line for each image that has a name: its set, its index there, its name and its class."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for part, (names, labels) in zip(_SETS, (train, val), strict=True):
        if names is None:
            continue
        classes = [""] * len(names) if labels is None else _classes(labels, class_names)
        rows = zip(names.tolist(), classes, strict=True)
        writer.writerows((part, i, name, of) for i, (name, of) in enumerate(rows))
    return text.getvalue().encode("utf-8", "replace")


def read_names(
    path: Path, n_train: int, n_val: int
) -> tuple[Shaped[np.ndarray, " n_train"] | None, Shaped[np.ndarray, " n_val"] | None]:
    """Read a table of `format_names`, for sets of these sizes; `None` for a set without names.

    Raises
    ------
    DataError
        If the file cannot be read, or does not fit the sizes of the sets.
    """
    try:
        if not path.exists():
            raise DataError(f"{path} cannot be read: No such file or directory.")
        if not path.is_file():
            raise DataError(f"{path} must be a file, but is not.")
        most = _LONGEST * (n_train + n_val + 1)
        if path.stat().st_size > most:
            raise DataError(f"{path} is damaged: it is longer than a table of such sets can be.")
        content = path.read_bytes()
        found = _parse(decode_text(content, path))
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged: {error}.") from error
    for part, n in zip(_SETS, (n_train, n_val), strict=True):
        if found[part] and len(found[part]) != n:
            raise DataError(
                f"{path} is damaged: it names {count(len(found[part]), 'image')} of {part} "
                f"instead of {n}."
            )
    train, val = (_as_array(found[part]) if found[part] else None for part in _SETS)
    return train, val


def _classes(labels: Int[np.ndarray, " n"], class_names: Sequence[str]) -> Iterator[str]:
    known = len(class_names)
    return (class_names[k] if k < known else str(k) for k in map(int, labels))


def _parse(text: str) -> dict[str, list[str]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    if next(reader, None) != _COLUMNS:
        raise ValueError(f"its first line must be {','.join(_COLUMNS)}")
    found: dict[str, list[str]] = {part: [] for part in _SETS}
    for row in reader:
        if len(row) != len(_COLUMNS) or row[0] not in found or row[1] != str(len(found[row[0]])):
            raise ValueError(f"line {reader.line_num} is not the next image of a set")
        found[row[0]].append(row[2])
    return found


def _as_array(names: list[str]) -> Shaped[np.ndarray, " n"]:
    """Row numbers as numbers, all else as text."""
    if all(n.isascii() and n.isdigit() and len(n) <= _DIGITS and n == str(int(n)) for n in names):
        return np.array(list(map(int, names)), np.int64)
    return np.array(names, object)
