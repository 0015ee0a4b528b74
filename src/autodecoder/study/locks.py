"""Lock files: one process at a time changes a study, and each shows that it is alive."""

import contextlib
import os
import platform
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from autodecoder.errors import OutputError

_NAME = ".worker-{}.lock"


@contextlib.contextmanager
def study_lock(folder: Path, seconds: float = 60) -> Iterator[None]:
    """Hold the lock of a study's folder.

    Raises
    ------
    OutputError
        If the folder cannot be written, or another process holds the lock all the time.
    """
    lock = FileLock(folder / ".lock", timeout=seconds)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"{folder} is locked by another process; try again when it has ended."
        ) from None
    except OSError as error:
        raise OutputError(
            f"out must be a folder that can be written, got {folder}: {error.strerror}."
        ) from error
    try:
        yield
    finally:
        lock.release()


def new_worker() -> str:
    """A name for this process that tells others which it is, and on which machine."""
    return f"{secrets.token_hex(4)}_{os.getpid()}_{_machine()}"


def tell_worker(worker: str) -> str:
    """Which process it is, for people: its number, and its machine where that is another one."""
    _, number, machine = [*worker.split("_", 2), "", ""][:3]
    return f"{number} on {machine}" if machine != _machine() else number


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", platform.node())[:64]


def hold_worker_lock(folder: Path, worker: str) -> FileLock:
    """Show that a process is alive, until the lock is released or the process ends somehow."""
    lock = FileLock(folder / _NAME.format(worker))
    lock.acquire(timeout=0)
    return lock


def drop_worker_lock(folder: Path, worker: str, lock: FileLock) -> None:
    """Take leave."""
    lock.release()
    (folder / _NAME.format(worker)).unlink(missing_ok=True)


def is_alive(folder: Path, worker: str) -> bool:
    """Whether a process holds its lock."""
    path = folder / _NAME.format(worker)
    if not path.exists():
        return False
    if _is_held(path):
        return True
    path.unlink(missing_ok=True)
    return False


def sweep_worker_locks(folder: Path) -> None:
    """Remove the lock files of processes that are gone; under the lock of the study."""
    for path in folder.glob(_NAME.format("*")):
        if not _is_held(path):
            path.unlink(missing_ok=True)


def living_workers(folder: Path) -> list[str]:
    """The processes at work on a study."""
    start, end = _NAME.split("{}")
    return [
        path.name.removeprefix(start).removesuffix(end)
        for path in sorted(folder.glob(_NAME.format("*")))
        if _is_held(path)
    ]


def is_anyone_alive(folder: Path, but: str = "") -> bool:
    """Whether any process is at work on a study, or any but one."""
    own = _NAME.format(but)
    return any(path.name != own and _is_held(path) for path in folder.glob(_NAME.format("*")))


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
