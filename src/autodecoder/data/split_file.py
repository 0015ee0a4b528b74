"""Split files: tables with the part of each image, or with groups of images to keep together."""

import csv
import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from autodecoder.data.words import HELD_OUT
from autodecoder.data.words import TRAIN as TRAIN_WORDS
from autodecoder.encoding import decode_text, read_limited
from autodecoder.errors import DataError
from autodecoder.text import count

_log = logging.getLogger(__name__)
TRAIN, VAL, UNUSED = 0, 1, 2
#: Names of the columns in a header.
NAME_COLUMNS = ("name", "names", "file", "filename", "file_name", "path", "image", "index", "row")
_PART_COLUMNS = ("part", "split", "set", "subset", "partition")
_GROUP_COLUMNS = ("group", "groups", "group_id", "subject", "subject_id", "patient", "patient_id")
#: Most names that an error lists.
_NAMED = 3
#: Largest table that is read, in bytes.
_LARGEST = 2**30
#: Most random orders of groups that are tried, and most groups in all orders together.
_TRIES, _MOST_TRIED = 20, 20_000


#: The number of a line, from 1, and its cells.
Line = tuple[int, list[str]]


class _Columns(NamedTuple):
    """Indices of the columns; `None` for a column that the file lacks."""

    names: int
    parts: int | None
    groups: int | None


@dataclass(frozen=True)
class Split:
    """The part or the group of each image, as given by a file."""

    path: Path
    parts: Int[np.ndarray, " n"] | None
    """`TRAIN`, `VAL` or `UNUSED` for each image; `None` if the file has no parts."""
    groups: Int[np.ndarray, " n"] | None
    """Number of the group of each image; `None` if the file has parts."""

    def take(self, indices: Int[np.ndarray, " k"]) -> "Split":
        """The entries of a selection of the images."""
        parts, groups = (
            None if values is None else values[indices] for values in (self.parts, self.groups)
        )
        return Split(self.path, parts, groups)


def read_split(path: Path, names: Sequence[str] | np.ndarray) -> Split:
    """Read a table with the name of each image and its part or group.

    Columns are separated by commas, semicolons or tabs. Names are in the first column, or in one
    called `name`, `file`, `path`, `image` or `index`. A column of parts holds words of
    `words.TRAIN` and `words.HELD_OUT`, such as `train` and `val`. Any other column holds groups. A
    table of more than three columns needs a header.

    Parameters
    ----------
    path : Path
    names : (n,) str or integer
        Names of all images.

    Raises
    ------
    DataError
        If the file cannot be read, lacks an image, names an unknown image or one twice, has an
        empty part, or puts one group into both parts.
    """
    rows = read_lines(path, called="split_by", width=2)
    known = {str(name): i for i, name in enumerate(names)}
    columns = _find_columns(rows, known, path)
    given = [_as_known(row[columns.names], known) for _, row in rows]
    _check_names([line for line, _ in rows], given, known, path)
    order = np.array([known[name] for name in given])
    parts, groups = np.full((2, len(names)), UNUSED)
    labels: Sequence[str] = ()
    if columns.groups is not None:
        values = _cells(rows, columns.groups, "group", path)
        found, groups[order] = np.unique(values, return_inverse=True)
        labels = found.tolist()
    if columns.parts is None:
        if len(labels) < 2:
            raise DataError(f"{path} must have two groups at least, so that one can be held out.")
        return Split(path, None, groups)
    parts[order] = _to_parts(rows, _cells(rows, columns.parts, "part", path), path)
    if columns.groups is not None:
        _check_groups(parts, groups, labels, path)
    return Split(path, parts, None)


