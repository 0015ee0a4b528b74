"""Notation of image sizes and pixel ranges."""

import csv
import re
from typing import Any

from autodecoder.config.rules import check_number
from autodecoder.errors import ConfigError
from autodecoder.text import told

_LONGEST_SIDE = 10_000
#: Most further columns that travel with images.
MOST_COLUMNS = 32
_COLUMN_WORDS = ("all", "none")
#: Size for which the program chooses a value from the images.
AUTO_SIZE = "auto"


def parse_size(value: Any) -> tuple[int, int] | str:
    """Read a height and a width: one number for both, `HEIGHTxWIDTH`, a pair, or `auto`.

    Raises
    ------
    ConfigError
        If the value is none of these.

    Examples
    --------
    >>> parse_size("32"), parse_size("48x64")
    ((32, 32), (48, 64))
    """
    if isinstance(value, str):
        if value.strip() == AUTO_SIZE:
            return AUTO_SIZE
        parts = re.fullmatch(r"\s*([0-9]{1,9})(?:\s*[x×]\s*([0-9]{1,9}))?\s*", value)
        if parts is not None:
            height, width = int(parts[1]), int(parts[2] or parts[1])
            return check_size("image_size", (height, width))
    elif isinstance(value, list | tuple):
        return check_size("image_size", tuple(value))
    return check_size("image_size", (value, value))


def check_size(name: str, size: Any) -> tuple[int, int] | str:
    """Return the size if it is `auto` or a height and width of at least 1; refuse it otherwise."""
    if size == AUTO_SIZE:
        return AUTO_SIZE
    if not isinstance(size, tuple) or len(size) != 2 or any(type(n) is not int for n in size):
        shown = size[0] if isinstance(size, tuple) and len(set(map(repr, size))) == 1 else size
        raise ConfigError(f"{name} must be N, HEIGHTxWIDTH or auto, got {told(shown)}.")
    if not all(1 <= n <= _LONGEST_SIDE for n in size):
        raise ConfigError(
            f"{name} must lie between 1 and {_LONGEST_SIDE}, got {size[0]}x{size[1]}."
        )
    return size


def parse_range(value: Any) -> tuple[float, float]:
    """Read the pixel values of black and white: `LOW:HIGH` or a pair of numbers.

    Raises
    ------
    ConfigError
        If the value is neither, or LOW is not below HIGH.

    Examples
    --------
    >>> parse_range("0:4095")
    (0.0, 4095.0)
    """
    parts = value.split(":") if isinstance(value, str) else value
    try:
        low, high = map(float, parts)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"range must be LOW:HIGH, two numbers, for example 0:4095, got {told(value)}."
        ) from None
    return check_range("range", (low, high))


def check_range(name: str, pixel_range: Any) -> tuple[float, float]:
    """Return the range if it is a rising pair of finite numbers; refuse it otherwise."""
    if not isinstance(pixel_range, tuple) or len(pixel_range) != 2:
        raise ConfigError(f"{name} must be two numbers, LOW and HIGH, got {told(pixel_range)}.")
    for end in pixel_range:
        check_number(f"each end of {name}", end)
    if not pixel_range[0] < pixel_range[1]:
        raise ConfigError(f"{name} must rise, got {pixel_range[0]:g}:{pixel_range[1]:g}.")
    return pixel_range


def parse_columns(value: Any) -> tuple[str, ...] | str:
    """Read which columns travel with images: `all`, `none`, or names joined by commas or in a list.

    Names with a comma stand in double quotes, as in a CSV file.

    Raises
    ------
    ConfigError
        If it is none of these.

    Examples
    --------
    >>> parse_columns("all"), parse_columns('age, "site, ward"')
    ('all', ('age', 'site, ward'))
    """
    if isinstance(value, str) and value.strip() not in _COLUMN_WORDS:
        rows = list(csv.reader([" ".join(value.splitlines())], skipinitialspace=True))
        value = rows[0] if rows else []
        value = [name.strip() for name in value]
    elif isinstance(value, str):
        value = value.strip()
    return check_columns("columns", tuple(value) if isinstance(value, list) else value)


def check_columns(name: str, columns: Any) -> tuple[str, ...] | str:
    """Refuse what is neither `all`, `none` nor a tuple of distinct names; returns it otherwise."""
    if isinstance(columns, str) and columns in _COLUMN_WORDS:
        return columns
    if (
        not isinstance(columns, tuple)
        or not columns
        or any(not isinstance(one, str) or not one.strip() for one in columns)
        or len(set(columns)) < len(columns)
    ):
        raise ConfigError(
            f"{name} must be all, none or distinct names of columns, got {told(columns)}."
        )
    if len(columns) > MOST_COLUMNS:
        raise ConfigError(f"{name} must be at most {MOST_COLUMNS}, got {len(columns)}.")
    return columns
