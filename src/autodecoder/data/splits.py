"""Choosing which images of a data set are used."""

import logging
from dataclasses import replace
from typing import TypeVar

import numpy as np
from jaxtyping import Int

from autodecoder.config import DataConfig
from autodecoder.data.dataset import Dataset, ImageSet
from autodecoder.data.split_file import TRAIN, VAL, Split, hold_out_groups
from autodecoder.errors import ConfigError, DataError
from autodecoder.text import count

_log = logging.getLogger(__name__)
_Source = TypeVar("_Source")
#: Most classes that a warning names.
_NAMED = 3


def subset(dataset: Dataset, fraction: float, *, seed: int) -> Dataset:
    """Keep a share of the training and of the validation images, class by class.

    Parameters
    ----------
    dataset : Dataset
    fraction : float
        Share to keep, between 0 and 1; both ends mean everything.
    seed : int
        The same seed keeps the same images.

    Returns
    -------
    Dataset
        Class proportions are those of the whole, to within one image per class; the order of the
        images is unchanged. At least one image is kept of each set that has one.
    """
    if fraction in (0, 1):
        return dataset
    train, val = (
        part.take(_stratified(part.labels, fraction, np.random.default_rng((seed, k))))
        for k, part in enumerate((dataset.train, dataset.val))
    )
    return replace(dataset, train=train, val=val)


def split(images: ImageSet, fraction: float, *, seed: int) -> tuple[ImageSet, ImageSet]:
    """Split a set in two, class by class: the rest, and the share `fraction`."""
    held_out = _stratified(images.labels, fraction, np.random.default_rng(seed))
    rest = np.setdiff1d(np.arange(len(images)), held_out)
    if len(rest) == 0:
        raise DataError(f"at least one image must be left, but a share of {fraction:g} is all.")
    return images.take(rest), images.take(held_out)


def choose(
    labels: Int[np.ndarray, " n"],
    val_labels: Int[np.ndarray, " m"] | None,
    *,
    val_fraction: float,
    examples_frac: float,
    seed: int,
    class_names: tuple[str, ...],
    given: Split | None = None,
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " val_kept"]]:
    """Choose the images to use by their labels alone, so that the others need not be read.

    The result is that of `split`, if there is no validation set, followed by `subset`. The only
    image of a class is a training image.

    Parameters
    ----------
    labels : (n,) integer
    val_labels : (m,) integer or None
        Labels of the validation set, if there is one.
    val_fraction : float
        Share to hold out if there is no validation set, at least 0 and below 1.
    examples_frac : float
        Share to keep of both sets; 0 and 1 both mean all.
    seed : int
    class_names : tuple of str
        For warnings.
    given : Split, optional
        Split from a file, if there is no validation set.

    Returns
    -------
    train, val : indices, rising
        `val` refers to `labels` if `val_labels` is None.

    Raises
    ------
    ConfigError
        If groups are given, and `val_fraction` is 0.
    DataError
        If no image would be left to train on, or one of the given parts is empty.
    """
    if val_labels is not None:
        train, val = np.arange(len(labels)), np.arange(len(val_labels))
    else:
        val_labels = labels
        if given is None:
            val = _hold_out(labels, val_fraction, seed, class_names)
            train = np.setdiff1d(np.arange(len(labels)), val)
        else:
            train, val = _cut_as_given(labels, given, val_fraction, seed)
        if len(train) == 0:
            raise DataError(
                f"val_fraction {val_fraction:g} leaves none of {count(len(labels), 'image')} to "
                "train on."
            )
    if examples_frac in (0, 1):
        return train, val
    kept, val_kept = (
        rows[_stratified(of[rows], examples_frac, np.random.default_rng((seed, k)))]
        for k, (rows, of) in enumerate(((train, labels), (val, val_labels)))
    )
    return kept, val_kept


def note_own_validation(found: _Source, config: DataConfig, name: str) -> _Source | None:
    """Return a data set's own validation images, or `None` if `split_by` is used instead.

    Warns if `split_by` or `val_fraction` conflicts with these images.
    """
    if config.split_by is not None:
        _log.warning("%s: its own validation images are not used, because of split_by.", name)
        return None
    if config.val_fraction == 0:
        _log.warning(
            "%s: val_fraction 0 holds out none, but it has validation images of its own, which are "
            "used.",
            name,
        )
    return found


def _hold_out(
    labels: Int[np.ndarray, " n"], fraction: float, seed: int, class_names: tuple[str, ...]
) -> Int[np.ndarray, " held_out"]:
    if fraction == 0:
        return np.arange(0)
    counts = np.bincount(labels, minlength=len(class_names))
    single = np.flatnonzero(counts == 1)
    if len(single) == 0:
        return _stratified(labels, fraction, np.random.default_rng(seed))
    rows = np.flatnonzero(counts[labels] > 1)
    names = ", ".join(class_names[k] for k in single[:_NAMED])
    more = f" and {len(single) - _NAMED} more" if len(single) > _NAMED else ""
    rest = "" if len(rows) else " So no image is held out for validation."
    if len(labels) == 1:
        _log.warning("there is only one image, so none is held out for validation.")
        return rows
    _log.warning(
        "%d of %d classes (%s%s) have one image only: it is trained on, not held out.%s",
        *(len(single), np.count_nonzero(counts), names, more, rest),
    )
    return rows[_stratified(labels[rows], fraction, np.random.default_rng(seed))]


def _cut_as_given(
    labels: Int[np.ndarray, " n"], given: Split, fraction: float, seed: int
) -> tuple[Int[np.ndarray, " n_train"], Int[np.ndarray, " n_val"]]:
    if given.parts is not None:
        train, val = (np.flatnonzero(given.parts == part) for part in (TRAIN, VAL))
    else:
        assert given.groups is not None  # a file has one or the other
        if fraction == 0:
            raise ConfigError(
                f"val_fraction must be above 0 with split_by, whose file {given.path} has groups "
                "and no parts, got 0."
            )
        val = hold_out_groups(labels, given.groups, fraction, seed=seed)
        train = np.setdiff1d(np.arange(len(labels)), val)
    if not len(train) or not len(val):
        part = "validate with" if len(train) else "train on"
        raise DataError(f"{given.path} leaves no image to {part} that can be read.")
    return train, val


def _stratified(
    labels: Int[np.ndarray, " n"], fraction: float, rng: np.random.Generator
) -> Int[np.ndarray, " kept"]:
    """Indices of the share to keep: whole quotas first, then the largest remainders."""
    if len(labels) == 0:
        return np.arange(0)
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    target = max(1, round(fraction * len(labels)))
    quotas = np.floor(fraction * counts).astype(int)
    remainders = fraction * counts - quotas
    # Ties between equal remainders are drawn by lot, so that no class is favoured by its number.
    order = np.lexsort((rng.random(len(classes)), -remainders))
    quotas[order[: target - quotas.sum()]] += 1
    kept = [rng.permutation(np.flatnonzero(inverse == c))[:quota] for c, quota in enumerate(quotas)]
    return np.sort(np.concatenate(kept))
