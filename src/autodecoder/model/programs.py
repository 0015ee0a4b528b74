"""Compiled programs are let go before they are too many for the process.

Each shape that is fitted and inferred leaves several hundred mapped regions of memory with the
programs that jax keeps, and Linux ends a process that asks for more of them than it allows (65,530
unless told otherwise): a search over many shapes would end without an error.
"""

from pathlib import Path

import jax

_REGIONS = Path("/proc/self/maps")
_MOST_REGIONS = Path("/proc/sys/vm/max_map_count")


def limit_programs() -> None:
    """Have jax forget its programs, where they hold half of the regions that a process may map.

    For the start of work on a shape. What is needed again is compiled again, or read from jax's
    cache on disk. Does nothing where the system does not tell (outside of Linux).
    """
    try:
        most = int(_MOST_REGIONS.read_text(encoding="ascii"))
        n_regions = _REGIONS.read_bytes().count(b"\n")
    except OSError:
        return
    if n_regions > most // 2:
        jax.clear_caches()
