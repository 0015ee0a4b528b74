"""Silencing the logger of a library while it is called."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
#: By name of the logger: number of open `quiet` blocks, and the level outside them.
_under_way: dict[str, tuple[int, int]] = {}


@contextmanager
def quiet(logger: logging.Logger, level: int) -> Iterator[None]:
    """Suppress a logger's records below a level until the block ends.

    The logger gets its own level back when the last open block, in any thread, has ended.
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
