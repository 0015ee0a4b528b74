"""Training of a coder, epoch by epoch, with the optimiser and the order of our own fits."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from autodecoder.compare.coders import FOR_DECODER, Coder, init_coder
from autodecoder.config import RunConfig
from autodecoder.core.adam import Moments, adam_start, adam_step, clip_norm
from autodecoder.core.epoch import pass_windows
from autodecoder.core.fit import epoch_keys, sample_rows
from autodecoder.core.losses import reconstruction_loss
from autodecoder.core.order import draw_order
from autodecoder.core.population import execution_key
from autodecoder.core.priors import penalty_factor
from autodecoder.core.scaling import scale_pixels
from autodecoder.core.schedule import schedule, warmup


class CoderState(NamedTuple):
    """What training carries from epoch to epoch."""

    coder: Coder
    moments: Moments
    key: PRNGKeyArray
    epoch: Int[Array, ""]
    """Number of epochs done."""
    losses: Float[Array, " epochs"]
    """Mean reconstruction loss of each epoch, each image before the step on its batch; NaN for
    epochs to come."""


def begin_training(key: PRNGKeyArray, kind: str, config: RunConfig) -> CoderState:
    """The state before the first epoch.

    Decoder and order of the images are those of an auto-decoder with the same key.
    """
    decoder_key, encoder_key, _, run_key = jax.random.split(execution_key(key, 0), 4)
    coder = init_coder(decoder_key, encoder_key, kind, config)
    losses = jnp.full(config.fit.num_epochs, jnp.nan)
    epoch = jnp.zeros((), jnp.int32)
    return CoderState(coder, adam_start(coder.trainable()), run_key, epoch, losses)


@jax.jit(static_argnames="config", donate_argnames="state")
def train_until(
    state: CoderState,
    images: Num[Array, "n pixels"],
    mask: Bool[Array, "n pixels"] | None,
    rate: Float[Array, ""],
    until: int | Int[Array, ""],
    config: RunConfig,
) -> CoderState:
    """Train to epoch `until`, or until the loss is no longer finite.

    Batches, schedule, warmup, clipping and optimiser are those of an auto-decoder with the same
    settings. The loss of a batch is the mean over its known pixels. With a divergence, the
    objective of an image of `n` pixels is

        loss + (2 noise / n) divergence

    where `noise` is the mean loss of the batch: for the squared error this is the variational bound
    whose variance of pixels is the best one for the batch (Rybkin et al. 2021, "Simple and
    effective VAE training with calibrated decoders"). So there is no weight to be chosen.

    Parameters
    ----------
    state : CoderState
        It is consumed.
    images : (n, pixels)
        Stored values; missing pixels are filled in.
    mask : (n, pixels) bool, optional
        True where a pixel counts.
    rate : scalar
        Learning rate of all weights.
    until : int
    config : RunConfig
    """

    def goes_on(state: CoderState) -> Array:
        last = state.losses[jnp.maximum(state.epoch - 1, 0)]
        return (state.epoch < until) & ((state.epoch == 0) | jnp.isfinite(last))

    def one_epoch(state: CoderState) -> CoderState:
        return _train_epoch(state, images, mask, rate, config)

    return jax.lax.while_loop(goes_on, one_epoch, state)


def _train_epoch(
    state: CoderState,
    images: Num[Array, "n pixels"],
    mask: Bool[Array, "n pixels"] | None,
    rate: Float[Array, ""],
    config: RunConfig,
) -> CoderState:
    """Visit the images once."""
    fit = config.fit
    windows = pass_windows(len(images), config, training=True)
    keys = epoch_keys(state.key, state.epoch)
    order = draw_order(keys.order, windows)
    numbers = jnp.arange(windows.n_steps)
    steps = state.epoch * windows.n_steps + numbers
    shares = schedule(fit, steps, windows.n_steps) * warmup(fit, steps, windows.n_steps)

    def step(carry: tuple[Coder, Any], visited: Any) -> Any:
        coder, moments = carry
        number, share, chosen, counted = visited
        targets = scale_pixels(images[chosen], config.scaler)
        counts = each = jnp.asarray(counted, jnp.float32)
        weights = None
        if mask is not None:
            known = mask[chosen]
            counts = counts * known.mean(axis=1)
            weights = known / known.sum(axis=1, keepdims=True)
        key = jax.random.fold_in(keys.noise, number)

        def loss(parts: Any) -> tuple[Array, Array]:
            now = coder.with_trainable(parts)
            codes = now.draw(targets, weights, key)
            decoder_key = jax.random.fold_in(key, FOR_DECODER)
            outputs = now.decoder.decode(codes.latents, key=decoder_key)
            losses = reconstruction_loss(outputs, targets, now.criterion, weights)
            mean = jnp.sum(counts * losses) / counts.sum()
            if codes.divergence is None:
                return mean, mean
            noise = jax.lax.stop_gradient(mean)
            factor = 2 * penalty_factor(noise, fit.loss, 1.0) / targets.shape[1]
            return mean + factor * mean_divergence(codes.divergence, each, counts), mean

        gradient, mean = jax.grad(loss, has_aux=True)(coder.trainable())
        if fit.clip_norm is not None:
            gradient = clip_norm(gradient, fit.clip_norm)
        rates = jax.tree.map(lambda scale: rate * share * scale, coder.step_scales(fit))
        parts, moments = adam_step(
            coder.trainable(), gradient, moments, rates, nesterov=fit.nesterov
        )
        return (coder.with_trainable(parts), moments), (mean * counts.sum(), counts.sum())

    (coder, moments), (sums, counts) = jax.lax.scan(
        step, (state.coder, state.moments), (numbers, shares, order.images, order.counted)
    )
    if config.decoder.normalisation == "batch":
        coder = coder.calibrate(*_sample(keys.sample, images, mask, config))
    losses = state.losses.at[state.epoch].set(sums.sum() / counts.sum())
    return CoderState(coder, moments, state.key, state.epoch + 1, losses)


def mean_divergence(
    divergence: Float[Array, " b"], counted: Float[Array, " b"], known: Float[Array, " b"]
) -> Float[Array, ""]:
    """The divergence of a batch, beside a loss that is the mean over known pixels.

    Each image counts once, whatever share of its pixels is known.

    Parameters
    ----------
    divergence : (b,)
    counted : (b,)
        0 for images that fill up the batch, otherwise 1.
    known : (b,)
        Share of known pixels of each image; 0 for images that fill up the batch.
    """
    return jnp.sum(counted * divergence) / known.sum()


def _sample(
    key: PRNGKeyArray, images: Array, mask: Array | None, config: RunConfig
) -> tuple[Array, Array | None]:
    """Some training images in the scaled space, with their weights."""
    rows = sample_rows(key, len(images), config)
    assert rows is not None  # there is batch normalisation
    weights = None if mask is None else mask[rows] / mask[rows].sum(axis=1, keepdims=True)
    return scale_pixels(images[rows], config.scaler), weights


@jax.jit(static_argnames="scaler")
def encode_block(
    coder: Coder, images: Num[Array, "n pixels"], mask: Bool[Array, "n pixels"] | None, scaler: str
) -> Float[Array, "n dims"]:
    """Latents of stored images."""
    weights = None if mask is None else mask / mask.sum(axis=1, keepdims=True)
    return coder.encode(scale_pixels(images, scaler), weights)
