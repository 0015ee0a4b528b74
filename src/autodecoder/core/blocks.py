"""Rows in blocks of one size: one program for any number of them, and a bound on memory."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def take(rows: np.ndarray, *arrays: Any) -> list[Any]:
    """The rows of arrays, or of trees of them; of nothing, nothing."""
    return [jax.tree.map(lambda a: jnp.asarray(a[rows]), array) for array in arrays]


def by_blocks(
    function: Callable[[np.ndarray], Any], rows: np.ndarray, size: int, results: Any = None
) -> Any:
    """Call a function with rows in blocks of one size, and gather what it returns for them.

    The last block repeats its last row: as rounding follows from the size of a block, and steps
    that are accepted or rejected make much of it, an image's result would else depend on how many
    others there are. Results enter arrays with a row for each of `rows`, or those passed.
    """
    for block, real in _blocks(rows, size):
        found = function(block)
        if results is None:
            results = jax.tree.map(lambda a: np.empty((len(rows), *a.shape[1:]), a.dtype), found)
        jax.tree.map(
            lambda array, a, to=block[real], of=real: array.__setitem__(to, np.asarray(a)[of]),
            results,
            found,
        )
    return results


def _blocks(rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows block by block, and which of them are no repetition."""
    for i in range(0, len(rows), size):
        block = rows[i : i + size]
        yield np.pad(block, (0, size - len(block)), mode="edge"), np.arange(size) < len(block)
