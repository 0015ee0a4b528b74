"""Rows in blocks of a fixed size: one compiled program for any number of rows, bounded memory."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

#: A device, or `None` for the default device of jax.
Device = Any


def take(rows: np.ndarray, device: Device, *arrays: Any) -> list[Any]:
    """Put the chosen rows of arrays, or of trees of arrays, on a device; `None` stays `None`."""

    def put(array: Any) -> jax.Array:
        chosen = array[rows]
        return jnp.asarray(chosen) if device is None else jax.device_put(chosen, device)

    return [jax.tree.map(put, array) for array in arrays]


def by_blocks(
    function: Callable[[np.ndarray, Device], Any],
    rows: np.ndarray,
    size: int,
    results: Any = None,
    *,
    devices: Sequence[Device] = (None,),
) -> Any:
    """Call a function with rows in blocks of a fixed size, and gather its results.

    Blocks go to the devices in turn. On accelerators, one block per device runs at a time. On CPUs
    one block runs at a time, since two concurrent LAPACK calls may deadlock.

    The last block is filled up with its last row. Rounding depends on the size of a block, and
    accepting or rejecting steps amplifies it; with a smaller last block an image's result would
    depend on the number of images. Results are written to `results`, or to new arrays with one row
    for each of `rows`.
    """
    at_once = 1 if jax.default_backend() == "cpu" else len(devices)
    under_way: deque[tuple[np.ndarray, np.ndarray, Any]] = deque()
    turn = itertools.cycle(devices)
    blocks = _blocks(rows, size)
    while True:
        for block, real in itertools.islice(blocks, at_once - len(under_way)):
            under_way.append((block, real, function(block, next(turn))))
        if not under_way:
            return results
        block, real, found = under_way.popleft()
        if results is None:
            results = jax.tree.map(lambda a: np.empty((len(rows), *a.shape[1:]), a.dtype), found)
        jax.tree.map(
            lambda array, a, to=block[real], of=real: array.__setitem__(to, np.asarray(a)[of]),
            results,
            found,
        )


def _blocks(rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows block by block, with a mask that is False for the rows that fill up a block."""
    for i in range(0, len(rows), size):
        block = rows[i : i + size]
        yield np.pad(block, (0, size - len(block)), mode="edge"), np.arange(size) < len(block)
