"""Small data and settings for comparisons."""

from typing import Any

import numpy as np

from autodecoder import Dataset, DecoderConfig, FitConfig, ImageSet, fit_config, load_dataset

DECODER = DecoderConfig(arch=(16,))


def some_digits(n: int = 240, n_unseen: int = 60, mask: np.ndarray | None = None) -> Dataset:
    """Some of scikit-learn's digits; with a mask for all images of the two sets."""
    whole = load_dataset("digits")
    train, val = whole.train.take(np.arange(n)), whole.val.take(np.arange(n_unseen))
    if mask is not None:
        train, val = (ImageSet(s.images, s.labels, mask=mask[: len(s)]) for s in (train, val))
    return Dataset("digits", train, val, whole.class_names)


def quick(**values: Any) -> FitConfig:
    """A short fit."""
    return fit_config("fast", **{"num_epochs": 4, "batch_size": 40, **values})
