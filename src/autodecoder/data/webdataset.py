"""Images in an archive of a WebDataset: `tar:FILE`, with members `key.jpg` and `key.cls` beside."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autodecoder.config import DataConfig
from autodecoder.data.columns import choose_columns, read_columns
from autodecoder.data.decode import SUFFIXES
from autodecoder.data.encoded import Pictures
from autodecoder.data.files import BROKEN_ARCHIVE, members_of
from autodecoder.data.labelled import number_classes
from autodecoder.data.pictures import plan_pictures
from autodecoder.data.plan import Plan
from autodecoder.data.samples import UnreadableImage
from autodecoder.data.walk import shown
from autodecoder.errors import DataError

#: Names of a label in a JSON object, the preferred ones first.
_KEYS = ("label", "cls", "class", "class_name", "category", "target", "y")
#: Most bytes that are read of a label's member, and longest label, in characters.
_LARGEST, _LONGEST = 2**20, 200
#: Most bytes of an encoded image; up to 16 images are read at once. An image of 50 megapixels in 8
#: bits has fewer.
_LARGEST_IMAGE = 2**28


class _Member(NamedTuple):
    """Where the bytes of a member lie in the archive."""

    name: str
    offset: int
    size: int


def plan_tar(path: Path, config: DataConfig, *, seed: int, progress: bool) -> Plan:
    """Plan to read the images of an archive, in the order of its members.

    The key of a member is its name up to the first dot; the rest is its ending. Members with the
    ending of an image are images. The label of an image is in the member of the same key:
    `key.cls`, a text, or `key.json`, a text, a number or an object with `label`, `cls` or `class`.
    Other texts, numbers and booleans of such an object are further columns, which travel with the
    images as `config.columns` says. Other members are passed over.

    The archive must not be compressed, since images are read in place.

    Raises
    ------
    DataError
        If it is no such archive, is damaged, holds no image, or lacks a column of
        `config.columns`; see also `plan_pictures`.
    """
    images, classes, objects, n_others = _index(path)
    if not images:
        raise DataError(f"{path} must hold images, such as 0001.jpg with 0001.cls, but holds none.")
    keys = list(images)
    values: list[str | None] = []
    found: list[dict[str, Any]] = []
    for key in keys:
        label, further = None, {}
        if key in objects:
            label, further = _read_json(path, objects[key], gives_label=key not in classes)
        values.append(_read_class(path, classes[key]) if key in classes else label)
        found.append(further)
    header = [*dict.fromkeys(name for further in found for name in further)]
    chosen = choose_columns(config.columns, header, len(keys), path.name)
    given = {own: [further.get(header[k]) for further in found] for own, k in chosen.items()}
    numbers, class_names = number_classes(values)
    names = np.array([shown(images[key].name) for key in keys], object)

    def source(i: int) -> io.BytesIO:
        member = images[keys[i]]
        if member.size > _LARGEST_IMAGE:
            raise UnreadableImage(f"larger than {_LARGEST_IMAGE // 2**20} MiB")
        return io.BytesIO(_read(path, member, _LARGEST_IMAGE))

    columns = read_columns("columns", given, len(keys))
    return plan_pictures(
        Pictures(numbers, lambda i: names[i], source, names, columns),
        None,
        tuple(map(shown, class_names)),
        config,
        name=shown(path.stem) or "images",
        seed=seed,
        progress=progress,
        notes=(f"{n_others:,} other members passed over",) if n_others else (),
    )


def _index(
    path: Path,
) -> tuple[dict[str, _Member], dict[str, _Member], dict[str, _Member], int]:
    """Images, classes and JSON members by their keys, and how many other members there are."""
    images: dict[str, _Member] = {}
    others: dict[str, dict[str, _Member]] = {"cls": {}, "json": {}}
    n_others = 0
    try:
        if not path.is_file():
            raise DataError(f"{path} must be a tar archive, but is no file.")
        with path.open("rb") as file:
            _refuse_compressed(file.read(6), path)
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in members_of(archive):
                    # Drop the list of members, which would take memory.
                    archive.members = []  # pyright: ignore[reportAttributeAccessIssue]
                    if not member.isreg():
                        continue
                    folder, _, last = member.name.rpartition("/")
                    stem, _, ending = last.partition(".")
                    key, ending = f"{folder}/{stem}", ending.lower()
                    is_image = f".{ending}" in SUFFIXES
                    if member.issparse() or not (is_image or ending in others):
                        n_others += 1
                        continue
                    found = images if is_image else others[ending]
                    if key in found:
                        raise DataError(
                            f"{path} must hold each image and each label once, but has "
                            f"{shown(found[key].name)} and {shown(member.name)}."
                        )
                    found[key] = _Member(member.name, member.offset_data, member.size)
    except BROKEN_ARCHIVE as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read as a tar archive: {reason}.") from error
    return images, others["cls"], others["json"], n_others


def _refuse_compressed(start: bytes, path: Path) -> None:
    kinds = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
    for magic, kind in kinds.items():
        if start.startswith(magic):
            raise DataError(
                f"{path} is compressed by {kind}, and its images cannot be read in place: "
                "decompress the archive (the images in it are compressed already)."
            )


def _read(path: Path, member: _Member, most: int) -> bytes:
    with path.open("rb") as file:
        file.seek(member.offset)
        return file.read(min(member.size, most))


def _read_class(path: Path, member: _Member) -> str | None:
    """The label in a member `key.cls`; `None` if it is empty."""
    try:
        text = _read(path, member, _LARGEST).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise _unreadable(path, member, error) from error
    return _as_label(path, member, text)


def _read_json(
    path: Path, member: _Member, *, gives_label: bool
) -> tuple[str | None, dict[str, Any]]:
    """The label in a member `key.json`, `None` if it has none, and its further values by name.

    Where the label is in another member, anything is allowed here.
    """
    try:
        found = json.loads(_read(path, member, _LARGEST).decode("utf-8-sig"))
        further: dict[str, Any] = {}
        if isinstance(found, dict):
            key = next((key for key in _KEYS if key in found), None)
            further = {
                name: value
                for name, value in found.items()
                if name != key and isinstance(value, str | int | float)
            }
            found = None if key is None else found[key]
        if not gives_label:
            return None, further
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if not isinstance(found, str | int | None) or isinstance(found, bool):
            raise ValueError("its label is neither a text nor a whole number")
    except (OSError, ValueError, RecursionError) as error:
        if not gives_label:
            return None, {}
        raise _unreadable(path, member, error) from error
    return _as_label(path, member, "" if found is None else str(found)), further


def _unreadable(path: Path, member: _Member, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or "it is no label"
    return DataError(f"{path}: {shown(member.name)} cannot be read: {reason}.")


def _as_label(path: Path, member: _Member, text: str) -> str | None:
    value = text.strip()
    if len(value) > _LONGEST:
        raise DataError(
            f"{path}: {shown(member.name)} must hold a label of {_LONGEST} letters or fewer, got "
            f"{len(value)}."
        )
    return value or None
