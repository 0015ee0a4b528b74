"""Rows in blocks of one size: one program for any number of them, and a bound on memory."""

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

#: A device, or nothing for that of jax's choice.
Device = Any


def take(rows: np.ndarray, device: Device, *arrays: Any) -> list[Any]:
    """The rows of arrays, or of trees of them, on a device; of nothing, nothing."""

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
    """Call a function with rows in blocks of one size, and gather what it returns for them.

    Blocks go to the devices in turn. On accelerators as many are under way as there are devices; on
    CPUs one, since two calls of LAPACK side by side may wait for each other for ever.

    The last block repeats its last row: as rounding follows from the size of a block, and steps
    that are accepted or rejected make much of it, an image's result would else depend on how many
    others there are. Results enter arrays with a row for each of `rows`, or those passed.
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
    """Rows block by block, and which of them are no repetition."""
    for i in range(0, len(rows), size):
        block = rows[i : i + size]
        yield np.pad(block, (0, size - len(block)), mode="edge"), np.arange(size) < len(block)
