"""Opening the inputs of a model: samples, latents or labels, from files of any kind."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from autodecoder.data.arrays import open_arrays, open_images
from autodecoder.data.files import read_maybe_gzipped
from autodecoder.data.idx import parse_idx
from autodecoder.data.missing import split_alpha, to_known
from autodecoder.data.parts import find_images, find_labels
from autodecoder.data.pixels import as_mask
from autodecoder.data.tables import read_table
from autodecoder.errors import DataError
from autodecoder.paths import user_path

#: Prefix of the columns of latents in a table: latent_0, latent_1, …
LATENT = "latent_"
_FOLDER = "folder:"
#: What `--dataset` has before a file of arrays; here it may be left out.
_ARRAYS = ("npy:", "npz:")


class Given(NamedTuple):
    """Samples as stored, with their names and mask."""

    samples: np.ndarray
    names: list[str] | None
    """Names of image files; `None` for samples that are known by their rows."""
    mask: np.ndarray | None = None
    """True where a pixel is known; `None` if the source has no mask."""


def open_given(
    source: str,
    image_shape: tuple[int, int, int],
    *,
    is_table: bool,
    resize: bool = False,
    progress: bool = False,
    pixel_range: tuple[float, float] | None = None,
    alpha: str = "white",
) -> Given:
    """Open samples: an array file, an image file, `folder:PATH` of image files, or a table.

    Array files are memory-mapped where possible.

    Parameters
    ----------
    source : str
        A path to .npy, .npz with `images`, IDX or an image file, or `folder:PATH`; for features,
        .npy, .npz or .csv. `npy:PATH` and `npz:PATH` are taken as the path.
    image_shape : (height, width, channels)
        Shape that image files are decoded to.
    is_table : bool
        Whether samples are rows of features; image files are then refused.
    resize : bool
        Crop and scale image files of another size.
    pixel_range : (low, high), optional
        Values of black and white, see `Model.pixel_range`.
    alpha : str
        `white`, or `mask` if alpha served as the mask in training.

    Raises
    ------
    DataError
        If the source is none of these, or damaged, or an image file of another size.
    """
    from autodecoder.data.decode import SUFFIXES  # here, since it imports Pillow

    kind = next((kind for kind in (_FOLDER, *_ARRAYS) if source.startswith(kind)), "")
    is_folder = kind == _FOLDER
    path = user_path(source.removeprefix(kind), "images")
    if is_folder or path.suffix.lower() in SUFFIXES:
        if is_table:
            raise DataError(
                f"the model takes rows of features, not image files, got {source}; give an .npy, "
                ".npz or .csv file."
            )
        from autodecoder.data.folder import list_files
        from autodecoder.data.pictures import read_as

        if not is_folder and not path.is_file():
            raise DataError(f"{path} cannot be read: it is no file.")
        paths, root = (list_files(path), path) if is_folder else ([path], path.parent)
        return Given(
            *read_as(
                *(paths, root, image_shape),
                resize=resize,
                progress=progress,
                pixel_range=pixel_range,
                alpha=alpha,
            )
        )
    if path.is_dir():
        raise DataError(f"{path} is a folder; folder:{path} reads the image files in it.")
    if is_table and path.suffix.lower() == ".csv":
        return Given(read_table(path)[1], None)
    found = open_arrays(path, "images", find_images) if is_table else open_images(path)
    images, mask = found["images"], found.get("mask")
    if alpha == "mask" and images.ndim == 4 and images.shape[3] == image_shape[2] + 1:
        images, opaque = split_alpha(images, pixel_range)
        if mask is not None:
            mask = to_known(as_mask(mask, len(images), image_shape)).reshape(images.shape)
        mask = opaque if mask is None else mask & opaque[..., None]
    return Given(images, None, mask)


def open_latents(path: Path) -> np.ndarray:
    """Open latents: .npy, .npz with `latents`, or .csv with columns latent_0, latent_1, … or none.

    Raises
    ------
    DataError
        If the file is none of these, or is damaged.
    """
    if path.suffix.lower() != ".csv":
        return open_arrays(path, "latents")["latents"]
    header, table = read_table(path, LATENT)
    if not header:
        return table
    names = [name for name in header if name.startswith(LATENT)]
    wanted = [f"{LATENT}{k}" for k in range(len(names))]
    if not names or sorted(names) != sorted(wanted):
        raise DataError(
            f"{path} must have a column for each of {LATENT}0, {LATENT}1, …, but has "
            f"{', '.join(header)}."
        )
    return table[:, [names.index(name) for name in wanted]]


def open_labels(path: Path) -> np.ndarray:
    """Open labels: .npy, .npz with `labels`, .csv of one column, or an IDX file as MNIST's.

    Raises
    ------
    DataError
        If the file is none of these, or is damaged.
    """
    kind = path.suffix.lower()
    if kind == ".csv":
        return read_table(path)[1]
    if kind in (".npy", ".npz"):
        return open_arrays(path, "labels", find_labels)["labels"]
    return parse_idx(read_maybe_gzipped(path), n_axes=1, name=str(path))
