"""Lock files: one process at a time changes a study, and each process shows that it is alive.

On a file system without locks, only one process at a time may run a study. Its worker file then
counts as alive while the machine in its name has a process of the number and start in its name.
"""

import contextlib
import logging
import os
import platform
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from autodecoder.errors import OutputError
from autodecoder.files import has_locks

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_log = logging.getLogger(__name__)

_STUDY = ".lock"
_NAME = ".worker-{}.lock"
#: Seconds to wait for a lock that others only test.
_PATIENCE = 1.0
#: Beginning of the names of this process's workers.
_PROCESS = secrets.token_hex(4)


@contextlib.contextmanager
def study_lock(folder: Path, seconds: float = 60) -> Iterator[None]:
    """Hold the lock of a study's folder.

    Raises
    ------
    OutputError
        If the folder cannot be written, or another process holds the lock for `seconds`.
    """
    lock = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if has_locks(folder / _STUDY):
            lock = FileLock(folder / _STUDY, timeout=seconds)
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
        if lock is not None:
            lock.release()


def new_worker() -> str:
    """A unique name for this process, with its start, its number and its machine."""
    unique = f"{_PROCESS}-{_start_of(os.getpid())}-{secrets.token_hex(4)}"
    return f"{unique}_{os.getpid()}_{_machine()}"


def tell_worker(worker: str) -> str:
    """The number of a process, and its machine if it is another one, as text for people."""
    _, number, machine = _parts_of(worker)
    return f"{number} on {machine}" if machine != _machine() else number


def _parts_of(worker: str) -> tuple[str, str, str]:
    """The unique part of a worker's name, its number and its machine."""
    unique, number, machine = [*worker.split("_", 2), "", ""][:3]
    return unique, number, machine


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", platform.node())[:64]


def hold_worker_lock(folder: Path, worker: str) -> FileLock | None:
    """Show that a process is alive, until the lock is released or the process ends.

    Raises
    ------
    OutputError
        If another process runs the study on a file system without locks, or keeps the lock file of
        this one locked.
    """
    path = folder / _NAME.format(worker)
    if has_locks(path):
        lock = FileLock(path, timeout=_PATIENCE)
        try:
            lock.acquire()
        except Timeout:
            raise OutputError(f"{path} is locked by another process; try again.") from None
        return lock
    # The file now exists, so if two processes start at once, at least one sees the other.
    others = [other for other in living_workers(folder) if other != worker]
    if others:
        path.unlink()
        raise OutputError(
            f"{folder} is on a file system without locks, where only one process can run a study, "
            f"and process {tell_worker(others[0])} does: try again when it has ended (if it is "
            f"gone, remove {folder / _NAME.format(others[0])})."
        )
    _log.warning("the file system of %s has no locks: run no second process on this study", folder)
    return None


def drop_worker_lock(folder: Path, worker: str, lock: FileLock | None) -> None:
    """Release and delete the lock of a process."""
    if lock is not None:
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
    """Remove the lock files of processes that are gone. Hold the study's lock."""
    for path in folder.glob(_NAME.format("*")):
        if not _is_held(path):
            path.unlink(missing_ok=True)


def living_workers(folder: Path) -> list[str]:
    """The processes that work on a study."""
    return [_worker_of(path) for path in sorted(folder.glob(_NAME.format("*"))) if _is_held(path)]


def is_anyone_alive(folder: Path, but: str = "") -> bool:
    """Whether any process works on a study, other than `but`."""
    return any(worker != but for worker in living_workers(folder))


def _is_held(path: Path) -> bool:
    if not has_locks(path):
        return _runs(_worker_of(path))
    try:
        if fcntl is None:
            with FileLock(path, timeout=0):
                return False
        with path.open("rb") as file:  # a shared lock, which several processes can test at once
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except (Timeout, BlockingIOError):
        return True
    return False


def _worker_of(path: Path) -> str:
    start, end = _NAME.split("{}")
    return path.name.removeprefix(start).removesuffix(end)


def _runs(worker: str) -> bool:
    """Whether a worker's process exists. On another machine this is unknown and counts as true.

    The number alone is not enough: the first process of a container has the same one every time.
    """
    unique, number, machine = _parts_of(worker)
    if machine != _machine() or not number.isdecimal() or os.name == "nt":
        return True
    if int(number) == os.getpid():
        return unique.startswith(_PROCESS)
    start, found = [*unique.split("-"), ""][1], _start_of(int(number))
    if start and found and start != found:
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _start_of(process: int) -> str:
    """When a process started, in ticks since the start of the machine; empty if unknown."""
    try:
        about = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The 22nd value; the second one is in brackets, and may hold spaces.
    return "".join(about.rpartition(")")[2].split()[19:20])
