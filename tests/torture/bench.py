"""Processes for the faults, and the changes to processes and folders that make the faults."""

import contextlib
import ctypes
import datetime
import errno
import functools
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

#: Seconds after which a process counts as hanging.
HANGS = 600.0


def without_pictures() -> None:
    """No pictures and pages, which take longer than the training of small studies."""
    import autodecoder.report

    report: Any = autodecoder.report
    report.write_pictures = lambda *_, **__: []
    report.write_study_page = lambda study, **_: study.folder / "report" / "index.html"


#: Seconds by which clocks jump at most, back and forth: a month.
JUMP = 2.6e6


def with_jumping_clock() -> None:
    """`time.time`, `time.time_ns` and `datetime.now` jump at each call.

    libfaketime cannot be used: with it, `time.sleep` of Python 3.11 and newer fails.
    """
    import optuna.storages._rdb.storage  # holds the class by a name of its own
    import pandas as pd  # noqa: F401  # crashes if it does not find Python's own class

    rng, seconds, whole = random.Random(os.getpid()), time.time, time.time_ns
    real = datetime.datetime

    class Kind(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, real)

    class Jumping(real, metaclass=Kind):
        __slots__ = ()

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Any:
            return real.now(tz) + datetime.timedelta(seconds=rng.uniform(-JUMP, JUMP))

        @classmethod
        def utcnow(cls) -> Any:
            return cls.now(datetime.UTC).replace(tzinfo=None)

    time.time = lambda: seconds() + rng.uniform(-JUMP, JUMP)
    time.time_ns = lambda: whole() + int(1e9 * rng.uniform(-JUMP, JUMP))
    storage: Any = optuna.storages._rdb.storage
    datetime.datetime = storage.datetime = Jumping


def jump_times(folder: Path, rng: random.Random) -> None:
    """Move the times of all files and folders in a folder to the past or to the future."""
    for path in [folder, *folder.rglob("*")]:
        moment = time.time() + rng.uniform(-JUMP, JUMP)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path, (moment, moment), follow_symlinks=False)


def without_locks() -> None:
    """A file system that has no locks."""
    import fcntl

    def refuse(*_: Any) -> NoReturn:
        raise OSError(errno.ENOLCK, "No locks available")

    fcntl.flock = fcntl.lockf = refuse


def with_memory(mib: int) -> None:
    """A limit of the address space, so many MiB above what the libraries take."""
    import jax.numpy as jnp

    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)  # each arena reserves 64 MiB
    (jnp.zeros((99, 99)) @ jnp.zeros(99)).block_until_ready()  # threads and their stacks
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + mib * 2**20, resource.RLIM_INFINITY))


#: The parameter of `mallopt`, from malloc.h.
_M_ARENA_MAX = -8

#: Changes of a process, by name; behind a colon may be a whole number for the function.
HOOKS: dict[str, Callable[..., None]] = {
    f.__name__: f for f in (without_pictures, with_jumping_clock, without_locks, with_memory)
}


class Bench:
    """Starts commands of the package in processes of their own, from one that has its modules."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self._context = multiprocessing.get_context("forkserver")
        # Without a computation, so that every process starts the threads of jax itself.
        modules = ["autodecoder.study", "autodecoder.cli.main", "tests.torture.work"]
        self._context.set_forkserver_preload(modules)
        self._n = 0

    def new(self, name: str) -> Path:
        """A path that was not used yet."""
        self._n += 1
        return self.folder / f"{name}-{self._n}"

    def start(self, command: Sequence[str], hooks: Sequence[str] = ()) -> "Running":
        """Start a command; hooks change its process first."""
        log = self.new("log")
        arguments = (tuple(command), str(log), tuple(hooks))
        process = self._context.Process(target=_run, args=arguments)
        process.start()
        return Running(process, log)


class Running:
    """A process at work."""

    def __init__(self, process: BaseProcess, log: Path) -> None:
        self.began, self._process, self._log = time.monotonic(), process, log

    def wait(self, seconds: float = HANGS) -> bool:
        """Wait so long at most; says whether it has ended."""
        self._process.join(seconds)
        return not self._process.is_alive()

    def signal(self, number: int) -> None:
        """Send a signal."""
        pid = self._process.pid
        assert pid is not None
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def kill(self) -> None:
        """End it at once, without any cleanup."""
        self._process.kill()
        self._process.join()

    @property
    def status(self) -> int | None:
        """Its exit status; the number of a signal below 0; `None` if it goes on."""
        return self._process.exitcode

    @property
    def said(self) -> str:
        """What it wrote to both outputs."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""


def _run(command: tuple[str, ...], log: str, hooks: tuple[str, ...]) -> None:
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    from autodecoder.cli.console import keeping_interrupts

    # In other processes, jax has its callback of the garbage collector only within a command.
    with keeping_interrupts():
        for hook in hooks:
            called, _, number = hook.partition(":")
            HOOKS[called](*([int(number)] if number else []))
        _work(*command)


def _work(name: str, *given: str) -> None:
    from tests.torture.work import SCRIPTS

    from autodecoder.cli import main
    from autodecoder.cli.programs import keep_programs
    from autodecoder.errors import AutodecoderError

    if name not in SCRIPTS:
        return main([name, *given])
    keep_programs()
    try:
        SCRIPTS[name](*given)
    except AutodecoderError as error:  # as the command line ends then
        os.write(2, f"error: {error}\n".encode())
        raise SystemExit(2) from None


@functools.cache
def can_mount() -> bool:
    """Whether this process may mount file systems; root of a container often may not."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with small_disk(Path(folder) / "disk", 2**20):
                return True
        except (OSError, subprocess.CalledProcessError):
            return False


@contextlib.contextmanager
def small_disk(folder: Path, n_bytes: int) -> Iterator[None]:
    """A folder on a file system of its own, in memory, of so many bytes."""
    folder.mkdir(parents=True)
    _call("mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "torture", str(folder))
    try:
        yield
    finally:
        while folder.is_mount():
            make_writable(folder)


def resize(folder: Path, n_bytes: int) -> None:
    """Change the size of a small disk."""
    _call("mount", "-o", f"remount,size={n_bytes}", str(folder))


def free_bytes(folder: Path) -> int:
    """The space that is left on the disk of a folder."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def make_read_only(folder: Path) -> None:
    """Make a folder read-only for the processes that work in it.

    The system refuses to remount a file system read-only while a file is open for writing, as locks
    are. So a read-only view of the folder is mounted over it: files that are open stay writable,
    all others can be neither opened for writing nor made, renamed and removed.
    """
    _call("mount", "--bind", str(folder), str(folder))
    deadline = time.monotonic() + 10
    while True:
        try:
            return _call("mount", "-o", "remount,bind,ro", str(folder))
        except subprocess.CalledProcessError:  # a file was opened between the two
            if time.monotonic() > deadline:
                raise


def make_writable(folder: Path) -> None:
    """Take away the view, or the small disk itself."""
    _call("umount", "--lazy", str(folder))


def _call(*command: str) -> None:
    subprocess.run([*_as_root(), *command], check=True, capture_output=True)


def _as_root() -> list[str]:
    """What commands need in front to mount file systems: in runs that may not skip a test, they ask
    for the rights, as machines of a continuous integration give them without a password."""
    wanted = "AUTODECODER_SKIP_NOTHING" in os.environ and hasattr(os, "geteuid")
    return ["sudo", "-n"] if wanted and os.geteuid() else []
