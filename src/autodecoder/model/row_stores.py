"""Where the rows of a set of latents lie, with their moments, while images come window by window.

A pass visits each row once. So rows may be replaced where they are, and what there is between two
windows is all that is needed to go on from there.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from autodecoder.config import FitConfig
from autodecoder.core.adam import Rows, start_rows
from autodecoder.errors import DataError, OutputError

#: The arrays of a row.
_PARTS = Rows._fields


def row_types(fit: FitConfig, dims: int) -> dict[str, tuple[np.dtype, int]]:
    """Type and length of each array of a row, see `core.adam.Rows`."""
    rows = jax.eval_shape(
        partial(
            start_rows,
            second_moment=fit.latent_second_moment,
            first_moment_dtype=fit.latent_first_moment_dtype,
        ),
        jax.ShapeDtypeStruct((1, dims), np.float32),
    )
    return {name: (part.dtype, part.shape[1]) for name, part in rows._asdict().items()}


def count_row_bytes(fit: FitConfig, dims: int) -> int:
    """Of a latent with its moments."""
    return sum(dtype.itemsize * length for dtype, length in row_types(fit, dims).values())


@runtime_checkable
class RowStore(Protocol):
    """The rows of one run."""

    def read(self, rows: Int[np.ndarray, " k"]) -> Rows:
        """Some rows, as the epochs before leave them."""
        ...

    def write(self, rows: Int[np.ndarray, " k"], moved: Rows) -> None:
        """Keep some rows as this epoch leaves them; those before are on hand no longer, or until
        the epoch ends."""

    def end_epoch(self) -> None:
        """All rows have been written."""

    def whole(self) -> Rows:
        """All rows as they are, which may be a view of them."""
        ...

    def take_values(self, rows: Int[np.ndarray, " k"]) -> Float[np.ndarray, "k dims"]:
        """Some latents, as the epochs before leave them."""
        ...

    def keep_best(self) -> None:
        """Keep the latents as they are now, in the place of those kept before."""

    def best(self) -> Float[np.ndarray, "n dims"] | None:
        """Those kept."""
        ...

    def restore(self, rows: Rows, best: Float[np.ndarray, "n dims"] | None) -> None:
        """Put all rows back as they were."""

    def close(self) -> None:
        """Nothing more comes."""


class HostRows:
    """In memory, as NumPy arrays."""

    def __init__(self, n: int, types: dict[str, tuple[np.dtype, int]]) -> None:
        # Zeros take no memory before they are written.
        self._rows = Rows(*(np.zeros((n, length), dtype) for dtype, length in types.values()))
        self._best: np.ndarray | None = None

    def read(self, rows: Int[np.ndarray, " k"]) -> Rows:
        """See `RowStore`."""
        return Rows(*(part[rows] for part in self._rows))

    def write(self, rows: Int[np.ndarray, " k"], moved: Rows) -> None:
        """See `RowStore`."""
        for part, values in zip(self._rows, moved, strict=True):
            part[rows] = np.asarray(values)

    def end_epoch(self) -> None:
        """See `RowStore`."""

    def whole(self) -> Rows:
        """See `RowStore`."""
        return self._rows

    def take_values(self, rows: Int[np.ndarray, " k"]) -> Float[np.ndarray, "k dims"]:
        """See `RowStore`."""
        return np.asarray(self._rows.values)[rows]

    def keep_best(self) -> None:
        """See `RowStore`."""
        self._best = np.array(self._rows.values)

    def best(self) -> Float[np.ndarray, "n dims"] | None:
        """See `RowStore`."""
        return self._best

    def restore(self, rows: Rows, best: Float[np.ndarray, "n dims"] | None) -> None:
        """See `RowStore`."""
        self._rows = Rows(*(np.array(part) for part in rows))
        self._best = None if best is None else np.array(best)

    def close(self) -> None:
        """See `RowStore`."""


class DeviceRows:
    """On the device."""

    def __init__(self, n: int, types: dict[str, tuple[np.dtype, int]]) -> None:
        self._rows = Rows(*(jnp.zeros((n, length), dtype) for dtype, length in types.values()))
        self._best: Array | None = None

    def read(self, rows: Int[np.ndarray, " k"]) -> Rows:
        """See `RowStore`."""
        return _take(self._rows, rows)

    def write(self, rows: Int[np.ndarray, " k"], moved: Rows) -> None:
        """See `RowStore`."""
        self._rows = _put(self._rows, rows, moved)

    def end_epoch(self) -> None:
        """See `RowStore`."""

    def whole(self) -> Rows:
        """See `RowStore`."""
        return Rows(*(np.asarray(part) for part in self._rows))

    def take_values(self, rows: Int[np.ndarray, " k"]) -> Float[np.ndarray, "k dims"]:
        """See `RowStore`."""
        return np.asarray(_take(self._rows.values, rows))

    def keep_best(self) -> None:
        """See `RowStore`."""
        self._best = jnp.array(self._rows.values)

    def best(self) -> Float[np.ndarray, "n dims"] | None:
        """See `RowStore`."""
        return None if self._best is None else np.asarray(self._best)

    def restore(self, rows: Rows, best: Float[np.ndarray, "n dims"] | None) -> None:
        """See `RowStore`."""
        self._rows = Rows(*(jnp.array(part) for part in rows))
        self._best = None if best is None else jnp.array(best)

    def close(self) -> None:
        """See `RowStore`."""


@jax.jit
def _take(tree: Any, rows: Int[Array, " k"]) -> Any:
    return jax.tree.map(lambda part: part[rows], tree)


@partial(jax.jit, donate_argnums=0)
def _put(rows: Rows, numbers: Int[Array, " k"], moved: Rows) -> Rows:
    return jax.tree.map(lambda part, values: part.at[numbers].set(values), rows, moved)


class DiskRows:
    """In files, of which there are two generations: an epoch reads those of the epoch before and
    writes its own.

    So a checkpoint need not hold them, whichever window it was made behind: it is enough that the
    files are on the disk before it is (`flush`), and that those which it reads are there until the
    next one is.

    Parameters
    ----------
    folder : Path
        Of the run; the generations lie below it.
    n : int
    types : dict
        Of `row_types`.
    """

    def __init__(self, folder: Path, n: int, types: dict[str, tuple[np.dtype, int]]) -> None:
        self._folder, self._n, self._types = folder, n, types
        self._epoch = 0
        self._files = contextlib.ExitStack()
        self._old: dict[str, Any] = {}
        self._new: dict[str, Any] = {}

    def open(self, epoch: int, *, is_within: bool) -> bool:
        """Go on behind an epoch, or within the next; whether there are files for that.

        Raises
        ------
        OutputError
            If they cannot be opened.
        """
        if (epoch and not self._is_there(epoch)) or (is_within and not self._is_there(epoch + 1)):
            return False
        self.close()
        self._epoch = epoch
        with self._told():
            if epoch:
                self._old = {name: self._open(epoch, name, "rb") for name in _PARTS}
            if is_within:
                self._new = {name: self._open(epoch + 1, name, "r+b") for name in _PARTS}
        return True

    def read(self, rows: Int[np.ndarray, " k"]) -> Rows:
        """See `RowStore`."""
        parts = []
        for name, (dtype, length) in self._types.items():
            part = np.zeros((len(rows), length), dtype)
            if self._old:  # else no epoch has been
                memory, size = part.reshape(-1).view(np.uint8).data, dtype.itemsize * length
                with self._told():
                    for a, b in _runs(rows):
                        self._old[name].seek(int(rows[a]) * size)
                        if self._old[name].readinto(memory[a * size : b * size]) < (b - a) * size:
                            raise DataError(f"{self._path(self._epoch, name)} was shortened.")
            parts.append(part)
        return Rows(*parts)

    def write(self, rows: Int[np.ndarray, " k"], moved: Rows) -> None:
        """See `RowStore`.

        Raises
        ------
        OutputError
            If they cannot be written.
        """
        with self._told():
            if not self._new:
                self._begin()
            for name, part in moved._asdict().items():
                dtype, length = self._types[name]
                memory = np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
                size = dtype.itemsize * length
                for a, b in _runs(rows):
                    self._new[name].seek(int(rows[a]) * size)
                    if self._new[name].write(memory[a * size : b * size]) < (b - a) * size:
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def end_epoch(self) -> None:
        """See `RowStore`."""
        self.flush()
        self._epoch += 1
        self.open(self._epoch, is_within=False)

    def whole(self) -> Rows:
        """See `RowStore`. They are mapped; before the first epoch they are zeros."""
        if not self._old:
            return Rows(*(np.zeros((self._n, length), d) for d, length in self._types.values()))
        return Rows(*(self._map(self._path(self._epoch, name), name) for name in _PARTS))

    def take_values(self, rows: Int[np.ndarray, " k"]) -> Float[np.ndarray, "k dims"]:
        """See `RowStore`."""
        return self._map(self._path(self._epoch, "values"), "values")[rows]

    def keep_best(self) -> None:
        """See `RowStore`. A second name of the file, whose rows are written once."""
        with self._told():
            path = self._folder / f"best-{self._epoch:07d}"
            path.unlink(missing_ok=True)
            values = self._path(self._epoch, "values")
            try:
                os.link(values, path)
            except OSError:  # some file systems have no second names
                shutil.copyfile(values, path)

    def best(self) -> Float[np.ndarray, "n dims"] | None:
        """See `RowStore`."""
        kept = [path for path in self._bests() if self._epoch_of(path) <= self._epoch]
        return self._map(kept[-1], "values") if kept else None

    def restore(self, rows: Rows, best: Float[np.ndarray, "n dims"] | None) -> None:
        """See `RowStore`. For rows that were not in files; `open` is for those that were."""
        self.write(np.arange(self._n), Rows(*map(np.asarray, rows)))
        self.end_epoch()
        if best is not None:
            with self._told():
                np.asarray(best, np.float32).tofile(self._folder / f"best-{self._epoch:07d}")

    def set_epoch(self, epoch: int) -> None:
        """Before `restore`: epochs done, one of which is at least."""
        self.close()
        self._epoch = epoch - 1

    def flush(self) -> None:
        """What has been written is on the disk."""
        with self._told():
            for file in self._new.values():
                os.fsync(file.fileno())

    def _begin(self) -> None:
        """Make the files of this epoch, with room for all rows, and let older ones go."""
        for epoch, path in self._generations():
            if epoch != self._epoch:
                shutil.rmtree(path, ignore_errors=True)
        for path in self._bests()[:-2]:
            path.unlink(missing_ok=True)
        folder = self._path(self._epoch + 1, "values").parent
        folder.mkdir(parents=True, exist_ok=True)
        for name, (dtype, length) in self._types.items():
            file = self._files.enter_context((folder / name).open("w+b", buffering=0))
            size = self._n * dtype.itemsize * length
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            self._new[name] = file

    def close(self) -> None:
        """See `RowStore`."""
        self._files.close()
        self._old, self._new = {}, {}

    def _open(self, epoch: int, name: str, mode: str) -> Any:
        return self._files.enter_context(self._path(epoch, name).open(mode, buffering=0))

    def _is_there(self, epoch: int) -> bool:
        sizes = {name: self._n * d.itemsize * length for name, (d, length) in self._types.items()}
        with contextlib.suppress(OSError):
            return all(self._path(epoch, k).stat().st_size == size for k, size in sizes.items())
        return False

    def _map(self, path: Path, name: str) -> Any:
        dtype, length = self._types[name]
        if not self._n:
            return np.zeros((0, length), dtype)
        with self._told():
            return np.memmap(path, dtype, mode="r", shape=(self._n, length))

    def _path(self, epoch: int, name: str) -> Path:
        return self._folder / f"rows-{epoch:07d}" / name

    def _generations(self) -> list[tuple[int, Path]]:
        return [(self._epoch_of(path), path) for path in self._folder.glob("rows-*")]

    def _bests(self) -> list[Path]:
        return sorted(self._folder.glob("best-*"))

    @staticmethod
    def _epoch_of(path: Path) -> int:
        return int(path.name.rpartition("-")[2])

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"the latents in {self._folder} cannot be kept: {error.strerror}."
            ) from error


def _runs(rows: Int[np.ndarray, " k"]) -> Iterator[tuple[int, int]]:
    """Ranges of `rows` that lie next to each other."""
    if len(rows):
        ends = np.flatnonzero(np.diff(rows) != 1) + 1
        yield from zip([0, *ends.tolist()], [*ends.tolist(), len(rows)], strict=True)


def drop_rows(folder: Path) -> None:
    """Remove the files of `DiskRows` of a run that has ended."""
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
