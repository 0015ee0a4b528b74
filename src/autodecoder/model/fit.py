"""The joint fit from arrays to a model: one run, no files."""

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Shaped

from autodecoder.config import (
    RECIPE_LEARNING_RATES,
    AugmentConfig,
    DecoderConfig,
    FitConfig,
    RunConfig,
    WatchConfig,
    parse_range,
    to_dict,
)
from autodecoder.config.rules import as_plain, check_choice, check_learning_rate, check_seed
from autodecoder.core.decoders import own_decoder
from autodecoder.core.fit import Images, place_images, take_snapshot
from autodecoder.core.population import advance, init_population, take_run
from autodecoder.core.scaling import SCALINGS
from autodecoder.core.sweep import LearningRates
from autodecoder.core.switches import own_switches
from autodecoder.core.watch import DIVERGED
from autodecoder.data.carriers import as_array
from autodecoder.data.dataset import fingerprint_arrays
from autodecoder.data.missing import (
    MISSING_AND_AUGMENTED,
    check_some_known,
    tell_unseen,
    to_known,
)
from autodecoder.data.names import as_names
from autodecoder.data.pixels import PixelRange, as_labels, as_mask, check_channels_last, dark
from autodecoder.errors import ConfigError, DataError, DataWarning
from autodecoder.model.model import Model
from autodecoder.model.programs import limit_programs
from autodecoder.model.samples import check_samples, to_rows
from autodecoder.model.tables import as_table, fit_standardization

#: Seconds of training between two reports.
_PORTION = 0.5


