"""Plans for many encoded images: one shape, a split, and decoding of the used images only."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Int

from autodecoder.config import AUTO_SIZE, DataConfig
from autodecoder.data.columns import describe_columns, take_columns
from autodecoder.data.dataset import ImageSet
from autodecoder.data.decode import Head, UnreadableImage, decode_image, quiet_pillow, read_head
from autodecoder.data.encoded import (
    NAMED,
    Pictures,
    in_threads,
    join,
    list_failures,
    of_files,
    tell_failures,
    warn_of,
)
from autodecoder.data.faults import find_faults
from autodecoder.data.folder import Listing, describe_files, list_images
from autodecoder.data.notes import describe_use
from autodecoder.data.plan import PartPlan, Plan
from autodecoder.data.samples import Seen
from autodecoder.data.split_file import read_split
from autodecoder.data.splits import choose, note_own_validation
from autodecoder.data.storage import allocate
from autodecoder.data.walk import shown
from autodecoder.errors import DataError
from autodecoder.text import count

#: If the size is chosen from the images: largest side of images of one size that keep it, and the
#: longest side after scaling others.
_KEPT_SIDE, _LONGEST_SIDE = 128, 64


def plan_folder(root: Path, config: DataConfig, *, seed: int, progress: bool) -> Plan:
    """Plan to read the images below a folder (see `list_images` and `plan_pictures`).

    Raises
    ------
    DataError
        If there are no images, or they do not form a data set.
    """
    train, val = list_images(root, strict=config.strict)
    names = sorted({*train.classes, *(val.classes if val else ())})
    pictures = _pictures(train, names, root)
    val_pictures = None if val is None else _pictures(val, names, root)
    if val_pictures is not None and config.split_by is not None:
        pictures, val_pictures = join(pictures, val_pictures), None
    if val_pictures is not None:
        note_own_validation(val_pictures, config, shown(root.name))
    return plan_pictures(
        pictures,
        val_pictures,
        tuple(shown(name) or "images" for name in names),
        config,
        name=shown(root.resolve().name) or "images",
        seed=seed,
        progress=progress,
        notes=(describe_files(root, (train, val) if val else (train,)),),
    )


def read_as(
    paths: Sequence[Path],
    root: Path,
    image_shape: tuple[int, int, int],
    *,
    resize: bool,
    progress: bool,
    pixel_range: tuple[float, float] | None = None,
    alpha: str = "white",
) -> tuple[np.ndarray, list[str], np.ndarray | None]:
    """Read image files as images of a given shape.

    Parameters
    ----------
    paths : sequence of Path
    root : Path
        A folder that contains all the files.
    image_shape : (height, width, channels)
        With one channel, colour images become grey.
    resize : bool
        Crop images of another size around the centre, then scale them.
    progress : bool
    pixel_range : (low, high), optional
        Values of black and white, as for the model's images.
    alpha : str
        `white` or `mask`, as for the model's images.

    Returns
    -------
    (n, height, width, channels) uint8, list of str, (n, height, width) bool or None
        The images, their names below `root`, and with alpha `mask` their known pixels.

    Raises
    ------
    DataError
        If a file cannot be read or, without `resize`, has another size; or if the shape is not that
        of image files.
    """
    height, width, channels = image_shape
    if channels not in (1, 3):
        raise DataError(
            f"image files have 1 or 3 channels, but images must be (n, {height}, {width}, "
            f"{channels}); give them as an .npy file."
        )
    pictures = of_files(paths, np.zeros(len(paths), np.int32), root)
    images = allocate((len(paths), *image_shape))
    known = _allocate_known(len(paths), image_shape, alpha)
    seen: list[Seen] = []

    def fill(i: int) -> None:
        head = read_head(paths[i], (height, width) if resize else None, pixel_range)
        is_other = head[:2] != (height, width)
        if is_other and not resize:
            raise UnreadableImage(
                f"{head.height} × {head.width} instead of {height} × {width}; --resize crops and "
                "scales it"
            )
        own = None if known is None else known[i]
        to_size = (height, width) if is_other else None
        seen.append(decode_image(paths[i], to_size, images[i], pixel_range, own))

    with quiet_pillow():
        failures = in_threads(fill, pictures, "images" if progress else None)
    if failures:
        which = f"{len(failures)} of {len(paths)} image files" if len(paths) > 1 else "image file"
        raise DataError(f"{which} cannot be used: {list_failures(failures)}.")
    warn_of(find_faults(seen, pixel_range), shown(root.resolve().name))
    return images, pictures.names.tolist(), known


def plan_pictures(
    train: Pictures,
    val: Pictures | None,
    class_names: tuple[str, ...],
    config: DataConfig,
    *,
    name: str,
    seed: int,
    progress: bool,
    notes: Sequence[str] = (),
) -> Plan:
    """Plan to read the configured share of encoded images.

    All headers are read now. Pixels are read later, only those of the images that `choose` takes.
    Images that cannot be read are left out with one warning.

    Raises
    ------
    DataError
        If no image can be read, or, with `strict`, if one cannot; if sizes differ and no size is
        given; or if there are too few images for the split.
    """
    failures: list[tuple[str, str]] = []
    names = train.names
    split = None if config.split_by is None else read_split(config.split_by, names)
    with quiet_pillow():
        train, heads = _survey(train, config, failures, progress)
        n_found = len(train) + len(failures)
        val_heads: list[Head] = []
        if val is not None:
            n_found += len(val)
            val, val_heads = _survey(val, config, failures, progress)
    _check_some(train, failures, name, n_found)
    if val is not None:
        _check_some(val, failures, name, n_found)
    if split is not None:
        split = split.take(np.flatnonzero(np.isin(names, train.names)))
    shape = _shape([(train, heads)] if val is None else [(train, heads), (val, val_heads)], config)
    config = replace(config, image_size=shape[:2] if config.image_size is not None else None)
    rows, val_rows = choose(
        train.labels,
        None if val is None else val.labels,
        val_fraction=config.val_fraction,
        examples_frac=config.examples_frac,
        seed=seed,
        class_names=class_names,
        given=split,
    )
    decoder = _Decoder(name, n_found, shape, config, failures, progress)
    chosen = (train.take(rows), (train if val is None else val).take(val_rows))
    parts = [
        PartPlan(part.labels, part.names, decoder.reader(part), part.columns) for part in chosen
    ]
    labels = [train.labels] if val is None else [train.labels, val.labels]

    def notes_without(lost: np.ndarray | int) -> tuple[str, ...]:
        used = describe_use(labels, class_names, config.examples_frac, lost)
        return (*notes, *used, *describe_columns(train.columns))

    return Plan(
        name,
        shape,
        class_names,
        *(parts[0], parts[1]),
        notes=notes_without(0),
        check=decoder.check,
        tell=decoder.tell,
        notes_without=notes_without,
    )


def _pictures(listing: Listing, names: Sequence[str], root: Path) -> Pictures:
    paths = listing.paths
    labels = [names.index(name) for name in listing.classes]
    counts = [len(files) for files in listing.classes.values()]
    return of_files(paths, np.repeat(np.array(labels, np.int32), counts), root)


def _survey(
    pictures: Pictures, config: DataConfig, failures: list[tuple[str, str]], progress: bool
) -> tuple[Pictures, list[Head]]:
    """Read all headers; returns the images with a readable header."""
    size = (_KEPT_SIDE, _KEPT_SIDE) if config.image_size == AUTO_SIZE else given_size(config)
    heads: list[Head | None] = [None] * len(pictures)
    once: dict[Head, Head] = {}  # saves memory, as millions of images have few sizes

    def read(i: int) -> None:
        head = read_head(pictures.source(i), size, config.pixel_range)
        heads[i] = once.setdefault(head, head)

    failures += in_threads(read, pictures, "headers" if progress else None)
    good = np.flatnonzero([head is not None for head in heads])
    return pictures.take(good), [head for head in heads if head is not None]


def _check_some(
    pictures: Pictures, failures: Sequence[tuple[str, str]], name: str, n_found: int
) -> None:
    if len(pictures) == 0:
        raise DataError(
            f"{name} has no image to train on, or none to validate with, in "
            f"{count(n_found, 'file')}; unreadable: {list_failures(failures)}."
        )


def given_size(config: DataConfig) -> tuple[int, int] | None:
    """The size in the settings, if it is a number."""
    return None if isinstance(config.image_size, str) else config.image_size


def choose_size(heads: Sequence[Head]) -> tuple[int, int]:
    """The common size of images, chosen from their headers.

    Images of one size of up to 128 × 128 keep it. Larger ones are scaled to 64 pixels on the longer
    side. Images of several sizes become squares; their side is the median of the shorter sides, at
    most 64.
    """
    sizes = {head[:2] for head in heads}
    if len(sizes) > 1:
        side = min(_LONGEST_SIDE, int(np.median([min(head[:2]) for head in heads])))
        return side, side
    ((height, width),) = sizes
    if max(height, width) <= _KEPT_SIDE:
        return height, width
    factor = _LONGEST_SIDE / max(height, width)
    return max(1, round(factor * height)), max(1, round(factor * width))


def _shape(
    parts: Sequence[tuple[Pictures, list[Head]]], config: DataConfig
) -> tuple[int, int, int]:
    """Height, width and channels of all images."""
    first, (height, width, _) = parts[0][0].name(0), parts[0][1][0]
    size = given_size(config)
    if config.image_size == AUTO_SIZE:
        height, width = choose_size([head for _, heads in parts for head in heads])
    elif size is not None:
        height, width = size
    else:
        for pictures, heads in parts:
            for i, head in enumerate(heads):
                if head[:2] != (height, width):
                    raise DataError(
                        f"images must be of one size, but {first} is {height} × {width} and "
                        f"{pictures.name(i)} is {head.height} × {head.width} (height × width); "
                        "--image_size N scales all to one size, and --image_size auto chooses one "
                        f"of up to {_LONGEST_SIDE} × {_LONGEST_SIDE}."
                    )
    grey = config.colour == "grey" or (
        config.colour == "auto" and all(head.grey for _, heads in parts for head in heads)
    )
    return height, width, 1 if grey else 3


class _Decoder:
    """Decodes images on request, and records faults and failures."""

    def __init__(
        self,
        name: str,
        n_found: int,
        shape: tuple[int, int, int],
        config: DataConfig,
        failures: list[tuple[str, str]],
        progress: bool,
    ) -> None:
        self._name = name
        self._n_found = n_found
        self._shape = shape
        self._config = config
        self._failures = failures
        self._progress = progress
        self._seen: list[Seen] = []
        self._once: dict[Seen, Seen] = {}

    def reader(self, pictures: Pictures) -> Callable[[Int[np.ndarray, " k"]], ImageSet]:
        """A function that reads images of a part."""

        def read(rows: Int[np.ndarray, " k"]) -> ImageSet:
            with quiet_pillow():
                return self._decode(pictures.take(rows), is_whole=len(rows) == len(pictures))

        return read

    def check(self) -> None:
        """With `strict`, raise an error if any image could not be read so far."""
        if self._failures and self._config.strict:
            tell_failures(self._failures, self._name, self._n_found, strict=True)

    def tell(self) -> None:
        """Warn of unreadable images, and of samples that look wrong."""
        if self._failures:
            tell_failures(self._failures, self._name, self._n_found, strict=self._config.strict)
        if self._config.alpha == "mask" and not any(one.has_alpha for one in self._seen):
            raise DataError(
                f"{self._name}: alpha mask needs images with an alpha channel, but none of "
                f"{len(self._seen)} has one."
            )
        warn_of(find_faults(self._seen, self._config.pixel_range), self._name)

    def _decode(self, pictures: Pictures, *, is_whole: bool) -> ImageSet:
        """Decode images in parallel, and close the gaps of unreadable ones."""
        config, size = self._config, given_size(self._config)
        images = allocate((len(pictures), *self._shape))
        known = _allocate_known(len(pictures), self._shape, config.alpha)
        read = np.zeros(len(pictures), bool)

        def fill(i: int) -> None:
            own = None if known is None else known[i]
            source = pictures.source(i)
            seen = decode_image(source, size, images[i], config.pixel_range, own)
            self._seen.append(self._once.setdefault(seen, seen))
            read[i] = True

        failed = in_threads(fill, pictures, "images" if self._progress and is_whole else None)
        self._failures += failed
        good = np.flatnonzero(read)
        if len(good) == 0 < len(pictures) and is_whole:
            raise DataError(f"none of the images can be read: {list_failures(failed)}.")
        for to, i in enumerate(good):
            if to != i:
                images[to] = images[i]
        images, mask = images[: len(good)], None
        if known is not None and not known[good].all():
            blank = good[~known[good].any(axis=(1, 2))]
            if len(blank):
                names = [pictures.name(int(i)) for i in blank[:NAMED]]
                more = f" and {len(blank) - NAMED} more" if len(blank) > NAMED else ""
                raise DataError(
                    f"{', '.join(names)}{more} have no known pixel: with alpha mask, an image must "
                    "not be transparent everywhere."
                )
            mask = np.broadcast_to(known[good][..., None], images.shape)
        columns = take_columns(pictures.columns, good)
        return ImageSet(images, pictures.labels[good], pictures.names[good], mask, columns)


def _allocate_known(n: int, shape: tuple[int, int, int], alpha: str) -> np.ndarray | None:
    """Memory for the mask of known pixels, if alpha is `mask`."""
    return allocate((n, *shape[:2])).view(bool) if alpha == "mask" else None
