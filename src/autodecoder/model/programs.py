"""Limits on compiled programs: one inference at a time, and a bounded number of cached programs.

The cached programs of each shape that is fitted and inferred take several hundred mapped regions of
memory. Linux ends a process that maps more regions than it allows (65,530 by default). Without the
bound, a search over many shapes would end without an error message.
"""

import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import jax

_REGIONS = Path("/proc/self/maps")
_MOST_REGIONS = Path("/proc/sys/vm/max_map_count")

#: Lock for inference. The solvers' batched LAPACK calls share the few threads of a CPU's pool, and
#: two concurrent calls can deadlock (see `core.solvers`).
one_inference: AbstractContextManager[Any] = threading.RLock()

#: Number of regions that remained when the caches were last cleared.
_left = 0


def limit_programs() -> None:
    """Clear jax's caches if the process uses more than half of the regions that it may map.

    Call it before work on a new shape. Programs that are needed again are compiled again, or read
    from jax's cache on disk. If regions remain, the caches are cleared again only after an eighth
    of the limit is added. Does nothing outside of Linux.
    """
    global _left
    try:
        most = int(_MOST_REGIONS.read_text(encoding="ascii"))
        if _count_regions() > max(most // 2, _left + most // 8):
            jax.clear_caches()
            _left = _count_regions()
    except OSError:
        return


def _count_regions() -> int:
    return _REGIONS.read_bytes().count(b"\n")
