"""Stores for latents and their moments while images are read window by window.

A pass visits each row once. So rows can be overwritten in place, and the store between two windows
holds everything that is needed to continue from there.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from autodecoder.config import FitConfig
from autodecoder.core.adam import Rows, start_rows
from autodecoder.core.codes import row_width


def row_types(fit: FitConfig, dims: int) -> dict[str, tuple[np.dtype, int]]:
    """Dtype and length of each array of a row, by name, for latents of `dims` dimensions; see
    `core.adam.Rows`."""
    rows = jax.eval_shape(
        partial(
            start_rows,
            second_moment=fit.latent_second_moment,
            first_moment_dtype=fit.latent_first_moment_dtype,
        ),
        jax.ShapeDtypeStruct((1, row_width(fit, dims)), np.float32),
    )
    return {name: (part.dtype, part.shape[1]) for name, part in rows._asdict().items()}


def count_row_bytes(fit: FitConfig, dims: int) -> int:
    """The number of bytes of a latent with its moments."""
    return sum(dtype.itemsize * length for dtype, length in row_types(fit, dims).values())


@runtime_checkable
class RowStore(Protocol):
    """The rows of one run."""

    kind: str
    """`host` for rows that a checkpoint contains, `disk` for those in files beside it."""

    def read(self, rows: Int[np.ndarray, " k"]) -> Rows:
        """Some rows, as of the end of the previous epoch."""
        ...

    def write(self, rows: Int[np.ndarray, " k"], moved: Rows) -> None:
        """Store rows at their end-of-epoch values. Stores in memory overwrite the old values at
        once; `DiskRows` keeps them until the epoch ends."""

    def end_epoch(self) -> None:
        """End an epoch, in which all rows have been written."""

    def whole(self) -> Rows:
        """All rows, possibly as a view of the stored ones."""
        ...

    def take_values(self, rows: Int[np.ndarray, " k"]) -> Float[np.ndarray, "k width"]:
        """Some codes, as of the end of the last epoch."""
        ...

    def keep_best(self) -> None:
        """Keep a copy of the current codes as those of the best epoch."""

    def best(self, epoch: int) -> Float[np.ndarray, "n width"] | None:
        """The codes kept after the given epoch; `None` if none have been kept."""
        ...

    def restore(
        self, epoch: int, rows: Rows, best_epoch: int, best: Float[np.ndarray, "n width"] | None
    ) -> None:
        """Restore all rows as of the end of an epoch, and the codes of the best epoch."""

    def reopen(self, epoch: int, *, is_within: bool) -> bool:
        """Continue with files after `epoch`, or within the next one; returns whether they exist."""
        ...

    def flush(self) -> None:
        """Flush written files to the disk."""

    def close(self) -> None:
        """Close all files."""


class _InMemory:
    """Common part of stores in memory, which overwrite rows in place."""

    kind = "host"

    def __init__(self, rows: Rows, copy: Callable[[Any], Any]) -> None:
        """Keep rows; `copy` copies an array to where they are."""
        self._rows = rows
        self._copy = copy
        self._best: Any = None

    def end_epoch(self) -> None:
        """See `RowStore`."""

    def keep_best(self) -> None:
        """See `RowStore`."""
        self._best = self._copy(self._rows.values)

    def best(self, epoch: int) -> Float[np.ndarray, "n width"] | None:
        """See `RowStore`."""
        return None if self._best is None else np.asarray(self._best)

    def whole(self) -> Rows:
        """See `RowStore`."""
        return Rows(*map(np.asarray, self._rows))

    def restore(
        self, epoch: int, rows: Rows, best_epoch: int, best: Float[np.ndarray, "n width"] | None
    ) -> None:
        """See `RowStore`."""
        self._rows = Rows(*map(self._copy, rows))
        self._best = None if best is None else self._copy(best)

    def reopen(self, epoch: int, *, is_within: bool) -> bool:
        """See `RowStore`."""
        return False

    def flush(self) -> None:
        """See `RowStore`."""

    def close(self) -> None:
        """See `RowStore`."""


class HostRows(_InMemory):
    """Rows in memory, as NumPy arrays."""

    def __init__(self, n: int, types: dict[str, tuple[np.dtype, int]]) -> None:
        # Zeros take no memory before they are written.
        rows = Rows(*(np.zeros((n, length), dtype) for dtype, length in types.values()))
        super().__init__(rows, np.array)

    def read(self, rows: Int[np.ndarray, " k"]) -> Rows:
        """See `RowStore`."""
        return Rows(*(part[rows] for part in self._rows))

    def write(self, rows: Int[np.ndarray, " k"], moved: Rows) -> None:
        """See `RowStore`."""
        for part, values in zip(self._rows, moved, strict=True):
            part[rows] = np.asarray(values)

    def take_values(self, rows: Int[np.ndarray, " k"]) -> Float[np.ndarray, "k width"]:
        """See `RowStore`."""
        return np.asarray(self._rows.values)[rows]


class DeviceRows(_InMemory):
    """Rows on the device."""

    def __init__(self, n: int, types: dict[str, tuple[np.dtype, int]]) -> None:
        rows = Rows(*(jnp.zeros((n, length), dtype) for dtype, length in types.values()))
        super().__init__(rows, jnp.array)

    def read(self, rows: Int[np.ndarray, " k"]) -> Rows:
        """See `RowStore`."""
        return _take(self._rows, rows)

    def write(self, rows: Int[np.ndarray, " k"], moved: Rows) -> None:
        """See `RowStore`."""
        self._rows = _put(self._rows, rows, moved)

    def take_values(self, rows: Int[np.ndarray, " k"]) -> Float[np.ndarray, "k width"]:
        """See `RowStore`."""
        return np.asarray(_take(self._rows.values, rows))


@jax.jit
def _take(tree: Any, rows: Int[Array, " k"]) -> Any:
    return jax.tree.map(lambda part: part[rows], tree)


@partial(jax.jit, donate_argnums=0)
def _put(rows: Rows, numbers: Int[Array, " k"], moved: Rows) -> Rows:
    return jax.tree.map(lambda part, values: part.at[numbers].set(values), rows, moved)
