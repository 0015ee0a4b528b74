"""The manifest of a folder of packed images, `manifest.json`: written last, checked when read."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autodecoder.data.shards import MOST_SHARDS, PARTS, ROWS, TEXTS, Files, files_of, place_of
from autodecoder.errors import DataError
from autodecoder.files import format_json, read_json
from autodecoder.text import told

NAME = "manifest.json"
#: The journal of an unfinished packing.
JOURNAL = "unfinished.jsonl"
FORMAT = "autodecoder packed images"
SCHEMA = 1
#: Largest head of a manifest, in bytes; the rest of the manifest is for the shards.
_LARGEST_HEAD = 2**22
#: Longest side of an image, most classes, longest name of a class, and most images.
_LONGEST_SIDE, MOST_CLASSES, _LONGEST_CLASS, _MOST = 2**20, 2**17, 16_384, 2**48


@dataclass(frozen=True)
class Shard:
    """A shard of one part: a file of images, and those of their labels and names.

    Raises
    ------
    DataError
        If a value has the wrong type or range.
    """

    part: str
    number: int
    n: int
    sha256: str
    labels_sha256: str
    names: str | None
    """`ROWS`, `TEXTS`, or `None` for images without names."""
    names_sha256: str | None
    left_out: int = 0
    """Number of the source's images of this shard that could not be read."""
    columns_sha256: str | None = None
    """`None` for images without further columns."""

    def __post_init__(self) -> None:
        _check("part", self.part, self.part in PARTS)
        for name, least, most in (("number", 0, MOST_SHARDS - 1), ("n", 0, _MOST)):
            _check_whole(name, getattr(self, name), least, most)
        _check_whole("left_out", self.left_out, 0, _MOST)
        _check("names", self.names, self.names in (None, ROWS, TEXTS))
        hashes = {"sha256": self.sha256, "labels_sha256": self.labels_sha256}
        if self.names is not None:
            hashes["names_sha256"] = str(self.names_sha256)
        if self.columns_sha256 is not None:
            hashes["columns_sha256"] = self.columns_sha256
        for name, value in hashes.items():
            _check(name, value, _is_hash(value))

    @property
    def files(self) -> Files:
        has_columns = self.columns_sha256 is not None
        return files_of(self.part, self.number, self.names, has_columns=has_columns)

    @property
    def hashes(self) -> tuple[str | None, ...]:
        """The SHA-256 of each of the files."""
        return self.sha256, self.labels_sha256, self.names_sha256, self.columns_sha256

    def to_plain(self) -> dict[str, Any]:
        """The entry of the shard in the manifest."""
        files = self.files
        further = {"columns": files.columns, "columns_sha256": self.columns_sha256}
        return {
            "file": files.images,
            "part": self.part,
            "n": self.n,
            "sha256": self.sha256,
            "labels": files.labels,
            "labels_sha256": self.labels_sha256,
            "names": files.names,
            "names_sha256": self.names_sha256,
            "left_out": self.left_out,
            **(further if files.columns is not None else {}),
        }


