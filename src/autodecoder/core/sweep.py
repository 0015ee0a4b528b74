"""One pass over a set of images: in training decoder and latents move, else the latents alone."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from autodecoder.config import FitConfig, RunConfig
from autodecoder.core.adam import (
    Moments,
    Rest,
    Rows,
    adam_step,
    clip_norm,
    plan_rest,
    rest_rows,
    start_rows,
    step_rows,
)
from autodecoder.core.augment import augment_images
from autodecoder.core.decoders import Decoder, Parts
from autodecoder.core.losses import criterion_of, measure, reconstruction_loss
from autodecoder.core.scaling import scale_pixels

#: Beyond so many, bias corrections are long over, and the count stays.
_MOST_STEPS = 2**31 - 1


class LearningRates(NamedTuple):
    """Step sizes of a run, or of stacked runs; traced, so that a search over them compiles once."""

    decoder: Float[Array, "*runs"]
    latents: Float[Array, "*runs"]


class MovingLatents(NamedTuple):
    """Latents under optimisation, with the moments of their Adam."""

    rows: Rows
    steps: Int[Array, ""]
    """Steps made."""

    @property
    def values(self) -> Float[Array, "*runs n dims"]:
        return self.rows.values


def start_moving(latents: Float[Array, "n dims"]) -> MovingLatents:
    """Latents before their first step."""
    return MovingLatents(start_rows(latents), jnp.zeros((), jnp.int32))


class Sweep(NamedTuple):
    """What a pass leaves: everything that moves, and what was measured on the way."""

    decoder: Decoder
    decoder_moments: Moments
    latents: MovingLatents
    metrics: dict[str, Float[Array, ""]]
    """Means over the images visited, each measured before the step taken on it: the `Errors`, and
    the loss under its own name where that is another than the squared error. Where pixels are
    missing, an image counts by the share of its pixels that are known."""
    gradient_norms: Float[Array, " parts"] | None
    """Mean over the steps of the gradient's L2 norm: each layer's, then the latents'."""


def sweep(
    decoder: Decoder,
    decoder_moments: Moments,
    latents: MovingLatents,
    images: Num[Array, "n pixels"],
    mask: Bool[Array, "n pixels"] | None,
    order_key: PRNGKeyArray,
    noise_key: PRNGKeyArray,
    epoch: Int[Array, ""],
    rates: LearningRates,
    config: RunConfig,
) -> Sweep:
    """Visit the images once, in random order; without moments of its own the decoder is frozen.

    Images and latents are shuffled once into batches. Where the last batch is not full, it is
    filled up from the one before it; the rows seen already count neither in the loss nor in the
    metrics, and stay as they are.

    Latents move as under an Adam on all of them at every step (`autodecoder.core.adam`).
    """
    training = decoder_moments is not None
    fit = config.fit
    n = len(images)
    batch_size = min(fit.batch_size, n)
    n_batches = n // batch_size if training and fit.drop_last else -(-n // batch_size)
    order = shuffled(order_key, n)
    steps = jnp.arange(n_batches)
    places = jnp.minimum(steps * batch_size, n - batch_size)[:, None] + jnp.arange(batch_size)
    visited = order[places]
    shares = _schedule(fit, epoch + steps / n_batches)
    if training:
        shares = shares * _warmup(fit, epoch * n_batches + steps, n_batches)
    done, latent_rates = latents.steps, rates.latents * shares
    # Idle spans: epoch start to step, step to epoch end, whole epoch for unvisited rows.
    first = jnp.concatenate([jnp.zeros_like(steps), steps + 1, jnp.zeros(1, jnp.int32)])
    length = jnp.concatenate([steps, steps[::-1], jnp.full(1, n_batches)])
    rests = plan_rest(done, first, length, latent_rates)

    def step(carry: tuple[Decoder, Moments], visit: _Visit):
        decoder, decoder_moments = carry
        k = visit.step
        step_key = jax.random.fold_in(noise_key, k) if training else None
        counts = visit.fresh.astype(jnp.float32)
        if visit.mask is not None:
            counts = counts * visit.mask.mean(axis=1, dtype=jnp.float32)
        total = counts.sum()
        batch = _Batch(
            images=_targets(visit.images, step_key, config),
            mask=visit.mask,
            counts=counts,
            weights=counts / total,
            key=step_key,
        )
        rows = rest_rows(visit.rows, visit.before)
        norms = None
        if training:
            gradient = jax.grad(_batch_loss, argnums=(0, 1), has_aux=True)
            (parts_gradient, z_gradient), sums = gradient(
                decoder.trainable(), rows.values, decoder, batch, config
            )
            if config.track_gradients:
                norms = _norms(parts_gradient, z_gradient)
            if fit.clip_norm is not None:
                parts_gradient = clip_norm(parts_gradient, fit.clip_norm)
            rate = rates.decoder * shares[k]
            parts, decoder_moments = adam_step(
                decoder.trainable(),
                parts_gradient,
                decoder_moments,
                jax.tree.map(lambda scale: rate * scale, tuple(decoder.step_scales(fit))),
                nesterov=fit.nesterov,
            )
            decoder = decoder.with_trainable(parts)
        else:
            gradient = jax.grad(_batch_loss, argnums=1, has_aux=True)
            z_gradient, sums = gradient(decoder.trainable(), rows.values, decoder, batch, config)
        rows = step_rows(rows, z_gradient, done + k, latent_rates[k])
        return (decoder, decoder_moments), (rest_rows(rows, visit.after), sums, total, norms)

    visits = _Visit(
        step=steps,
        images=images[visited],
        mask=None if mask is None else mask[visited],
        rows=jax.tree.map(lambda a: a[visited], latents.rows),
        fresh=places >= steps[:, None] * batch_size,
        before=jax.tree.map(lambda a: a[:n_batches], rests),
        after=jax.tree.map(lambda a: a[n_batches:-1], rests),
    )
    (decoder, decoder_moments), (moved, sums, totals, norms) = jax.lax.scan(
        step, (decoder, decoder_moments), visits
    )
    n_seen = min(n, n_batches * batch_size)
    left_out = rest_rows(
        jax.tree.map(lambda a: a[order[n_seen:]], latents.rows),
        jax.tree.map(lambda a: a[-1], rests),
    )
    source = jnp.zeros(n, jnp.int32).at[order].set(jnp.arange(n), unique_indices=True)

    def gather(moved: Float[Array, "steps b dims"], late: Float[Array, "late dims"]) -> Array:
        """Back into the order of the images."""
        in_order = moved.reshape(-1, moved.shape[-1])
        n_again = len(in_order) - n_seen  # rows of the last batch that were seen before
        start = len(in_order) - batch_size
        parts = (in_order[:start], in_order[start + n_again :], late)
        return jnp.concatenate(parts)[source]

    rows = jax.tree.map(gather, moved, left_out)
    return Sweep(
        decoder,
        decoder_moments,
        MovingLatents(rows, jnp.minimum(done, _MOST_STEPS - n_batches) + n_batches),
        jax.tree.map(lambda e: e.sum() / totals.sum(), sums),
        None if norms is None else norms.mean(axis=0),
    )


