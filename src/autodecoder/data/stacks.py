"""Data sets of users' own in NumPy files: .npz with labels, .npy as a memory map."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from autodecoder.config import DataConfig
from autodecoder.data.arrays import open_arrays
from autodecoder.data.dataset import Dataset, ImageSet
from autodecoder.data.pixels import to_pixels
from autodecoder.data.split_file import read_split
from autodecoder.data.splits import choose, note_own_validation
from autodecoder.data.storage import allocate
from autodecoder.errors import DataError

#: Images that are copied at once.
_BLOCK = 1024
_MOST = np.iinfo(np.int64).max


def read_stack(path: Path, config: DataConfig, *, seed: int) -> Dataset:
    """Read the configured share of the images in an .npy or an .npz.

    An .npy is mapped, and the images that are not used are never read; an .npz is read whole. It
    holds `images`, `(n, height, width)` or `(n, height, width, channels)`, as uint8 from 0 to 255,
    or as floats from 0 to 1, which are scaled and rounded to that; and, if there are any, `labels`,
    `val_images` and `val_labels`. Labels are whole numbers or words: their values, in order, are
    the classes.

    Raises
    ------
    DataError
        If it is no such file, or images that are used are not finite or out of their range.
    """
    arrays = open_arrays(path, "images", ("labels", "val_images", "val_labels"))
    images = _as_stack(arrays["images"], f"{path}: images")
    val_images = arrays.get("val_images")
    given = [arrays.get("labels")]
    counts = [len(images)]
    if val_images is not None:
        val_images = _as_stack(val_images, f"{path}: val_images")
        counts.append(len(val_images))
        given.append(arrays.get("val_labels"))
    elif "val_labels" in arrays:
        raise DataError(f"{path} must hold val_images where it holds val_labels, but does not.")
    labels, class_names = _labels(given, counts, path)
    split = None
    if val_images is not None:
        val_images = note_own_validation(val_images, config, path.name)
    if config.split_by is not None:
        split = read_split(config.split_by, np.arange(len(images)))
    rows, val_rows = choose(
        labels[0],
        None if val_images is None else labels[1],
        val_fraction=config.val_fraction,
        examples_frac=config.examples_frac,
        seed=seed,
        class_names=class_names,
        given=split,
    )
    val_source = images if val_images is None else val_images
    val_labels = labels[0] if val_images is None else labels[1]
    return Dataset(
        path.stem or "images",
        ImageSet(_take(images, rows), labels[0][rows], rows),
        ImageSet(_take(val_source, val_rows), val_labels[val_rows], val_rows),
        class_names,
    )


def _as_stack(images: Any, name: str) -> Shaped[np.ndarray, "n height width channels"]:
    """Check shape and dtype; nothing is read."""
    shape = " × ".join(map(str, images.shape))
    if images.ndim not in (3, 4) or images.size == 0:
        raise DataError(
            f"{name} must be (n, height, width) or (n, height, width, channels), got {shape}."
        )
    if images.dtype != np.uint8 and images.dtype.kind != "f":
        raise DataError(
            f"{name} must be uint8 from 0 to 255 or floats from 0 to 1, got {images.dtype}."
        )
    if images.ndim == 3:
        return images[..., None]
    if images.shape[1] in (1, 3) and images.shape[3] > 4:
        raise DataError(
            f"{name} must have its channels last, (n, height, width, channels), got {shape}; "
            "images.transpose(0, 2, 3, 1) moves them."
        )
    return images


def _labels(
    given: Sequence[np.ndarray | None], counts: Sequence[int], path: Path
) -> tuple[list[Int[np.ndarray, " n"]], tuple[str, ...]]:
    """Labels counted from 0, and the names of the classes; without labels, all are of one."""
    present = [labels for labels in given if labels is not None]
    if not present:
        return [np.zeros(count, np.int32) for count in counts], ("images",)
    if len(present) < len(given):
        raise DataError(f"{path} must hold both labels and val_labels, or neither, but holds one.")
    for labels, count in zip(present, counts, strict=True):
        if labels.shape != (count,) or labels.dtype.kind not in "biuU":
            shape = " × ".join(map(str, labels.shape)) or "one"
            raise DataError(
                f"{path}: labels must be {count} whole numbers or words, one for each image, got "
                f"{shape} of {labels.dtype}."
            )
    if len({labels.dtype.kind == "U" for labels in present}) > 1:
        raise DataError(f"{path}: labels and val_labels must be of one kind.")
    if any(labels.dtype.kind == "u" and labels.max() > _MOST for labels in present):
        raise DataError(f"{path}: labels must be whole numbers of 64 bits.")
    # Signed and unsigned ones together would become floats.
    present = [x if x.dtype.kind == "U" else x.astype(np.int64) for x in present]
    values, numbers = np.unique(np.concatenate(present), return_inverse=True)
    parts = np.split(numbers.astype(np.int32), np.cumsum(counts)[:-1])
    return list(parts), tuple(map(str, values.tolist()))


def _take(
    images: Shaped[np.ndarray, "n height width channels"], rows: Int[np.ndarray, " k"]
) -> np.ndarray:
    """The chosen images as bytes, copied by blocks so that a map is never in memory whole."""
    out = allocate((len(rows), *images.shape[1:]))
    for first in range(0, len(rows), _BLOCK):
        block = rows[first : first + _BLOCK]
        part = out[first : first + len(block)]
        try:
            pixels = to_pixels(images[block])
        except DataError:
            # To name the image by its place in the file.
            for row in block:
                to_pixels(images[row : row + 1], first=int(row))
            raise
        part[...] = np.rint(pixels).astype(np.uint8).reshape(part.shape)
    return out
