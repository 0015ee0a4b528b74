"""Users' own data sets in NumPy files: .npz with labels, .npy as a memory map."""

import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Num, Shaped, UInt8

from autodecoder.config import DataConfig
from autodecoder.data.arrays import open_arrays, open_masks
from autodecoder.data.dataset import ImageSet
from autodecoder.data.missing import (
    WITH_ALPHA,
    check_some_known,
    find_known,
    split_alpha,
    to_known,
)
from autodecoder.data.notes import describe_use
from autodecoder.data.parts import find_parts
from autodecoder.data.pixels import are_whole, as_mask, check_channels_last, dark, to_pixels
from autodecoder.data.plan import PartPlan, Plan
from autodecoder.data.split_file import read_split
from autodecoder.data.splits import choose, note_own_validation
from autodecoder.data.storage import allocate
from autodecoder.errors import DataError

_log = logging.getLogger(__name__)
#: Images that are copied at once.
_BLOCK = 1024
_MOST = np.iinfo(np.int64).max


class _Stack(NamedTuple):
    """Images as stored, not yet read, and their masks."""

    images: Any
    """(n, height, width, channels): an array, or an object with rows like one."""
    mask: Shaped[np.ndarray, "n ..."] | None
    """One mask for each image, see `as_mask`."""
    has_alpha: bool
    """Whether the last channel is alpha, which serves as a mask."""


def plan_stack(path: Path, config: DataConfig, *, seed: int) -> Plan:
    """Plan to read the configured share of the images in an .npy or an .npz.

    An .npy is memory-mapped, and images that are not used are never read; an .npz is read whole. It
    holds `images`, `(n, height, width)` or `(n, height, width, channels)`, which are scaled (see
    `to_pixels`) and rounded to bytes, and optionally `labels`, `mask`, `val_images`, `val_labels`
    and `val_mask`, by these or other usual names (see `find_parts`). Labels are whole numbers or
    words; the sorted values are the classes. A warning names arrays that are not used.

    A pixel is missing if it is NaN, if a mask hides it, or, with `alpha` set to `mask`, if it is
    transparent.

    Raises
    ------
    DataError
        If it is no such file; if an image that is used is not finite, out of range, or has no known
        pixel; if masks do not fit.
    """
    names: dict[str, str] = {}

    def choose_arrays(given: Sequence[str]) -> dict[str, str]:
        nonlocal names
        names, others = find_parts(given)
        if "images" in names and others:
            used = ", ".join(f"{name} as {key}" for key, name in names.items())
            _log.warning("%s: used %s; not used %s.", path, used, ", ".join(others))
        return names

    arrays = open_arrays(path, "images", choose_arrays)
    return plan_arrays(arrays, names, path, config, seed=seed)


def plan_arrays(
    arrays: dict[str, Any], names: dict[str, str], path: Path, config: DataConfig, *, seed: int
) -> Plan:
    """Plan to read what `plan_stack` finds in a file.

    Parameters
    ----------
    arrays : dict
        Arrays by the keys of `find_parts`; images may be any object with rows like an array.
    names : dict
        Names of the arrays in the file, for errors.
    path : Path
        The file, for errors and for the name of the data set.
    config : DataConfig
    seed : int

    Raises
    ------
    DataError
        See `plan_stack`.
    """
    masks, place = _masks(arrays, config, path)
    images = _as_stack(arrays["images"], f"{path}: {names.get('images', 'images')}")
    stack = _with_mask(images, masks.get("mask"), config, place)
    val_images = arrays.get("val_images")
    given = [arrays.get("labels")]
    counts = [len(images)]
    val_stack = stack
    if val_images is not None:
        val_images = _as_stack(val_images, f"{path}: {names['val_images']}")
        mask = masks.get("val_mask")
        if mask is None and "mask" in masks and masks["mask"].shape[:1] != images.shape[:1]:
            mask = masks["mask"]  # one for all
        val_stack = _with_mask(val_images, mask, config, place)
        counts.append(len(val_images))
        given.append(arrays.get("val_labels"))
    for key in ("val_labels", "val_mask"):
        if val_images is None and key in {**arrays, **masks}:
            raise DataError(
                f"{path} must hold val_images where it holds {names.get(key, key)}, but does not."
            )
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
    if val_images is None:
        val_stack = stack  # also if the file has some that are not used
    val_labels = labels[0] if val_images is None else labels[1]
    judge = _Judge(images, config, path)

    def part(stack: _Stack, labels: Any, rows: Any, look: Callable[[Any], None]) -> PartPlan:
        def read(places: Int[np.ndarray, " k"]) -> ImageSet:
            chosen = rows[places]
            taken, mask = _take(stack, chosen, config, path)
            look(taken)
            return ImageSet(taken, labels[chosen], chosen, mask)

        return PartPlan(labels[rows], rows, read)

    return Plan(
        path.stem or "images",
        (*images.shape[1:3], images.shape[3] - (config.alpha == "mask")),
        class_names,
        part(stack, labels[0], rows, judge.look),
        part(val_stack, val_labels, val_rows, lambda _: None),
        describe_use(labels, class_names, config.examples_frac),
        tell=judge.tell,
    )


