"""The images of a study: the configured share of its data set."""

import logging
import math
from typing import Any

from autodecoder.config import StudyConfig
from autodecoder.data import Dataset, load_configured
from autodecoder.data.missing import MISSING_AND_AUGMENTED
from autodecoder.errors import ConfigError
from autodecoder.text import count

_log = logging.getLogger(__name__)


def load_study_data(config: StudyConfig, *, progress: bool = False) -> Dataset:
    """Load the images of a study: the configured share of its data set.

    A batch that is larger than the training set is all of it; a warning says so.

    Raises
    ------
    ConfigError
        If there are fewer training images than candidates asked for, or one alone where those of a
        batch are compared; if the objective needs validation images that there are not; if pixels
        are missing and images are to be augmented.
    DataError
        If the data set cannot be had.
    """
    dataset = load_configured(config.data, seed=config.seed, progress=progress)
    config.with_objective(len(dataset.val))
    if dataset.train.mask is not None and config.augment.enabled:
        raise ConfigError(MISSING_AND_AUGMENTED)
    sizes = config.search.space.get("batch_size", (config.fit.batch_size,))
    largest = max(sizes) if isinstance(sizes, tuple) else sizes.high
    n = len(dataset.train)
    if largest > n:
        _log.warning(
            "batch_size %g exceeds the %s: all are one batch.", largest, count(n, "training image")
        )
    space: Any = config.search.space
    norms = space.get("norm") or space.get("batch_norm", (config.decoder.batch_norm,))
    if n == 1 and ({True, "batch"} & set(norms)):
        raise ConfigError(
            "batch_norm compares the images of a batch, and needs two training images, got one; "
            "--nobatch_norm goes without."
        )
    n_pixels = math.prod(dataset.train.images.shape[1:])
    config.infer.count_candidates(len(dataset.train), n_pixels)
    return dataset
