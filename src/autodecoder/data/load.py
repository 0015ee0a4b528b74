"""Every data set by what a user calls it: a published one, or images of the user's own."""

import logging
from dataclasses import replace
from pathlib import Path

from autodecoder.config import (
    ENCODED_SOURCES,
    DataConfig,
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
    mask: Path | str | None = None,
    alpha: str = "white",
    examples_frac: float = 1.0,
    strict: bool = False,
    seed: int = 0,
    progress: bool = False,
) -> Dataset:
    """Load a data set, from disk where it lies there, else from its publisher.

    Parameters
    ----------
    name : str
        `digits`, which needs no file, `mnist`, `fmnist`, `cifar10`, `cifar100`; or images of your
        own: `folder:PATH`, `csv:FILE`, `tar:FILE`, `npz:PATH`, `npy:PATH`, `zarr:PATH`,
        `packed:FOLDER`, `hf:NAME`.
    data_dir : path, optional
        Folder that holds the published files, or whose subfolder `name` does. Searched first; then
        the folder that the environment variable `AUTODECODER_DATA` names, then the user's cache,
        into which downloads go.
    image_size : int, str or (height, width), optional
        Size to bring the images of `folder:`, `csv:`, `tar:` and `hf:` to; without it they must be
        of one size. `"auto"` chooses it from the images, see docs/datasets.md.
    colour : str
        `auto`, `grey` or `rgb`: channels of the images of `folder:`, `csv:`, `tar:` and `hf:`.
    pixel_range : (low, high) or "low:high", optional
        Values of black and of white in images of your own, where they are not those of the type.
    val_fraction : float
        Share of images of your own to hold out for validation, class by class, unless there are
        validation images already; 0 holds out none. The only image of a class is trained on.
    split_by : path, optional
        A table of the names of images of your own, and of the part, `train` or `val`, or the group
        of each; groups stay together. See docs/datasets.md.
    mask : path, optional
        Which pixels of the images of `npy:` and `npz:` are known: an .npy, or an .npz with `mask`
        and, for its own validation images, `val_mask`; of booleans, for every image or one for all.
    alpha : str
        Of images of your own: `white` shows transparent pixels on white; `mask` takes them for
        missing where they are more transparent than not.
    examples_frac : float
        Share of the training and of the validation images to keep, class by class; others are not
        read, where possible. 0 and 1 both mean all.
    strict : bool
        Raise where an image file cannot be read, or is of a kind that is not read, such as HEIC,
        instead of leaving it out with a warning.
    seed : int
        Draws what is held out, and what is kept.
    progress : bool
        Draw a progress bar on standard error while downloading or decoding.

    Returns
    -------
    Dataset
        The validation set of a published one is its test set; of `digits`, a fixed fifth. Its
        `names` say which image is which: paths below the folder, or rows of the file. Where pixels
        are missing, its sets have a `mask`.

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

    Packed images of more than `most_in_memory` bytes, by default a GiB, stay on the disk.

    Raises
    ------
    ConfigError
        If a setting does not go with the data set.
    DataError
        If it cannot be had.
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
    """Find the images that a configuration describes, and read no more of them than must be.

    Raises
    ------
    ConfigError
        If a setting does not go with the data set.
    DataError
        If it cannot be had.
    """
    kind, place = split_source(config.dataset)
    if kind not in ENCODED_SOURCES:
        _refuse_conversion(config, kind)
    if config.mask is not None and kind not in ("npz", "npy"):
        raise ConfigError(f"mask is for npy: and npz:, not for {kind}.")
    if not place and config.split_by is not None:
        raise ConfigError(f"split_by is for images of your own, not for {kind}.")
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
    """The plan of images of users' own, by modules that a published data set does without."""
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
    """A path as a user gives it; that nothing is there is told by what reads it."""
    path = user_path(place, name)
    try:
        path.exists()
    except OSError as error:  # no name for a file
        raise DataError(f"{place[:100]} cannot be used as a path: {error.strerror}.") from error
    return path
