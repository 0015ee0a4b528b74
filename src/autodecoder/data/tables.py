"""Reading tables of numbers in text files, separated by commas or as spreadsheets write them."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from autodecoder.encoding import read_text
from autodecoder.errors import DataError
from autodecoder.files import refuse_special
from autodecoder.text import count

#: Largest table that is read, in bytes.
_LARGEST = 2**30
#: Separators of columns; with another one than a comma, a comma may be the decimal point.
_DELIMITERS = (",", ";", "\t", " ")
#: Numbers with separators of thousands: 1.234,5 and 1 234 567.
_GROUPS = re.compile(
    r"\s*[-+]?\d{1,3}(?:([.,])\d{3}(?:\1\d{3})*(?!\1)[.,]\d+|([.,])\d{3}(?:\2\d{3})+"
    r"|(['’\s])\d{3}(?:\3\d{3})*(?:[.,]\d+)?)\s*\Z"
)
#: Comments and empty lines at the top.
_ABOVE = re.compile(r"(?:[ \t]*(?:#[^\r\n]*)?(?:\r?\n|\r|\Z))*")
#: A comment; NumPy's savetxt writes the names of columns as one.
_COMMENT = re.compile(r"(?:(?<=\n)|\A)#[ \t]*([^\r\n]*)")


def read_table(path: Path, prefix: str = "") -> tuple[list[str], Float[np.ndarray, "n columns"]]:
    """Read numbers, one row per line; a first line of words is the header.

    Lines that begin with # are skipped, except a header as NumPy's savetxt writes it.

    Columns are separated by commas; or by semicolons, tabs or spaces, and then the decimal point
    may be a comma. The first line of numbers decides.

    Parameters
    ----------
    path : Path
    prefix : str
        In a table with a header, only columns whose name starts so are read. Blank cells are NaN.

    Raises
    ------
    DataError
        If it cannot be read, is larger than 1 GiB, is empty, or holds anything but numbers; the
        message counts lines from 1.
    """
    try:
        refuse_special(path)
        text = read_text(path, _LARGEST)
        # Blank the line that names the separator for Excel, which keeps the line numbers.
        text = re.sub(r"\Asep=.(?=\r?\n)", "", text)
        above = _COMMENT.findall(_ABOVE.match(text)[0])  # pyright: ignore[reportOptionalSubscript]
        text = _COMMENT.sub("", text)
        delimiter = _delimiter(text)
        lines = _split(text, delimiter)
        commented = [fields for line in above for _, fields in _split(line, delimiter)]
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except csv.Error as error:
        raise DataError(f"{path} is not a table of numbers ({error}).") from error
    number = _number if delimiter == "," else _number_by_comma
    header: list[str] = []
    if lines and not _are_numbers(lines[0][1], number):
        header = [name.strip() for name in lines.pop(0)[1]]
    elif lines and (width := len(lines[0][1])) > 1:
        words = [fields for fields in commented if not _are_numbers(fields, number)]
        if words and len(words[-1]) == width:
            header = [name.strip() for name in words[-1]]
    if not lines:
        raise DataError(f"{path} holds no line of numbers.")
    width = len(header) or len(lines[0][1])
    chosen = [k for k in range(width) if not header or header[k].startswith(prefix)]
    if delimiter != ",":
        _refuse_both(lines, path)
    table = np.empty((len(lines), len(chosen)))
    for i, (line, fields) in enumerate(lines):
        if len(fields) != width:
            wanted = count(width, "column")
            raise DataError(f"{path}: line {line} must have {wanted}, got {len(fields)}.")
        for to, k in enumerate(chosen):
            value = number(fields[k])
            if value is None:
                marks = " without marks between thousands" if _GROUPS.match(fields[k]) else ""
                raise DataError(
                    f"{path}: line {line} must hold numbers{marks}, got {fields[k][:100]!r}."
                )
            table[i, to] = value
    return header, table


def _split(text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """The fields of each line that is not empty, with its number in the file."""
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=delimiter == " "
    )
    return [(reader.line_num, fields) for fields in reader if fields]


def _delimiter(text: str) -> str:
    """The separator of the first lines, if it splits one into numbers; else a comma."""
    some = "\n".join([line for line in text.splitlines() if line.strip()][:2])
    for delimiter in _DELIMITERS:
        number = _number if delimiter == "," else _number_by_comma
        found = [fields for _, fields in _split(some, delimiter)]
        if not found or not _are_numbers(found[-1], number) or len(found[-1]) != len(found[0]):
            continue
        # "1,2" above "3" has no decimal comma: its second line is too short.
        if delimiter == "," or len(found[0]) > 1 or "," not in found[0][0]:
            return delimiter
    return ","


def _are_numbers(fields: list[str], number: Callable[[str], float | None]) -> bool:
    """Whether a line holds numbers only, including forms that are refused later."""
    return any(fields) and all(
        number(field) is not None or _GROUPS.match(field) for field in fields
    )


def _refuse_both(lines: list[tuple[int, list[str]]], path: Path) -> None:
    """Refuse a table with both points and commas that may be the decimal point."""
    single = [(n, [f for f in fields if not _GROUPS.match(f)]) for n, fields in lines]
    marks = {mark: [n for n, fields in single if any(mark in f for f in fields)] for mark in ",."}
    if all(marks.values()):
        raise DataError(
            f"{path} must have one decimal point and no marks between thousands, but has a comma "
            f"in line {marks[','][0]} and a point in line {marks['.'][0]}."
        )


def _number(field: str) -> float | None:
    try:
        return float(field.strip() or "nan")
    except ValueError:
        return None


def _number_by_comma(field: str) -> float | None:
    return _number(field.replace(",", ".")) if field.count(",") < 2 else None