class _Judge:
    """Warns if integer images that are read without `pixel_range` are nearly black."""

    def __init__(self, images: Any, config: DataConfig, path: Path) -> None:
        self._is_asked = config.pixel_range is None and images.dtype.kind in "iu"
        self._path = path
        self._darkest: list[UInt8[np.ndarray, ...]] = []

    def look(self, images: UInt8[np.ndarray, "n height width channels"]) -> None:
        if self._is_asked and images.size:
            self._darkest.append(np.array([images.min(), images.max()], np.uint8))

    def tell(self) -> None:
        if self._darkest and (what := dark(np.concatenate(self._darkest))):
            _log.warning("%s: images %s.", self._path, what)


def _as_stack(images: Any, name: str) -> Any:
    """Check shape and dtype; nothing is read. Returns (n, height, width, channels)."""
    shape = " × ".join(map(str, images.shape))
    if images.ndim not in (3, 4) or images.size == 0:
        raise DataError(
            f"{name} must be (n, height, width) or (n, height, width, channels), got {shape}."
        )
    if images.dtype.kind not in "biuf":
        raise DataError(f"{name} must be real numbers, got {images.dtype}.")
    check_channels_last(name, images.shape)
    return images[..., None] if images.ndim == 3 else images


def _masks(
    arrays: dict[str, Any], config: DataConfig, path: Path
) -> tuple[dict[str, np.ndarray], Path]:
    """The masks of training and validation images, and the file that they are from."""
    own = {key: arrays[key] for key in ("mask", "val_mask") if key in arrays}
    if config.mask is None:
        return own, path
    if own:
        _log.warning("%s: its own mask is not used, because of mask %s.", path, config.mask)
    return open_masks(config.mask), config.mask


def _with_mask(
    images: Any,
    mask: np.ndarray | None,
    config: DataConfig,
    place: Path,
) -> _Stack:
    channels = images.shape[3]
    has_alpha = config.alpha == "mask"
    if has_alpha and channels not in WITH_ALPHA:
        raise DataError(
            f"alpha mask needs images with an alpha channel, of 2 or 4 channels, got {channels}."
        )
    if mask is not None:
        height, width = images.shape[1:3]
        try:
            mask = as_mask(mask, len(images), (height, width, channels - has_alpha))
        except DataError as error:
            raise DataError(f"{place}: {error}") from None
    return _Stack(images, mask, has_alpha)


def _labels(
    given: Sequence[np.ndarray | None], counts: Sequence[int], path: Path
) -> tuple[list[Int[np.ndarray, " n"]], tuple[str, ...]]:
    """Labels counted from 0, and the names of the classes; without labels, there is one class."""
    present = [labels for labels in given if labels is not None]
    if not present:
        return [np.zeros(count, np.int32) for count in counts], ("images",)
    if len(present) < len(given):
        raise DataError(
            f"{path} must hold labels for training and for validation images, or for neither, but "
            "holds them for one."
        )
    tables = [x for x, count in zip(present, counts, strict=True) if _is_table(x, count)]
    if not all(map(_one_hot, tables)):
        sides = " × ".join(map(str, tables[0].shape))
        _log.warning(
            "%s: labels of %s do not give one class per image and are not used.", path, sides
        )
        return [np.zeros(count, np.int32) for count in counts], ("images",)
    present = [
        _as_column(labels, count, path) for labels, count in zip(present, counts, strict=True)
    ]
    if len({labels.dtype.kind == "U" for labels in present}) > 1:
        raise DataError(f"{path}: labels and val_labels must be of one kind.")
    values, numbers = np.unique(np.concatenate(present), return_inverse=True)
    parts = np.split(numbers.astype(np.int32), np.cumsum(counts)[:-1])
    return list(parts), tuple(map(str, values.tolist()))


