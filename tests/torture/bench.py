"""Processes that faults befall, and the changes to a process that make some of the faults."""

import contextlib
import errno
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
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


def with_jumping_clock() -> None:
    """The clock of the day jumps by up to a month, back and forth."""
    rng, before = random.Random(os.getpid()), time.time
    time.time = lambda: before() + rng.uniform(-2.6e6, 2.6e6)


def without_locks() -> None:
    """A file system that has no locks."""
    import fcntl

    def refuse(*_: Any) -> NoReturn:
        raise OSError(errno.ENOLCK, "No locks available")

    fcntl.flock = fcntl.lockf = refuse


def with_little_memory() -> None:
    """Less address space than the images of the study, once the libraries are there."""
    import jax.numpy as jnp

    jnp.zeros(1).block_until_ready()  # threads and their stacks
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 2**29, resource.RLIM_INFINITY))


HOOKS: dict[str, Callable[[], None]] = {
    f.__name__: f for f in (without_pictures, with_jumping_clock, without_locks, with_little_memory)
}


class Bench:
    """Starts commands of the package in processes of their own, from one that has its modules."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng = folder, random.Random(seed)
        self._context = multiprocessing.get_context("forkserver")
        # Without a computation, so that every process starts the threads of jax itself.
        self._context.set_forkserver_preload(["autodecoder.study", "tests.torture.work"])
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
        """End it at once, as a loss of power would."""
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
    for hook in hooks:
        HOOKS[hook]()
    from tests.torture.work import SCRIPTS

    from autodecoder.cli import main

    name, *given = command
    if name in SCRIPTS:
        SCRIPTS[name](*given)
    else:
        main(list(command))


def can_mount() -> bool:
    """Whether this process may mount file systems."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("mount") is not None


@contextlib.contextmanager
def small_disk(folder: Path, n_bytes: int) -> Iterator[None]:
    """A folder on a file system of its own, in memory, of so many bytes."""
    folder.mkdir(parents=True)
    _call("mount", "-t", "tmpfs", "-o", f"size={n_bytes}", "torture", str(folder))
    try:
        yield
    finally:
        _call("umount", "--lazy", str(folder))


def resize(folder: Path, n_bytes: int) -> None:
    """Change the size of a small disk."""
    _call("mount", "-o", f"remount,size={n_bytes}", str(folder))


def make_read_only(folder: Path) -> None:
    """Make a small disk read-only, to which no process writes."""
    _call("mount", "-o", "remount,ro", str(folder))


def make_writable(folder: Path) -> None:
    """Make it writable again."""
    _call("mount", "-o", "remount,rw", str(folder))


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
