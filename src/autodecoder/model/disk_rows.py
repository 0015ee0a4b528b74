"""A store for rows of latents in files, for sets whose latents do not fit into memory."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from autodecoder.core.adam import Rows
from autodecoder.data.storage import reserve
from autodecoder.errors import DataError, OutputError
from autodecoder.files import sync_folder, write_file

#: The arrays of a row, one file each.
_PARTS = Rows._fields


class DiskRows:
    """Rows in files. An epoch reads the files of the previous epoch and writes files of its own.

    So checkpoints need not contain the rows. Files are flushed before a checkpoint is written, and
    kept until the next checkpoint. Files of an epoch in progress are in `rows-N.part`, which is
    renamed to `rows-N` when all rows are written.

    Parameters
    ----------
    folder : Path
        Folder of the run, for the files of all epochs.
    n : int
        Number of rows.
    types : dict
        From `row_types`.
    """

    kind = "disk"

    def __init__(self, folder: Path, n: int, types: dict[str, tuple[np.dtype, int]]) -> None:
        self._folder, self._n, self._types = folder, n, types
        self._epoch = 0
        self._files = contextlib.ExitStack()
        self._old: dict[str, Any] = {}
        self._new: dict[str, Any] = {}

    def reopen(self, epoch: int, *, is_within: bool) -> bool:
        """See `RowStore`.

        Raises
        ------
        OutputError
            If the files cannot be opened.
        """
        old, new = self._folder_of(epoch), self._part_of(epoch + 1)
        self.close()
        with self._told():
            if is_within and not new.exists() and self._folder_of(epoch + 1).exists():
                self._folder_of(epoch + 1).rename(new)  # the epoch ended after the checkpoint
        if (epoch and not self._is_there(old)) or (is_within and not self._is_there(new)):
            return False
        self._epoch = epoch
        with self._told():
            if epoch:
                self._old = {name: self._open(old / name, "rb") for name in _PARTS}
            if is_within:
                self._new = {name: self._open(new / name, "r+b") for name in _PARTS}
        return True

    def read(self, rows: Int[np.ndarray, " k"]) -> Rows:
        """See `RowStore`."""
        parts = []
        for name, (dtype, length) in self._types.items():
            part = np.zeros((len(rows), length), dtype)
            if self._old:  # otherwise no epoch is done, and rows are zeros
                memory, size = part.reshape(-1).view(np.uint8).data, dtype.itemsize * length
                with self._told():
                    for a, b in _runs(rows):
                        self._old[name].seek(int(rows[a]) * size)
                        left = memory[a * size : b * size]
                        while left:
                            n = self._old[name].readinto(left)
                            if not n:
                                path = self._folder_of(self._epoch) / name
                                raise DataError(f"{path} was shortened while it was in use.")
                            left = left[n:]
            parts.append(part)
        return Rows(*parts)

    def write(self, rows: Int[np.ndarray, " k"], moved: Rows) -> None:
        """See `RowStore`.

        Raises
        ------
        OutputError
            If the files cannot be written.
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
                    left = memory[a * size : b * size]
                    while left:
                        left = left[self._new[name].write(left) :]

    def end_epoch(self) -> None:
        """See `RowStore`."""
        self.flush()
        self.close()
        whole = self._folder_of(self._epoch + 1)
        with self._told():
            self._part_of(self._epoch + 1).rename(whole)
            sync_folder(self._folder)
        if not self.reopen(self._epoch + 1, is_within=False):
            raise DataError(f"{whole} was shortened while it was in use.")

    def whole(self) -> Rows:
        """See `RowStore`. The rows are memory maps; before the first epoch they are zeros."""
        if not self._old:
            return Rows(*(np.zeros((self._n, length), d) for d, length in self._types.values()))
        folder = self._folder_of(self._epoch)
        return Rows(*(self._map(folder / name, name) for name in _PARTS))

    def take_values(self, rows: Int[np.ndarray, " k"]) -> Float[np.ndarray, "k width"]:
        """See `RowStore`."""
        return self._map(self._folder_of(self._epoch) / "values", "values")[rows]

    def keep_best(self) -> None:
        """See `RowStore`. Makes a hard link to the file, which is written only once."""
        with self._told():
            path = self._best_of(self._epoch)
            path.unlink(missing_ok=True)
            values = self._folder_of(self._epoch) / "values"
            try:
                os.link(values, path)
            except OSError:  # some file systems have no hard links
                shutil.copyfile(values, path)

    def best(self, epoch: int) -> Float[np.ndarray, "n width"] | None:
        """See `RowStore`.

        Raises
        ------
        DataError
            If the file is missing or shortened.
        """
        if not epoch:
            return None
        path, (dtype, length) = self._best_of(epoch), self._types["values"]
        if not path.is_file() or path.stat().st_size != self._n * dtype.itemsize * length:
            raise DataError(f"{path} is gone or shortened: the study must start over.")
        return self._map(path, "values")

    def restore(
        self, epoch: int, rows: Rows, best_epoch: int, best: Float[np.ndarray, "n width"] | None
    ) -> None:
        """See `RowStore`. For rows from a checkpoint; `reopen` continues with rows in files."""
        self.close()
        self._epoch = epoch - 1
        self.write(np.arange(self._n), Rows(*map(np.asarray, rows)))
        self.end_epoch()
        if best is not None and best_epoch:
            content = np.ascontiguousarray(best, np.float32)
            write_file(self._best_of(best_epoch), content.reshape(-1).view(np.uint8).data)

    def flush(self) -> None:
        """See `RowStore`."""
        with self._told():
            for file in self._new.values():
                os.fsync(file.fileno())

    def _begin(self) -> None:
        """Create the files of this epoch, with space for all rows, and remove outdated files."""
        for path in self._folder.glob("rows-*"):
            if path != self._folder_of(self._epoch):
                shutil.rmtree(path, ignore_errors=True)
        # Keep the last two: that of the newest checkpoint, and one written after it.
        bests, now = sorted(self._folder.glob("best-*")), self._best_of(self._epoch)
        earlier = [path for path in bests if path <= now]
        for path in (*earlier[:-2], *bests[len(earlier) :]):
            path.unlink(missing_ok=True)
        folder = self._part_of(self._epoch + 1)
        folder.mkdir(parents=True, exist_ok=True)
        for name, (dtype, length) in self._types.items():
            file = self._files.enter_context((folder / name).open("w+b", buffering=0))
            reserve(file, self._n * dtype.itemsize * length)
            self._new[name] = file

    def close(self) -> None:
        """See `RowStore`."""
        self._files.close()
        self._old, self._new = {}, {}

    def _open(self, path: Path, mode: str) -> Any:
        return self._files.enter_context(path.open(mode, buffering=0))

    def _is_there(self, folder: Path) -> bool:
        sizes = {name: self._n * d.itemsize * length for name, (d, length) in self._types.items()}
        with contextlib.suppress(OSError):
            return all((folder / name).stat().st_size == size for name, size in sizes.items())
        return False

    def _map(self, path: Path, name: str) -> Any:
        dtype, length = self._types[name]
        if not self._n:
            return np.zeros((0, length), dtype)
        with self._told():
            return np.memmap(path, dtype, mode="r", shape=(self._n, length))

    def _folder_of(self, epoch: int) -> Path:
        return self._folder / f"rows-{epoch:07d}"

    def _part_of(self, epoch: int) -> Path:
        return self._folder / f"rows-{epoch:07d}.part"

    def _best_of(self, epoch: int) -> Path:
        return self._folder / f"best-{epoch:07d}"

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"the latents in {self._folder} cannot be kept: {error.strerror}."
            ) from error


def _runs(rows: Int[np.ndarray, " k"]) -> Iterator[tuple[int, int]]:
    """Yield ranges `(start, stop)` of positions at which `rows` are consecutive numbers."""
    if len(rows):
        ends = np.flatnonzero(np.diff(rows) != 1) + 1
        yield from zip([0, *ends.tolist()], [*ends.tolist(), len(rows)], strict=True)


def drop_rows(folder: Path) -> None:
    """Remove the files of `DiskRows` of a run that has ended."""
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
