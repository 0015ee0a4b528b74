"""The images of a study: the configured share of its data set."""

import logging
import math
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
from jaxtyping import Bool, UInt8

from autodecoder.config import StudyConfig
from autodecoder.core.runs import Images
from autodecoder.data import Dataset, load_configured
from autodecoder.data.missing import MISSING_AND_AUGMENTED
from autodecoder.errors import ConfigError
from autodecoder.model.devices import Devices
from autodecoder.model.memory import MemoryConfig
from autodecoder.text import count

_log = logging.getLogger(__name__)


class HostImages(NamedTuple):
    """The images of a study on the host; see `core.runs.Images`."""

    train: UInt8[np.ndarray, "n_train pixels"]
    val: UInt8[np.ndarray, "n_val pixels"]
    train_mask: Bool[np.ndarray, "n_train pixels"] | None = None
    val_mask: Bool[np.ndarray, "n_val pixels"] | None = None

    def give_to(self, devices: Devices, *, streamed: bool = False) -> Images:
        """Copy the images to the devices. If streamed, the training images stay as given."""

        def own(array: Any) -> Any:
            return None if array is None else devices.own(array)

        train, val, train_mask, val_mask = (cast("Any", array) for array in self)
        val = np.asarray(val)
        if streamed:
            return Images(train, own(val), train_mask, own(val_mask))
        return Images(own(train), own(val), own(train_mask), own(val_mask))


def images_of(dataset: Dataset) -> HostImages:
    """The images of a data set as arrays of rows."""
    parts = dataset.train, dataset.val
    return HostImages(*(part.flat for part in parts), *(part.flat_mask for part in parts))


def load_study_data(
    config: StudyConfig,
    *,
    progress: bool = False,
    memory: int | str | None = None,
    shared: bool = False,
) -> Dataset:
    """Load the images of a study: the configured share of its data set.

    If a batch is larger than the training set, it holds all images, with a warning.

    Parameters
    ----------
    config : StudyConfig
    progress : bool
        Show a progress bar on standard error.
    memory : int or str, optional
        As in `run_study`. Packed images of more than a quarter of it stay on disk; without it,
        packed images of more than a GiB do.
    shared : bool
        Whether several processes share the fit. Then packed images stay on disk, and each process
        reads those of its own devices.

    Raises
    ------
    ConfigError
        If there are fewer training images than requested candidates, or only one with batch
        normalisation; if the objective needs validation images and there are none; or if images
        with missing pixels are to be augmented.
    DataError
        If the data set cannot be loaded.
    """
    dataset = load_configured(
        config.data,
        seed=config.seed,
        progress=progress,
        most_in_memory=0 if shared else MemoryConfig(memory=memory).most_in_memory,
    )
    config.with_objective(len(dataset.val))
    if dataset.train.mask is not None and config.augment.enabled:
        raise ConfigError(MISSING_AND_AUGMENTED)
    sizes = config.search.space.get("batch_size", (config.fit.batch_size,))
    largest = max(sizes) if isinstance(sizes, tuple) else sizes.high
    n = len(dataset.train)
    if largest > n:
        _log.warning(
            "batch_size %g exceeds the %s: all form one batch.", largest, count(n, "training image")
        )
    space: Any = config.search.space
    norms = space.get("norm") or space.get("batch_norm", (config.decoder.batch_norm,))
    if n == 1 and ({True, "batch"} & set(norms)):
        raise ConfigError(
            "batch_norm averages over the images of a batch and needs two training images, got "
            "one; use --nobatch_norm."
        )
    priors = space.get("prior", (config.fit.prior,))
    many = space.get("n_components", (config.fit.n_components,))
    for prior in priors:
        most = max(many) if isinstance(many, tuple) else many.high
        replace(config.fit, prior=prior, n_components=most).check_components(n)
    n_pixels = math.prod(dataset.train.images.shape[1:])
    config.infer.count_candidates(len(dataset.train), n_pixels)
    return dataset
