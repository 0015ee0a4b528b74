"""Training of a coder, epoch by epoch, with the optimiser and the order of our own fits."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from autodecoder.compare.codes import Coder, init_coder
from autodecoder.config import RunConfig
from autodecoder.core.adam import Moments, adam_start, adam_step, clip_norm
from autodecoder.core.epoch import pass_windows
from autodecoder.core.losses import reconstruction_loss
from autodecoder.core.order import draw_order
from autodecoder.core.priors import penalty_factor
from autodecoder.core.scaling import scale_pixels
from autodecoder.core.schedule import schedule, warmup

#: Most training images from which the statistics of batch normalisation are estimated.
_STATISTICS_SAMPLE = 8192


class CoderState(NamedTuple):
    """What training carries from epoch to epoch."""

    coder: Coder
    moments: Moments
    key: PRNGKeyArray
    epoch: Int[Array, ""]
    """Number of epochs done."""


def begin_training(key: PRNGKeyArray, kind: str, config: RunConfig) -> CoderState:
    """The state before the first epoch."""
    draw_key, run_key = jax.random.split(key)
    coder = init_coder(draw_key, kind, config)
    return CoderState(coder, adam_start(coder.trainable()), run_key, jnp.zeros((), jnp.int32))


@jax.jit(static_argnames="config", donate_argnames="state")
def train_epoch(
    state: CoderState,
    images: Num[Array, "n pixels"],
    mask: Bool[Array, "n pixels"] | None,
    rate: Float[Array, ""],
    config: RunConfig,
) -> tuple[CoderState, Float[Array, ""]]:
    """Visit the images once. Batches, schedule, warmup, clipping and optimiser are those of a fit
    with the same settings.

    The loss of a batch is the mean of the losses of its images. With a divergence, it is

        loss + (2 noise / n) divergence

    for images of `n` pixels, where `noise` is the mean loss of the batch: for the squared error
    this is the variational bound whose variance of pixels is the best one for the batch (Rybkin et
    al. 2021, "Simple and effective VAE training with calibrated decoders"). So there is no weight
    to be chosen.

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
    config : RunConfig

    Returns
    -------
    state : CoderState
    loss : scalar
        Mean reconstruction loss over the images, each before the step on its batch.
    """
    fit = config.fit
    windows = pass_windows(len(images), config, training=True)
    order_key, noise_key, sample_key = jax.random.split(
        jax.random.fold_in(state.key, state.epoch), 3
    )
    order = draw_order(order_key, windows)
    numbers = jnp.arange(windows.n_steps)
    steps = state.epoch * windows.n_steps + numbers
    shares = schedule(fit, steps, windows.n_steps) * warmup(fit, steps, windows.n_steps)

    def step(carry: tuple[Coder, Any], visited: Any) -> Any:
        coder, moments = carry
        number, share, chosen, counted = visited
        targets = scale_pixels(images[chosen], config.scaler)
        counts = jnp.asarray(counted, jnp.float32)
        weights = None
        if mask is not None:
            known = mask[chosen]
            counts = counts * known.mean(axis=1)
            weights = known / known.sum(axis=1, keepdims=True)
        key = jax.random.fold_in(noise_key, number)

        def loss(parts: Any) -> tuple[Array, Array]:
            now = coder.with_trainable(parts)
            codes = now.draw(targets, weights, key)
            outputs = now.decoder.decode(codes.latents, key=key)
            losses = reconstruction_loss(outputs, targets, now.criterion, weights)
            mean = jnp.sum(counts * losses) / counts.sum()
            if codes.divergence is None:
                return mean, mean
            noise = jax.lax.stop_gradient(mean)
            factor = 2 * penalty_factor(noise, fit.loss, 1.0) / targets.shape[1]
            return mean + factor * jnp.sum(counts * codes.divergence) / counts.sum(), mean

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
        coder = coder.calibrate(*_sample(sample_key, images, mask, config))
    return CoderState(coder, moments, state.key, state.epoch + 1), sums.sum() / counts.sum()


def _sample(
    key: PRNGKeyArray, images: Array, mask: Array | None, config: RunConfig
) -> tuple[Array, Array | None]:
    """Some training images in the scaled space, with their weights."""
    rows = jnp.arange(len(images))
    if len(images) > _STATISTICS_SAMPLE:
        rows = jax.random.randint(key, (_STATISTICS_SAMPLE,), 0, len(images))
    weights = None if mask is None else mask[rows] / mask[rows].sum(axis=1, keepdims=True)
    return scale_pixels(images[rows], config.scaler), weights


@jax.jit(static_argnames="scaler")
def encode_block(
    coder: Coder, images: Num[Array, "n pixels"], mask: Bool[Array, "n pixels"] | None, scaler: str
) -> Float[Array, "n dims"]:
    """Latents of stored images."""
    weights = None if mask is None else mask / mask.sum(axis=1, keepdims=True)
    return coder.encode(scale_pixels(images, scaler), weights)
