"""What a fuzzer needs to know of one reader."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodecoder.errors import AutodecoderError

#: Memory that reading one small input may take, in bytes.
MOST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Target:
    """One reader, with valid inputs.

    `read` feeds an input to the reader. It returns normally if the reader accepts it, and raises an
    error of the project if the reader refuses it; any other error is a finding.
    """

    seeds: tuple[bytes, ...]
    read: Callable[[bytes], None]
    tokens: tuple[bytes, ...] = ()
    """Pieces of text and numbers that mean something to the reader."""
    most_bytes: int = MOST_BYTES
    """Memory that one input may take, in bytes, in addition to 64 times its length."""


def in_memory() -> Path | None:
    """A folder in memory, since each input is written to a file; `None` if the system has none, or
    if TMPDIR names another one."""
    shared = Path("/dev/shm")
    return shared if "TMPDIR" not in os.environ and os.access(shared, os.W_OK) else None


def scratch() -> Path:
    """A new folder for the files of a target, removed when the process ends."""
    folder = tempfile.mkdtemp(prefix="autodecoder-fuzz-", dir=in_memory())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def of_file(
    name: str, seeds: Sequence[bytes], *readers: Callable[[Path], object], **options: Any
) -> Target:
    """A target of functions that read one file of this name."""
    path = scratch() / name

    def read(content: bytes) -> None:
        path.write_bytes(content)
        read_all(path, *readers)

    return Target(tuple(seeds), read, **options)


def read_all(path: Path, *readers: Callable[[Path], object]) -> None:
    """Let all readers read a path; raises the last error by which one refuses it."""
    refused = None
    for reader in readers:
        try:
            reader(path)
        except AutodecoderError as error:
            refused = error
    if refused is not None:
        raise refused


def of_folder(
    files: Mapping[str, bytes],
    read: Callable[[Path], object],
    *,
    folder: Path | None = None,
    seal: Callable[[str, bytes], bytes] = lambda name, content: content,
    tokens: Sequence[bytes] = (),
    most_bytes: int = MOST_BYTES,
) -> Target:
    """A target that reads a folder of files, of which each input replaces one.

    Parameters
    ----------
    files : mapping of name to bytes
        The first byte of an input is the place of a file in this mapping, counted round and round;
        the others are its content.
    read : callable
        Called with the folder.
    folder : Path, optional
        By default a new one.
    seal : callable
        Makes checksums of a file true again, so that the checks behind them are reached.
    """
    place, names = scratch() if folder is None else folder, list(files)

    def write(name: str, content: bytes) -> None:
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    for name, content in files.items():
        write(name, content)

    def read_with(content: bytes) -> None:
        name = names[content[0] % len(names)] if content else names[0]
        write(name, seal(name, content[1:]))
        try:
            read(place)
        finally:
            write(name, files[name])

    seeds = tuple(bytes([k]) + content for k, content in enumerate(files.values()))
    return Target(seeds, read_with, tuple(tokens), most_bytes)


def one_of(*targets: Target) -> Target:
    """A target of several; the first byte of an input chooses one, counted round and round."""

    def read(content: bytes) -> None:
        number = content[0] if content else 0
        targets[number % len(targets)].read(content[1:])

    return Target(
        tuple(bytes([k]) + content for k, target in enumerate(targets) for content in target.seeds),
        read,
        tuple(dict.fromkeys(token for target in targets for token in target.tokens)),
        max(target.most_bytes for target in targets),
    )
