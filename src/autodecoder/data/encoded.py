"""Collections of encoded images that are not yet read, and threaded work on each image."""

import io
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped
from tqdm import tqdm

from autodecoder.data.columns import Columns, join_columns, take_columns
from autodecoder.data.decode import UnreadableImage
from autodecoder.data.walk import shown
from autodecoder.errors import DataError
from autodecoder.text import count

_log = logging.getLogger(__name__)
#: Images that a thread processes as one piece of work.
_BLOCK = 32
#: Most files that a warning names.
NAMED = 3


@dataclass(frozen=True)
class Pictures:
    """Encoded images that are not yet read, with their classes."""

    labels: Int[np.ndarray, " n"]
    name: Callable[[int], str]
    """Gives the name of an image in errors, by its index."""
    source: Callable[[int], Path | io.BytesIO]
    """Gives the path or the bytes of an image, by its index."""
    names: Shaped[np.ndarray, " n"]
    """Names of the images in a data set: texts, or row numbers."""
    columns: Columns = field(default_factory=dict)
    """Further columns, see `ImageSet`."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Int[np.ndarray, " k"]) -> "Pictures":
        return Pictures(
            self.labels[indices],
            lambda i: self.name(int(indices[i])),
            lambda i: self.source(int(indices[i])),
            self.names[indices],
            take_columns(self.columns, indices),
        )


def of_files(paths: Sequence[Path], labels: Int[np.ndarray, " n"], root: Path) -> Pictures:
    """Image files, named by their paths relative to `root`."""
    names = np.array([shown(path.relative_to(root)) for path in paths], object)
    return Pictures(labels, lambda i: names[i], lambda i: paths[i], names)


def join(one: Pictures, other: Pictures) -> Pictures:
    """Concatenate two collections."""
    n = len(one)
    return Pictures(
        np.concatenate([one.labels, other.labels]),
        lambda i: one.name(i) if i < n else other.name(i - n),
        lambda i: one.source(i) if i < n else other.source(i - n),
        np.concatenate([one.names, other.names]),
        join_columns((one.columns, n), (other.columns, len(other))),
    )


def in_threads(
    work: Callable[[int], None], pictures: Pictures, what: str | None
) -> list[tuple[str, str]]:
    """Call `work` for each image in threads; returns name and reason of each failure, in order."""

    def do(block: range) -> list[tuple[int, str]]:
        failed = []
        for i in block:
            try:
                work(i)
            except UnreadableImage as error:
                failed.append((i, str(error)))
        return failed

    n = len(pictures)
    blocks = [range(first, min(first + _BLOCK, n)) for first in range(0, n, _BLOCK)]
    failed = do(blocks.pop()) if len(blocks) == 1 else []
    # More threads than processors, since they wait for the disk too.
    with (
        ThreadPoolExecutor(min(16, 2 + (os.cpu_count() or 1))) as pool,
        tqdm(total=n, desc=f"reading {what}", disable=what is None, leave=False) as bar,
    ):
        try:
            futures = {pool.submit(do, block): block for block in blocks}
            for future in as_completed(futures):
                failed += future.result()
                bar.update(len(futures[future]))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [(pictures.name(i), reason) for i, reason in sorted(failed)]


def tell_failures(
    failures: Sequence[tuple[str, str]], name: str, n_found: int, *, strict: bool
) -> None:
    which = f"{len(failures)} of {count(n_found, 'file')} cannot be read: {list_failures(failures)}"
    if strict:
        raise DataError(f"{name}: {which}; without --strict they are left out.")
    _log.warning("%s: %s; left out.", name, which)


def warn_of(faults: Sequence[str], name: str) -> None:
    for fault in faults:
        _log.warning("%s: %s.", name, fault)


def list_failures(failures: Sequence[tuple[str, str]]) -> str:
    named = ", ".join(f"{name} ({reason})" for name, reason in failures[:NAMED])
    more = len(failures) - NAMED
    return f"{named} and {more} more" if more > 0 else named
