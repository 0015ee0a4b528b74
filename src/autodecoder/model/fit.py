"""The joint fit from arrays to a model: one run, no files."""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Num

from autodecoder.config import (
    AugmentConfig,
    DecoderConfig,
    FitConfig,
    RunConfig,
    WatchConfig,
    learning_rate_for,
    parse_range,
    to_dict,
)
from autodecoder.config.rules import as_plain, check_choice, check_learning_rate, check_seed
from autodecoder.core.fit import Images, place_images, take_snapshot
from autodecoder.core.population import advance, init_population, take_run
from autodecoder.core.scaling import SCALINGS
from autodecoder.core.sweep import LearningRates
from autodecoder.core.switches import own_switches
from autodecoder.core.watch import DIVERGED
from autodecoder.data.carriers import as_array
from autodecoder.data.dataset import fingerprint_arrays
from autodecoder.data.pixels import (
    PixelRange,
    as_images,
    as_labels,
    check_channels_last,
    dark,
    to_pixels,
)
from autodecoder.errors import ConfigError, DataError, DataWarning
from autodecoder.model.model import Model
from autodecoder.model.programs import limit_programs
from autodecoder.model.tables import Standardization, as_table, fit_standardization, standardize

#: Seconds of training between two reports.
_PORTION = 0.5


@own_switches()
def fit_model(
    images: Any,
    *,
    decoder: DecoderConfig | None = None,
    fit: FitConfig | None = None,
    learning_rate: float | None = None,
    scaler: str = "standard",
    pixel_range: PixelRange | str | None = None,
    augment: AugmentConfig | None = None,
    val_images: Any = None,
    labels: Any = None,
    val_labels: Any = None,
    seed: int = 0,
    report: Callable[[int, float], None] | None = None,
) -> Model:
    """Train a decoder and one latent vector per image together: a single run, in memory.

    Minimises `mean((decode(z_i) - x_i)^2)` over the decoder's weights and all latents `z_i`. Use
    `run_study` to search learning rates, to repeat runs, and to keep what is done on disk.

    Parameters
    ----------
    images : array-like
        `(n, height, width, channels)`, `(n, height, width)` for one channel, or `(n, pixels)`:
        whole numbers from 0 to 255, or floats or booleans from 0 to 1, unless `pixel_range` says
        otherwise. With the scaler `standardize` any features, `(n, n_features)`. Arrays, frames of
        pandas, polars and Arrow, tensors and lists are read alike.
    decoder : DecoderConfig, optional
        Architecture and length of the latents.
    fit : FitConfig, optional
        Epochs, batch size and recipe, see `fit_config`.
    learning_rate : float, optional
        Of the decoder, and of the latents where `fit` gives them none of their own. By default
        5e-3, and 1e-2 with convolutions, for recipe `fast`; `original` wants 1e-3.
    scaler : str
        `standard`, `zero_one` or `identity`, see the settings; or `standardize`: each feature is
        brought to mean 0 and standard deviation 1, and the decoder's output is linear.
    pixel_range : (low, high) or "low:high", optional
        Values of black and of white, whatever the type: `(0, 1)` for whole numbers that are 0 or 1,
        `(0, 4095)` for 12 bits. The model keeps it, so that `infer` reads images alike.
    augment : AugmentConfig, optional
        Random changes of training images.
    val_images : array-like, optional
        Like `images`; their latents move along, under the co-trained protocol.
    labels, val_labels : (n,) integers, optional
        Kept with the model; the fit does not look at them.
    seed : int
        From 0 to 4294967295; everything random follows from it.
    report : callable, optional
        Told the epoch and the training loss now and then.

    Returns
    -------
    Model
        As it is after the last epoch.

    Raises
    ------
    DataError
        If images or labels are of another shape, dtype or range than said above.
    ConfigError
        If a setting breaks its rule, or the loss is no longer finite: the learning rate is too
        large.

    References
    ----------
    Tan & Mavrovouniotis 1995 for the joint fit; Bojanowski et al. 2018 for images.
    """
    decoder = DecoderConfig() if decoder is None else decoder
    fit = FitConfig() if fit is None else fit
    augment = AugmentConfig() if augment is None else augment
    seed, learning_rate = as_plain(seed), as_plain(learning_rate)
    check_seed("seed", seed)
    if learning_rate is None:
        learning_rate = learning_rate_for("fast", decoder.arch)
    check_choice("scaler", scaler, SCALINGS)
    check_learning_rate("learning_rate", learning_rate)
    if scaler == "standardize" and augment.enabled:
        raise ConfigError("augmentation is for pixels, and needs another scaler than standardize.")
    if pixel_range is not None:
        pixel_range = parse_range(pixel_range)
        if scaler == "standardize":
            raise ConfigError("pixel_range is for pixels: choose another scaler than standardize.")
    rows, shape, standardization = _read(images, scaler, pixel_range)
    val_rows = np.zeros((0, rows.shape[1]), rows.dtype)
    if val_images is not None:
        val_rows = _read_more("val_images", val_images, shape, standardization, pixel_range)
    labels = None if labels is None else as_labels("labels", labels, len(rows))
    if val_labels is not None:
        val_labels = as_labels("val_labels", val_labels, len(val_rows))
    batch_size = min(fit.batch_size, len(rows))
    if decoder.normalisation == "batch" and batch_size == 1:
        raise ConfigError(
            "batch_norm compares the images of a batch, and needs two images and a batch_size of 2."
        )
    config = RunConfig(
        decoder=decoder,
        fit=replace(fit, latent_learning_rate=None, batch_size=batch_size),
        scaler=scaler,
        image_shape=shape,
        augment=augment,
        watch=WatchConfig("loss"),
    )
    latent_rate = fit.latent_learning_rate or learning_rate
    rates = LearningRates(*(jnp.full(1, r, jnp.float32) for r in (learning_rate, latent_rate)))
    # Copied, since on a CPU jax would share the memory of arrays that the caller may change.
    on_device = Images(jnp.array(rows), jnp.array(val_rows))
    limit_programs()
    places = place_images(on_device, config)
    key, first = jax.random.key(seed), np.zeros(1, np.uint32)
    population = init_population(key, first, rates, on_device, places, config)
    epoch, portion = 0, 1
    while epoch < fit.num_epochs:
        start, until = time.monotonic(), min(epoch + portion, fit.num_epochs)
        population = advance(population, on_device, 0, 1, until, config=config, side_by_side=False)
        loss = float(population.runs.history["loss"][0, until - 1])
        if int(population.runs.watch.status[0]) == DIVERGED:
            raise ConfigError(
                f"the loss was no longer finite after epoch {until}: learning_rate must be "
                f"smaller, got {learning_rate:g}."
            )
        if report is not None:
            report(until, loss)
        pace = (time.monotonic() - start) / (until - epoch)
        epoch, portion = until, max(1, int(_PORTION / max(pace, 1e-9)))
    run = take_run(population.runs, 0)
    end = take_snapshot(run.state)
    history = {name: np.asarray(values) for name, values in run.history.items()}
    none = np.zeros(0, np.int64)
    return Model(
        decoder=end.decoder,
        scaler=scaler,
        image_shape=shape,
        latents=np.asarray(end.train_latents),
        val_latents=np.asarray(end.val_latents),
        labels=labels,
        val_labels=val_labels,
        history={name: values for name, values in history.items() if np.isfinite(values).any()},
        standardization=standardization,
        pixel_range=pixel_range,
        about={
            "data_fingerprint": fingerprint_arrays(
                (part.reshape(-1, *shape), none if of_part is None else of_part)
                for part, of_part in ((rows, labels), (val_rows, val_labels))
            ),
            "epoch": fit.num_epochs,
            "values": {"learning_rate": learning_rate},
            "settings": {
                "decoder": to_dict(decoder),
                "fit": to_dict(fit),
                "augment": to_dict(augment),
                "seed": seed,
            },
        },
    )


