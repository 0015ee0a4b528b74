"""Many encoded images, unread: where they are, work on each by threads, and which have failed."""

import io
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped
from tqdm import tqdm

from autodecoder.data.decode import UnreadableImage
from autodecoder.data.walk import shown
from autodecoder.errors import DataError
from autodecoder.text import count

_log = logging.getLogger(__name__)
#: Images that a thread takes at once.
_BLOCK = 32
#: Files that a warning names.
NAMED = 3


@dataclass(frozen=True)
class Pictures:
    """Encoded images, unread, with their classes."""

    labels: Int[np.ndarray, " n"]
    name: Callable[[int], str]
    """What errors call an image."""
    source: Callable[[int], Path | io.BytesIO]
    """Where its bytes are."""
    names: Shaped[np.ndarray, " n"]
    """What a data set calls them: text, or numbers of rows."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Int[np.ndarray, " k"]) -> "Pictures":
        return Pictures(
            self.labels[indices],
            lambda i: self.name(int(indices[i])),
            lambda i: self.source(int(indices[i])),
            self.names[indices],
        )


def of_files(paths: Sequence[Path], labels: Int[np.ndarray, " n"], root: Path) -> Pictures:
    """Files, known by their paths below a folder."""
    names = np.array([shown(path.relative_to(root)) for path in paths], object)
    return Pictures(labels, lambda i: names[i], lambda i: paths[i], names)


def join(one: Pictures, other: Pictures) -> Pictures:
    """The files of both."""
    n = len(one)
    return Pictures(
        np.concatenate([one.labels, other.labels]),
        lambda i: one.name(i) if i < n else other.name(i - n),
        lambda i: one.source(i) if i < n else other.source(i - n),
        np.concatenate([one.names, other.names]),
    )


def in_threads(
    work: Callable[[int], None], pictures: Pictures, what: str | None
) -> list[tuple[str, str]]:
    """Do something for each image, side by side; returns which failed and why, in their order."""

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
    failed = []
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
