"""Checks that settings share. Each error names the rule and the value received."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from autodecoder.errors import ConfigError
from autodecoder.text import told

#: Takes a setting's name and value; raises `ConfigError` if the value breaks the rule.
Check = Callable[[str, Any], Any]

# Range of normal numbers in single precision, the precision of all training.
_FLOAT32_LEAST, _FLOAT32_MOST = 1.2e-38, 3.4e38


def as_plain(value: Any) -> Any:
    """Convert NumPy numbers to Python's, also within tuples and mappings, and arrays to tuples.

    Other values are returned unchanged.
    """
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufU":
        value = value.tolist()
        return _as_tuples(value)
    if type(value) is tuple:
        return tuple(as_plain(part) for part in value)
    if isinstance(value, Mapping):
        return {name: as_plain(part) for name, part in value.items()}
    return value


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    choices = tuple(choices)
    if value not in choices:
        near = difflib.get_close_matches(str(value), choices, n=1)
        hint = f"; did you mean {near[0]}?" if near else "."
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {told(value)}{hint}")


def check_switch(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, got {told(value)}.")


def check_number(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise ConfigError(f"{name} must be a finite number, got {told(value)}.")


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number too large for a float
        return False


def check_whole(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{name} must be a whole number, got {told(value)}.")


def check_positive_int(name: str, value: Any, most: int = 2**31 - 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} must be a positive whole number, got {told(value)}.")
    if value > most:
        raise ConfigError(f"{name} must be at most {most}, got {told(value)}.")


def check_count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigError(f"{name} must be a whole number, 0 or more, got {told(value)}.")


def check_seed(name: str, value: Any) -> None:
    check_whole(name, value)
    if not 0 <= value < 2**32:
        raise ConfigError(f"{name} must lie between 0 and 4294967295, got {told(value)}.")


def check_learning_rate(name: str, value: Any) -> None:
    check_number(name, value)
    if value <= 0:
        raise ConfigError(f"{name} must be greater than 0, got {told(value)}.")
    if not _FLOAT32_LEAST <= value <= _FLOAT32_MOST:
        raise ConfigError(f"{name} must be a number of single precision, got {told(value)}.")


def one_of(choices: Iterable[str]) -> Check:
    """A check that a word is one of the choices."""
    return lambda name, value: check_choice(name, value, choices)


def some_of(choices: Iterable[str]) -> Check:
    """A check that a tuple holds words from the choices, each at most once."""

    def check(name: str, values: Any) -> None:
        if not isinstance(values, tuple):
            raise ConfigError(f"{name} must be a tuple of names, got {told(values)}.")
        for value in values:
            check_choice(name, value, choices)
        if len(set(values)) < len(values):
            raise ConfigError(f"each {name} must be named once, got {', '.join(values)}.")

    return check


def positive_up_to(most: int) -> Check:
    """A check of a positive whole number up to a limit."""
    return lambda name, value: check_positive_int(name, value, most)


def number(holds: Callable[[Any], bool], rule: str) -> Check:
    """A check of a finite number. The text of the rule follows the number's name."""

    def check(name: str, value: Any) -> None:
        check_number(name, value)
        if not holds(value):
            raise ConfigError(f"{name} {rule}, got {value}.")

    return check


not_negative: Check = number(lambda value: value >= 0, "must not be negative")
fraction: Check = number(lambda value: 0 <= value < 1, "must be at least 0 and below 1")
