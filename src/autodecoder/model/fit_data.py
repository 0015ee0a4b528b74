"""Reading and checking the input of a fit: samples, masks, latents, and what is told of samples."""

import math
import warnings
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int32, Num, Shaped

from autodecoder.data.carriers import as_array
from autodecoder.data.columns import Columns, read_columns
from autodecoder.data.dataset import fingerprint_arrays
from autodecoder.data.missing import MISSING_AND_AUGMENTED, check_some_known, tell_unseen, to_known
from autodecoder.data.names import as_names, found_names
from autodecoder.data.pixels import (
    PixelRange,
    as_labels,
    as_mask,
    as_numbers,
    check_channels_last,
    dark,
)
from autodecoder.errors import ConfigError, DataError, DataWarning
from autodecoder.model.model import Model
from autodecoder.model.samples import check_samples, to_rows
from autodecoder.model.start import Latents
from autodecoder.model.tables import Standardization, as_table, fit_standardization

#: Labels or names.
_Owned = Shaped[np.ndarray, " _"] | None


class Part(NamedTuple):
    """Training or validation samples, with their labels, names and further columns."""

    rows: Num[np.ndarray, "n values"]
    """Stored values of the samples, see `samples.to_rows`."""
    known: Bool[np.ndarray, "n values"] | None
    """Which values are known; `None` if all are."""
    labels: Int32[np.ndarray, " n"] | None
    names: Shaped[np.ndarray, " n"] | None
    columns: Columns | None = None
    """`None` if none are given."""


class FitData(NamedTuple):
    """Training and validation samples of a fit, the shape of a sample, and the standardization."""

    train: Part
    val: Part
    shape: tuple[int, int, int]
    standardization: Standardization | None

    def fingerprint(self) -> str:
        """The fingerprint of samples, labels and masks."""
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
    columns: tuple[Any, Any],
    *,
    scaler: str,
    pixel_range: PixelRange | None,
    augmented: bool,
    start: Model | None,
) -> FitData:
    """Read the data arguments of `fit_model`.

    Each argument is a pair for training and validation samples; all but the training samples may be
    `None`. Warnings point to the caller of `fit_model`.

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
        if standardization is not None:  # such columns are zeros, see `fit_standardization`
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
    if names[0] is None:
        names = (found_names(samples[0], None if start is None else start.names), names[1])
    if names[1] is None:
        names = (names[0], found_names(samples[1], None if start is None else start.val_names))
    train = _with_owned("", rows, known, labels[0], names[0], columns[0])
    val = _with_owned("val_", val_rows, val_known, labels[1], names[1], columns[1])
    return FitData(train, val, shape, standardization)


def check_own_latents(
    latents: tuple[Any, Any], data: FitData, dims: int, start: Model | None
) -> Latents:
    """Check the user's initial latents of training and validation samples, each possibly `None`.

    Raises
    ------
    DataError
        If their shape is wrong, if they are not finite, or if they are given for one part only
        although both need them.
    """
    train, val = latents
    if train is not None:
        train = _check_latents("latents", train, len(data.train.rows), dims)
    if val is not None:
        val = _check_latents("val_latents", val, len(data.val.rows), dims)
    if train is not None and val is None and len(data.val.rows):
        raise DataError("val_latents must be given with latents, where there are val_images.")
    if val is not None and train is None and start is None:
        raise DataError("latents must be given with val_latents.")
    return train, val


def match_start(start: Model, data: FitData, latents: Latents) -> FitData:
    """Check the data against the model that a fit continues, and adopt its labels, names and
    columns.

    A part for which the user gives latents may hold other samples than the model's.

    Raises
    ------
    DataError
        If samples, labels or names do not begin with those of the model.
    """
    train, val = data.train, data.val
    if latents[0] is None:
        beside = val if latents[1] is None else val._replace(rows=val.rows[:0])
        _check_images(start, data._replace(val=beside))
        n = (len(train.rows), len(start.latents))
        train = train._replace(
            labels=_keep_known("labels", train.labels, start.labels, *n),
            names=_keep_known("names", train.names, start.names, *n),
            columns=_keep_columns(train.columns, start.columns, *n),
        )
    if latents[1] is None:
        n = (len(val.rows), len(start.val_latents))
        val = val._replace(
            labels=_keep_known("val_labels", val.labels, start.val_labels, *n),
            names=_keep_known("val_names", val.names, start.val_names, *n),
            columns=_keep_columns(val.columns, start.val_columns, *n),
        )
    return data._replace(train=train, val=val)


def _check_latents(name: str, latents: Any, n: int, dims: int) -> Float[np.ndarray, "n dims"]:
    """Check the user's latents: `n` of length `dims`, all finite."""
    latents = as_numbers(name, latents)
    if latents.shape != (n, dims):
        raise DataError(f"{name} must be ({n}, {dims}), got {tuple(latents.shape)}.")
    if not np.isfinite(latents).all():
        bad = int(np.argmin(np.isfinite(latents).all(axis=1)))
        raise DataError(f"{name} must be finite, but row {bad} is not (counted from 0).")
    return latents


