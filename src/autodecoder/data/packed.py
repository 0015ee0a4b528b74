"""Packed images on disk: an array that reads images on access."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, SupportsIndex

import numpy as np
from jaxtyping import Int, Shaped, UInt8

from autodecoder.data.columns import Columns, choose_columns, join_columns
from autodecoder.data.manifest import Manifest, read_manifest
from autodecoder.data.shards import (
    PARTS,
    check_array,
    hash_file,
    open_file,
    read_array,
    read_columns_of,
    read_names,
)
from autodecoder.errors import DataError

#: Largest gap between requested images, in bytes, that is read along instead of skipped.
_GAP = 2**16
#: Largest read, in bytes, that includes such gaps.
_SPAN = 2**22
#: Alignment in bytes that the memory of an array needs for jax to share it.
_ALIGNED = 64


class ShardFile(NamedTuple):
    """Where the images of a shard lie."""

    path: Path
    offset: int
    """Bytes before the first image."""
    n: int


@dataclass(frozen=True, eq=False)
class PackedImages:
    """The images of a part, read from their shards on access.

    It has the shape and the dtype of an array and replaces one: slices and arrays of row numbers
    return arrays, `np.asarray` reads all images. Nothing is memory-mapped, so that only the
    requested images take memory.

    Parameters
    ----------
    shards : tuple of ShardFile
        The shards in order.
    row_shape : tuple of int
        Shape of one image: (height, width, channels), or (pixels,).
    rows : (n,) integer, optional
        Row numbers of the images, in order; by default all.
    """

    shards: tuple[ShardFile, ...]
    row_shape: tuple[int, ...]
    rows: Int[np.ndarray, " n"] | None = None

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.row_shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of all images in memory, in bytes."""
        return self.size

    def __len__(self) -> int:
        return sum(shard.n for shard in self.shards) if self.rows is None else len(self.rows)

    def __iter__(self) -> Iterator[UInt8[np.ndarray, "..."]]:
        return (self[i] for i in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("packed images must be copied into memory to become an array")
        return self[:] if dtype is None else self[:].astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> UInt8[np.ndarray, "..."]:
        """Read one image, a slice, or the images of an array of row numbers or booleans.

        Raises
        ------
        IndexError
            If there is no such image, or the key is of another kind.
        DataError
            If a shard can no longer be read.
        """
        if isinstance(key, SupportsIndex) and not isinstance(key, np.ndarray):
            return self._gather(self._as_rows(np.array([key.__index__()])))[0]
        if isinstance(key, slice):
            first, stop, step = key.indices(len(self))
            if step == 1 and self.rows is None:
                return self._read(first, max(first, stop))
            return self._gather(self._as_rows(np.arange(first, stop, step)))
        return self._gather(self._as_rows(self._as_numbers(key)))

    def select(self, rows: Int[np.ndarray, " k"]) -> "PackedImages":
        """A selection of the images, which stay on disk."""
        return replace(self, rows=self._as_rows(self._as_numbers(rows)))

    def reshape(self, *shape: Any) -> "PackedImages":
        """The images in another shape with the same number of pixels.

        Raises
        ------
        ValueError
            If the number of images or of pixels would change.
        """
        sides = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape
        n, *row = map(int, sides)
        n_pixels = math.prod(self.row_shape)
        if n not in (-1, len(self)) or math.prod(row) != n_pixels:
            raise ValueError(f"packed images of {self.shape} cannot be reshaped to {sides}")
        return replace(self, row_shape=tuple(row))

    def _as_numbers(self, key: Any) -> Int[np.ndarray, " k"]:
        numbers = np.asarray(key)
        if numbers.dtype == bool and numbers.shape == (len(self),):
            numbers = np.flatnonzero(numbers)
        is_empty = numbers.shape == (0,)
        is_list = numbers.ndim == 1 and numbers.dtype.kind in "iu"
        if isinstance(key, tuple) or not (is_list or is_empty):
            raise IndexError(
                "packed images take a number, a slice or one list of row numbers; np.asarray makes "
                "them an array"
            )
        return numbers.astype(np.int64)

    def _as_rows(self, numbers: Int[np.ndarray, " k"]) -> Int[np.ndarray, " k"]:
        """Rows on disk, from row numbers that may be negative."""
        n = len(self)
        wrong = numbers[(numbers < -n) | (numbers >= n)]
        if len(wrong):
            raise IndexError(f"image {wrong[0]} is out of bounds for {n} packed images")
        rows = np.where(numbers < 0, numbers + n, numbers)
        return rows if self.rows is None else self.rows[rows]

    def _read(self, first: int, stop: int) -> UInt8[np.ndarray, "..."]:
        """Read a range of rows on disk."""
        out = np.empty((stop - first, math.prod(self.row_shape)), np.uint8)
        start = 0
        for shard in self.shards:
            a, b = max(first, start), min(stop, start + shard.n)
            if a < b:
                with _opened(shard) as file:
                    _read_into(file, shard, a - start, out[a - first : b - first])
            start += shard.n
        return out.reshape(-1, *self.row_shape) if out.size else out.reshape(0, *self.row_shape)

    def _gather(self, rows: Int[np.ndarray, " k"]) -> UInt8[np.ndarray, "..."]:
        """Read rows in any order; each shard is opened once, neighbours are read together."""
        n_pixels = math.prod(self.row_shape)
        out = _aligned(len(rows), n_pixels)
        order = np.argsort(rows, kind="stable")
        rising = rows[order]
        ends = np.cumsum([shard.n for shard in self.shards])
        cuts = np.searchsorted(rising, np.concatenate([[0], ends]))
        for shard, end, a, b in zip(self.shards, ends, cuts[:-1], cuts[1:], strict=True):
            if a == b:
                continue
            local = rising[a:b] - (end - shard.n)
            with _opened(shard) as file:
                ranges = _ranges(local, order[a:b])
                if len(ranges) * _GAP <= (b - a) * n_pixels:
                    # Long runs: read each directly into its place.
                    for low, high in ranges:
                        first = order[a + low]
                        _read_into(file, shard, int(local[low]), out[first : first + high - low])
                    continue
                for low, high in _spans(local, n_pixels):
                    span = np.empty((local[high - 1] - local[low] + 1, n_pixels), np.uint8)
                    _read_into(file, shard, int(local[low]), span)
                    out[order[a + low : a + high]] = span[local[low:high] - local[low]]
        return out.reshape(len(rows), *self.row_shape)


def _aligned(n: int, n_pixels: int) -> UInt8[np.ndarray, "n pixels"]:
    """An empty array for images, aligned so that jax can use it without a copy."""
    room = np.empty(n * n_pixels + _ALIGNED, np.uint8)
    first = -room.ctypes.data % _ALIGNED
    return room[first : first + n * n_pixels].reshape(n, n_pixels)


def _ranges(rows: Int[np.ndarray, " k"], places: Int[np.ndarray, " k"]) -> list[tuple[int, int]]:
    """Runs of rows that are neighbours both on disk and in the result."""
    ends = np.flatnonzero((np.diff(rows) != 1) | (np.diff(places) != 1)) + 1
    return list(zip([0, *ends.tolist()], [*ends.tolist(), len(rows)], strict=True))


def _spans(rows: Int[np.ndarray, " k"], n_pixels: int) -> Iterator[tuple[int, int]]:
    """Runs of rising rows that are read at once, limited in length and in the gaps within."""
    gaps = np.flatnonzero(np.diff(rows) > max(1, _GAP // n_pixels)) + 1
    longest = max(1, _SPAN // n_pixels)
    for first, stop in zip([0, *gaps.tolist()], [*gaps.tolist(), len(rows)], strict=True):
        while rows[stop - 1] - rows[first] >= longest:
            cut = int(np.searchsorted(rows, rows[first] + longest))
            yield first, cut
            first = cut
        yield first, stop


def _opened(shard: ShardFile) -> BinaryIO:
    try:
        return open_file(shard.path)
    except OSError as error:
        raise DataError(f"{shard.path} cannot be read: {error.strerror}.") from error


def _read_into(
    file: BinaryIO, shard: ShardFile, first: int, out: UInt8[np.ndarray, "k pixels"]
) -> None:
    """Read images of a shard into `out`, from row `first` of the shard on."""
    left = out.data.cast("B")
    try:
        file.seek(shard.offset + first * out.shape[1])
        while left:
            n = file.readinto(left)  # pyright: ignore[reportAttributeAccessIssue]
            if not n:
                raise DataError(f"{shard.path} was shortened while it was in use.")
            left = left[n:]
    except OSError as error:
        raise DataError(f"{shard.path} cannot be read: {error.strerror}.") from error


@dataclass(frozen=True)
class PackedPart:
    """The training or the validation images of a folder."""

    images: PackedImages
    labels: Int[np.ndarray, " n"]
    names: Shaped[np.ndarray, " n"] | None


@dataclass(frozen=True)
class Packed:
    """An opened folder of packed images."""

    folder: Path
    manifest: Manifest
    train: PackedPart
    val: PackedPart


def open_packed(folder: Path, manifest: Manifest | None = None) -> Packed:
    """Open a folder that `autodecoder pack` or a `PackWriter` wrote.

    The size and the header of every shard are compared with the manifest; labels and names are
    read, images are not.

    Parameters
    ----------
    folder : Path
    manifest : Manifest, optional
        By default the manifest of the folder.

    Raises
    ------
    DataError
        If the folder is not finished, or a shard is missing, shortened or different; the message
        names the shard and the remedy.
    """
    manifest = manifest or read_manifest(folder)
    try:
        train, val = (_open_part(folder, manifest, part) for part in PARTS)
    except DataError as error:
        raise DataError(f"{error} {_mending(folder)}") from error
    return Packed(folder, manifest, train, val)


def check_packed(folder: Path) -> Packed:
    """Open a folder of packed images, and compare the hashes of all its files with the manifest.

    Raises
    ------
    DataError
        See `open_packed`; also if a file has changed.
    """
    packed = open_packed(folder)
    for shard in packed.manifest.shards:
        for name, told in zip(shard.files, shard.hashes, strict=True):
            if name is not None and hash_file(folder / name) != told:
                raise DataError(
                    f"{folder / name} has changed: its SHA-256 differs from the manifest. "
                    f"{_mending(folder)}"
                )
    return packed


def read_further(packed: Packed, wanted: Sequence[str] | str) -> tuple[Columns, Columns]:
    """The further columns of training and validation images that `wanted` chooses.

    Raises
    ------
    DataError
        If a wanted one does not exist, or a file is damaged.
    """
    if wanted == "none":
        return {}, {}
    train, val = (_read_further(packed, part) for part in PARTS)
    names = [*dict.fromkeys([*train, *val])]
    n = len(packed.train.labels) + len(packed.val.labels)
    chosen = choose_columns(wanted, names, n, f"packed:{packed.folder}")
    train, val = ({name: part[name] for name in chosen if name in part} for part in (train, val))
    return train, val


def _read_further(packed: Packed, part: str) -> Columns:
    found = []
    for shard in packed.manifest.of(part):
        name = shard.files.columns
        try:
            columns = {} if name is None else read_columns_of(packed.folder / name, shard.n)
        except DataError as error:
            raise DataError(f"{error} {_mending(packed.folder)}") from error
        found.append((columns, shard.n))
    return join_columns(*found)


def _mending(folder: Path) -> str:
    return f"`autodecoder pack SOURCE {folder}`, with the same source, writes it again."


def _open_part(folder: Path, manifest: Manifest, part: str) -> PackedPart:
    files, labels, names = [], [np.zeros(0, np.int32)], []
    n_classes = len(manifest.head.class_names)
    for shard in manifest.of(part):
        path = folder / shard.files.images
        offset = check_array(path, (shard.n, *manifest.head.image_shape), "u1")
        files.append(ShardFile(path, offset, shard.n))
        path = folder / shard.files.labels
        labels.append(_check_labels(read_array(path, (shard.n,), "<i4"), n_classes, path))
        if shard.files.names is not None:
            names.append(read_names(folder / shard.files.names, shard.n))
    images = PackedImages(tuple(files), manifest.head.image_shape)
    return PackedPart(images, np.concatenate(labels), _joined(names))


def _check_labels(labels: Int[np.ndarray, " n"], n_classes: int, path: Path) -> np.ndarray:
    if len(labels) and not 0 <= labels.min() <= labels.max() < n_classes:
        raise DataError(
            f"{path} is damaged: labels must lie from 0 to {n_classes - 1}, got "
            f"{labels.min()} to {labels.max()}."
        )
    return labels


def _joined(names: Sequence[np.ndarray]) -> Shaped[np.ndarray, " n"] | None:
    return np.concatenate(names) if names else None
