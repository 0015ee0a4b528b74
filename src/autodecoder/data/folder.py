"""Which files below a folder are images, of which class, and of which part of a published split."""

import os
from dataclasses import dataclass
from pathlib import Path

from autodecoder.data.decode import SUFFIXES
from autodecoder.errors import DataError

_TRAIN = "train"
#: Names of the folder of validation images; the first that is there is used.
_VALIDATION = ("val", "valid", "validation", "test")


@dataclass(frozen=True)
class Listing:
    """The images of a folder, or of one part of it: a list of files for each class."""

    root: Path
    classes: dict[str, list[Path]]

    @property
    def paths(self) -> list[Path]:
        return [path for paths in self.classes.values() for path in paths]


def list_images(root: Path) -> tuple[Listing, Listing | None]:
    """Find the images below a folder, in an order that no file system has a say in.

    Folders directly below are classes, with all that lies in them. If there are no images but in
    `train` and in one or more of `val`, `valid`, `validation` and `test`, these are the two sets,
    whose folders are the classes; of several, the first named is used. Hidden files and folders are
    passed over, and files whose names are not those of images.

    Returns
    -------
    train, val : Listing
        `val` is None if the folder has no such parts.

    Raises
    ------
    DataError
        If the folder is missing or holds no image, or has images beside folders of images.
    """
    _check_folder(root)
    whole = _classes(root)
    parts = {name.casefold(): name for name in whole.classes}
    found = [name for name in _VALIDATION if name in parts]
    if not found or _TRAIN not in parts or not set(parts) <= {_TRAIN, *_VALIDATION}:
        return whole, None
    return _classes(root / parts[_TRAIN]), _classes(root / parts[found[0]])


def list_files(root: Path) -> list[Path]:
    """All images of a folder, of whatever class or part, in the order of their names.

    Raises
    ------
    DataError
        As of `list_images`.
    """
    _check_folder(root)
    return _classes(root).paths


def shown(path: Path | str) -> str:
    """A name as text that can be printed, also one that is no text."""
    return os.fsencode(path).decode("utf-8", "replace")


def _check_folder(root: Path) -> None:
    if not root.is_dir():
        what = "is a file" if root.is_file() else "does not exist"
        raise DataError(f"{shown(root)} must be a folder of images, but {what}.")


def _classes(root: Path) -> Listing:
    """The images of a folder by class; all of one class, named "", if they lie there directly."""
    files, folders = _scan(root)
    classes = {}
    for folder in folders:
        paths = _below(folder, {os.path.realpath(root)})
        if paths:
            classes[folder.name] = paths
    if files and classes:
        raise DataError(
            f"{shown(root)} must hold either images or a folder of images for each class, but "
            f"holds {shown(files[0].name)} beside the folder {shown(next(iter(classes)))}."
        )
    if not files and not classes:
        raise DataError(
            f"{shown(root)} must hold images ({', '.join(sorted(SUFFIXES))}) or folders of images, "
            "but holds none."
        )
    return Listing(root, classes or {"": files})


def _below(folder: Path, around: set[str]) -> list[Path]:
    """All images below a folder; a link to one of the folders around it is not followed."""
    real = os.path.realpath(folder)
    if real in around:
        return []
    files, folders = _scan(folder)
    return files + [path for inner in folders for path in _below(inner, {*around, real})]


def _scan(folder: Path) -> tuple[list[Path], list[Path]]:
    """Image files and folders directly in a folder, by name."""
    files, folders = [], []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: os.fsencode(entry.name)):
                if entry.name.startswith("."):
                    continue
                if Path(entry.path).is_dir():  # no error where a link leads to itself
                    folders.append(folder / entry.name)
                elif Path(entry.name).suffix.lower() in SUFFIXES and _is_regular(entry):
                    files.append(folder / entry.name)
    except OSError as error:
        raise DataError(f"{shown(folder)} cannot be read: {error.strerror}.") from error
    return files, folders


def _is_regular(entry: os.DirEntry[str]) -> bool:
    """Not a pipe or a socket; a link that leads nowhere is a file that cannot be read."""
    path = Path(entry.path)
    return path.is_file() or not path.exists()
