"""`ImageSet` and `Dataset`, in which every source returns its images."""

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Int, Shaped, UInt8

from autodecoder.brief import brief
from autodecoder.data.columns import Columns, take_columns
from autodecoder.data.packed import PackedImages
from autodecoder.errors import DataError
from autodecoder.text import count

_BLOCK = 4096
#: Most training images that pictures and pages show.
MOST_SHOWN = 100_000

if TYPE_CHECKING:
    # Type checkers see plain arrays: sets that stay on disk (`PackedImages`) are rare.
    _Images = _Rows = np.ndarray
else:
    _Images = UInt8[np.ndarray, "n height width channels"] | PackedImages
    _Rows = UInt8[np.ndarray, "n pixels"] | PackedImages


@brief
@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with their class labels.

    Parameters
    ----------
    images : (n, height, width, channels) uint8
        Pixels from 0 to 255: an array, or, for large packed sets, `PackedImages`, which are read on
        access.
    labels : (n,) integer
        Class of each image, counted from 0.
    names : (n,) str or integer, optional
        Name of each image: its path relative to the folder, or its row in the file, counted from 0.
    mask : (n, height, width, channels) bool, optional
        True where a pixel is known; `None` if all are known. The values of unknown pixels are
        ignored.
    columns : mapping of name to (n,) str, optional
        Further columns: what else the source tells of each image, an empty text where it is
        missing.

    Raises
    ------
    DataError
        If the number of labels, names or values of a column is not that of the images, images or
        mask have another dtype or shape, or the mask hides a whole image.
    """

    images: _Images
    labels: Int[np.ndarray, " n"]
    names: Shaped[np.ndarray, " n"] | None = None
    mask: Bool[np.ndarray, "n height width channels"] | None = None
    columns: Columns = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.images.dtype != np.uint8 or self.images.ndim != 4:
            raise DataError(
                "images of a set must be uint8 from 0 to 255, (n, height, width, channels), got "
                f"{self.images.dtype} of {self.images.shape}; convert floats from 0 to 1 by "
                "np.rint(255 * images).astype(np.uint8)."
            )
        if len(self.images) != len(self.labels):
            raise DataError(
                f"every image needs one label, got {count(len(self.images), 'image')} "
                f"and {count(len(self.labels), 'label')}."
            )
        if self.names is not None and len(self.names) != len(self.images):
            raise DataError(
                f"every image needs one name, got {count(len(self.images), 'image')} "
                f"and {count(len(self.names), 'name')}."
            )
        for name, values in self.columns.items():
            if len(values) != len(self.images):
                raise DataError(
                    f"every image needs one value of column {name}, got "
                    f"{count(len(self.images), 'image')} and {count(len(values), 'value')}."
                )
        if self.mask is not None:
            if self.mask.dtype != bool or self.mask.shape != self.images.shape:
                raise DataError(
                    f"a mask must be booleans of the images' shape, {self.images.shape}, got "
                    f"{self.mask.dtype} of {self.mask.shape}."
                )
            blank = np.flatnonzero(~self.mask.any(axis=(1, 2, 3)))
            if len(blank):
                raise DataError(f"image {blank[0]} has no known pixel.")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def flat(self) -> _Rows:
        """Each image as one row of pixels."""
        return self.images.reshape(len(self.images), math.prod(self.images.shape[1:]))

    @property
    def flat_mask(self) -> Bool[np.ndarray, "n pixels"] | None:
        """The mask of each image as one row."""
        return None if self.mask is None else self.mask.reshape(self.flat.shape)

    def take(self, indices: Int[np.ndarray, " k"]) -> "ImageSet":
        names = None if self.names is None else self.names[indices]
        mask = None if self.mask is None else self.mask[indices]
        images: Any = self.images
        images = images.select(indices) if _are_packed(images) else images[indices]
        columns = take_columns(self.columns, indices)
        return ImageSet(images, self.labels[indices], names, mask, columns)


def _are_packed(images: Any) -> bool:
    return isinstance(images, PackedImages)


@brief
@dataclass(frozen=True, eq=False)
class Dataset:
    """A training and a validation set of images of one size; the latter may be empty.

    Raises
    ------
    DataError
        If there is no training image, or the images of the two sets differ in height, width or
        channels.
    """

    name: str
    train: ImageSet
    val: ImageSet
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """Notes for people on what is used of the source: files, classes, shares."""

    def __post_init__(self) -> None:
        if len(self.train) == 0:
            raise DataError(f"{self.name} must hold at least one image to train on, got none.")
        if self.train.images.shape[1:] != self.val.images.shape[1:]:
            raise DataError(
                f"{self.name}: training and validation images must be of one shape, got "
                f"{self.train.images.shape[1:]} and {self.val.images.shape[1:]}."
            )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width, channels."""
        height, width, channels = self.train.images.shape[1:]
        return height, width, channels

    @property
    def n_pixels(self) -> int:
        """Values in one image: height × width × channels."""
        height, width, channels = self.image_shape
        return height * width * channels

    def thinned(self) -> "Dataset":
        """The images that pictures and pages show: at most 100,000 for training, evenly spaced."""
        rows = shown_rows(len(self.train))
        return self if rows is None else replace(self, train=self.train.take(rows))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content, whatever its source, see `fingerprint_arrays`."""
        return fingerprint_arrays(
            (part.images, part.labels, part.mask) for part in (self.train, self.val)
        )


def shown_rows(n: int) -> Int[np.ndarray, " k"] | None:
    """Indices of the training images that are shown, of `n`; `None` if all are."""
    return None if n <= MOST_SHOWN else np.arange(MOST_SHOWN) * n // MOST_SHOWN


def fingerprint_arrays(
    parts: Iterable[tuple[np.ndarray | PackedImages, np.ndarray, np.ndarray | None]],
) -> str:
    """SHA-256 over the shapes and known values of images, their labels, and their masks if any."""
    digest = hashlib.sha256()
    for images, labels, mask in parts:
        digest.update(repr(images.shape).encode())
        # By blocks, since the images may be mapped from a file larger than memory.
        for first in range(0, len(images), _BLOCK):
            block = images[first : first + _BLOCK]
            if mask is not None:
                known = mask[first : first + _BLOCK]
                block = np.where(known, block, block.dtype.type(0))
                digest.update(np.packbits(known).data)
            digest.update(np.ascontiguousarray(block).data)
        digest.update(np.ascontiguousarray(labels, dtype=np.int64).data)
    return digest.hexdigest()
