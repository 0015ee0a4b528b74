"""Small copies of the original images, packed in sheets for the script of a page."""

import base64
import io
import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from autodecoder.data import Dataset, ImageSet
from autodecoder.model import Model
from autodecoder.model.card import count_cost
from autodecoder.report.model_pictures import image_losses
from autodecoder.report.packing import pack
from autodecoder.report.plane import chosen_points, latent_plane, plane_view
from autodecoder.report.thumbnails import show_known, shrink

#: Longest side of a small copy in pixels, for up to `_FEW` images and for more.
_LONGEST, _FEW = {True: 64, False: 32}, 2000
#: Most bytes of all sheets of a page: half of a page of 15 MB, after base64.
MOST_BYTES = 6_000_000
#: Approximate number of pixels of a sheet, and its longest side that the file format allows.
_SHEET_PIXELS, _MOST_SIDE = 800_000, 16_000
#: Most multiplications for the errors of a set: a few seconds on two cores.
_MOST_WORK = 300_000_000_000
#: Quality of WebP: small copies differ from the originals by about 32 dB. Method 0 is its quickest.
_QUALITY, _METHOD = 30, 0


def image_errors(model: Model, dataset: Dataset) -> dict[str, Float[np.ndarray, " n"]]:
    """Mean squared error of each image, by set; sets that take more than seconds are left out."""
    errors = {}
    for name, images, latents in _both(model, dataset):
        cost = count_cost(model)
        if 0 < len(latents) == len(images) and cost and cost * len(images) <= _MOST_WORK:
            errors[name] = image_losses(model, images, latents)
    return errors


def point_rows(model: Model, dataset: Dataset) -> dict[str, tuple[ImageSet, Int[np.ndarray, " k"]]]:
    """The images of each set, and the rows that a page draws, in the order of its points."""
    plane = latent_plane(model.latents)
    view = plane_view(model, plane)
    return {
        name: (
            images,
            chosen_points(plane, latents, view)
            if len(latents) == len(images)
            else np.zeros(0, int),
        )
        for name, images, latents in _both(model, dataset)
    }


def _both(
    model: Model, dataset: Dataset
) -> list[tuple[str, ImageSet, Float[np.ndarray, "n dims"]]]:
    return [
        ("train", dataset.train, model.latents),
        ("val", dataset.val, model.val_latents),
    ]


def pack_originals(
    sets: Mapping[str, tuple[ImageSet, Int[np.ndarray, " n"]]], most_bytes: int = MOST_BYTES
) -> dict[str, Any]:
    """Pack small copies of images into sheets, in the order of the given rows; as many as fit.

    Parameters
    ----------
    sets : mapping of name to (ImageSet, rows)
        The rows are taken in this order. Each set gets a share of the bytes by its rows.
    most_bytes : int
        Most bytes of all sheets together.

    Returns
    -------
    dict
        `size` of a copy (height, width), `columns` and `per_sheet` copies, and for each set in
        `sets` the number `n` of copies, their rows (uint32 in base64) and the `sheets`, WebP files
        in base64.
    """
    total = sum(len(rows) for _, rows in sets.values())
    longest = _LONGEST[total <= _FEW]
    height, width = _copy_size(next(iter(sets.values()))[0], longest)
    columns = max(1, min(_MOST_SIDE // width, round(math.sqrt(_SHEET_PIXELS) / width)))
    per_sheet = columns * max(
        1, min(_MOST_SIDE // height, _SHEET_PIXELS // (columns * width * height))
    )

    def sheet(images: ImageSet, rows: np.ndarray) -> bytes:
        return _encode(_small(images, rows, longest), columns)

    packed: dict[str, Any] = {}
    for name, (images, rows) in sets.items():
        room, sheets = most_bytes * len(rows) // max(1, total), []
        parts = [rows[first : first + per_sheet] for first in range(0, len(rows), per_sheet)]
        if parts:
            sheets = [sheet(images, parts[0])]
            # The size of the first sheet tells how many will fit, so that few are made in vain.
            parts = parts[1 : max(1, room // max(1, len(sheets[0])) + 1)]
            with ThreadPoolExecutor(2) as pool:
                sheets += pool.map(partial(sheet, images), parts)
        sizes = np.cumsum([len(content) for content in sheets])
        sheets = sheets[: int(np.searchsorted(sizes, room, side="right"))]
        n = min(len(rows), len(sheets) * per_sheet)
        packed[name] = {
            "n": n,
            "rows": pack(rows[:n], "<u4"),
            "sheets": [base64.b64encode(content).decode("ascii") for content in sheets],
        }
    return {"size": [height, width], "columns": columns, "per_sheet": per_sheet, "sets": packed}


def pack_sheet(images: UInt8[np.ndarray, "n height width channels"]) -> dict[str, Any]:
    """Small copies of a few images side by side: the `size` of one, the number of `columns`, and
    the `sheet`, a WebP file in base64."""
    small = shrink(images, _LONGEST[True])
    columns = max(1, min(len(small), _MOST_SIDE // small.shape[2]))
    sheet = base64.b64encode(_encode(small, columns)).decode("ascii")
    return {"size": list(small.shape[1:3]), "columns": columns, "sheet": sheet}


def _copy_size(images: ImageSet, longest: int) -> tuple[int, int]:
    _, height, width, _ = shrink(np.zeros((1, *images.images.shape[1:]), np.uint8), longest).shape
    return height, width


def _small(
    images: ImageSet, rows: Int[np.ndarray, " k"], longest: int
) -> UInt8[np.ndarray, "k height width channels"]:
    part = images.take(rows)
    pixels = np.asarray(part.images)
    return shrink(pixels, longest) if part.mask is None else show_known(pixels, part.mask, longest)


def _encode(images: UInt8[np.ndarray, "n height width channels"], columns: int) -> bytes:
    """A WebP file of images in a grid of `columns` columns, row by row."""
    n, height, width, channels = images.shape
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, height, width, channels), np.uint8)
    sheet[:n] = images
    sheet = sheet.reshape(rows, columns, height, width, channels).swapaxes(1, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    buffer = io.BytesIO()
    picture = Image.fromarray(sheet if channels == 3 else sheet[..., 0])
    picture.save(buffer, "WEBP", quality=_QUALITY, method=_METHOD)
    return buffer.getvalue()
