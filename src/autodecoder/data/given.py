"""What is handed to a model: images, rows of features or latents, from whatever file holds them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from autodecoder.data.arrays import open_arrays, open_images
from autodecoder.data.missing import split_alpha, to_known
from autodecoder.data.parts import find_images
from autodecoder.data.pixels import as_mask
from autodecoder.data.tables import read_table
from autodecoder.errors import DataError
from autodecoder.paths import user_path

#: How a column of latents is named in a table; counted from 0.
LATENT = "latent_"
_FOLDER = "folder:"


class Given(NamedTuple):
    """Samples as they are stored, and what to call each."""

    samples: np.ndarray
    names: list[str] | None
    """Of files; `None` where samples are counted."""
    mask: np.ndarray | None = None
    """True where a pixel is known, where the file says so."""


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
    """Open samples: an array file, `folder:PATH` of image files, one of them, or a table.

    Array files are mapped where possible, not read.

    Parameters
    ----------
    source : str
        A path to .npy, .npz with `images`, IDX or an image file, or `folder:PATH`; of features
        .npy, .npz or .csv.
    image_shape : (height, width, channels)
        To which image files are decoded.
    is_table : bool
        Whether samples are rows of features, which no picture holds.
    resize : bool
        Crop and scale image files of another size.
    pixel_range : (low, high), optional
        Values of black and of white, as a `Model` tells them.
    alpha : str
        `white`, or `mask` where the images of the training had alpha for a mask.

    Raises
    ------
    DataError
        If the source is none of these, or damaged, or an image file of another size.
    """
    from autodecoder.data.decode import SUFFIXES  # by Pillow, which --help need not wait for

    is_folder = source.startswith(_FOLDER)
    path = user_path(source.removeprefix(_FOLDER), "images")
    if is_folder or path.suffix.lower() in SUFFIXES:
        if is_table:
            raise DataError(
                f"the model is of features, which no image file holds, got {source}; give an .npy, "
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
        raise DataError(f"{path} is a folder; folder:{path} stands for the image files in it.")
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
    """Open latents: .npy, .npz with `latents`, or .csv, its columns latent_0, latent_1, … if named.

    Raises
    ------
    DataError
        If it is none of these, or damaged.
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