def hold_out_groups(
    labels: Int[np.ndarray, " n"], groups: Int[np.ndarray, " n"], fraction: float, *, seed: int
) -> Int[np.ndarray, " held_out"]:
    """Choose images to hold out, and keep each group together.

    Groups are visited in random order, and held out if that brings the shares of the classes, and
    of all images, nearer to `fraction`; the best of several orders is kept. scikit-learn's
    splitters either ignore the classes or cut into folds of equal size, which may stay empty if
    there are few groups.
    """
    numbers, member = np.unique(groups, return_inverse=True)
    n_classes = int(labels.max()) + 1
    counts = np.zeros((len(numbers), n_classes + 1))
    np.add.at(counts, (member, labels), 1)
    counts[:, -1] = counts.sum(axis=1)
    counts = counts[:, counts.any(axis=0)]
    shares = counts / counts.sum(axis=0)
    rng = np.random.default_rng(seed)
    n_tries = max(1, min(_TRIES, _MOST_TRIED // len(numbers)))
    draws = [_choose_groups(shares, fraction, rng) for _ in range(n_tries)]
    chosen = min(draws, key=lambda taken: _distance(shares[taken].sum(axis=0), fraction))
    return np.flatnonzero(np.isin(member, chosen))


def _choose_groups(
    shares: Float[np.ndarray, "groups classes"], fraction: float, rng: np.random.Generator
) -> list[int]:
    """Choose the groups to hold out: at least one, but not all."""
    held, distance, taken = np.zeros(shares.shape[1]), shares.shape[1] * fraction**2, []
    order = rng.permutation(len(shares))
    for group in order:
        with_it = held + shares[group]
        if (nearer := _distance(with_it, fraction)) < distance and len(taken) < len(shares) - 1:
            held, distance = with_it, nearer
            taken.append(int(group))
    # If each group alone is far more than the share, hold out the nearest one.
    return taken or [int(min(order, key=lambda group: _distance(shares[group], fraction)))]


def _distance(held: Float[np.ndarray, " classes"], fraction: float) -> float:
    return float(np.square(held - fraction).sum())


def read_lines(path: Path, *, called: str, width: int) -> list[Line]:
    """The lines of a table that are not blank, with their numbers from 1.

    Parameters
    ----------
    path : Path
    called : str
        Name of the table in errors.
    width : int
        Smallest number of columns.

    Raises
    ------
    DataError
        If it is not a table of text, is empty or larger than 1 GiB, or its lines differ in their
        number of columns.
    """
    try:
        if not path.is_file():
            raise DataError(f"{called} must be a file, but {path} is none.")
        content = read_limited(path, _LARGEST)
        is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = content.decode("utf-16") if is_utf16 else decode_text(content, path)
        first = text.lstrip().partition("\n")[0]
        delimiter = next((d for d in (",", ";", "\t") if d in first), ",")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None) or "it is no table of text"
        raise DataError(f"{called} cannot read {path}: {reason}.") from error
    names = "names and parts" if width > 1 else "paths"
    if not rows:
        raise DataError(f"{called} must be a table of {names}, but {path} is empty.")
    columns = len(rows[0][1])
    for line, row in rows:
        if len(row) != columns or columns < width:
            wanted = "two columns at least" if columns < width else count(columns, "column")
            what = ", a name and a part or a group" if width > 1 else ""
            raise DataError(f"{path}: line {line} must have {wanted}{what}, got {len(row)}.")
    return rows


def _find_columns(rows: list[Line], known: Mapping[str, int], path: Path) -> _Columns:
    """Find the columns; a header is removed from `rows`."""
    header: list[str] = []
    if not any(_as_known(cell, known) in known for cell in rows[0][1]):
        header = [cell.strip().lower().replace(" ", "_") for cell in rows.pop(0)[1]]
    if not rows:
        raise DataError(f"{path} must have a line for each image, but has only a header.")
    columns = range(len(rows[0][1]))
    # Look for names in all columns, since tables of pandas have row numbers in the first one.
    hits = [k for k in columns if _as_known(rows[0][1][k], known) in known] or [*columns]
    names = next((k for k in hits if header and header[k] in NAME_COLUMNS), hits[0])
    others = [k for k in columns if k != names]
    parts = _named(header, others, _PART_COLUMNS)
    if parts is None:
        words = {*TRAIN_WORDS, *HELD_OUT}
        found = (k for k in others if any(row[k].strip().lower() in words for _, row in rows))
        parts = next(found, None)
    others = [k for k in others if k != parts]
    groups = _named(header, others, _GROUP_COLUMNS)
    if groups is None and others and (parts is None or not header):
        if len(others) > 1:
            raise DataError(
                f"{path} must name its {len(columns)} columns in the first line, one of them part "
                "or group."
            )
        groups = others[0]
    return _Columns(names, parts, groups)


def _named(header: Sequence[str], columns: Iterable[int], words: Sequence[str]) -> int | None:
    return next((k for k in columns if header and header[k] in words), None)


def _as_known(text: str, known: Mapping[str, int]) -> str:
    """A name in the form of the data set, if the file writes it with other slashes or zeros."""
    name = text if text in known else text.strip()
    if name in known:
        return name
    name = name.replace("\\", "/").removeprefix("./")
    if name.isascii() and name.removesuffix(".0").isdigit():
        return name.removesuffix(".0").lstrip("0") or "0"
    return name


def _check_names(
    lines: Sequence[int], given: Sequence[str], known: Mapping[str, int], path: Path
) -> None:
    seen: dict[str, int] = {}
    for line, name in zip(lines, given, strict=True):
        if name in seen:
            raise DataError(
                f"{path} must name each image once, but has {name} in lines {seen[name]} and "
                f"{line}."
            )
        seen[name] = line
    if unknown := [name for name in given if name not in known]:
        raise DataError(
            f"{path} must name images of the data set, for example {next(iter(known))}, but "
            f"names {_list(unknown)}."
        )
    if missing := [name for name in known if name not in seen]:
        raise DataError(f"{path} must name every image, but lacks {_list(missing)}.")


def _cells(rows: Sequence[Line], column: int, what: str, path: Path) -> list[str]:
    """The cells of a column, of which none may be blank."""
    values = [row[column].strip() for _, row in rows]
    if "" in values:
        raise DataError(f"{path}: line {rows[values.index('')][0]} must have a {what}, got none.")
    return values


def _to_parts(rows: Sequence[Line], values: Sequence[str], path: Path) -> list[int]:
    """Convert words to `TRAIN`, `VAL` and `UNUSED`; one of several validation sets is used."""
    words = [value.lower() for value in values]
    present = [word for word in HELD_OUT if word in words]
    numbers = dict.fromkeys(HELD_OUT, UNUSED) | dict.fromkeys(TRAIN_WORDS, TRAIN)
    numbers |= dict.fromkeys(present[:1], VAL)
    for (line, _), word in zip(rows, words, strict=True):
        if word not in numbers:
            raise DataError(
                f"{path}: line {line} must have train or one of {', '.join(HELD_OUT)}, got "
                f"{word!r}."
            )
    parts = [numbers[word] for word in words]
    for part, name in ((TRAIN, "to train on"), (VAL, "to validate with")):
        if part not in parts:
            remedy = "; --val_fraction 0 is for none" if part == VAL else ""
            raise DataError(f"{path} must have an image {name}, but has none{remedy}.")
    if others := present[1:]:
        _log.warning(
            "%s: %s of %s not used, since %s is the validation set.",
            *(path, count(parts.count(UNUSED), "image"), " and ".join(others), present[0]),
        )
    return parts


def _check_groups(
    parts: Int[np.ndarray, " n"], groups: Int[np.ndarray, " n"], labels: Sequence[str], path: Path
) -> None:
    torn = np.intersect1d(groups[parts == TRAIN], groups[parts == VAL])
    if len(torn):
        names = [labels[int(k)] for k in torn]
        raise DataError(f"{path} must keep each group in one part, but has {_list(names)} in both.")


def _list(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
