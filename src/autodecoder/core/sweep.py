"""One pass over a set of images: in training decoder and latents move, else the latents alone."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt8

from autodecoder.config import FitConfig, RunConfig
from autodecoder.core.augment import augment_images
from autodecoder.core.decoder import Decoder, Layer, decode, decode_training
from autodecoder.core.losses import Errors, measure
from autodecoder.core.scaling import scale_pixels

# Adam (Kingma & Ba 2015) with the constants of Keras. Dense on the latents: its momentum moves
# every latent at every step, also those outside the batch.
_ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-7)
# The same with Nesterov's momentum (Dozat 2016).
_NADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-7, nesterov=True)

#: State of an Adam; none where nothing moves.
Moments = optax.OptState | None


class LearningRates(NamedTuple):
    """Step sizes of a run; traced, so that a search over them compiles once."""

    decoder: Float[Array, ""]
    latents: Float[Array, ""]


class MovingLatents(NamedTuple):
    """Latents under optimisation, with the moments of their Adam."""

    values: Float[Array, "n dims"]
    moments: Moments


class Sweep(NamedTuple):
    """What a pass leaves: everything that moves, and what was measured on the way."""

    decoder: Decoder
    decoder_moments: Moments
    latents: MovingLatents
    errors: Errors
    """Means over the images visited, each measured before the step taken on it."""
    gradient_norms: Float[Array, " parts"] | None
    """Mean over the steps of the gradient's L2 norm: each layer's, then the latents'."""


def sweep(
    decoder: Decoder,
    decoder_moments: Moments,
    latents: MovingLatents,
    images: UInt8[Array, "n pixels"],
    key: PRNGKeyArray,
    epoch: Int[Array, ""],
    rates: LearningRates,
    config: RunConfig,
) -> Sweep:
    """Visit the images once, in random order; without moments of its own the decoder is frozen.

    Images and latents are shuffled once, so that each batch is a contiguous slice. Where the last
    batch is not full, it is filled up from the one before it; the rows seen already count neither
    in the loss nor in the metrics.
    """
    training = decoder_moments is not None
    fit = config.fit
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
        step_key = jax.random.fold_in(noise_key, k) if training else None
        batch = _Batch(
            images=_targets(_slice(shuffled, start, batch_size), step_key, config),
            weights=fresh / fresh.sum(),
            key=step_key,
        )
        z = _slice(latents.values, start, batch_size)
        factor = _schedule(fit, epoch + k / n_batches)
        norms = None
        if training:
            gradient = jax.grad(_batch_loss, argnums=(0, 1), has_aux=True)
            (layers_gradient, z_gradient), errors = gradient(
                decoder.layers, z, decoder, batch, config.scaler
            )
            if config.track_gradients:
                norms = _norms(layers_gradient, z_gradient)
            layers, decoder_moments = _adam_step(
                decoder.layers,
                layers_gradient,
                decoder_moments,
                rates.decoder * factor,
                nesterov=fit.nesterov,
            )
            decoder = replace(decoder, layers=layers)
        else:
            gradient = jax.grad(_batch_loss, argnums=1, has_aux=True)
            z_gradient, errors = gradient(decoder.layers, z, decoder, batch, config.scaler)
        dense = jax.lax.dynamic_update_slice_in_dim(
            jnp.zeros_like(latents.values), z_gradient, start, 0
        )
        latents = MovingLatents(
            *_adam_step(latents.values, dense, latents.moments, rates.latents * factor)
        )
        return (decoder, decoder_moments, latents), (errors, norms)

    carry = (decoder, decoder_moments, _reorder(latents, lambda a: a[order]))
    (decoder, decoder_moments, latents), (errors, norms) = jax.lax.scan(
        step, carry, jnp.arange(n_batches)
    )
    n_seen = min(n, n_batches * batch_size)
    return Sweep(
        decoder,
        decoder_moments,
        _reorder(latents, lambda a: jnp.zeros_like(a).at[order].set(a, unique_indices=True)),
        jax.tree.map(lambda e: e.sum() / n_seen, errors),
        None if norms is None else norms.mean(axis=0),
    )


def adam_start(values: Any) -> Moments:
    """Moments before the first step."""
    return _ADAM.init(values)


class _Batch(NamedTuple):
    images: Float[Array, "b pixels"]
    weights: Float[Array, " b"]
    """They sum to 1; 0 for rows that were seen before."""
    key: PRNGKeyArray | None
    """For dropout; with it the decoder runs in training mode."""


def _targets(
    images: UInt8[Array, "b pixels"], key: PRNGKeyArray | None, config: RunConfig
) -> Float[Array, "b pixels"]:
    if key is None or not config.augment.enabled:
        return scale_pixels(images, config.scaler)
    shaped = images.reshape(-1, *config.image_shape).astype(jnp.float32)
    # The decoder's dropout folds small numbers into the same key.
    changed = augment_images(jax.random.fold_in(key, 2**31 - 1), shaped, config.augment)
    return scale_pixels(changed.reshape(images.shape), config.scaler)


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


def _norms(layers: tuple[Layer, ...], latents: Float[Array, "b dims"]) -> Float[Array, " parts"]:
    """The L2 norm of each layer's gradient, all its arrays together, and of the latents'."""
    return jnp.stack([optax.tree.norm(part) for part in (*layers, latents)])


def _adam_step(
    values: Any, gradient: Any, moments: Any, rate: Float[Array, ""], *, nesterov: bool = False
) -> tuple[Any, Moments]:
    direction, moments = (_NADAM if nesterov else _ADAM).update(gradient, moments)
    return jax.tree.map(lambda v, d: v - rate * d, values, direction), moments


def _schedule(fit: FitConfig, epoch: Float[Array, ""]) -> Float[Array, ""]:
    """Share of the full step size at a point of the fit, counted in epochs."""
    if fit.schedule == "constant":
        return jnp.ones(())
    return 0.5 * (1 + jnp.cos(jnp.pi * epoch / fit.num_epochs))


def _slice(values: Array, start: Int[Array, ""], size: int) -> Array:
    return jax.lax.dynamic_slice_in_dim(values, start, size)


def _reorder(latents: MovingLatents, reorder: Callable[[Array], Array]) -> MovingLatents:
    """Apply a row permutation to latents and moments; the step count has no rows."""
    return jax.tree.map(lambda a: reorder(a) if a.ndim else a, latents)
