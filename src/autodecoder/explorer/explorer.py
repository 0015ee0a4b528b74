"""The answers to the explorer's page about a model, as plain values; without network code."""

import contextlib
import io
import math
import threading
from collections.abc import Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Num, UInt8

from autodecoder.config import InferConfig
from autodecoder.config.rules import check_seed
from autodecoder.core.infer import Inference
from autodecoder.data import Dataset
from autodecoder.data.decode import UnreadableImage, decode_image, read_head
from autodecoder.data.missing import find_known
from autodecoder.data.pixels import PixelRange, as_mask, to_pixels, to_weights
from autodecoder.errors import AutodecoderError, DataError
from autodecoder.explorer.shelf import Shelf
from autodecoder.model import Model
from autodecoder.model.density import draw_latents
from autodecoder.model.tables import as_table
from autodecoder.report.known import pack_known
from autodecoder.report.originals import image_errors, pack_originals, pack_sheet, point_rows
from autodecoder.report.packing import pack
from autodecoder.report.plane import (
    Plane,
    component_plane,
    dimension_plane,
    latent_plane,
    pack_decoder,
    pack_plane,
    pack_shape,
    page_classes,
)

#: Most latents that are decoded or drawn at a time.
MOST_LATENTS = 512
#: Most images of a gallery that are shown at a time.
MOST_IN_GALLERY = 96
_BASES = ("components", "dimensions")
#: One thread decodes files for all explorers of the process: a large image takes much memory, and
#: each thread may keep the memory that it has used.
_decoding = ThreadPoolExecutor(1, "decoding")
#: Searches for one image at a time: from the nearest known latents, or from a given one only.
_NEAREST = InferConfig(block_size=1)
_FROM_HERE = InferConfig(block_size=1, starts=())


