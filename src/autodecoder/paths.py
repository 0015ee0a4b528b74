"""Paths given by users: on the command line, in files, in environment variables, in Python."""

import os
from pathlib import Path
from typing import Any

from autodecoder.errors import ConfigError

_LONGEST_SHOWN = 100


def user_path(path: str | bytes | os.PathLike[Any], name: str = "path") -> Path:
    """Convert a user's path, with `~` and `~user` at its start expanded.

    The result passes through another call unchanged.

    Parameters
    ----------
    path : str, bytes or path
    name : str
        Name of the path in errors.

    Raises
    ------
    ConfigError
        If it is empty, holds a NUL character, or starts with a `~` that cannot be expanded.

    Examples
    --------
    >>> user_path("photos/cats").parts
    ('photos', 'cats')
    """
    text = os.fsdecode(path)
    if not text or "\0" in text:
        raise ConfigError(f"{name} must be a path, got {text[:_LONGEST_SHOWN]!r}.")
    found = Path(os.path.expanduser(text))  # noqa: PTH111 (pathlib would expand ./~x too)
    if not found.parts or not found.parts[0].startswith("~"):
        return found
    if text.startswith("~"):
        user = found.parts[0][1:]
        why = f"there is no user {user}" if user else "the home folder is not known (set HOME)"
        raise ConfigError(f"{name} cannot be {text[:_LONGEST_SHOWN]}: {why}.")
    return found.absolute()  # ./~x, which pathlib shortens to ~x
