"""The table `images.csv`: set, index, name, class and further columns of each image."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from autodecoder.config import MOST_COLUMNS
from autodecoder.data.columns import LONGEST_VALUE, TAKEN, Columns, blank, index_of, read_columns
from autodecoder.encoding import decode_text
from autodecoder.errors import DataError
from autodecoder.text import count, legible, shorten, told

FILE = "images.csv"
_COLUMNS = [*TAKEN]
_SETS = ("train", "val")
#: Longest line without further columns, in bytes: a path has up to 4096 bytes, each of which takes
#: up to three in UTF-8.
_LONGEST = 16_384
#: Longest given name, in characters; each takes up to four bytes, a quote is written twice.
_LONGEST_NAME = _LONGEST // 8
#: Most digits of a row number.
_DIGITS = 18


class Named(NamedTuple):
    """Names, labels and further columns of the images of a set."""

    names: Shaped[np.ndarray, " n"] | None
    labels: Int[np.ndarray, " n"] | None
    columns: Columns = MappingProxyType({})


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
    """A line for each image of a set that has names or further columns: its set, its index there,
    its name, its class, and its values in the columns of both sets.

    Raises
    ------
    DataError
        If a column is none of `read_columns`.
    """
    given = []
    for name, part in (("columns", train), ("val_columns", val)):
        some = part.labels if part.names is None else part.names
        n = len(next(iter(part.columns.values()), ())) if some is None else len(some)
        given.append((part.names, part.labels, read_columns(name, part.columns, n), n))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    further = dict.fromkeys(name for *_, columns, _ in given for name in columns)
    writer.writerow([*_COLUMNS, *further])
    for part, (names, labels, columns, n) in zip(_SETS, given, strict=True):
        if names is None and not columns:
            continue
        classes = [""] * n if labels is None else _classes(labels, class_names)
        called = blank(n) if names is None else names
        values = (columns.get(name, blank(n)).tolist() for name in further)
        rows = zip(called.tolist(), classes, *values, strict=True)
        writer.writerows((part, i, *row) for i, row in enumerate(rows))
    return text.getvalue().encode("utf-8", "replace")


def read_names(path: Path, n_train: int, n_val: int) -> tuple[Named, Named]:
    """Read names and columns from a table of `format_names`, for sets of these sizes.

    Names that are all blank are none, nor is a column that is blank for a whole set a column of it.

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
        with path.open("rb") as file:
            n_columns = min(file.readline(_LONGEST).count(b","), MOST_COLUMNS)
            # Like a name, each value takes up to eight bytes a character.
            most = (_LONGEST + 8 * LONGEST_VALUE * n_columns) * (n_train + n_val + 1)
            file.seek(0)
            content = file.read(most + 1)
        if len(content) > most:
            raise DataError(f"{path} is damaged: it is longer than a table of such sets can be.")
        found, further = _parse(decode_text(content, path))
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
    train, val = (_as_named(found[part], further) for part in _SETS)
    return train, val


def found_names(values: Any, known: Shaped[np.ndarray, " n"] | None) -> list[str] | None:
    """The index of a frame of pandas as names of its rows, see `index_of`.

    `None` as well if the frame begins with images that are known by other names.
    """
    index = index_of(values)
    if index is None:
        return None
    names = [shorten(name, _LONGEST_NAME) for name in index]
    is_other = known is not None and names[: len(known)] != [*map(str, known)]
    return None if is_other else names


def _classes(labels: Int[np.ndarray, " n"], class_names: Sequence[str]) -> Iterator[str]:
    known = len(class_names)
    return (class_names[k] if k < known else str(k) for k in map(int, labels))


def _parse(text: str) -> tuple[dict[str, list[list[str]]], list[str]]:
    """For each set the name and the further values of each image; and the names of the columns."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header = next(reader, [])
    own, further = header[: len(_COLUMNS)], list(map(legible, header[len(_COLUMNS) :]))
    if own != _COLUMNS:
        raise ValueError(f"its first line must begin with {','.join(_COLUMNS)}")
    if len(set(further)) < len(further) or len(further) > MOST_COLUMNS:
        raise ValueError(f"it must have at most {MOST_COLUMNS} further columns of distinct names")
    found: dict[str, list[list[str]]] = {part: [] for part in _SETS}
    for row in reader:
        if len(row) != len(header) or row[0] not in found or row[1] != str(len(found[row[0]])):
            raise ValueError(f"line {reader.line_num} is not the next image of a set")
        found[row[0]].append([row[2], *row[len(_COLUMNS) :]])
    return found, further


def _as_named(rows: list[list[str]], further: list[str]) -> Named:
    names, *values = zip(*rows, strict=True) if rows else ((), *(() for _ in further))
    columns = {
        name: np.array(texts, object)
        for name, texts in zip(further, values, strict=True)
        if any(texts)
    }
    return Named(_as_array([*names]) if any(names) else None, None, columns)


def _as_array(names: list[str]) -> Shaped[np.ndarray, " n"]:
    """Row numbers as numbers, all else as text."""
    if all(n.isascii() and n.isdigit() and len(n) <= _DIGITS and n == str(int(n)) for n in names):
        return np.array(list(map(int, names)), np.int64)
    return np.array(names, object)
