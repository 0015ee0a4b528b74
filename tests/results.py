"""Files of results, to which several processes may add at once."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from autodecoder.files import write_file

#: The results of a file, by name.
Rows = dict[str, dict[str, Any]]


def read_rows(path: Path, key: str = "") -> Rows:
    """The results of a file; with a `key`, the file is a list whose rows have their name there."""
    if not path.exists():
        return {}
    found = json.loads(path.read_text(encoding="utf-8"))
    return {row[key]: row for row in found} if key else found


def change_rows(path: Path, change: Callable[[Rows], Rows], key: str = "") -> Rows:
    """Replace the results of a file by what `change` makes of them; returns these."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        rows = change(read_rows(path, key))
        content = list(rows.values()) if key else rows
        write_file(path, (json.dumps(content, indent=1) + "\n").encode())
    return rows


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Other processes wait, where a folder can be locked."""
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):  # Windows
        yield
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
