"""What jax needs to know before it starts: where programs are kept, and that there is a device."""

import contextlib
import glob
import hashlib
import os
import platform
import re
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from filelock import FileLock

from autodecoder.cli.streams import STDERR
from autodecoder.core.switches import check_device
from autodecoder.data.download import cache_dir
from autodecoder.errors import DataWarning
from autodecoder.files import has_locks
from autodecoder.text import printable

#: Bytes of all programs; those that have not been used for longest go first.
_MOST = 2**29
#: What jax warns of a program on disk that is damaged; its files begin with this name.
_UNREADABLE = re.compile("Error reading persistent compilation cache entry for '(.+?)'")
#: And of one that it cannot write, with the reason.
_UNWRITTEN = re.compile("Error writing persistent compilation cache entry for '.+?': (.+)", re.S)
_before: Callable[..., None] = warnings.showwarning
_told = False
"""Whether a command has said that programs are not kept."""


def keep_programs() -> None:
    """Have jax keep its programs in the user's cache, unless it has been told where already.

    All of them: they are many, and few take long. Where there is no cache that can be written, it
    says so, rather than have jax warn of every program. A platform that is not there is found at
    once, before images are loaded or a study is cleared.

    Raises
    ------
    ConfigError
        If jax has no device to work on.
    """
    global _told
    _told = False
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    if jax.config.values["jax_compilation_cache_dir"] is None:
        _keep_in_cache()
    _watch_cache()
    check_device()


def _keep_in_cache() -> None:
    try:
        folder = cache_dir() / "programs" / _machine()
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = str(error) if error.filename is None else f"{error.filename}: {error.strerror}"
        _tell_not_kept(reason)
        return
    if _can_lock(folder):
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", _MOST)


def _can_lock(folder: Path) -> bool:
    """Whether jax can lock the folder: else it waits ten seconds for it at every program."""
    try:
        if has_locks(folder / ".lockfile"):
            with FileLock(folder / ".lockfile", timeout=1):
                _drop_halves(folder)
                return True
    except OSError:  # Timeout too
        pass
    return False


def _drop_halves(folder: Path) -> None:
    """Remove programs without the time of their last use, as a process leaves that is killed
    between the two: jax wants that of all of them, and would keep none any more."""
    names = {path.name for path in folder.iterdir()}
    for name in names:
        if name.endswith("-cache") and f"{name.removesuffix('-cache')}-atime" not in names:
            (folder / name).unlink()


def _tell_not_kept(reason: str) -> None:
    """Say once why programs are not kept."""
    global _told
    if not _told:
        STDERR.write(f"Compiled programs are not kept: {printable(reason).rstrip('.')}.\n")
    _told = True


def _watch_cache() -> None:
    """Have `_show` told of warnings: not once for each place of the code, nor as an error, since
    jax warns of all programs from one place."""
    global _before
    if warnings.showwarning is not _show:
        _before, warnings.showwarning = warnings.showwarning, _show
        for of_jax in (_UNREADABLE, _UNWRITTEN):
            warnings.filterwarnings("always", message=of_jax.pattern)


def _show(message: Warning | str, category: type[Warning], *rest: Any, **options: Any) -> None:
    """Show the package's own warnings as commands say them, others as ever.

    In the place of jax's warning of a kept program that cannot be read, remove it: jax compiles it
    anew, but would leave the broken one where it is, and warn at every start. Of those that cannot
    be written, which may be all, the first is told.
    """
    if (unwritten := _UNWRITTEN.match(str(message))) is not None:
        _tell_not_kept(unwritten[1])
        return
    found = _UNREADABLE.match(str(message))
    if found is None:
        if issubclass(category, DataWarning):
            STDERR.write(f"warning: {message}\n")
        else:
            _before(message, category, *rest, **options)
        return
    with contextlib.suppress(OSError):
        folder = Path(jax.config.values["jax_compilation_cache_dir"])
        for path in folder.glob(f"{glob.escape(found[1])}*"):
            path.unlink(missing_ok=True)


def _machine() -> str:
    """Names the kind of processor: in a home that machines share, programs of another may crash."""
    about = [platform.machine(), platform.processor()]
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        about += [line for line in lines if line.startswith(("flags", "model name", "Features"))][
            :2
        ]
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:12]
