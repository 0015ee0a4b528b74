"""Paths as users give them: on the command line, in files, in variables and in Python."""

import os
from pathlib import Path

from autodecoder.errors import ConfigError

_LONGEST_SHOWN = 100


def user_path(path: str | bytes | os.PathLike, name: str = "path") -> Path:
    """A path as a user gives it, with `~` and `~user` at its start expanded.

    What it returns is given back unchanged by another call.

    Parameters
    ----------
    path : str, bytes or path
    name : str
        What the path is, for the error.

    Raises
    ------
    ConfigError
        If it is empty or no path, or names a user who is not known.

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