class Explorer:
    """A model, images to pick from, and the answers to a page's requests.

    Several threads may call it at once.

    Parameters
    ----------
    model : Model
    shelves : mapping of name to Shelf
        Images of the model's shape, as `Model.infer` takes them.
    dataset : Dataset, optional
        The images whose latents the model holds, in the same order: the map then shows them.
    """

    def __init__(
        self, model: Model, shelves: Mapping[str, Shelf], dataset: Dataset | None = None
    ) -> None:
        # The page uses pixels from 0 to 255, whatever the range of the training images.
        self.model: Model = replace(model, pixel_range=None) if model.pixel_range else model
        self._pixel_range = model.pixel_range
        self.shelves: dict[str, Shelf] = dict(shelves)
        self._dataset = dataset if model.standardization is None else None
        self._errors = {} if self._dataset is None else image_errors(self.model, self._dataset)
        self._lock = threading.Lock()  # one jax program at a time: see `core.solvers`
        self._fitting = threading.Lock()  # fits the density once, which takes a while

    @cached_property
    def first_look(self) -> dict[str, Any]:
        """All data that the page contains from the start."""
        model, latents = self.model, self.model.latents
        finite = latents[np.isfinite(latents).all(axis=1)].astype(np.float64)
        some = len(finite) > 0
        spread = finite.std(0) if some else np.ones(model.latent_dims)
        return {
            **pack_shape(model),
            **pack_decoder(model),
            **pack_plane(model, latent_plane(latents), self._errors),
            **pack_known(model),
            "n_latents": len(finite),
            "mean": (finite.mean(0) if some else np.zeros(model.latent_dims)).tolist(),
            "spread": np.where(spread > 0, spread, 1).tolist(),
            "shelves": {name: len(shelf) for name, shelf in self.shelves.items()},
        }

    @cached_property
    def originals(self) -> dict[str, Any] | None:
        """Small copies of the model's own images, see `pack_originals`; `None` without them."""
        if self._dataset is None:
            return None
        return pack_originals(point_rows(self.model, self._dataset))

    def plane(self, basis: str, across: int, up: int) -> dict[str, Any]:
        """Another plane, in the form of `pack_plane`.

        Parameters
        ----------
        basis : str
            `components`, the principal components of the training latents, or `dimensions`.
        across, up : int
            Numbers of two components or dimensions, counted from 0.

        Raises
        ------
        DataError
            If there is no such plane.
        """
        dims = self.model.latent_dims
        if basis not in _BASES:
            raise DataError(f"basis must be one of {', '.join(_BASES)}, got {basis!r}.")
        if not (0 <= across < dims and 0 <= up < dims and across != up):
            raise DataError(
                f"across and up must be two different numbers from 0 to {dims - 1}, got {across} "
                f"and {up}."
            )
        found: Plane
        if basis == "dimensions":
            found = dimension_plane(dims, across, up)
        else:
            found = component_plane(self.model.latents, across, up)
        return pack_plane(self.model, found, self._errors)

    def decode(self, latents: Any) -> dict[str, Any]:
        """Decode latents to pixels from 0 to 1, or to features, packed one after the other.

        Raises
        ------
        DataError
            If they are not finite latents of the right length, or are too many.
        """
        known = self._latents(latents)
        with self._lock:
            return {"images": pack(self.model.decode(known), "<f4")}

    def place(self, values: Any, mask: Any = None, start: Any = None) -> dict[str, Any]:
        """Infer the latent of one image, with the path of the search.

        Parameters
        ----------
        values : list
            Pixels from 0 to 255, row by row, the channels of a pixel side by side; or features.
        mask : list, optional
            Whether each pixel counts, in all channels; or each feature.
        start : list, optional
            A latent to start from, instead of the nearest known one.

        Raises
        ------
        DataError
            If values, mask or start are of another length or range, or if nothing counts.
        """
        image, weights = self._image(values), self._weights(mask)
        given = None if start is None else self._latents([start])
        config = _NEAREST if start is None and len(self.model.latents) else _FROM_HERE
        if given is None and config is _FROM_HERE:
            given = np.zeros((1, self.model.latent_dims), np.float32)
        with self._lock:
            latents, found = self.model.trace(image, weights, config=config, given=given)
        told = _told(found)
        return {"way": latents[np.isfinite(latents).all(axis=1)].tolist(), **told}

    def warm_up(self) -> None:
        """Compile and fit in advance, so that the first requests need not wait."""
        values = [0] * math.prod(self.model.sample_shape)
        origin = np.zeros(self.model.latent_dims).tolist()
        for ask in (
            lambda: self.place(values),
            lambda: self.place(values, None, origin),
            lambda: self.draw(1, 0),
        ):
            with contextlib.suppress(AutodecoderError):
                ask()

    def close(self) -> None:
        """Wait for the running jax program, and start no other, so that the process can end: jax
        fails if it ends during a program. Later requests wait forever."""
        self._lock.acquire()

    def draw(self, n: int, seed: int) -> dict[str, Any]:
        """Latents drawn from the density of the training latents.

        Raises
        ------
        DataError
            If `n` is out of range, or there are too few training latents.
        ConfigError
            If the seed is out of range.
        """
        if not 1 <= n <= MOST_LATENTS:
            raise DataError(f"n must lie between 1 and {MOST_LATENTS}, got {n}.")
        check_seed("seed", seed)
        with self._fitting:
            density = self.model.density
        latents = draw_latents(density, n, seed)
        if not np.isfinite(latents).all():
            raise DataError("the density of these latents gives latents that are not finite.")
        return {"latents": latents.tolist()}

    @property
    def most_values(self) -> int:
        """Most numbers in a request: an image with its mask, or `MOST_LATENTS` latents."""
        model = self.model
        return 100 + 2 * math.prod(model.image_shape) + (MOST_LATENTS + 1) * (model.latent_dims + 1)

    def way(self, a: Any, b: Any, n: int, path: str) -> dict[str, Any]:
        """Latents on the path from one latent to another, see `Model.interpolate`.

        Raises
        ------
        DataError, ConfigError
            If an end is not a finite latent, or `path` or `n` is not allowed.
        """
        ends = self._latents([a, b])
        if not 2 <= n <= MOST_LATENTS:
            raise DataError(f"n must lie between 2 and {MOST_LATENTS}, got {n}.")
        with self._lock:
            made = self.model.interpolate(ends[0], ends[1], n, path=path)
        return {"latents": made.latents.tolist()}

    def gallery(self, name: str, text: str, first: int) -> dict[str, Any]:
        """Find the images of a shelf by name, number, class or value: how many there are, and a few
        of them from `first` on, with a sheet of small copies.

        Raises
        ------
        DataError
            If there is no such shelf.
        """
        shelf = self._shelf(name)
        rows = shelf.find(text, page_classes(self.model))
        some = [int(row) for row in rows[max(0, first) :][:MOST_IN_GALLERY]]
        told = [
            {
                "index": row,
                "name": shelf.called(row),
                "label": shelf.label(row),
                "columns": shelf.further(row),
            }
            for row in some
        ]
        sheet = None
        if self.model.standardization is None and some:
            sheet = pack_sheet(np.stack([self._copy(name, row) for row in some]))
        return {"n": len(rows), "images": told, "sheet": sheet}

    def _copy(self, name: str, row: int) -> UInt8[np.ndarray, "height width channels"]:
        """An image to draw; missing pixels are black, as is an image that cannot be drawn."""
        with contextlib.suppress(DataError):
            values, _ = self._values(name, row)
            pixels = np.nan_to_num(values).astype(np.uint8)
            return pixels.reshape(self.model.image_shape)
        return np.zeros(self.model.image_shape, np.uint8)

    def _values(
        self, name: str, index: int
    ) -> tuple[Num[np.ndarray, "..."], Bool[np.ndarray, "..."] | None]:
        """Pixels from 0 to 255 of an image of a shelf, or its features, and a mask of the known."""
        shelf = self.shelves[name]
        image, seen = shelf.images[index][None], None
        if shelf.mask is not None:
            mask = as_mask(shelf.mask, len(shelf), self.model.image_shape)
            seen = to_weights(mask[index][None], index)
        seen = find_known(image, seen)
        if self.model.standardization is None:
            return np.rint(to_pixels(image, index, seen, shelf.pixel_range)), seen
        table = as_table(f"{name} {index}", np.reshape(image, (1, -1)), weights=seen)
        return np.where(np.isnan(table), self.model.standardization.mean, table), seen

    def _shelf(self, name: str) -> Shelf:
        if name not in self.shelves:
            raise DataError(f"there are no images with the name {name!r}.")
        return self.shelves[name]

    def pick(self, name: str, index: int) -> dict[str, Any]:
        """An image of a shelf, as `place` takes it, with its label, its name and, if values are
        missing, a list `known`: whether each pixel, or each feature, is known.

        Raises
        ------
        DataError
            If there is no such shelf, or no such image on it.
        """
        shelf = self._shelf(name)
        if not 0 <= index < len(shelf):
            raise DataError(f"index must lie between 0 and {len(shelf) - 1}, got {index}.")
        values, seen = self._values(name, index)
        label, called = shelf.label(index), shelf.called(index)
        known = None if seen is None else self._of_pixels(seen > 0)
        return {"values": values.ravel().tolist(), "label": label, "name": called, "known": known}

    def read(self, content: bytes) -> dict[str, Any]:
        """Read an image file, cropped around the centre and scaled to the model's shape.

        Raises
        ------
        DataError
            If it is no image, or is too large; if the samples of the model are not pictures.
        """
        channels = self.model.image_shape[2]
        if self.model.standardization is not None or channels not in (1, 3):
            raise DataError(
                "the samples of the model are not pictures with 1 or 3 channels: pick a sample."
            )
        pixels = np.empty(self.model.image_shape, np.uint8)
        try:
            _decoding.submit(_fit_into, pixels, content, self._pixel_range).result()
        except UnreadableImage as error:
            raise DataError(f"the file cannot be used: {error}.") from error
        return {"values": pixels.ravel().tolist(), "label": None, "name": None, "known": None}

    def _latents(self, latents: Any) -> Float[np.ndarray, "n dims"]:
        dims = self.model.latent_dims
        known = _numbers(latents)
        if known.ndim != 2 or known.shape[-1] != dims or not 1 <= len(known) <= MOST_LATENTS:
            raise DataError(f"latents must be 1 to {MOST_LATENTS} lists of {dims} numbers.")
        with np.errstate(over="ignore"):
            known = known.astype(np.float32)
        if not np.isfinite(known).all():
            raise DataError("latents must be finite numbers.")
        return known

    def _image(self, values: Any) -> Num[np.ndarray, "..."]:
        shape = self.model.sample_shape
        known = _numbers(values)
        n = math.prod(shape)
        if known.shape != (n,):
            raise DataError(f"an image must be a list of {n} numbers.")
        if self.model.standardization is not None:
            with np.errstate(over="ignore"):
                if not np.isfinite(known.astype(np.float32)).all():
                    raise DataError("features must be finite in single precision.")
            return known
        if not ((known >= 0) & (known <= 255)).all():
            raise DataError("pixels must lie between 0 and 255.")
        return known.astype(np.uint8).reshape(shape)

    def _of_pixels(self, known: Bool[np.ndarray, "1 values"]) -> list[bool]:
        """Whether all channels of each pixel are known."""
        per_pixel = known.reshape(-1, self.model.image_shape[2])
        return [bool(seen.all()) for seen in per_pixel]

    def _weights(self, mask: Any) -> Bool[np.ndarray, "height width channels"]:
        """The mask as an array; all True without one, so that one jax program serves all calls."""
        shape = self.model.image_shape
        if mask is None:
            return np.ones(shape, bool)
        height, width, _ = shape
        n = height * width
        known = _numbers(mask, {bool, int, float}) != 0
        if known.shape != (n,):
            raise DataError(f"a mask must be a list of {n} values, one a pixel.")
        if not known.any():
            raise DataError("all pixels are hidden: show some, so that the image can be placed.")
        return np.broadcast_to(known.reshape(height, width, 1), shape)


