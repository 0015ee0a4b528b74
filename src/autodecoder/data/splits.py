"""Which images of a data set are used."""

import numpy as np
from jaxtyping import Int

from autodecoder.data.dataset import Dataset, ImageSet


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
        part.take(_stratified(part, fraction, np.random.default_rng((seed, k))))
        for k, part in enumerate((dataset.train, dataset.val))
    )
    return Dataset(dataset.name, train, val, dataset.class_names)


def split(images: ImageSet, fraction: float, *, seed: int) -> tuple[ImageSet, ImageSet]:
    """Cut a set in two, class by class: the rest, and the given share of it."""
    held_out = _stratified(images, fraction, np.random.default_rng(seed))
    rest = np.setdiff1d(np.arange(len(images)), held_out)
    return images.take(rest), images.take(held_out)


def _stratified(
    images: ImageSet, fraction: float, rng: np.random.Generator
) -> Int[np.ndarray, " kept"]:
    """Indices of the share to keep: whole quotas first, then the largest remainders."""
    classes, inverse, counts = np.unique(images.labels, return_inverse=True, return_counts=True)
    target = max(1, round(fraction * len(images)))
    quotas = np.floor(fraction * counts).astype(int)
    remainders = fraction * counts - quotas
    # Ties between equal remainders are drawn by lot, so that no class is favoured by its number.
    order = np.lexsort((rng.random(len(classes)), -remainders))
    quotas[order[: target - quotas.sum()]] += 1
    kept = [rng.permutation(np.flatnonzero(inverse == c))[:quota] for c, quota in enumerate(quotas)]
    return np.sort(np.concatenate(kept))
