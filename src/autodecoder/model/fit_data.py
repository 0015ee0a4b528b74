"""The input of a fit, read and checked: samples, which values are known, labels, names, latents."""

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Num, Shaped

from autodecoder.data.carriers import as_array
from autodecoder.data.dataset import fingerprint_arrays
from autodecoder.data.missing import MISSING_AND_AUGMENTED, check_some_known, tell_unseen, to_known
from autodecoder.data.names import as_names
from autodecoder.data.pixels import PixelRange, as_labels, as_mask, check_channels_last, dark
from autodecoder.errors import ConfigError, DataError, DataWarning
from autodecoder.model.model import Model
from autodecoder.model.samples import check_samples, to_rows
from autodecoder.model.start import Latents, check_images, check_latents, keep_known
from autodecoder.model.tables import Standardization, as_table, fit_standardization


class Part(NamedTuple):
    """Training or validation samples, and what belongs to each."""

    rows: Num[np.ndarray, "n values"]
    known: Bool[np.ndarray, "n values"] | None
    """Which values are known; `None` where all are."""
    labels: Int32[np.ndarray, " n"] | None
    names: Shaped[np.ndarray, " n"] | None


class FitData(NamedTuple):
    """Training and validation samples of a fit, the shape of one, and their standardization."""

    train: Part
    val: Part
    shape: tuple[int, int, int]
    standardization: Standardization | None

    def fingerprint(self) -> str:
        """Of samples, labels and which values are known."""
        none = np.zeros(0, np.int64)
        return fingerprint_arrays(
            (
                part.rows.reshape(-1, *self.shape),
                none if part.labels is None else part.labels,
                None if part.known is None else part.known.reshape(-1, *self.shape),
            )
            for part in (self.train, self.val)
        )


def read_fit_data(
    samples: tuple[Any, Any],
    masks: tuple[Any, Any],
    labels: tuple[Any, Any],
    names: tuple[Any, Any],
    *,
    scaler: str,
    pixel_range: PixelRange | None,
    augmented: bool,
    start: Model | None,
) -> FitData:
    """Read what `fit_model` is given.

    Each argument is a pair, of training and of validation samples; all but the training samples may
    be `None`. Warnings point to the caller of `fit_model`.

    Raises
    ------
    ConfigError, DataError
        See `fit_model`.
    """
    if start is None:
        images, shape = _read_training(samples[0], scaler, pixel_range)
        standardization = None
    else:
        shape, standardization = start.image_shape, start.standardization
        images = check_samples(samples[0], shape, standardization, "images")
    mask = _read_mask(masks[0], len(images), shape)
    if start is None and scaler == "standardize":
        standardization = fit_standardization(as_table("samples", images, weights=mask))
    rows, known = to_rows(images, 0, mask, standardization, pixel_range)
    known = _check_known(known, "images" if standardization is None else "samples")
    if known is not None and augmented:
        raise ConfigError(MISSING_AND_AUGMENTED)
    if known is not None and (unseen := tell_unseen(known)) is not None:
        if standardization is not None:  # constant zeros then, see `fit_standardization`
            known = known | ~known.any(axis=0)
        warnings.warn(f"{unseen}.", DataWarning, stacklevel=4)
    val_rows, val_known = np.zeros((0, rows.shape[1]), rows.dtype), None
    if samples[1] is not None:
        images = check_samples(samples[1], shape, standardization, "val_images")
        mask = _read_mask(masks[1], len(images), shape)
        val_rows, val_known = to_rows(images, 0, mask, standardization, pixel_range)
        val_known = _check_known(val_known, "val_images")
    elif masks[1] is not None:
        raise DataError("val_mask must come with val_images.")
    train = _with_owned("", rows, known, labels[0], names[0])
    val = _with_owned("val_", val_rows, val_known, labels[1], names[1])
    return FitData(train, val, shape, standardization)


def check_own_latents(
    latents: tuple[Any, Any], data: FitData, dims: int, start: Model | None
) -> Latents:
    """Latents of one's own of training and validation samples, `None` where there are none.

    Raises
    ------
    DataError
        If they are of another number or length, not finite, or for one part only where both need
        them.
    """
    train, val = (
        None if of_part is None else check_latents(name, of_part, len(part.rows), dims)
        for name, of_part, part in zip(
            ("latents", "val_latents"), latents, (data.train, data.val), strict=True
        )
    )
    if train is not None and val is None and len(data.val.rows):
        raise DataError("val_latents must be given with latents, where there are val_images.")
    if val is not None and train is None and start is None:
        raise DataError("latents must be given with val_latents.")
    return train, val


def match_start(start: Model, data: FitData, latents: Latents) -> FitData:
    """Check the data against the model that a fit goes on from, and take over its labels and names.

    A part with latents of its own may hold other samples.

    Raises
    ------
    DataError
        If samples, labels or names do not begin with those of the model.
    """
    train, val = data.train, data.val
    if latents[0] is None:
        beside = val.rows if latents[1] is None else val.rows[:0]
        check_images(start, (train.rows, train.known), (beside, val.known))
        n = (len(train.rows), len(start.latents))
        train = train._replace(
            labels=keep_known("labels", train.labels, start.labels, *n),
            names=keep_known("names", train.names, start.names, *n),
        )
    if latents[1] is None:
        n = (len(val.rows), len(start.val_latents))
        val = val._replace(
            labels=keep_known("val_labels", val.labels, start.val_labels, *n),
            names=keep_known("val_names", val.names, start.val_names, *n),
        )
    return data._replace(train=train, val=val)


def _with_owned(prefix: str, rows: Any, known: Any, labels: Any, names: Any) -> Part:
    n = len(rows)
    return Part(
        rows,
        known,
        None if labels is None else as_labels(f"{prefix}labels", labels, n),
        None if names is None else as_names(f"{prefix}names", names, n),
    )


def _read_training(
    images: Any, scaler: str, pixel_range: PixelRange | None
) -> tuple[Shaped[np.ndarray, "n ..."], tuple[int, int, int]]:
    """Training samples as an array, and what one of them looks like."""
    name = "samples" if scaler == "standardize" else "images"
    array = as_array(name, images, may_miss=True)
    if scaler == "standardize":
        array = as_table(name, array)
    elif array.ndim not in (2, 3, 4):
        raise DataError(
            "images must be (n, height, width, channels), (n, height, width) or (n, pixels), "
            f"got {tuple(array.shape)}."
        )
    if math.prod(array.shape) == 0:
        raise DataError(
            f"{name} must hold one sample of one value at least, got {tuple(array.shape)}."
        )
    if scaler == "standardize":
        return array, (1, array.shape[1], 1)
    check_channels_last("images", array.shape)
    if pixel_range is None and (what := dark(array)):
        warnings.warn(f"images {what}.", DataWarning, stacklevel=5)
    sides = array.shape[1:]
    shape = (1, *sides, 1) if array.ndim == 2 else (*sides, 1) if array.ndim == 3 else sides
    return array, shape


def _read_mask(
    mask: Any, n: int, shape: tuple[int, int, int]
) -> Bool[np.ndarray, "n values"] | None:
    return None if mask is None else to_known(as_mask(mask, n, shape))


def _check_known(known: Any, name: str) -> Bool[np.ndarray, "n values"] | None:
    """What is known of each sample; None where all is."""
    check_some_known(known, name)
    return None if known is None or known.all() else known