def _is_table(labels: np.ndarray, n: int) -> bool:
    """Whether there are several numbers for each image."""
    return labels.ndim == 2 and len(labels) == n != labels.size and labels.dtype.kind in "biuf"


def _one_hot(labels: np.ndarray) -> bool:
    return bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())


def _are_characters(words: np.ndarray) -> bool:
    """Whether texts hold numbers of characters only; NumPy fails at others."""
    codes = np.ascontiguousarray(words).view(words.dtype.byteorder.replace("|", "=") + "u4")
    return not codes.size or int(codes.max()) <= sys.maxunicode


def _as_column(labels: np.ndarray, n: int, path: Path) -> Shaped[np.ndarray, " n"]:
    """One label for each image, as int64 or words, also from a column or one-hot rows."""
    sides = " × ".join(map(str, labels.shape)) or "one"
    wrong = DataError(
        f"{path}: labels must be {n} whole numbers or words, one for each image, got {sides} of "
        f"{labels.dtype}."
    )
    if labels.shape in ((n, 1), (1, n)):
        labels = labels.reshape(n)
    if labels.ndim not in (1, 2) or len(labels) != n:
        raise wrong
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8", "replace")
    if _is_table(labels, n):
        labels = labels.argmax(axis=1)
    if labels.shape != (n,) or labels.dtype.kind not in "biufU":
        raise wrong
    if labels.dtype.kind == "U" and not _are_characters(labels):
        raise DataError(f"{path} is damaged: its labels have characters that do not exist.")
    if labels.dtype.kind == "f" and not are_whole(labels):
        raise wrong
    if labels.dtype.kind == "u" and labels.max() > _MOST:
        raise DataError(f"{path}: labels must be whole numbers of 64 bits.")
    # Signed and unsigned integers together would become floats.
    return labels if labels.dtype.kind == "U" else labels.astype(np.int64)


def _take(
    stack: _Stack, rows: Int[np.ndarray, " k"], config: DataConfig, path: Path
) -> tuple[UInt8[np.ndarray, "k height width channels"], Bool[np.ndarray, "..."] | None]:
    """The chosen images as bytes, and a mask of their known pixels, `None` if all are known.

    Images are copied in blocks, so that a memory map is never in memory whole."""
    *sides, channels = stack.images.shape[1:]
    out = allocate((len(rows), *sides, channels - stack.has_alpha))
    known: np.ndarray | None = None
    size = max(_BLOCK, getattr(stack.images, "rows_at_once", 0))
    for first in range(0, len(rows), size):
        block = rows[first : first + size]
        part = slice(first, first + len(block))
        try:
            pixels, of_block = _read(stack, block, 0, config)
        except DataError:
            # To name the image by its place in the file.
            for row in block:
                try:
                    _read(stack, row[None], int(row), config, beside=stack.images[block])
                except DataError as error:
                    raise DataError(f"{path}: {error}") from None
            raise
        out[part] = np.rint(pixels).astype(np.uint8).reshape(out[part].shape)
        if of_block is not None and known is None:
            known = allocate(out.shape).view(bool)
            known[:first] = True
        if known is not None:
            known[part] = True if of_block is None else of_block.reshape(out[part].shape)
    return out, known


def _read(
    stack: _Stack,
    rows: Int[np.ndarray, " k"],
    first: int,
    config: DataConfig,
    beside: Shaped[np.ndarray, "m ..."] | None = None,
) -> tuple[Num[np.ndarray, "k pixels"], Bool[np.ndarray, "k pixels"] | None]:
    """Read images (see `to_pixels`) and their known pixels; errors count images from `first`."""
    images, known = stack.images[rows], None
    if stack.mask is not None:
        known = to_known(stack.mask[rows], first)
    if stack.has_alpha:
        images, opaque = split_alpha(images, config.pixel_range)
        opaque = np.broadcast_to(opaque[..., None], images.shape).reshape(len(images), -1)
        known = opaque if known is None else known & opaque
    known = find_known(images, known)
    check_some_known(known, first=first)
    pixels = to_pixels(
        images, first=first, weights=known, pixel_range=config.pixel_range, beside=beside
    )
    return pixels, None if known is None or known.all() else known