def _check_images(start: Model, data: FitData) -> None:
    """Check that training and validation images begin with those that a model was fitted to.

    They are compared by fingerprint, or by number only if the model has validation images and none
    are given.
    """
    n, n_val = len(start.latents), len(start.val_latents)
    n_given, n_val_given = len(data.train.rows), len(data.val.rows)
    if n_given < n:
        raise DataError(
            f"images must begin with the {n} that start was fitted to, but there are {n_given}: "
            "put them before the further ones, or give latents for those you have."
        )
    if 0 < n_val_given < n_val:
        raise DataError(
            f"val_images must begin with the {n_val} of start, but there are {n_val_given}: give "
            "val_latents for those you have."
        )
    told = start.about.get("data_fingerprint")
    if told is None or (n_val and not n_val_given):
        return
    own = data._replace(
        train=_first(data.train, n, start.labels), val=_first(data.val, n_val, start.val_labels)
    )
    if own.fingerprint() != told:
        both = "images and val_images" if n_val else "images"
        raise DataError(
            f"{both} must begin with those that start was fitted to, in their order and with the "
            "same dtype, but their fingerprint is another; for other images give latents."
        )


def _first(part: Part, n: int, labels: _Owned) -> Part:
    """The first `n` samples of a part, with the given labels."""
    known = None if part.known is None or part.known[:n].all() else part.known[:n]
    return Part(part.rows[:n], known, labels, None)


def _keep_known(name: str, given: _Owned, own: _Owned, n: int, n_own: int) -> _Owned:
    """Labels or names of `n` images, the first `n_own` of which are those of a model.

    If none are given, they are the model's own, or `None` if there are further images.
    """
    if given is None:
        return own if n == n_own else None
    if own is not None and n >= n_own:
        # As texts, since names are numbers or texts.
        differ = given[:n_own].astype(str) != own.astype(str)
        if differ.any():
            raise DataError(
                f"{name} must begin with those of start, but image {np.argmax(differ)} has another "
                "one (counted from 0)."
            )
    return given


def _keep_columns(given: Columns | None, own: Columns, n: int, n_own: int) -> Columns | None:
    """The given columns of `n` images; if none are given, those of a model of the same images."""
    return own if given is None and n == n_own else given


def _with_owned(prefix: str, rows: Any, known: Any, labels: Any, names: Any, columns: Any) -> Part:
    n = len(rows)
    return Part(
        rows,
        known,
        None if labels is None else as_labels(f"{prefix}labels", labels, n),
        None if names is None else as_names(f"{prefix}names", names, n),
        None if columns is None else read_columns(f"{prefix}columns", columns, n),
    )


def _read_training(
    images: Any, scaler: str, pixel_range: PixelRange | None
) -> tuple[Shaped[np.ndarray, "n ..."], tuple[int, int, int]]:
    """Training samples as an array, and the shape of a sample as (height, width, channels)."""
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
            f"{name} must hold at least one sample of one value, got {tuple(array.shape)}."
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
    """The mask of known values, checked; `None` if all are known."""
    check_some_known(known, name)
    return None if known is None or known.all() else known
