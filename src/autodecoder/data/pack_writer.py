"""Writing packed images shard by shard, so that no incomplete file is taken for a complete one."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from autodecoder.data.columns import Columns, read_columns
from autodecoder.data.dataset import fingerprint_arrays
from autodecoder.data.journal import LOCK, add_to_journal, begin_journal, pack_lock, read_journal
from autodecoder.data.manifest import JOURNAL, NAME, Head, Manifest, Shard, read_manifest
from autodecoder.data.packed import Packed, open_packed
from autodecoder.data.shards import (
    LONGEST_NAME,
    MOST_SHARDS,
    PARTS,
    ROWS,
    TEXTS,
    as_label_array,
    check_array,
    files_of,
    hash_file,
    write_array,
    write_columns,
    write_names,
)
from autodecoder.errors import ConfigError, DataError, OutputError
from autodecoder.files import sweep_temporary, write_json
from autodecoder.text import legible, told

#: Default size of a shard, in bytes; approximate.
_SHARD_BYTES = 2**27


def default_shard_images(image_shape: tuple[int, int, int]) -> int:
    """Number of images in a shard of about 128 MiB."""
    return max(1, _SHARD_BYTES // int(np.prod(image_shape)))


class PackWriter:
    """Writes a folder of packed images: shards in any order, and finally the manifest.

    A shard is complete or absent, even if the process is killed: each of its files is written under
    a temporary name, flushed and renamed, and then the shard is added to the journal. A second
    writer of the same source resumes: `has` finds the complete shards. A folder without a manifest
    is not finished.

    Parameters
    ----------
    out : path
        A new or an empty folder, or one of the same source.
    image_shape : (height, width, channels)
    class_names : sequence of str
    source : mapping
        Source of the images, as JSON values: recorded, and compared when a writer resumes.

    Raises
    ------
    OutputError
        If the folder holds other files or packed images of another source, is being written by
        another process, or cannot be written.
    DataError
        If shape, classes or source have the wrong type or range.

    Examples
    --------
    >>> import tempfile
    >>> blocks = [np.full((4, 2, 2, 1), level, np.uint8) for level in (0, 255)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with PackWriter(folder, (2, 2, 1), ["dark", "bright"], {"made": "here"}) as writer:
    ...         for k, block in enumerate(blocks):
    ...             if not writer.has("train", k):
    ...                 writer.write("train", k, block, np.full(4, k))
    ...         packed = writer.finish()
    ...     packed.train.images[3:5].ravel()
    array([  0,   0,   0,   0, 255, 255, 255, 255], dtype=uint8)
    """

    def __init__(
        self,
        out: Path | str,
        image_shape: Sequence[int],
        class_names: Sequence[str],
        source: Mapping[str, Any],
    ) -> None:
        self.folder: Path = Path(out)
        self._head = Head(
            tuple(map(int, image_shape)),  # pyright: ignore[reportArgumentType]
            tuple(class_names),
            dict(source),
        )
        self._known: dict[tuple[str, int], Shard] = {}
        """Shards of an earlier writer, checked when `has` asks for them, and those written here."""
        self._done: dict[tuple[str, int], Shard] = {}
        self._manifest: Manifest | None = None
        """The manifest in the folder; `None` if there is none."""
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "PackWriter":
        with contextlib.ExitStack() as stack:
            stack.enter_context(pack_lock(self.folder))
            try:
                self._open()
            except OSError as error:
                if isinstance(error, OutputError):
                    raise
                raise OutputError(f"{self.folder} cannot be written: {error.strerror}.") from error
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def has(self, part: str, number: int) -> bool:
        """Whether a shard is complete, by the sizes and hashes of its files; it then need not be
        written."""
        shard = self._known.get((part, number))
        if shard is None:
            return False
        if (part, number) not in self._done and not self._is_whole(shard):
            return False
        self._done[part, number] = shard
        return True

    def write(
        self,
        part: str,
        number: int,
        images: UInt8[np.ndarray, "n height width channels"],
        labels: Int[np.ndarray, " n"],
        names: Shaped[np.ndarray, " n"] | None = None,
        *,
        left_out: int = 0,
        columns: Columns | None = None,
    ) -> None:
        """Write a shard, and replace one that exists.

        Parameters
        ----------
        part : str
            `train` or `val`.
        number : int
            Number of the shard in its part, from 0.
        images : (n, height, width, channels) uint8
        labels : (n,) integer
            Classes, from 0.
        names : (n,) integer or str, optional
            Name of each image; for all shards of a part, or for none.
        left_out : int
            Number of images of the source that could not be read, for the record.
        columns : mapping of name to (n,) values, optional
            Further columns, see `ImageSet`.

        Raises
        ------
        DataError
            If an array has the wrong shape or dtype, or lengths differ.
        OutputError
            If the disk is full, or cannot be written.
        """
        kind = self._check(part, number, images, labels, names)
        if self._manifest is not None:
            # The manifest describes a shard that is about to be replaced.
            begin_journal(self.folder, self._head, self._known.values())
            (self.folder / NAME).unlink()
            self._manifest = None
        further = read_columns("columns", columns or {}, len(labels))
        files = files_of(part, number, kind, has_columns=bool(further))
        sha256 = write_array(self.folder / files.images, images)
        labels_sha256 = write_array(self.folder / files.labels, as_label_array(labels))
        names_sha256 = None
        if names is not None and files.names is not None:
            names_sha256 = write_names(self.folder / files.names, names)
        columns_sha256 = None
        if files.columns is not None:
            columns_sha256 = write_columns(self.folder / files.columns, further)
        shard = Shard(
            *(part, number, len(images), sha256, labels_sha256, kind, names_sha256, left_out),
            columns_sha256,
        )
        add_to_journal(self.folder, shard)
        self._known[part, number] = self._done[part, number] = shard

    def finish(self) -> Packed:
        """Write the manifest of the shards that were written here or found by `has`.

        All images are read once more to compute the fingerprint of the data set.

        Raises
        ------
        DataError
            If there is no training image.
        OutputError
            If it cannot be written.
        """
        shards = tuple(self._done[place] for place in sorted(self._done, key=_rank))
        if self._manifest is None or self._manifest.shards != shards:
            if not any(shard.n for shard in shards if shard.part == "train"):
                raise DataError(f"{self.folder} must get at least one image to train on.")
            # Opened without a fingerprint, in order to compute it.
            packed = open_packed(self.folder, Manifest(self._head, shards, ""))
            fingerprint = fingerprint_arrays(
                (part.images, part.labels, None) for part in (packed.train, packed.val)
            )
            self._manifest = Manifest(self._head, shards, fingerprint)
            write_json(self.folder / NAME, self._manifest.to_plain())
        (self.folder / JOURNAL).unlink(missing_ok=True)
        return open_packed(self.folder)

    def _open(self) -> None:
        """Find the shards of an earlier writer, or begin a journal."""
        sweep_temporary(self.folder)
        there = {path.name for path in self.folder.iterdir()} - {LOCK}
        if NAME in there:
            self._manifest = read_manifest(self.folder)
            head, shards = self._manifest.head, list(self._manifest.shards)
        elif JOURNAL in there:
            head, shards = read_journal(self.folder)
        elif there:
            raise OutputError(
                f"OUT must be a new or an empty folder, or one to go on with, but {self.folder} "
                "holds other files."
            )
        else:
            begin_journal(self.folder, self._head)
            return
        if head != self._head:
            raise OutputError(
                f"{self.folder} holds packed images of another source or other settings "
                f"({_difference(head, self._head)}): name another folder, or remove it."
            )
        self._known = {(shard.part, shard.number): shard for shard in shards}

    def _is_whole(self, shard: Shard) -> bool:
        """Whether the files of a shard are unchanged."""
        try:
            check_array(self.folder / shard.files.images, (shard.n, *self._head.image_shape), "u1")
            return all(
                hash_file(self.folder / name) == told
                for name, told in zip(shard.files, shard.hashes, strict=True)
                if name is not None
            )
        except DataError:
            return False

    def _check(self, part: str, number: int, images: Any, labels: Any, names: Any) -> str | None:
        """Check the arrays of a shard; returns the kind of its names."""
        if part not in PARTS or not 0 <= number < MOST_SHARDS:
            raise ConfigError(
                f"a shard must be of {' or '.join(PARTS)}, with a number below {MOST_SHARDS}, got "
                f"{told(part)} and {told(number)}: use larger shards."
            )
        shape = (len(labels), *self._head.image_shape)
        if images.dtype != np.uint8 or images.shape != shape:
            raise DataError(
                f"images of a shard must be uint8, {shape}, got {images.dtype} of {images.shape}."
            )
        n_classes = len(self._head.class_names)
        if len(labels) and not 0 <= labels.min() <= labels.max() < n_classes:
            raise DataError(
                f"labels must lie from 0 to {n_classes - 1}, got {labels.min()} to {labels.max()}."
            )
        kind, words = None, []
        if names is not None:
            kind = ROWS if names.dtype.kind in "iu" else TEXTS
            if len(names) != len(labels):
                raise DataError(f"names must be {len(labels)}, one for each image.")
            words = names.tolist() if kind == TEXTS else []
        for word in map(str, words):
            if len(word) > LONGEST_NAME or "\n" in word:
                raise DataError(
                    f"names must be of one line and of {LONGEST_NAME} letters or fewer, got "
                    f"{told(word)}."
                )
        others = {shard.names for (of, _), shard in self._known.items() if of == part}
        if others - {kind}:
            raise DataError(
                f"names of {part} must be of one kind in all shards: whole numbers, texts or none."
            )
        return kind


def _rank(place: tuple[str, int]) -> tuple[int, int]:
    part, number = place
    return PARTS.index(part), number


def _difference(there: Head, now: Head) -> str:
    """Describe the first difference between two heads, for people."""
    before, after = (
        {**head.source, "image_shape": list(head.image_shape), "class_names": head.class_names}
        for head in (there, now)
    )
    for name in (*after, *before):
        if before.get(name) != after.get(name):
            return f"{name} {legible(before.get(name))} there, {legible(after.get(name))} now"
    return "in kind"