def _read(
    images: Any, scaler: str, pixel_range: PixelRange | None
) -> tuple[Num[np.ndarray, "n values"], tuple[int, int, int], Standardization | None]:
    """Training images as rows, what one of them looks like, and how features were scaled."""
    if scaler == "standardize":
        table = as_table("samples", images)
        _need_some("samples", table)
        standardization = fit_standardization(table)
        rows = standardize(table, standardization)
        return rows, (1, table.shape[1], 1), standardization
    array = as_array("images", images)
    if array.ndim not in (2, 3, 4):
        raise DataError(
            "images must be (n, height, width, channels), (n, height, width) or (n, pixels), "
            f"got {tuple(array.shape)}."
        )
    _need_some("images", array)
    check_channels_last("images", array.shape)
    if pixel_range is None and (what := dark(array)):
        warnings.warn(f"images {what}.", DataWarning, stacklevel=3)
    sides = array.shape[1:]
    shape = (1, *sides, 1) if array.ndim == 2 else (*sides, 1) if array.ndim == 3 else sides
    return to_pixels(array, pixel_range=pixel_range), shape, None


def _need_some(name: str, array: Any) -> None:
    if math.prod(array.shape) == 0:
        raise DataError(
            f"{name} must hold one sample of one value at least, got {tuple(array.shape)}."
        )


def _read_more(
    name: str,
    images: Any,
    shape: tuple[int, int, int],
    standardization: Standardization | None,
    pixel_range: PixelRange | None,
) -> Num[np.ndarray, "n values"]:
    if standardization is None:
        return to_pixels(as_images(images, shape, name), pixel_range=pixel_range)
    return standardize(as_table(name, images, shape[1]), standardization)
