"""The journal of an unfinished packing, which lists complete shards, and the lock of its folder."""

import contextlib
import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from autodecoder.data.manifest import JOURNAL, Head, Shard, read_head, read_shard
from autodecoder.errors import DataError, OutputError
from autodecoder.files import has_locks, refuse_special, write_file

_log = logging.getLogger(__name__)
LOCK = ".pack.lock"
#: Largest journal that is read, in bytes.
_LARGEST = 2**28


@contextlib.contextmanager
def pack_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder that is being packed; a missing folder is created.

    Raises
    ------
    OutputError
        If another process holds it, or the folder cannot be written.
    """
    lock = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if has_locks(folder / LOCK):
            lock = FileLock(folder / LOCK, timeout=0)
            lock.acquire()
        else:
            _log.warning(
                "the file system of %s has no locks: only one process may pack to it", folder
            )
    except Timeout:
        raise OutputError(
            f"{folder} is being packed by another process; wait until it has ended."
        ) from None
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}.") from error
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def begin_journal(folder: Path, head: Head, shards: Iterable[Shard] = ()) -> None:
    """Write a new journal: the head, and the shards that exist already.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    lines = [_line(head.to_plain()), *(_line(shard.to_plain()) for shard in shards)]
    write_file(folder / JOURNAL, b"".join(lines))


def add_to_journal(folder: Path, shard: Shard) -> None:
    """Add a complete shard to the journal.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    path = folder / JOURNAL
    try:
        with path.open("ab") as file:
            file.write(_line(shard.to_plain()))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from error


def read_journal(folder: Path) -> tuple[Head, list[Shard]]:
    """Read a journal, and cut off an incomplete last line that a killed process left.

    Raises
    ------
    DataError
        If it is damaged.
    OutputError
        If the incomplete line cannot be cut off.
    """
    path = folder / JOURNAL
    try:
        refuse_special(path)
        with path.open("rb") as file:
            content = file.read(_LARGEST)
        whole = content[: content.rfind(b"\n") + 1]
        first, *rest = [json.loads(line) for line in whole.splitlines()] or [None]
        if not isinstance(first, dict):
            raise ValueError("it does not say what is packed")
        head, shards = read_head(first), list(map(read_shard, rest))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path} is damaged ({error}): remove {folder}, and pack it again."
        ) from error
    if len(whole) < len(content):
        write_file(path, whole)
    return head, shards


def _line(content: dict) -> bytes:
    return (json.dumps(content, allow_nan=False) + "\n").encode()
