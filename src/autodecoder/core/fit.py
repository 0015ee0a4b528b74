"""The joint fit: decoder and latents move together, mini-batch by mini-batch.

A run is a state and a pure function that moves it on by epochs. One pass over a set of images is
one `lax.scan`; the same pass serves training, where decoder and latents move, and co-trained
validation, where only the latents do.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from autodecoder.config import DecoderConfig, FitConfig
from autodecoder.core.decoder import (
    Decoder,
    Layer,
    decode,
    decode_training,
    estimate_statistics,
    init_decoder,
)
from autodecoder.core.latents import start_latents
from autodecoder.core.losses import Errors, measure
from autodecoder.core.scaling import SCALINGS, scale_pixels

#: Metrics of one epoch, in the order in which `History` has them.
EPOCH_METRICS = (*Errors._fields, *(f"val_{name}" for name in Errors._fields))

# Adam (Kingma & Ba 2015) with the constants of Keras. Dense on the latents: its momentum moves
# every latent at every step, also those outside the batch.
_ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-7)

#: Training latents from which the statistics of batch normalisation are estimated.
_STATISTICS_SAMPLE = 8192


#: State of an Adam; none where nothing moves.
Moments = optax.OptState | None


class Images(NamedTuple):
    """Training and validation images, resident on the device as they are stored."""

    train: UInt8[Array, "n_train pixels"]
    val: UInt8[Array, "n_val pixels"]


class LearningRates(NamedTuple):
    """Step sizes of a run; traced, so that a search over them compiles once."""

    decoder: Float[Array, ""]
    latents: Float[Array, ""]


class MovingLatents(NamedTuple):
    """Latents under optimisation, with the moments of their Adam."""

    values: Float[Array, "n dims"]
    moments: Moments


class RunState(eqx.Module):
    """What a run carries from epoch to epoch."""

    decoder: Decoder
    decoder_moments: Moments
    train: MovingLatents
    """Latents of the training images."""
    val: MovingLatents
    """Latents of the validation images under the co-trained protocol."""
    key: PRNGKeyArray
    epoch: Int[Array, ""]
    """Number of epochs done."""


#: One value an epoch for each of `EPOCH_METRICS`; not a number where the run has not been yet.
History = dict[str, Float[Array, " epochs"]]


def init_run(
    key: PRNGKeyArray,
    images: Images,
    scores: tuple[Float[Array, "n_train dims"], Float[Array, "n_val dims"]] | None,
    *,
    decoder_config: DecoderConfig,
    fit: FitConfig,
    scaler: str,
) -> tuple[RunState, History]:
    """The state of a run before its first epoch, and its empty history.

    Parameters
    ----------
    key : key
        Everything random in the run follows from it.
    images : Images
    scores : pair of (n, latent_dims), optional
        PCA scores of training and validation images, where the fit starts from them.
    """
    decoder_key, train_key, val_key, run_key = jax.random.split(key, 4)
    n_pixels = images.train.shape[1]
    decoder = init_decoder(
        decoder_key, decoder_config, n_pixels, SCALINGS[scaler].output_activation
    )
    train_scores, val_scores = (None, None) if scores is None else scores
    dims = decoder_config.latent_dims
    train = start_latents(train_key, fit.latent_start, (len(images.train), dims), train_scores)
    val = start_latents(val_key, fit.latent_start, (len(images.val), dims), val_scores)
    state = RunState(
        decoder=decoder,
        decoder_moments=_adam_start(decoder.layers),
        train=MovingLatents(train, _adam_start(train)),
        val=MovingLatents(val, _adam_start(val)),
        key=run_key,
        epoch=jnp.zeros((), jnp.int32),
    )
    return state, {name: jnp.full(fit.num_epochs, jnp.nan) for name in EPOCH_METRICS}


def advance_run(
    state: RunState,
    history: History,
    rates: LearningRates,
    images: Images,
    n_epochs: int | Int[Array, ""],
    *,
    fit: FitConfig,
    scaler: str,
) -> tuple[RunState, History]:
    """Move a run on by some epochs. Their number is traced: how they are portioned is no matter."""

    def one_epoch(_: int | Array, carry: tuple[RunState, History]) -> tuple[RunState, History]:
        state, history = carry
        state, metrics = run_epoch(state, rates, images, fit=fit, scaler=scaler)
        row = state.epoch - 1
        return state, {name: history[name].at[row].set(metrics[name]) for name in history}

    return jax.lax.fori_loop(0, n_epochs, one_epoch, (state, history))


def run_epoch(
    state: RunState, rates: LearningRates, images: Images, *, fit: FitConfig, scaler: str
) -> tuple[RunState, dict[str, Float[Array, ""]]]:
    """One pass over the training images, then one over the validation images.

    Returns
    -------
    state : RunState
    metrics : dict
        `EPOCH_METRICS`: means over the images visited, each measured when its batch was visited,
        before the step taken on it.
    """
    epoch_key = jax.random.fold_in(state.key, state.epoch)
    train_key, val_key, sample_key = jax.random.split(epoch_key, 3)
    decoder, decoder_moments, train, errors = _sweep(
        state.decoder,
        state.decoder_moments,
        state.train,
        images.train,
        train_key,
        state.epoch,
        rates,
        fit=fit,
        scaler=scaler,
    )
    if decoder.config.batch_norm:
        decoder = estimate_statistics(decoder, _sample(sample_key, train.values))
    _, _, val, val_errors = _sweep(
        decoder, None, state.val, images.val, val_key, state.epoch, rates, fit=fit, scaler=scaler
    )
    metrics = dict(zip(EPOCH_METRICS, (*errors, *val_errors), strict=True))
    state = RunState(decoder, decoder_moments, train, val, state.key, state.epoch + 1)
    return state, metrics


def _sweep(
    decoder: Decoder,
    decoder_moments: Moments,
    latents: MovingLatents,
    images: UInt8[Array, "n pixels"],
    key: PRNGKeyArray,
    epoch: Int[Array, ""],
    rates: LearningRates,
    *,
    fit: FitConfig,
    scaler: str,
) -> tuple[Decoder, Moments, MovingLatents, Errors]:
    """Visit the images once, in random order; without moments of its own the decoder is frozen.

    Images and latents are shuffled once, so that each batch is a contiguous slice. Where the last
    batch is not full, it is filled up from the one before it; the rows seen already count neither
    in the loss nor in the metrics.
    """
    training = decoder_moments is not None
    n = len(images)
    batch_size = min(fit.batch_size, n)
    n_batches = n // batch_size if training and fit.drop_last else -(-n // batch_size)
    order_key, noise_key = jax.random.split(key)
    order = jax.random.permutation(order_key, n)
    shuffled = images[order]

    def step(carry, k: Int[Array, ""]):
        decoder, decoder_moments, latents = carry
        start = jnp.minimum(k * batch_size, n - batch_size)
        fresh = start + jnp.arange(batch_size) >= k * batch_size
        batch = _Batch(
            images=scale_pixels(_slice(shuffled, start, batch_size), scaler),
            weights=fresh / fresh.sum(),
            key=jax.random.fold_in(noise_key, k) if training else None,
        )
        z = _slice(latents.values, start, batch_size)
        factor = _schedule(fit, epoch + k / n_batches)
        if training:
            gradient = jax.grad(_batch_loss, argnums=(0, 1), has_aux=True)
            (layers_gradient, z_gradient), errors = gradient(
                decoder.layers, z, decoder, batch, scaler
            )
            layers, decoder_moments = _adam_step(
                decoder.layers, layers_gradient, decoder_moments, rates.decoder * factor
            )
            decoder = replace(decoder, layers=layers)
        else:
            gradient = jax.grad(_batch_loss, argnums=1, has_aux=True)
            z_gradient, errors = gradient(decoder.layers, z, decoder, batch, scaler)
        dense = jax.lax.dynamic_update_slice_in_dim(
            jnp.zeros_like(latents.values), z_gradient, start, 0
        )
        latents = MovingLatents(
            *_adam_step(latents.values, dense, latents.moments, rates.latents * factor)
        )
        return (decoder, decoder_moments, latents), errors

    carry = (decoder, decoder_moments, _reorder(latents, lambda a: a[order]))
    (decoder, decoder_moments, latents), errors = jax.lax.scan(step, carry, jnp.arange(n_batches))
    latents = _reorder(latents, lambda a: jnp.zeros_like(a).at[order].set(a, unique_indices=True))
    n_seen = min(n, n_batches * batch_size)
    return decoder, decoder_moments, latents, jax.tree.map(lambda e: e.sum() / n_seen, errors)


class _Batch(NamedTuple):
    images: Float[Array, "b pixels"]
    weights: Float[Array, " b"]
    """They sum to 1; 0 for rows that were seen before."""
    key: PRNGKeyArray | None
    """For dropout; with it the decoder runs in training mode."""


def _batch_loss(
    layers: tuple[Layer, ...],
    latents: Float[Array, "b dims"],
    decoder: Decoder,
    batch: _Batch,
    scaler: str,
) -> tuple[Float[Array, ""], Errors]:
    """The loss of a batch, and the summed errors of the rows that count."""
    decoder = replace(decoder, layers=layers)
    if batch.key is None:
        outputs = decode(decoder, latents)
    else:
        outputs = decode_training(decoder, latents, batch.key)
    errors = measure(outputs, batch.images, scaler)
    seen = (batch.weights > 0).astype(jnp.float32)
    sums = jax.tree.map(lambda e: jnp.sum(seen * e), errors)
    return jnp.sum(batch.weights * errors.loss), sums


def _adam_start(values: Any) -> Moments:
    return _ADAM.init(values)


def _adam_step(
    values: Any, gradient: Any, moments: Any, rate: Float[Array, ""]
) -> tuple[Any, Moments]:
    direction, moments = _ADAM.update(gradient, moments)
    return jax.tree.map(lambda v, d: v - rate * d, values, direction), moments


def _schedule(fit: FitConfig, epoch: Float[Array, ""]) -> Float[Array, ""]:
    """Share of the full step size at a point of the fit, counted in epochs."""
    if fit.schedule == "constant":
        return jnp.ones(())
    return 0.5 * (1 + jnp.cos(jnp.pi * epoch / fit.num_epochs))


def _sample(key: PRNGKeyArray, latents: Float[Array, "n dims"]) -> Float[Array, "m dims"]:
    """Some latents at random where there are many, all of them where there are few."""
    n = len(latents)
    if n <= _STATISTICS_SAMPLE:
        return latents
    return latents[jax.random.randint(key, (_STATISTICS_SAMPLE,), 0, n)]


def _slice(values: Array, start: Int[Array, ""], size: int) -> Array:
    return jax.lax.dynamic_slice_in_dim(values, start, size)


def _reorder(latents: MovingLatents, reorder: Callable[[Array], Array]) -> MovingLatents:
    """Apply a row permutation to latents and moments; the step count has no rows."""
    return jax.tree.map(lambda a: reorder(a) if a.ndim else a, latents)
