"""From many encoded images to a `Dataset`: one shape, a split, and those decoded that are used."""

import io
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, Shaped
from tqdm import tqdm

from autodecoder.config import DataConfig
from autodecoder.data.dataset import Dataset, ImageSet
from autodecoder.data.decode import Head, UnreadableImage, decode_image, quiet_pillow, read_head
from autodecoder.data.faults import find_faults
from autodecoder.data.folder import Listing, describe_files, list_images
from autodecoder.data.notes import describe_use
from autodecoder.data.samples import Seen
from autodecoder.data.split_file import read_split
from autodecoder.data.splits import choose, note_own_validation
from autodecoder.data.storage import allocate
from autodecoder.data.walk import shown
from autodecoder.errors import DataError
from autodecoder.text import count

_log = logging.getLogger(__name__)
#: Images that a thread takes at once.
_BLOCK = 32
#: Files that a warning names.
_NAMED = 3


@dataclass(frozen=True)
class Pictures:
    """Encoded images, unread, with their classes."""

    labels: Int[np.ndarray, " n"]
    name: Callable[[int], str]
    """What errors call an image."""
    source: Callable[[int], Path | io.BytesIO]
    """Where its bytes are."""
    names: Shaped[np.ndarray, " n"]
    """What a data set calls them: text, or numbers of rows."""

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Int[np.ndarray, " k"]) -> "Pictures":
        return Pictures(
            self.labels[indices],
            lambda i: self.name(int(indices[i])),
            lambda i: self.source(int(indices[i])),
            self.names[indices],
        )


