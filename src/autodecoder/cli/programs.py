"""Compiled programs kept on disk, so that the next start need not compile them."""

import hashlib
import os
import platform
import tempfile
from pathlib import Path

import jax

from autodecoder.cli.streams import STDERR
from autodecoder.data.download import cache_dir

#: Bytes of all programs; those that have not been used for longest go first.
_MOST = 2**29


def keep_programs() -> None:
    """Have jax keep its programs in the user's cache, unless it has been told where already.

    All of them: they are many, and few take long. Where there is no cache that can be written, it
    says so, rather than have jax warn of every program.
    """
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    if jax.config.values["jax_compilation_cache_dir"] is None:
        try:
            folder = cache_dir() / "programs" / _machine()
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            reason = str(error) if error.filename is None else f"{error.filename}: {error.strerror}"
            STDERR.write(f"Compiled programs are not kept: {reason.rstrip('.')}.\n")
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_compilation_cache_max_size", _MOST)


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
