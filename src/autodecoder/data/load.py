"""Loading a data set by its name: a published one, or the user's own images."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from autodecoder.config import (
    ENCODED_SOURCES,
    DataConfig,
    parse_columns,
    parse_range,
    parse_size,
    split_source,
)
from autodecoder.data.catalogue import load_published
from autodecoder.data.dataset import Dataset
from autodecoder.data.missing import describe_missing, tell_unseen
from autodecoder.data.notes import describe_use
from autodecoder.data.pixels import PixelRange
from autodecoder.data.plan import Plan, plan_of
from autodecoder.data.splits import subset
from autodecoder.errors import ConfigError, DataError
from autodecoder.paths import user_path

_log = logging.getLogger(__name__)
_ARRAYS = ("npz", "npy", "zarr")
_ENCODED = "folder:, csv:, tar: and hf:"


def load_dataset(
    name: str,
    *,
    data_dir: Path | str | None = None,
    image_size: str | int | tuple[int, int] | None = None,
    colour: str = "auto",
    pixel_range: str | PixelRange | None = None,
    val_fraction: float = 0.2,
    split_by: Path | str | None = None,
    columns: str | Sequence[str] = "all",
    mask: Path | str | None = None,
    alpha: str = "white",
    examples_frac: float = 1.0,
    strict: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> Dataset:
    """Load a data set from disk; a published one that is missing is downloaded.

    Parameters
    ----------
    name : str
        `digits`, which needs no file, `mnist`, `fmnist`, `cifar10`, `cifar100`; or images of your
        own: `folder:PATH`, `csv:FILE`, `tar:FILE`, `npz:PATH`, `npy:PATH`, `zarr:PATH`,
        `packed:FOLDER`, `hf:NAME`.
    data_dir : path, optional
        Folder that holds the published files, directly or in its subfolder `name`. It is searched
        first, then the folder in the environment variable `AUTODECODER_DATA`, then the user's
        cache, where downloads are saved.
    image_size : int, str or (height, width), optional
        Size that the images of `folder:`, `csv:`, `tar:` and `hf:` are cropped and scaled to;
        without it they must be of one size. `"auto"` chooses it from the images, see
        docs/datasets.md.
    colour : str
        `auto`, `grey` or `rgb`: channels of the images of `folder:`, `csv:`, `tar:` and `hf:`.
    pixel_range : (low, high) or "low:high", optional
        Values of black and white in images of your own; by default those of the sample type.
    val_fraction : float
        Share of images of your own to hold out for validation, class by class, unless the source
        has validation images; 0 holds out none. The only image of a class is a training image.
    split_by : path, optional
        Table with the names of images of your own, and the part (`train` or `val`) or the group of
        each; groups stay together. See docs/datasets.md.
    columns : str or sequence of str
        Further columns of `csv:`, `tar:`, `hf:` and `packed:` that come with the images: `all`,
        `none`, or their names.
    mask : path, optional
        Known pixels of the images of `npy:` and `npz:`: an .npy, or an .npz with `mask` and, for
        its own validation images, `val_mask`. Booleans, one mask per image or one for all.
    alpha : str
        Transparency in images of your own: `white` blends it onto white; `mask` treats pixels that
        are more transparent than opaque as missing.
    examples_frac : float
        Share of the training and of the validation images to keep, class by class; the rest is not
        read, where possible. 0 and 1 both mean all.
    strict : bool
        Raise for an image file that cannot be read, or is in a format that is not read, such as
        HEIC, instead of leaving it out with a warning.
    seed : int
        Seed for the choice of images that are held out and kept.
    progress : bool
        Draw a progress bar on standard error while downloading or decoding.

    Returns
    -------
    Dataset
        Its validation set is the test set of a published data set; for `digits`, a fixed fifth. The
        `names` of its sets identify the images: paths relative to the folder, or rows of the file.
        Sets with missing pixels have a `mask`, those with further columns have `columns`.

    Raises
    ------
    ConfigError
        If no data set has that name, a setting breaks its rule, or `data_dir` is no folder.
    DataError
        If files are missing, damaged, do not fit each other, or cannot be downloaded.

    Examples
    --------
    >>> digits = load_dataset("digits")
    >>> digits.train.images.shape, len(digits.val)
    ((1438, 8, 8, 1), 359)
    """
    config = DataConfig(
        dataset=name,
        data_dir=None if data_dir is None else user_path(data_dir, "data_dir"),
        image_size=None if image_size is None else parse_size(image_size),
        colour=colour,
        pixel_range=None if pixel_range is None else parse_range(pixel_range),
        val_fraction=val_fraction,
        split_by=None if split_by is None else Path(split_by),
        columns=parse_columns(columns if isinstance(columns, str) else [*columns]),
        mask=None if mask is None else Path(mask),
        alpha=alpha,
        examples_frac=examples_frac,
        strict=strict,
    )
    return load_configured(config, seed=seed, progress=progress)


def load_configured(
    config: DataConfig, *, seed: int, progress: bool = False, most_in_memory: int | None = None
) -> Dataset:
    """Load the data set that a configuration describes, as `load_dataset` does.

    Packed images of more than `most_in_memory` bytes, by default 1 GiB, stay on disk.

    Raises
    ------
    ConfigError
        If a setting does not go with the data set.
    DataError
        If the data set cannot be loaded.
    """
    plan = plan_configured(config, seed=seed, progress=progress, most_in_memory=most_in_memory)
    dataset = plan.load()
    unseen = tell_unseen(dataset.train.mask)
    if unseen is not None:
        _log.warning("%s: %s.", dataset.name, unseen)
    missing = describe_missing(dataset.train.mask, dataset.val.mask)
    return dataset if missing is None else replace(dataset, notes=(*dataset.notes, missing))


def plan_configured(
    config: DataConfig, *, seed: int, progress: bool = False, most_in_memory: int | None = None
) -> Plan:
    """Find the images that a configuration describes, and read as little of them as possible.

    Raises
    ------
    ConfigError
        If a setting does not go with the data set.
    DataError
        If the data set cannot be read.
    """
    kind, place = split_source(config.dataset)
    if kind not in ENCODED_SOURCES:
        _refuse_conversion(config, kind)
    if config.mask is not None and kind not in ("npz", "npy"):
        raise ConfigError(f"mask is for npy: and npz:, not for {kind}.")
    if not place and config.split_by is not None:
        raise ConfigError(f"split_by is for images of your own, not for {kind}.")
    if config.columns not in ("all", "none") and kind not in ("csv", "tar", "hf", "packed"):
        raise ConfigError(f"columns is for csv:, tar:, hf: and packed:, not for {kind}.")
    if config.alpha != "white" and kind not in (*ENCODED_SOURCES, *_ARRAYS):
        own = "image files and arrays" if kind == "packed" else "images of your own"
        raise ConfigError(f"alpha is for {own}, not for {kind}.")
    for name in ("split_by", "mask"):
        if getattr(config, name) is not None:
            own = _own_path(str(getattr(config, name)), name)
            config = replace(config, **{name: own})
    if place:
        return _plan_own(kind, place, config, most_in_memory, seed=seed, progress=progress)
    whole = load_published(config.dataset, data_dir=config.data_dir, progress=progress)
    labels = [whole.train.labels, whole.val.labels]
    notes = describe_use(labels, whole.class_names, config.examples_frac)
    return plan_of(replace(subset(whole, config.examples_frac, seed=seed), notes=notes))


def _plan_own(
    kind: str,
    place: str,
    config: DataConfig,
    most_in_memory: int | None,
    *,
    seed: int,
    progress: bool,
) -> Plan:
    """Plan for the user's own images; modules are imported here, as published sets need none."""
    path = _own_path(place) if kind != "hf" else Path(place)
    match kind:
        case "folder":
            from autodecoder.data.pictures import plan_folder

            return plan_folder(path, config, seed=seed, progress=progress)
        case "csv":
            from autodecoder.data.listed import plan_table

            return plan_table(path, config, seed=seed, progress=progress)
        case "tar":
            from autodecoder.data.webdataset import plan_tar

            return plan_tar(path, config, seed=seed, progress=progress)
        case "hf":
            from autodecoder.data.hub import plan_hub

            local = str(_own_path(place)) if place.startswith("~") else place
            return plan_hub(local, config, seed=seed, progress=progress)
        case "zarr":
            from autodecoder.data.zarr_array import plan_zarr

            return plan_zarr(path, config, seed=seed)
        case "packed":
            from autodecoder.data.unpacking import plan_packed

            return plan_packed(path, config, seed=seed, most_in_memory=most_in_memory)
        case _:
            from autodecoder.data.stacks import plan_stack

            return plan_stack(path, config, seed=seed)


def _refuse_conversion(config: DataConfig, kind: str) -> None:
    if config.image_size is not None:
        size = config.image_size
        size = size if isinstance(size, str) else "x".join(map(str, size))
        raise ConfigError(f"image_size is for {_ENCODED}, not for {kind}, got {size}.")
    if config.colour != "auto":
        raise ConfigError(f"colour is for {_ENCODED}, not for {kind}, got {config.colour}.")
    if config.pixel_range is not None and kind not in _ARRAYS:
        own = "image files and arrays" if kind == "packed" else "images of your own"
        raise ConfigError(f"range is for {own}, not for {kind}.")


def _own_path(place: str, name: str = "dataset") -> Path:
    """A user's path, which may not exist: its reader reports that."""
    path = user_path(place, name)
    try:
        path.exists()
    except OSError as error:  # not a valid file name
        raise DataError(f"{place[:100]} cannot be used as a path: {error.strerror}.") from error
    return path
