"""The joint fit from arrays to a model: a single run, without files."""

import math
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from autodecoder.config import (
    OWN,
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
from autodecoder.core.decoders import own_decoder
from autodecoder.core.epoch import LearningRates
from autodecoder.core.runs import Images, take_snapshot
from autodecoder.core.scaling import SCALINGS
from autodecoder.core.switches import own_switches
from autodecoder.core.training import take_training
from autodecoder.core.watch import DIVERGED
from autodecoder.data.pixels import PixelRange
from autodecoder.errors import ConfigError
from autodecoder.model.devices import choose_devices
from autodecoder.model.driver import Driver
from autodecoder.model.fit_data import check_own_latents, match_start, read_fit_data
from autodecoder.model.memory import check_memory
from autodecoder.model.model import Model
from autodecoder.model.programs import limit_programs
from autodecoder.model.progress import Callback, told
from autodecoder.model.start import begin, check_epochs, check_settings, epochs_done, named_by


@own_switches()
def fit_model(
    images: Any,
    *,
    decoder: DecoderConfig | eqx.Module | None = None,
    latent_dims: int | None = None,
    fit: FitConfig | None = None,
    learning_rate: float | None = None,
    scaler: str | None = None,
    pixel_range: PixelRange | str | None = None,
    augment: AugmentConfig | None = None,
    mask: Any = None,
    val_images: Any = None,
    val_mask: Any = None,
    labels: Any = None,
    val_labels: Any = None,
    names: Any = None,
    val_names: Any = None,
    columns: Any = None,
    val_columns: Any = None,
    seed: int = 0,
    start: Model | None = None,
    latents: Any = None,
    val_latents: Any = None,
    until: int | None = None,
    devices: int | str | None = None,
    callback: Callback | None = None,
    verbose: bool = False,
) -> Model:
    """Train a decoder and one latent vector per image together: a single run, in memory.

    Minimises `mean((decode(z_i) - x_i)^2)`, or another loss of `fit`, over the decoder's weights
    and all latents `z_i`. Use `run_study` to search learning rates, to repeat runs, and to keep
    results and checkpoints on disk.

    Parameters
    ----------
    images : array-like
        `(n, height, width, channels)`, `(n, height, width)` for one channel, or `(n, pixels)`:
        integers from 0 to 255, or floats or booleans from 0 to 1, unless `pixel_range` says
        otherwise. With the scaler `standardize`, any features, `(n, n_features)`. Arrays, frames of
        pandas, polars and Arrow, tensors and lists are accepted. NaN, and values that are missing
        in a frame or a masked array, count as missing and are ignored.
    decoder : DecoderConfig or equinox.Module, optional
        Architecture and length of the latents; or a decoder of your own: a module that maps
        `(n, latent_dims)` to `(n, n_values)`, both float32, each row independently. It is called as
        `module(latents)`, in training as `module(latents, key=key)` if it takes a `key`. A copy is
        trained: all of its floating-point arrays of jax, with one learning rate. Its output is in
        the scaled space, so it should end with the output activation of `scaler`.
    latent_dims : int, optional
        Length of the latents for a decoder of your own; 2 by default.
    fit : FitConfig, optional
        Epochs, batch size and recipe, see `fit_config`. Its `num_epochs` is the length of the
        whole fit, including the epochs of `start`; schedules cover this length.
    learning_rate : float, optional
        Learning rate of the decoder, and of the latents unless `fit` sets their own. By default
        5e-3, and 1e-2 with convolutions, for recipe `fast`; use 1e-3 for `original`.
    scaler : str
        `standard` (the default), `zero_one` or `identity`, see the settings; or `standardize`: each
        feature is brought to mean 0 and standard deviation 1, and the decoder's output is linear.
    pixel_range : (low, high) or "low:high", optional
        Values of black and white for any dtype: `(0, 1)` for integers that are 0 or 1, `(0, 4095)`
        for 12 bits. The model keeps it, so that `infer` reads images in the same way.
    augment : AugmentConfig, optional
        Random changes of training images.
    mask : array-like, optional
        Booleans, True where a pixel is known: one mask per image or one for all, with all channels
        or one. 0 and 1, or 0 and 255, may stand for booleans.
    val_images : array-like, optional
        Validation images, like `images`. Their latents are trained along, under the co-trained
        protocol.
    val_mask : array-like, optional
        Like `mask`, for `val_images`.
    labels, val_labels : (n,) integers, optional
        Class labels, kept with the model; the fit does not use them.
    names, val_names : (n,) text or integers, optional
        Names of the images, kept with the model; the explorer and the page show them. By default
        the index of a frame of pandas, unless it only counts the rows from 0.
    columns, val_columns : frame or mapping of name to n values, optional
        What else is known of the images, in their order, kept with the model as texts and shown
        beside the names: a frame of pandas, polars or Arrow, or a mapping.
    seed : int
        From 0 to 4294967295; determines everything random.
    start : Model, optional
        A fitted model to continue from, with its decoder, scaler and pixel range. `images` (and
        `val_images`, if any) must begin with its own images, in their order. Latents of further
        images are inferred first, and then trained with the others. With the training state of
        `start`, 10 epochs and 10 more equal 20, bit for bit, under one schedule. A model of
        `fit_model` has it, also after `save_model(..., training=True)`. Otherwise the moments of
        Adam start at zero, and a `DataWarning` says so.
    latents, val_latents : (n, latent_dims), optional
        Initial latents of `images` and `val_images`, instead of those by `latent_start` or those of
        `start`. With them, the images may differ from those of `start`.
    until : int, optional
        Epoch to stop at, by default `num_epochs`. `start` can continue the fit later.
    devices : int or "all", optional
        Number of devices that share the images of each batch, 1 by default. It does not change
        which images a step sees, only the order in which sums are rounded.
    callback : callable, optional
        Called about every half second with the epoch, counted from 1, and its metrics by name.
    verbose : bool
        Show a progress bar with epoch and loss, in a terminal or a notebook.

    Returns
    -------
    Model
        The model after the last epoch.

    Raises
    ------
    DataError
        If images, masks, labels, names, columns or latents have a wrong shape, dtype or range; if
        all pixels of an image are missing; if images, labels or names do not begin with those of
        `start`.
    ConfigError
        If a setting breaks its rule or differs from that of `start`; if `start` has done all
        epochs; if pixels are missing and augmentation is enabled; if the loss is no longer finite
        because the learning rate is too large.
    MemoryLimitError
        If the weights with their gradients and moments do not fit into memory.

    References
    ----------
    Tan & Mavrovouniotis 1995 for the joint fit; Bojanowski et al. 2018 for images.
    """
    pixel_range = None if pixel_range is None else parse_range(pixel_range)
    if start is not None:
        check_settings(start, decoder, scaler, pixel_range)
        decoder, scaler, pixel_range = start.decoder.config, start.scaler, start.pixel_range
    decoder = DecoderConfig() if decoder is None else decoder
    drawn = isinstance(decoder, DecoderConfig)
    if drawn and latent_dims is not None:
        raise ConfigError(
            "latent_dims is for a decoder of your own: a DecoderConfig has its own latent_dims."
        )
    scaler = "standard" if scaler is None else scaler
    fit = FitConfig() if fit is None else fit
    augment = AugmentConfig() if augment is None else augment
    seed, learning_rate = as_plain(seed), as_plain(learning_rate)
    check_seed("seed", seed)
    if learning_rate is None:
        learning_rate = learning_rate_for("fast", decoder.arch if drawn else OWN)
    check_choice("scaler", scaler, SCALINGS)
    check_learning_rate("learning_rate", learning_rate)
    until = check_epochs(until, fit, start)
    chosen = choose_devices(devices)
    if scaler == "standardize" and augment.enabled:
        raise ConfigError("augmentation is for pixels, and needs another scaler than standardize.")
    if pixel_range is not None and scaler == "standardize":
        raise ConfigError("pixel_range is for pixels: choose another scaler than standardize.")
    data = read_fit_data(
        (images, val_images),
        (mask, val_mask),
        (labels, val_labels),
        (names, val_names),
        (columns, val_columns),
        scaler=scaler,
        pixel_range=pixel_range,
        augmented=bool(augment.enabled),
        start=start,
    )
    own = None
    if not drawn:
        n_values = data.train.rows.shape[1]
        own = own_decoder(decoder, 2 if latent_dims is None else latent_dims, n_values)
        decoder = own.config
    placed = check_own_latents((latents, val_latents), data, decoder.latent_dims, start)
    if start is not None:
        data = match_start(start, data, placed)
    train, val = data.train, data.val
    fit.check_components(len(train.rows))
    batch_size = min(fit.batch_size, len(train.rows))
    if decoder.normalisation == "batch" and batch_size == 1:
        raise ConfigError(
            "batch_norm needs the statistics of a batch: at least two images and a batch_size of 2."
        )
    config = RunConfig(
        decoder=decoder,
        fit=replace(fit, latent_learning_rate=None, batch_size=batch_size),
        scaler=scaler,
        image_shape=data.shape,
        augment=augment,
        watch=WatchConfig("loss"),
    )
    latent_rate = fit.latent_learning_rate or learning_rate
    rates = LearningRates(*(jnp.full(1, r, jnp.float32) for r in (learning_rate, latent_rate)))
    held = Images(
        *(chosen.own(part.rows) for part in (train, val)),
        *(None if part.known is None else chosen.own(part.known) for part in (train, val)),
    )
    limit_programs()
    check_memory(config, len(train.rows))
    done = 0 if start is None else epochs_done(start)
    with told(callback, verbose, done, until) as tell:
        begun = begin(start, held, placed, rates, config, seed, own)
        driver = Driver(begun, held, config, devices=chosen)
        while driver.epochs[0] < until:
            driver.move(lambda _: until)
            epoch = int(driver.epochs[0])
            if driver.statuses[0] == DIVERGED:
                raise ConfigError(
                    f"the loss was no longer finite after epoch {epoch}: learning_rate must be "
                    f"smaller, got {learning_rate:g}."
                )
            if tell is not None:
                last = {
                    name: float(rows[0, epoch - 1]) for name, rows in driver.histories().items()
                }
                tell(epoch, {name: value for name, value in last.items() if math.isfinite(value)})
    run = driver.take(0)
    end = take_snapshot(run.state)
    history = {name: np.asarray(values)[:until] for name, values in run.history.items()}
    return Model(
        decoder=end.decoder,
        scaler=scaler,
        image_shape=data.shape,
        latents=np.asarray(end.train_latents),
        val_latents=np.asarray(end.val_latents),
        latent_deviations=jax.tree.map(np.asarray, end.train_deviations),
        labels=train.labels,
        val_labels=val.labels,
        history={name: values for name, values in history.items() if np.isfinite(values).any()},
        standardization=data.standardization,
        pixel_range=pixel_range,
        loss=fit.loss,
        names=train.names,
        val_names=val.names,
        columns=train.columns or {},
        val_columns=val.columns or {},
        training=take_training(run.state),
        about={
            **({} if start is None else named_by(start)),
            "data_fingerprint": data.fingerprint(),
            "epoch": until,
            "values": {"learning_rate": learning_rate},
            "settings": {
                "decoder": to_dict(decoder),
                "fit": to_dict(fit),
                "augment": to_dict(augment),
                "seed": seed,
            },
        },
    )
