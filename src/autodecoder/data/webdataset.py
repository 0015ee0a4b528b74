"""Images in an archive of a WebDataset: `tar:FILE`, with members `key.jpg` and `key.cls` beside."""

import io
import json
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autodecoder.config import DataConfig
from autodecoder.data.decode import SUFFIXES
from autodecoder.data.encoded import Pictures
from autodecoder.data.labelled import number_classes
from autodecoder.data.pictures import plan_pictures
from autodecoder.data.plan import Plan
from autodecoder.data.walk import shown
from autodecoder.errors import DataError

#: Names of a label in a JSON object, the preferred ones first.
_KEYS = ("label", "cls", "class", "class_name", "category", "target", "y")
#: Most bytes that are read of a label's member, and longest label, in characters.
_LARGEST, _LONGEST = 2**20, 200
#: Most bytes that are read of an encoded image, more than one of 50 megapixels has.
_LARGEST_IMAGE = 2**30


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
    Other members are passed over.

    The archive must not be compressed, since images are read in place.

    Raises
    ------
    DataError
        If it is no such archive, is damaged, or holds no image; see also `plan_pictures`.
    """
    images, labels, n_others = _index(path)
    if not images:
        raise DataError(f"{path} must hold images, such as 0001.jpg with 0001.cls, but holds none.")
    keys = list(images)
    values = [_label(path, labels[key]) if key in labels else None for key in keys]
    numbers, class_names = number_classes(values)
    names = np.array([shown(images[key].name) for key in keys], object)

    def source(i: int) -> io.BytesIO:
        return io.BytesIO(_read(path, images[keys[i]], _LARGEST_IMAGE))

    return plan_pictures(
        Pictures(numbers, lambda i: names[i], source, names),
        None,
        tuple(map(shown, class_names)),
        config,
        name=shown(path.stem) or "images",
        seed=seed,
        progress=progress,
        notes=(f"{n_others:,} other members passed over",) if n_others else (),
    )


def _index(path: Path) -> tuple[dict[str, _Member], dict[str, _Member], int]:
    """Images and labels by their keys, and how many other members there are."""
    images: dict[str, _Member] = {}
    labels: dict[str, _Member] = {}
    n_others = 0
    try:
        if not path.is_file():
            raise DataError(f"{path} must be a tar archive, but is no file.")
        with path.open("rb") as file:
            _refuse_compressed(file.read(6), path)
            file.seek(0)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    # Drop the list of members, which would take memory.
                    archive.members = []  # pyright: ignore[reportAttributeAccessIssue]
                    if not member.isreg():
                        continue
                    folder, _, last = member.name.rpartition("/")
                    stem, _, ending = last.partition(".")
                    key, ending = f"{folder}/{stem}", ending.lower()
                    is_image = f".{ending}" in SUFFIXES
                    if member.issparse() or not (is_image or ending in ("cls", "json")):
                        n_others += 1
                        continue
                    found = images if is_image else labels
                    if key in found and (is_image or found[key].name.endswith(f".{ending}")):
                        raise DataError(
                            f"{path} must hold each image and each label once, but has "
                            f"{shown(found[key].name)} and {shown(member.name)}."
                        )
                    if is_image or ending == "cls" or key not in found:
                        found[key] = _Member(member.name, member.offset_data, member.size)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} cannot be read as a tar archive: {reason}.") from error
    return images, labels, n_others


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


def _label(path: Path, member: _Member) -> str | None:
    """The label in a member; `None` if it is empty."""
    try:
        text = _read(path, member, _LARGEST).decode("utf-8-sig").strip()
        if member.name.lower().endswith(".cls"):
            value = text
        else:
            found = json.loads(text)
            if isinstance(found, dict):
                found = next((found[key] for key in _KEYS if key in found), None)
            if isinstance(found, float) and found.is_integer():
                found = int(found)
            if not isinstance(found, str | int | None) or isinstance(found, bool):
                raise ValueError("its label is neither a text nor a whole number")
            value = "" if found is None else str(found).strip()
    except (OSError, ValueError, RecursionError) as error:
        reason = getattr(error, "strerror", None) or "it is no label"
        raise DataError(f"{path}: {shown(member.name)} cannot be read: {reason}.") from error
    if len(value) > _LONGEST:
        raise DataError(
            f"{path}: {shown(member.name)} must hold a label of {_LONGEST} letters or fewer, got "
            f"{len(value)}."
        )
    return value or None
