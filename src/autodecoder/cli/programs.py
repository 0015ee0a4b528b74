"""Settings of jax before it starts: the cache of compiled programs, and a check for a device."""

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

#: Largest size of all kept programs in bytes. The least recently used ones are removed first.
_MOST = 2**29
#: Warning of jax about a damaged program on disk; the group is the beginning of its file names.
_UNREADABLE = re.compile("Error reading persistent compilation cache entry for '(.+?)'")
#: Warning of jax about a program that it cannot write; the group is the reason.
_UNWRITTEN = re.compile("Error writing persistent compilation cache entry for '.+?': (.+)", re.S)
_before: Callable[..., None] = warnings.showwarning
_told = False
"""Whether a command has reported that programs are not kept."""


def keep_programs() -> None:
    """Keep compiled programs in the user's cache, unless jax is configured to keep them elsewhere.

    All programs are kept, since there are many and few take long to compile. If the cache is not
    writable, one message says so instead of a warning per program. A missing platform is detected
    at once, before images are loaded or a study is removed.

    Raises
    ------
    ConfigError
        If jax has no device.
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
    """Whether jax can lock the folder. If not, it waits ten seconds for each program."""
    try:
        if has_locks(folder / ".lockfile"):
            with FileLock(folder / ".lockfile", timeout=1):
                _drop_halves(folder)
                return True
    except OSError:  # includes Timeout
        pass
    return False


def _drop_halves(folder: Path) -> None:
    """Remove programs whose file of the last use is missing, left by a process that was killed.
    With such a program in the folder, jax would keep no others."""
    names = {path.name for path in folder.iterdir()}
    for name in names:
        if name.endswith("-cache") and f"{name.removesuffix('-cache')}-atime" not in names:
            (folder / name).unlink()


def _tell_not_kept(reason: str) -> None:
    """Report once why programs are not kept."""
    global _told
    if not _told:
        STDERR.write(f"Compiled programs are not kept: {printable(reason).rstrip('.')}.\n")
    _told = True


def _watch_cache() -> None:
    """Send warnings to `_show`. It must see each of them, but jax raises all from one line of code,
    which Python reports only once by default, or as an error."""
    global _before
    if warnings.showwarning is not _show:
        _before, warnings.showwarning = warnings.showwarning, _show
        for of_jax in (_UNREADABLE, _UNWRITTEN):
            warnings.filterwarnings("always", message=of_jax.pattern)


def _show(message: Warning | str, category: type[Warning], *rest: Any, **options: Any) -> None:
    """Print the package's own warnings in the style of commands; show others as usual.

    If a kept program cannot be read, remove it instead of showing jax's warning. jax compiles it
    again, but would leave the broken file and warn at every start. If programs cannot be written,
    only the first warning is reported.
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
    """A name for the kind of processor. Programs in a shared home may crash other kinds."""
    about = [platform.machine(), platform.processor()]
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        about += [line for line in lines if line.startswith(("flags", "model name", "Features"))][
            :2
        ]
    return hashlib.sha256("\n".join(about).encode()).hexdigest()[:12]
