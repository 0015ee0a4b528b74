"""Compiled programs kept on disk, so that the next start need not compile them."""

import hashlib
import os
import platform
from pathlib import Path

import jax

from autodecoder.data.download import cache_dir

#: Bytes of all programs; those that have not been used for longest go first.
_MOST = 2**29


def keep_programs() -> None:
    """Have jax keep its programs in the user's cache, unless it has been told where already.

    All of them: they are many, and few take long.
    """
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    if jax.config.values["jax_compilation_cache_dir"] is None:
        folder = cache_dir() / "programs" / _machine()
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
