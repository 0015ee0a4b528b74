"""Programs that jax has compiled: one inference at a time, and never too many for the process.

Each shape that is fitted and inferred leaves several hundred mapped regions of memory with the
programs that jax keeps, and Linux ends a process that asks for more of them than it allows (65,530
unless told otherwise): a search over many shapes would end without an error.
"""

import threading
from pathlib import Path

import jax

_REGIONS = Path("/proc/self/maps")
_MOST_REGIONS = Path("/proc/sys/vm/max_map_count")

#: Held by a thread that infers latents. The solvers' LAPACK calls on batches share the few threads
#: of a CPU's pool, and two of them at a time can wait for each other for ever (see `core.solvers`).
one_inference = threading.RLock()

#: Regions that were left when programs were let go last: others of the process hold them.
_left = 0


def limit_programs() -> None:
    """Have jax forget its programs, where half of the regions are taken that a process may map.

    For the start of work on a shape. What is needed again is compiled again, or read from jax's
    cache on disk. Where that freed little, it is not done again before an eighth more is taken.
    Does nothing where the system does not tell (outside of Linux).
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
