"""Samples as an estimator is given them: flat or as images, named, and as a data set for a page."""

import itertools
import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped
from sklearn.utils.validation import check_array

from autodecoder.config.rules import as_plain
from autodecoder.data import Dataset, ImageSet
from autodecoder.data.carriers import as_array
from autodecoder.data.columns import index_of
from autodecoder.data.missing import find_known
from autodecoder.data.names import found_names
from autodecoder.data.pixels import PixelRange, to_pixels
from autodecoder.errors import ConfigError, DataError
from autodecoder.model import Model
from autodecoder.text import told

#: Floats from 0 to 255 of which one is at least as large are bytes that were made floats.
_BRIGHT = 128


def read_samples(X: Any, estimator: Any) -> Shaped[np.ndarray, "n ..."]:
    """Samples as an array, see `as_array`, checked as scikit-learn does.

    Raises
    ------
    ValueError
        In scikit-learn's words, where it has any for what is wrong.
    """
    try:
        samples = as_array("X", X, may_miss=True)
    except DataError:
        check_array(X, allow_nd=True, input_name="X")  # where it has words of its own for that
        raise
    checks: Any = {"dtype": None, "allow_nd": True, "ensure_all_finite": "allow-nan"}
    checked = check_array(np.asarray(samples), input_name="X", estimator=estimator, **checks)
    return samples if isinstance(samples, np.ma.MaskedArray) else checked


def read_image_shape(value: Any, n_values: int) -> tuple[int, ...]:
    """The shape of an image, checked against the number of values in a sample.

    Raises
    ------
    ConfigError
        If it is no shape, or of another number of values.
    """
    shape = as_plain(value)
    shape = tuple(shape) if isinstance(shape, list) else shape
    whole = isinstance(shape, tuple) and all(type(side) is int and side > 0 for side in shape)
    if not whole or len(shape) not in (2, 3):
        raise ConfigError(
            f"image_shape must be (height, width) or (height, width, channels), got {told(value)}."
        )
    if len(shape) == 3 and shape[0] in (1, 3) and shape[2] > 4:
        raise ConfigError(
            f"image_shape must have its channels last, (height, width, channels), got {shape}; "
            f"X.reshape(-1, {', '.join(map(str, shape))}).transpose(0, 2, 3, 1) brings X into that "
            "form."
        )
    if math.prod(shape) != n_values:
        raise ConfigError(
            f"image_shape must hold as many values as a sample: {' × '.join(map(str, shape))} is "
            f"{math.prod(shape):,}, and a sample of X has {n_values:,}."
        )
    return shape


def find_pixel_range(samples: Shaped[np.ndarray, "n ..."]) -> PixelRange | None:
    """0 to 255 for floats that can be nothing else than bytes; `None` where the type says it."""
    if samples.dtype.kind != "f" or samples.size == 0:
        return None
    least, most = np.fmin.reduce(samples, axis=None), np.fmax.reduce(samples, axis=None)
    return (0, 255) if least >= 0 and _BRIGHT <= most <= 255 else None


def image_forms(model: Model) -> set[tuple[int, ...]]:
    """The shapes that an image of a model may have."""
    if model.standardization is not None:
        return set()
    height, width, channels = model.image_shape
    return {model.image_shape} | ({(height, width)} if channels == 1 else set())


def join_names(
    start: Model | None, X: Any, are_fresh: Bool[np.ndarray, " n"] | None = None
) -> list[str] | None:
    """Names of samples: those of a model, then those of further ones, by the index of their frame.

    Parameters
    ----------
    start : Model, optional
    X : array-like
        Samples as they are given.
    are_fresh : (n,), optional
        Which of them are not those of the model; by default they begin with the model's.
    """
    own = None if start is None else start.names
    if start is None or are_fresh is None:
        return found_names(X, own)
    index = index_of(X)
    if own is None and index is None:
        return None
    known = [""] * len(start.latents) if own is None else [*map(str, own)]
    further = [""] * len(are_fresh) if index is None else index
    return [*known, *itertools.compress(further, are_fresh)]


def as_dataset(
    model: Model, samples: Shaped[np.ndarray, "n ..."], class_names: tuple[str, ...]
) -> Dataset:
    """The training images of a model as a data set of bytes, for pictures and pages."""
    rows = samples.reshape(-1, *model.image_shape)
    known = find_known(rows)
    pixels = np.rint(to_pixels(rows, 0, known, model.pixel_range)).astype(np.uint8)
    train = ImageSet(
        pixels.reshape(-1, *model.image_shape),
        np.zeros(len(rows), np.int32) if model.labels is None else model.labels,
        mask=None if known is None else known.reshape(-1, *model.image_shape),
    )
    none = np.zeros(0, np.int64)
    return Dataset("training images", train, train.take(none), class_names)
