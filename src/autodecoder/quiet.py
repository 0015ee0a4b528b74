"""Libraries that log, kept quiet while they are called."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
#: Of each logger: blocks under way, and the level that it has outside of them.
_under_way: dict[str, tuple[int, int]] = {}


@contextmanager
def quiet(logger: logging.Logger, level: int) -> Iterator[None]:
    """Keep a library from logging what is below a level, until the block ends.

    Its logger has its own level again when the last of such blocks, in any thread, has ended.
    """
    with _lock:
        n, before = _under_way.get(logger.name, (0, logger.level))
        _under_way[logger.name] = n + 1, before
        logger.setLevel(level)
    try:
        yield
    finally:
        with _lock:
            n, before = _under_way.pop(logger.name)
            if n > 1:
                _under_way[logger.name] = n - 1, before
            else:
                logger.setLevel(before)