def read_folder(root: Path, config: DataConfig, *, seed: int, progress: bool) -> Dataset:
    """Read the images below a folder: see `list_images` and `read_pictures`.

    Raises
    ------
    DataError
        If there are none, or they do not make a data set.
    """
    train, val = list_images(root, strict=config.strict)
    names = sorted({*train.classes, *(val.classes if val else ())})
    pictures = _pictures(train, names, root)
    val_pictures = None if val is None else _pictures(val, names, root)
    if val_pictures is not None and config.split_by is not None:
        pictures, val_pictures = _join(pictures, val_pictures), None
    if val_pictures is not None:
        note_own_validation(val_pictures, config, shown(root.name))
    return read_pictures(
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
        The folder that they are below.
    image_shape : (height, width, channels)
        With one channel, images in colour become grey.
    resize : bool
        Crop images of another size around the centre, and scale them.
    progress : bool
    pixel_range : (low, high), optional
        Values of black and of white, as the model's images had them.
    alpha : str
        `white` or `mask`, likewise.

    Returns
    -------
    (n, height, width, channels) uint8, list of str, (n, height, width) bool or None
        The images, their names below `root`, and which pixels are known if alpha tells.

    Raises
    ------
    DataError
        If one cannot be read or, without `resize`, is of another size; or if the shape is not that
        of pictures.
    """
    height, width, channels = image_shape
    if channels not in (1, 3):
        raise DataError(
            f"image files have 1 or 3 channels, but images must be (n, {height}, {width}, "
            f"{channels}); give them as an .npy file."
        )
    pictures = _files(paths, np.zeros(len(paths), np.int32), root)
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
        failures = _in_threads(fill, pictures, "images" if progress else None)
    if failures:
        which = f"{len(failures)} of {len(paths)} image files" if len(paths) > 1 else "image file"
        raise DataError(f"{which} cannot be used: {_list(failures)}.")
    _warn(find_faults(seen, pixel_range), shown(root.resolve().name))
    return images, pictures.names.tolist(), known


def read_pictures(
    train: Pictures,
    val: Pictures | None,
    class_names: tuple[str, ...],
    config: DataConfig,
    *,
    name: str,
    seed: int,
    progress: bool,
    notes: Sequence[str] = (),
) -> Dataset:
    """Read the configured share of encoded images.

    Headers are read of all, pixels only of those that `choose` takes. Images that cannot be read
    are left out with one warning.

    Raises
    ------
    DataError
        If none can be read, or, with `strict`, if one cannot; if sizes differ and none is given; if
        there are too few to hold some out.
    """
    failures: list[tuple[str, str]] = []
    seen: list[Seen] = []
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
        pairs = [(train, heads)] if val is None else [(train, heads), (val, val_heads)]
        shape = _shape(pairs, config)
        rows, val_rows = choose(
            train.labels,
            None if val is None else val.labels,
            val_fraction=config.val_fraction,
            examples_frac=config.examples_frac,
            seed=seed,
            class_names=class_names,
            given=split,
        )
        chosen = (train.take(rows), (train if val is None else val).take(val_rows))
        parts = [_decode(part, shape, config, failures, seen, progress) for part in chosen]
    if failures:
        _tell(failures, name, n_found, strict=config.strict)
    if config.alpha == "mask" and not any(one.has_alpha for one in seen):
        raise DataError(
            f"{name}: alpha mask needs images with an alpha channel, but none of {len(seen)} has "
            "one."
        )
    _warn(find_faults(seen, config.pixel_range), name)
    labels = [train.labels] if val is None else [train.labels, val.labels]
    notes = (*notes, *describe_use(labels, class_names, config.examples_frac))
    return Dataset(name, parts[0], parts[1], class_names, notes)


def _pictures(listing: Listing, names: Sequence[str], root: Path) -> Pictures:
    paths = listing.paths
    labels = [names.index(name) for name in listing.classes]
    counts = [len(files) for files in listing.classes.values()]
    return _files(paths, np.repeat(np.array(labels, np.int32), counts), root)


def _files(paths: Sequence[Path], labels: Int[np.ndarray, " n"], root: Path) -> Pictures:
    """Files, known by their paths below a folder."""
    names = np.array([shown(path.relative_to(root)) for path in paths], object)
    return Pictures(labels, lambda i: names[i], lambda i: paths[i], names)


def _join(one: Pictures, other: Pictures) -> Pictures:
    """The files of both."""
    n = len(one)
    return Pictures(
        np.concatenate([one.labels, other.labels]),
        lambda i: one.name(i) if i < n else other.name(i - n),
        lambda i: one.source(i) if i < n else other.source(i - n),
        np.concatenate([one.names, other.names]),
    )


def _survey(
    pictures: Pictures, config: DataConfig, failures: list[tuple[str, str]], progress: bool
) -> tuple[Pictures, list[Head]]:
    """Read all headers; returns the images that have one."""
    heads: list[Head | None] = [None] * len(pictures)

    def read(i: int) -> None:
        heads[i] = read_head(pictures.source(i), config.image_size, config.pixel_range)

    failures += _in_threads(read, pictures, "headers" if progress else None)
    good = np.flatnonzero([head is not None for head in heads])
    return pictures.take(good), [head for head in heads if head is not None]


def _check_some(
    pictures: Pictures, failures: Sequence[tuple[str, str]], name: str, n_found: int
) -> None:
    if len(pictures) == 0:
        raise DataError(
            f"{name} has no image to train on, or none to validate with: of "
            f"{count(n_found, 'file')} {_list(failures)} cannot be read."
        )


def _shape(
    parts: Sequence[tuple[Pictures, list[Head]]], config: DataConfig
) -> tuple[int, int, int]:
    """Height, width and channels that all images shall have."""
    first, (height, width, _) = parts[0][0].name(0), parts[0][1][0]
    if config.image_size is not None:
        height, width = config.image_size
    else:
        for pictures, heads in parts:
            for i, head in enumerate(heads):
                if head[:2] != (height, width):
                    raise DataError(
                        f"images must be of one size, but {first} is {height} × {width} and "
                        f"{pictures.name(i)} is {head.height} × {head.width} (height × width); "
                        "--image_size brings them to one."
                    )
    grey = config.colour == "grey" or (
        config.colour == "auto" and all(head.grey for _, heads in parts for head in heads)
    )
    return height, width, 1 if grey else 3


def _decode(
    pictures: Pictures,
    shape: tuple[int, int, int],
    config: DataConfig,
    failures: list[tuple[str, str]],
    seen: list[Seen],
    progress: bool,
) -> ImageSet:
    """Decode all, each to its place; the gaps that unreadable ones leave are closed."""
    images = allocate((len(pictures), *shape))
    known = _allocate_known(len(pictures), shape, config.alpha)
    read = np.zeros(len(pictures), bool)

    def fill(i: int) -> None:
        own = None if known is None else known[i]
        source = pictures.source(i)
        seen.append(decode_image(source, config.image_size, images[i], config.pixel_range, own))
        read[i] = True

    failed = _in_threads(fill, pictures, "images" if progress else None)
    failures += failed
    good = np.flatnonzero(read)
    if len(good) == 0 < len(pictures):
        raise DataError(f"none of the images can be read: {_list(failed)}.")
    for to, i in enumerate(good):
        if to != i:
            images[to] = images[i]
    images, mask = images[: len(good)], None
    if known is not None and not known[good].all():
        blank = good[~known[good].any(axis=(1, 2))]
        if len(blank):
            names = [pictures.name(int(i)) for i in blank[:_NAMED]]
            more = f" and {len(blank) - _NAMED} more" if len(blank) > _NAMED else ""
            raise DataError(
                f"{', '.join(names)}{more} have no known pixel: with alpha mask, an image must not "
                "be transparent everywhere."
            )
        mask = np.broadcast_to(known[good][..., None], images.shape)
    return ImageSet(images, pictures.labels[good], pictures.names[good], mask)


def _allocate_known(n: int, shape: tuple[int, int, int], alpha: str) -> np.ndarray | None:
    """Where it goes which pixels are known, if alpha tells."""
    return allocate((n, *shape[:2])).view(bool) if alpha == "mask" else None


def _in_threads(
    work: Callable[[int], None], pictures: Pictures, what: str | None
) -> list[tuple[str, str]]:
    """Do something for each image, side by side; returns which failed and why, in their order."""

    def do(block: range) -> list[tuple[int, str]]:
        failed = []
        for i in block:
            try:
                work(i)
            except UnreadableImage as error:
                failed.append((i, str(error)))
        return failed

    n = len(pictures)
    blocks = [range(first, min(first + _BLOCK, n)) for first in range(0, n, _BLOCK)]
    failed = []
    # More threads than processors, since they wait for the disk too.
    with (
        ThreadPoolExecutor(min(16, 2 + (os.cpu_count() or 1))) as pool,
        tqdm(total=n, desc=f"reading {what}", disable=what is None, leave=False) as bar,
    ):
        try:
            futures = {pool.submit(do, block): block for block in blocks}
            for future in as_completed(futures):
                failed += future.result()
                bar.update(len(futures[future]))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [(pictures.name(i), reason) for i, reason in sorted(failed)]


def _tell(failures: Sequence[tuple[str, str]], name: str, n_found: int, *, strict: bool) -> None:
    which = f"{len(failures)} of {count(n_found, 'file')} cannot be read: {_list(failures)}"
    if strict:
        raise DataError(f"{name}: {which}; without --strict they are left out.")
    _log.warning("%s: %s; left out.", name, which)


def _warn(faults: Sequence[str], name: str) -> None:
    for fault in faults:
        _log.warning("%s: %s.", name, fault)


def _list(failures: Sequence[tuple[str, str]]) -> str:
    named = ", ".join(f"{name} ({reason})" for name, reason in failures[:_NAMED])
    more = len(failures) - _NAMED
    return f"{named} and {more} more" if more > 0 else named
