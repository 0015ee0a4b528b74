"""The images of a study: the configured share of its data set."""

import math

from autodecoder.config import StudyConfig
from autodecoder.data import Dataset, load_configured
from autodecoder.errors import ConfigError


def load_study_data(config: StudyConfig, *, progress: bool = False) -> Dataset:
    """Load the images of a study: the configured share of its data set.

    Raises
    ------
    ConfigError
        If a batch would be larger than the training set, there are fewer training images than
        candidates asked for, or the objective needs validation images that there are not.
    DataError
        If the data set cannot be had.
    """
    dataset = load_configured(config.data, seed=config.seed, progress=progress)
    config.with_objective(len(dataset.val))
    sizes = config.search.space.get("batch_size", (config.fit.batch_size,))
    largest = max(sizes) if isinstance(sizes, tuple) else sizes.high
    if largest > len(dataset.train):
        raise ConfigError(
            f"batch_size must not exceed the number of training images, {len(dataset.train)} "
            f"({config.data.dataset} with examples_frac {config.data.examples_frac:g}), "
            f"got {largest}."
        )
    n_pixels = math.prod(dataset.train.images.shape[1:])
    config.infer.count_candidates(len(dataset.train), n_pixels)
    return dataset
