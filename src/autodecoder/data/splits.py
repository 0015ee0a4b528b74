"""Which images of a data set are used."""

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from autodecoder.data.dataset import Dataset, ImageSet
from autodecoder.errors import DataError


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
        Class proportions are those of the whole, to within one image a class; the images stand in
        their first order. At least one image of each set stays.
    """
    if fraction in (0, 1):
        return dataset
    train, val = (
        part.take(_stratified(part.labels, fraction, np.random.default_rng((seed, k))))
        for k, part in enumerate((dataset.train, dataset.val))
    )
    return replace(dataset, train=train, val=val)


def split(images: ImageSet, fraction: float, *, seed: int) -> tuple[ImageSet, ImageSet]:
    """Cut a set in two, class by class: the rest, and the given share of it."""
    held_out = _stratified(images.labels, fraction, np.random.default_rng(seed))
    rest = np.setdiff1d(np.arange(len(images)), held_out)
    return images.take(rest), images.take(held_out)


def choose(
    labels: Int[np.ndarray, " n"],
    val_labels: Int[np.ndarray, " m"] | None,
    *,
    val_fraction: float,
    examples_frac: float,
    seed: int,
    class_names: tuple[str, ...],
) -> tuple[Int[np.ndarray, " kept"], Int[np.ndarray, " val_kept"]]:
    """Which images to use, by their labels alone, so that no other need be read.

    The same as `split`, where there is no validation set yet, and then `subset`.

    Parameters
    ----------
    labels : (n,) integer
    val_labels : (m,) integer or None
        Those of a validation set, if there is one.
    val_fraction : float
        Share to hold out, between 0 and 1, if there is none.
    examples_frac : float
        Share to keep of both sets; 0 and 1 both mean all.
    seed : int
    class_names : tuple of str
        For errors.

    Returns
    -------
    train, val : indices, rising
        `val` counts in the first set where `val_labels` is None.

    Raises
    ------
    DataError
        If a class has one image only and some are to be held out, or none would be left.
    """
    if val_labels is None:
        counts = np.bincount(labels, minlength=len(class_names))
        if (counts == 1).any():
            raise DataError(
                "every class must hold at least two images, so that one can be held out, but "
                f"{class_names[int(np.argmax(counts == 1))]} holds one."
            )
        val = _stratified(labels, val_fraction, np.random.default_rng(seed))
        train, val_labels = np.setdiff1d(np.arange(len(labels)), val), labels
        if len(train) == 0:
            raise DataError(
                f"val_fraction {val_fraction:g} leaves none of {len(labels)} images to train on."
            )
    else:
        train, val = np.arange(len(labels)), np.arange(len(val_labels))
    if examples_frac in (0, 1):
        return train, val
    kept, val_kept = (
        rows[_stratified(of[rows], examples_frac, np.random.default_rng((seed, k)))]
        for k, (rows, of) in enumerate(((train, labels), (val, val_labels)))
    )
    return kept, val_kept


def _stratified(
    labels: Int[np.ndarray, " n"], fraction: float, rng: np.random.Generator
) -> Int[np.ndarray, " kept"]:
    """Indices of the share to keep: whole quotas first, then the largest remainders."""
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    target = max(1, round(fraction * len(labels)))
    quotas = np.floor(fraction * counts).astype(int)
    remainders = fraction * counts - quotas
    # Ties between equal remainders are drawn by lot, so that no class is favoured by its number.
    order = np.lexsort((rng.random(len(classes)), -remainders))
    quotas[order[: target - quotas.sum()]] += 1
    kept = [rng.permutation(np.flatnonzero(inverse == c))[:quota] for c, quota in enumerate(quotas)]
    return np.sort(np.concatenate(kept))