def shuffled(key: PRNGKeyArray, n: int) -> Int[Array, " n"]:
    """The numbers from 0 to `n` - 1 in random order, by one sort."""
    return jnp.argsort(jax.random.bits(key, (n,)))


class _Visit(NamedTuple):
    """What a step gets of everything, in a pass stacked along a first axis."""

    step: Int[Array, "*steps"]
    images: Num[Array, "*steps b pixels"]
    mask: Bool[Array, "*steps b pixels"] | None
    rows: Rows
    """As they stand at the start of the pass."""
    fresh: Bool[Array, "*steps b"]
    """False for rows that an earlier step has seen."""
    before: Rest
    """From the start of the pass to the step."""
    after: Rest
    """From behind the step to the end of the pass."""


class _Batch(NamedTuple):
    images: Float[Array, "b pixels"]
    mask: Bool[Array, "b pixels"] | None
    counts: Float[Array, " b"]
    """Share of its pixels that are known; 0 for rows that were seen before."""
    weights: Float[Array, " b"]
    """The same, so that they sum to 1."""
    key: PRNGKeyArray | None
    """For dropout; with it the decoder runs in training mode."""


def _targets(
    images: Num[Array, "b pixels"], key: PRNGKeyArray | None, config: RunConfig
) -> Float[Array, "b pixels"]:
    if key is None or not config.augment.enabled:
        return scale_pixels(images, config.scaler)
    shaped = images.reshape(-1, *config.image_shape).astype(jnp.float32)
    # The decoder's dropout folds small numbers into the same key.
    changed = augment_images(jax.random.fold_in(key, 2**31 - 1), shaped, config.augment)
    return scale_pixels(changed.reshape(images.shape), config.scaler)


def _batch_loss(
    parts: Parts,
    latents: Float[Array, "b dims"],
    decoder: Decoder,
    batch: _Batch,
    config: RunConfig,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The loss of a batch, and the metrics summed over the rows as they count.

    The loss is a mean over the pixels that are known: an image with few of them has little weight,
    as each pixel has the same.
    """
    outputs = decoder.with_trainable(parts).decode(latents, key=batch.key)
    metrics = measure(outputs, batch.images, config.scaler, batch.mask)._asdict()
    losses = metrics["loss"]
    if config.fit.loss != "mse":
        weights = None
        if batch.mask is not None:
            weights = batch.mask / batch.mask.sum(axis=1, keepdims=True)
        losses = reconstruction_loss(outputs, batch.images, criterion_of(config), weights)
        metrics[config.fit.loss] = losses
    sums = jax.tree.map(lambda values: jnp.sum(batch.counts * values), metrics)
    return jnp.sum(batch.weights * losses), sums


def _norms(parts: Parts, latents: Float[Array, "b dims"]) -> Float[Array, " parts"]:
    """The L2 norm of each part's gradient, all its arrays together, and of the latents'."""
    return jnp.stack([optax.tree.norm(part) for part in (*parts, latents)])


def _schedule(fit: FitConfig, epoch: Float[Array, " steps"]) -> Float[Array, " steps"]:
    """Share of the full step size at points of the fit, counted in epochs."""
    if fit.schedule == "constant":
        return jnp.ones_like(epoch)
    if fit.schedule == "linear":
        return 1 - epoch / fit.num_epochs
    return 0.5 * (1 + jnp.cos(jnp.pi * epoch / fit.num_epochs))


def _warmup(fit: FitConfig, step: Int[Array, " steps"], n_batches: int) -> Float[Array, " steps"]:
    """Share of the full step size in the first steps of a fit.

    Without it the first steps of a deep decoder, whose second moments rest on few gradients yet,
    throw it where its outputs are saturated and nothing moves it any more (Liu et al.
    2020, "On the variance of the adaptive learning rate and beyond").
    """
    length = min(fit.warmup_steps, fit.num_epochs * n_batches // 5)
    return jnp.minimum(1, (step + 1) / max(1, length))