@dataclass(frozen=True)
class Head:
    """The head of a manifest: what all shards of a folder have in common.

    Raises
    ------
    DataError
        If a value has the wrong type or range, or the head is too large.
    """

    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    source: Mapping[str, Any]
    """Source of the images and settings, for people, and compared when a packing is resumed."""

    def __post_init__(self) -> None:
        sides = self.image_shape
        _check("image_shape", sides, isinstance(sides, tuple) and len(sides) == 3)
        for side in sides:
            _check_whole("each side of image_shape", side, 1, _LONGEST_SIDE)
        names = self.class_names
        _check("class_names", names, isinstance(names, tuple) and 0 < len(names) <= MOST_CLASSES)
        for name in names:
            _check("each class", name, isinstance(name, str) and len(name) <= _LONGEST_CLASS)
        _check("source", self.source, isinstance(self.source, Mapping))
        try:
            size = len(format_json(self.to_plain()))
        except (TypeError, ValueError) as error:
            raise DataError(f"source must hold only what JSON can hold: {error}.") from error
        if size > _LARGEST_HEAD:
            raise DataError(
                f"class_names and source must take {_LARGEST_HEAD} bytes or fewer, got {size}."
            )

    @property
    def n_pixels(self) -> int:
        return math.prod(self.image_shape)

    def to_plain(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "schema": SCHEMA,
            "image_shape": list(self.image_shape),
            "class_names": list(self.class_names),
            "source": dict(self.source),
        }


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Raises
    ------
    DataError
        If shards are not in order, names of a part differ in kind, or no image is for training.
    """

    head: Head
    shards: tuple[Shard, ...]
    fingerprint: str
    """`Dataset.fingerprint` of the content, which does not depend on the size of the shards."""

    def __post_init__(self) -> None:
        for part in PARTS:
            of_part = self.of(part)
            numbers = [shard.number for shard in of_part]
            _check("the order of shards", numbers, numbers == sorted(set(numbers)))
            kinds = {shard.names for shard in of_part}
            _check("names of a part, of one kind,", kinds, len(kinds) < 2)
        _check("the number of training images", 0, self.count("train") > 0)

    def of(self, part: str) -> tuple[Shard, ...]:
        """The shards of a part, in their order."""
        return tuple(shard for shard in self.shards if shard.part == part)

    def count(self, part: str) -> int:
        """Number of images of a part."""
        return sum(shard.n for shard in self.of(part))

    def to_plain(self) -> dict[str, Any]:
        """The content of `manifest.json`."""
        return {
            **self.head.to_plain(),
            "parts": {part: self.count(part) for part in PARTS},
            "fingerprint": self.fingerprint,
            "shards": [shard.to_plain() for shard in self.shards],
        }


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder of packed images.

    Raises
    ------
    DataError
        If there is none, as while a packing is unfinished, or it is damaged.
    """
    path = folder / NAME
    if not path.is_file():
        if (folder / JOURNAL).exists():
            raise DataError(
                f"{folder} is not finished: run the same command, `autodecoder pack SOURCE "
                f"{folder}`, again; it goes on where it was cut off."
            )
        what = "has no manifest.json" if folder.is_dir() else "is no folder"
        raise DataError(
            f"{folder} must be a folder that `autodecoder pack SOURCE {folder}` wrote, but {what}."
        )
    content = read_json(path)
    schema = content.get("schema")
    if type(schema) is int and schema > SCHEMA:
        raise DataError(
            f"{path} is of a later version of autodecoder (schema {schema}): update it."
        )
    try:
        head, shards = read_head(content), content.get("shards")
        _check("shards", shards, isinstance(shards, list) and len(shards) <= 2 * MOST_SHARDS)
        fingerprint = content.get("fingerprint")
        _check("fingerprint", fingerprint, _is_hash(fingerprint))
        manifest = Manifest(head, tuple(map(read_shard, shards or ())), str(fingerprint))
        parts = {part: manifest.count(part) for part in PARTS}
        _check("parts", content.get("parts"), content.get("parts") == parts)
    except DataError as error:
        raise DataError(
            f"{path} is damaged: {error} Remove {folder}, and pack its source again."
        ) from error
    return manifest


def read_head(content: Mapping[str, Any]) -> Head:
    """Read the head in a manifest or a journal.

    Raises
    ------
    DataError
        If it is damaged.
    """
    _check("format", content.get("format"), content.get("format") == FORMAT)
    schema = content.get("schema")
    _check("schema", schema, type(schema) is int and schema == SCHEMA)
    sides, names = content.get("image_shape"), content.get("class_names")
    return Head(
        tuple(sides) if isinstance(sides, list) else sides,  # pyright: ignore[reportArgumentType]
        tuple(names) if isinstance(names, list) else names,  # pyright: ignore[reportArgumentType]
        content.get("source"),  # pyright: ignore[reportArgumentType]
    )


def read_shard(content: Any) -> Shard:
    """Read the entry of a shard in a manifest or a journal. Names of files consist of part and
    number only, so that none leads out of the folder.

    Raises
    ------
    DataError
        If it is damaged.
    """
    _check("each shard", content, isinstance(content, dict))
    file = content.get("file")
    place = place_of(file) if isinstance(file, str) else None
    if place is None:
        raise DataError(f"file of a shard must be like train-00000.npy, got {told(file)}.")
    part, number = place
    kinds: dict[Any, str | None] = {
        files_of(part, number, kind).names: kind for kind in (None, ROWS, TEXTS)
    }
    names = content.get("names")
    if names is not None and not (isinstance(names, str) and names in kinds):
        raise DataError(f"names of {file} must be a file beside it, got {told(names)}.")
    shard = Shard(
        *(part, number, content.get("n")),  # pyright: ignore[reportArgumentType]
        *(content.get("sha256"), content.get("labels_sha256")),  # pyright: ignore[reportArgumentType]
        names=kinds[names],
        names_sha256=content.get("names_sha256"),
        left_out=content.get("left_out", 0),
        columns_sha256=content.get("columns_sha256"),
    )
    _check("part", content.get("part"), content.get("part") == part)
    for name in ("labels", "columns"):
        _check(name, content.get(name), content.get(name) == getattr(shard.files, name))
    return shard


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and value.isalnum()


def _check(name: str, value: Any, is_right: bool) -> None:
    if not is_right:
        raise DataError(f"{name} must not be {told(value)}.")


def _check_whole(name: str, value: Any, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise DataError(f"{name} must be a whole number from {least} to {most}, got {told(value)}.")
