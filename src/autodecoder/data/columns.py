"""Further columns of images: what a source tells of them beside names and labels, as texts."""

import logging
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from autodecoder.config import MOST_COLUMNS
from autodecoder.errors import DataError
from autodecoder.text import count, legible, shorten, told

_log = logging.getLogger(__name__)
#: Longest value, in characters; longer ones are cut.
LONGEST_VALUE = 1000
#: Of more images, columns travel only if they are asked for by name.
_MOST_IMAGES = 1_000_000
#: Columns that tables of images have of their own.
TAKEN = ("set", "index", "name", "class")
#: Most columns that an error names.
_NAMED = 20
#: Longest name of a column, in characters; longer ones are cut.
_LONGEST_NAME = 100
#: Floats below it hold whole numbers exactly.
_EXACT = 2**53

#: The values of each column, by its name; a missing value is an empty text.
Columns = Mapping[str, np.ndarray]
#: Name and values of each column as they are given.
_Given = Iterable[tuple[Any, Any]]


def read_columns(name: str, given: Any, n: int) -> Columns:
    """Columns for `n` images from a frame of pandas, polars or Arrow, or from a mapping.

    Values of any type become texts. Names become one line, and a name that is used already gets a
    number: `name_2`. Columns without a name or without any value are left out.

    Parameters
    ----------
    name : str
        What the columns are called in errors.
    given : frame, or mapping of name to n values
    n : int

    Raises
    ------
    DataError
        If it is neither, a column has more or fewer than `n` values, or there are too many.
    """
    found = {}
    for own, values in _named(_pairs(name, given)).items():
        texts = _texts(values)
        if len(texts) != n:
            raise DataError(
                f"{name} must have {count(n, 'value')} in each column, one for each image, but "
                f"{own} has {len(texts)}."
            )
        if any(texts):
            found[own] = np.array(texts, object)
    if len(found) > MOST_COLUMNS:
        raise DataError(f"{name} must be at most {MOST_COLUMNS}, got {len(found)}.")
    return found


def choose_columns(
    wanted: Sequence[str] | str, header: Sequence[Any], n: int, place: str
) -> dict[str, int]:
    """The columns of a source that travel with its `n` images: their names, and places in `header`.

    Parameters
    ----------
    wanted : sequence of str, or str
        Names, `all` or `none`.
    header : sequence
        Names of the further columns of the source; those without one do not travel.
    n : int
    place : str
        What the source is called in errors and warnings.

    Raises
    ------
    DataError
        If a wanted column does not exist.
    """
    known = _named((name, k) for k, name in enumerate(header))
    names = [*known]
    if wanted == "none":
        return {}
    if wanted != "all":
        asked = [legible(name, _LONGEST_NAME) for name in wanted]
        missing = [name for name in asked if name not in known]
        if missing:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            told_all = ", ".join(names[:_NAMED]) + more
            raise DataError(
                f"columns must be among those of {place}, {told_all}, got {missing[0]}."
                if names
                else f"columns must be none for {place}, which has no further ones, got "
                f"{missing[0]}."
            )
        return {name: known[name] for name in asked}
    if names and n > _MOST_IMAGES:
        _log.warning(
            "%s: its columns do not travel with more than %s images unless columns names them.",
            *(place, f"{_MOST_IMAGES:,}"),
        )
        return {}
    if len(names) > MOST_COLUMNS:
        _log.warning(
            "%s: the first %d of %d columns travel with the images; columns names others.",
            *(place, MOST_COLUMNS, len(names)),
        )
    return {name: known[name] for name in names[:MOST_COLUMNS]}


def join_columns(*parts: tuple[Columns, int]) -> Columns:
    """Columns of sets of images, one after the other, each with its number of images; blank where
    a set lacks one."""
    return {
        name: np.concatenate([columns.get(name, blank(n)) for columns, n in parts])
        for name in dict.fromkeys(name for columns, _ in parts for name in columns)
    }


def take_columns(columns: Columns, rows: Int[np.ndarray, " k"]) -> Columns:
    """The values of some images."""
    return {name: values[rows] for name, values in columns.items()}


def blank(n: int) -> Shaped[np.ndarray, " n"]:
    """A column without values."""
    return np.full(n, "", object)


def describe_columns(columns: Columns) -> tuple[str, ...]:
    """A note for people on the columns that travel."""
    return (f"with columns {', '.join(columns)}",) if columns else ()


def as_text(value: Any) -> str:
    """A value as text without white space around it and with line ends as `\\n`; empty if it is
    missing, cut if it is long."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    if isinstance(value, float | np.floating | np.datetime64) and value != value:
        return ""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = str(value).replace("\r\n", "\n").replace("\r", "\n").strip()
    return shorten(text, LONGEST_VALUE)


def index_of(values: Any) -> list[str] | None:
    """The index of a frame or column of pandas; `None` if it only counts the rows from 0."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(values, pandas.DataFrame | pandas.Series):
        return None
    index = values.index
    if isinstance(index, pandas.RangeIndex) and (index.start, index.step) == (0, 1):
        return None
    return _texts(index)


def _named(pairs: _Given) -> dict[str, Any]:
    """What belongs to each name, by names that are distinct lines of text; not what has no name."""
    named: dict[str, Any] = {}
    for given, of in pairs:
        name = legible("" if given is None else given, _LONGEST_NAME)
        if not name:
            continue
        own, k = name, 2
        while own.lower() in TAKEN or own in named:
            own, k = f"{name}_{k}", k + 1
        named[own] = of
    return named


def _pairs(name: str, given: Any) -> _Given:
    if isinstance(given, Mapping) or (hasattr(given, "items") and hasattr(given, "columns")):
        return [*given.items()]
    if hasattr(given, "get_columns"):  # polars
        return [(column.name, column) for column in given.get_columns()]
    if hasattr(given, "column_names") and hasattr(given, "column"):  # Arrow
        return [(own, given.column(k)) for k, own in enumerate(given.column_names)]
    raise DataError(f"{name} must be a frame or a mapping of names to values, got {told(given)}.")


def _texts(values: Any) -> list[str]:
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(values, pandas.Series | pandas.Index):
        known = np.asarray(values.notna())
        whole = values.dtype.kind == "f" and all(
            float(value).is_integer() and abs(value) < _EXACT for value in values[known]
        )
        # As pandas writes them: dates without midnight. Whole numbers are floats beside a gap.
        words = values.fillna(0).astype("int64").astype(str) if whole else values.astype(str)
        return [as_text(w) if k else "" for w, k in zip(words, known, strict=True)]
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        return [as_text(values)]
    listed = getattr(values, "to_pylist", None)
    return [as_text(value) for value in (listed() if listed else values)]
