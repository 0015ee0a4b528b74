"""Memory of the machine, or of the control group that the process is limited to."""

import contextlib
import os
from pathlib import Path

_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
#: Assumed if the system tells nothing.
_UNKNOWN = 2**33


def free_memory() -> int:
    """Bytes of memory available to this process, by the system and by its control group."""
    found = _limits_of_groups()
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable"))
        found.append(1024 * int(line.split()[1]))
    with contextlib.suppress(ImportError, OSError, ValueError):  # on other systems
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            found.append(max(0, limit - pages * resource.getpagesize()))
    return min(found or _all_memory(), default=_UNKNOWN)


def machine_memory() -> int:
    """Bytes of memory of the machine, whether free or not, or of the control group."""
    return min([*_limits_of_groups(), *_all_memory()], default=_UNKNOWN)


def _all_memory() -> list[int]:
    with contextlib.suppress(AttributeError, OSError, ValueError):
        return [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    return []


def _limits_of_groups() -> list[int]:
    found = []
    for path in _GROUPS:
        with contextlib.suppress(OSError, ValueError):  # none, or `max`
            found.append(int(Path(path).read_text()))
    return found