def _fit_into(
    pixels: UInt8[np.ndarray, "height width channels"],
    content: bytes,
    pixel_range: PixelRange | None,
) -> None:
    """Decode a file into an image; a file of another size is cropped around the centre and
    scaled."""
    size = (pixels.shape[0], pixels.shape[1])
    same = read_head(io.BytesIO(content), size, pixel_range)[:2] == size
    decode_image(io.BytesIO(content), None if same else size, pixels, pixel_range)


def _numbers(values: Any, kinds: Set[type] = frozenset({int, float})) -> np.ndarray:
    """Lists of numbers as an array; an empty array for anything else."""
    try:
        # Objects first: an array of text would take the length of the longest one for each.
        known = np.asarray(values, dtype=object)
        if not set(map(type, known.ravel())) <= set(kinds):
            return np.zeros(0)
        return known.astype(np.float64)
    except (TypeError, ValueError, OverflowError):  # for example lists of different lengths
        return np.zeros(0)


def _told(found: Inference) -> dict[str, Any]:
    errors = {name: float(values[0]) for name, values in found.errors._asdict().items()}
    if not all(map(math.isfinite, errors.values())):
        raise DataError("no latent with a finite error was found.")
    return {**errors, "steps": int(found.steps[0]), "converged": bool(found.converged[0])}
