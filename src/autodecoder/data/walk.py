"""Walking through folders: each real file and folder once, however many links lead to it."""

import os
from collections import deque
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from autodecoder.errors import DataError

#: Identity of a file or folder: device and inode, or the real path if there is no inode.
Key = tuple[int, int] | str

#: Files that operating systems leave in folders of images.
_LITTER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})


class Found(NamedTuple):
    """A file found on a walk."""

    path: Path
    key: Key
    n_links: int
    """Number of symbolic links on the way to it from the start of the walk."""


@dataclass
class Below:
    """The files below a folder."""

    images: list[Found] = field(default_factory=list)
    others: dict[Key, str] = field(default_factory=dict)
    """The suffix of each file that is not an image."""
    n_repeated: int = 0
    """Number of further names that listed images have."""


class _Entry(NamedTuple):
    name: str
    key: Key
    is_link: bool


class _Scan(NamedTuple):
    key: Key
    images: list[_Entry]
    others: list[_Entry]
    folders: list[_Entry]


class Walk:
    """A walk that reads each real folder once, however often it is reached.

    Parameters
    ----------
    suffixes : set of str
        Suffixes of image files, in lower case.
    """

    def __init__(self, suffixes: AbstractSet[str]) -> None:
        self._suffixes = suffixes
        self._scans: dict[Key, _Scan] = {}

    def directly(self, folder: Path) -> tuple[Below, list[Path]]:
        """The files and the folders directly in a folder, by name."""
        scan = self._scan(folder)
        found = _Collector()
        found.add(folder, scan, 0)
        return found.sorted(folder), [folder / entry.name for entry in scan.folders]

    def below(self, folder: Path, around: Path) -> Below:
        """All files below a folder; links to the folder `around` it are not followed.

        Paths with fewer links come first, so that a file gets its most direct name.
        """
        found = _Collector()
        visited = {self._scan(around).key}
        ahead = deque([(folder, int(folder.is_symlink()))])
        while ahead:
            path, n_links = ahead.popleft()
            scan = self._scan(path)
            if scan.key in visited:
                continue
            visited.add(scan.key)
            found.add(path, scan, n_links)
            for inner in scan.folders:
                if inner.is_link:
                    ahead.append((path / inner.name, n_links + 1))
                else:
                    ahead.appendleft((path / inner.name, n_links))
        return found.sorted(folder)

    def _scan(self, folder: Path) -> _Scan:
        try:
            key = _key(folder.stat(), folder)
            if key not in self._scans:
                self._scans[key] = self._read(folder, key)
        except OSError as error:
            raise DataError(f"{shown(folder)} cannot be read: {error.strerror}.") from error
        return self._scans[key]

    def _read(self, folder: Path, key: Key) -> _Scan:
        scan = _Scan(key, [], [], [])
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
                if entry.name.startswith(".") or entry.name.casefold() in _LITTER:
                    continue
                is_image = _suffix(entry.name) in self._suffixes
                try:
                    known = _Entry(entry.name, _key(entry.stat(), entry.path), entry.is_symlink())
                except OSError:  # a broken link: a file that cannot be read
                    if is_image:
                        scan.images.append(_Entry(entry.name, entry.path, True))
                    continue
                if entry.is_dir():
                    scan.folders.append(known)
                elif entry.is_file():  # not a pipe or a socket
                    (scan.images if is_image else scan.others).append(known)
        return scan


class _Collector:
    """Files by key, each under the path with the fewest links, or the first."""

    def __init__(self) -> None:
        self._images: dict[Key, Found] = {}
        self._others: dict[Key, str] = {}
        self._n_names = 0

    def add(self, folder: Path, scan: _Scan, n_links: int) -> None:
        self._n_names += len(scan.images)
        for entry in scan.images:
            found = Found(folder / entry.name, entry.key, n_links + entry.is_link)
            known = self._images.get(entry.key)
            if known is None or _rank(found) < _rank(known):
                self._images[entry.key] = found
        self._others |= {entry.key: _suffix(entry.name) for entry in scan.others}

    def sorted(self, root: Path) -> Below:
        """Sort by name: the files of a folder first, then those of its subfolders."""
        images = sorted(self._images.values(), key=lambda found: _place(found.path, root))
        return Below(images, self._others, self._n_names - len(images))


def shown(path: Path | str) -> str:
    """A file name as printable text, with escapes for other bytes; names stay distinct."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _key(status: os.stat_result, path: Path | str) -> Key:
    if status.st_ino:
        return status.st_dev, status.st_ino
    return os.path.realpath(path)


def _rank(found: Found) -> tuple[int, bytes]:
    return found.n_links, os.fsencode(found.path)


def _place(path: Path, root: Path) -> list[tuple[int, bytes]]:
    *folders, name = path.relative_to(root).parts
    return [*((1, os.fsencode(folder)) for folder in folders), (0, os.fsencode(name))]