@own_switches()
def fit_model(
    images: Any,
    *,
    decoder: DecoderConfig | eqx.Module | None = None,
    latent_dims: int | None = None,
    fit: FitConfig | None = None,
    learning_rate: float = RECIPE_LEARNING_RATES["fast"],
    scaler: str = "standard",
    pixel_range: PixelRange | str | None = None,
    augment: AugmentConfig | None = None,
    mask: Any = None,
    val_images: Any = None,
    val_mask: Any = None,
    labels: Any = None,
    val_labels: Any = None,
    names: Any = None,
    val_names: Any = None,
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
        pandas, polars and Arrow, tensors and lists are read alike. Values that are not a number, or
        that a frame or a masked array lacks, are missing: they count nowhere.
    decoder : DecoderConfig or equinox.Module, optional
        Architecture and length of the latents; or a decoder of your own: a module that maps
        `(n, latent_dims)` to `(n, n_values)`, both float32, each row by itself. It is called as
        `module(latents)`, in training as `module(latents, key=key)` if it takes a `key`. All of its
        floating-point arrays of jax are trained, in a copy, by one step size. Its output is
        compared in the scaled space as it is: let it end with the activation that `scaler` names.
    latent_dims : int, optional
        Length of the latents of a decoder of your own; 2 by default.
    fit : FitConfig, optional
        Epochs, batch size and recipe, see `fit_config`.
    learning_rate : float
        Of the decoder, and of the latents where `fit` gives them none of their own. The default is
        for recipe `fast`; `original` wants 1e-3.
    scaler : str
        `standard`, `zero_one` or `identity`, see the settings; or `standardize`: each feature is
        brought to mean 0 and standard deviation 1, and the decoder's output is linear.
    pixel_range : (low, high) or "low:high", optional
        Values of black and of white, whatever the type: `(0, 1)` for whole numbers that are 0 or 1,
        `(0, 4095)` for 12 bits. The model keeps it, so that `infer` reads images alike.
    augment : AugmentConfig, optional
        Random changes of training images.
    mask : array-like, optional
        Booleans, True where a pixel is known, for every image or one for all; of every pixel, or of
        one channel for all. 0 and 1, or 0 and 255, stand for booleans.
    val_images : array-like, optional
        Like `images`; their latents move along, under the co-trained protocol.
    val_mask : array-like, optional
        Like `mask`, of `val_images`.
    labels, val_labels : (n,) integers, optional
        Kept with the model; the fit does not look at them.
    names, val_names : (n,) text or integers, optional
        What images are known by, kept likewise: the explorer and the page show them.
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
        If images, masks, labels or names are of another shape, dtype or range than said above; if
        nothing is known of an image.
    ConfigError
        If a setting breaks its rule; if pixels are missing and images are to be augmented; if the
        loss is no longer finite: the learning rate is too large.

    References
    ----------
    Tan & Mavrovouniotis 1995 for the joint fit; Bojanowski et al. 2018 for images.
    """
    decoder = DecoderConfig() if decoder is None else decoder
    drawn = isinstance(decoder, DecoderConfig)
    if drawn and latent_dims is not None:
        raise ConfigError(
            "latent_dims is for a decoder of your own: a DecoderConfig has its own latent_dims."
        )
    fit = FitConfig() if fit is None else fit
    augment = AugmentConfig() if augment is None else augment
    seed, learning_rate = as_plain(seed), as_plain(learning_rate)
    check_seed("seed", seed)
    check_choice("scaler", scaler, SCALINGS)
    check_learning_rate("learning_rate", learning_rate)
    if scaler == "standardize" and augment.enabled:
        raise ConfigError("augmentation is for pixels, and needs another scaler than standardize.")
    if pixel_range is not None:
        pixel_range = parse_range(pixel_range)
        if scaler == "standardize":
            raise ConfigError("pixel_range is for pixels: choose another scaler than standardize.")
    samples, shape = _read(images, scaler, pixel_range)
    mask = _read_mask(mask, len(samples), shape)
    standardization = None
    if scaler == "standardize":
        standardization = fit_standardization(as_table("samples", samples, weights=mask))
    rows, known = to_rows(samples, 0, mask, standardization, pixel_range)
    known = _check_known(known, "images" if standardization is None else "samples")
    if known is not None and augment.enabled:
        raise ConfigError(MISSING_AND_AUGMENTED)
    if known is not None and (unseen := tell_unseen(known)) is not None:
        if standardization is not None:  # constant zeros then, see `fit_standardization`
            known = known | ~known.any(axis=0)
        warnings.warn(f"{unseen}.", DataWarning, stacklevel=3)
    val_rows, val_known = np.zeros((0, rows.shape[1]), rows.dtype), None
    if val_images is not None:
        more = check_samples(val_images, shape, standardization, "val_images")
        val_mask = _read_mask(val_mask, len(more), shape)
        val_rows, val_known = to_rows(more, 0, val_mask, standardization, pixel_range)
        val_known = _check_known(val_known, "val_images")
    elif val_mask is not None:
        raise DataError("val_mask must come with val_images.")
    labels = None if labels is None else as_labels("labels", labels, len(rows))
    if val_labels is not None:
        val_labels = as_labels("val_labels", val_labels, len(val_rows))
    names = None if names is None else as_names("names", names, len(rows))
    val_names = None if val_names is None else as_names("val_names", val_names, len(val_rows))
    own = None
    if not drawn:
        own = own_decoder(decoder, 2 if latent_dims is None else latent_dims, rows.shape[1])
        decoder = own.config
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
    on_device = Images(
        *(jnp.array(part) for part in (rows, val_rows)),
        *(None if part is None else jnp.array(part) for part in (known, val_known)),
    )
    limit_programs()
    places = place_images(on_device, config)
    key, first = jax.random.key(seed), np.zeros(1, np.uint32)
    population = init_population(key, first, rates, on_device, places, config, own)
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
        names=names,
        val_names=val_names,
        history={name: values for name, values in history.items() if np.isfinite(values).any()},
        standardization=standardization,
        pixel_range=pixel_range,
        loss=fit.loss,
        about={
            "data_fingerprint": fingerprint_arrays(
                (
                    part.reshape(-1, *shape),
                    none if of_part is None else of_part,
                    None if seen is None else seen.reshape(-1, *shape),
                )
                for part, of_part, seen in (
                    (rows, labels, known),
                    (val_rows, val_labels, val_known),
                )
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
        warnings.warn(f"images {what}.", DataWarning, stacklevel=3)
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
