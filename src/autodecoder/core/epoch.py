"""One pass over a set of images: in training decoder and latents move, else the latents alone."""

import math
from typing import Any, NamedTuple

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
from autodecoder.core.layout import RowLayout
from autodecoder.core.losses import criterion_of, measure, reconstruction_loss
from autodecoder.core.order import Order, Windows, draw_order, plan_windows
from autodecoder.core.scaling import scale_pixels


class LearningRates(NamedTuple):
    """Step sizes of a run, or of stacked runs; traced, so that a search over them compiles once."""

    decoder: Float[Array, "*runs"]
    latents: Float[Array, "*runs"]


class MovingLatents(NamedTuple):
    """Latents under optimisation, with the moments of their Adam."""

    rows: Rows
    steps: Int[Array, ""]
    """Steps made: fewer than 2³¹."""

    @property
    def values(self) -> Any:
        """The latents, `(n, latent_dims)`."""
        return self.rows.values


def start_moving(latents: Float[Array, "n dims"], fit: FitConfig | None = None) -> MovingLatents:
    """Latents before their first step, with moments as the fit keeps them."""
    fit = FitConfig() if fit is None else fit
    rows = start_rows(latents, fit.latent_second_moment, fit.latent_first_moment_dtype)
    return MovingLatents(rows, jnp.zeros((), jnp.int32))


class Pass(NamedTuple):
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


def run_pass(
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
    layout: RowLayout | None = None,
) -> Pass:
    """Visit the images once, in random order; without moments of its own the decoder is frozen.

    Latents move as under an Adam on all of them at every step (`autodecoder.core.adam`). Images,
    mask and latents lie as `layout` says, by default together.
    """
    layout = RowLayout(len(images)) if layout is None else layout
    fit, n = config.fit, layout.n
    training = decoder_moments is not None
    windows = pass_windows(n, config, training=training)
    order = draw_order(order_key, windows, n_parts=layout.n_parts)
    course = plan_course(fit, windows.n_steps, epoch, latents.steps, rates, training=training)
    moving = Moving(decoder, decoder_moments, latents.rows, jnp.zeros(layout.total, bool))
    moving, seen = visit(moving, order, course.steps, images, mask, noise_key, config, layout)
    rows = rest_the_others(moving, course.whole) if windows.leaves_out else moving.rows
    return Pass(
        moving.decoder,
        moving.decoder_moments,
        MovingLatents(rows, latents.steps + windows.n_steps),
        seen.means(),
        seen.mean_norms(),
    )


def pass_windows(n: int, config: RunConfig, *, training: bool) -> Windows:
    """How a pass goes through `n` images."""
    fit = config.fit
    return plan_windows(
        n,
        fit.batch_size,
        fit.shards,
        drop_last=training and fit.drop_last,
        together=fit.count_together(math.prod(config.image_shape)),
    )


def rest_the_others(moving: "Moving", whole: Rest) -> Rows:
    """The latents at the end of a pass: those that it has left out rest for all of it."""
    rested = rest_rows(moving.rows, whole)
    visited = moving.visited[:, None]
    return jax.tree.map(lambda a, b: jnp.where(visited, a, b), moving.rows, rested)


class Steps(NamedTuple):
    """What is planned for each step of a pass, or for some in a row."""

    number: Int[Array, " steps"]
    """From 0, within the pass."""
    done: Int[Array, " steps"]
    """Steps of the latents' Adam before."""
    decoder_rate: Float[Array, " steps"]
    latent_rate: Float[Array, " steps"]
    before: Rest
    """From the start of the pass to the step."""
    after: Rest
    """From after the step to the end of the pass."""


class Course(NamedTuple):
    """What is planned for a pass."""

    steps: Steps
    whole: Rest
    """Of those that it leaves out."""


class Moving(NamedTuple):
    """All that a pass changes."""

    decoder: Decoder
    decoder_moments: Moments
    rows: Rows
    """The latents'."""
    visited: Bool[Array, " n"]
    """Which rows have had their step: they are as they will be at the end of the pass."""


class Seen(NamedTuple):
    """What was measured at each step."""

    sums: dict[str, Float[Array, " steps"]]
    counts: Float[Array, " steps"]
    norms: Float[Array, "steps parts"] | None

    def means(self) -> dict[str, Float[Array, ""]]:
        """Over the images."""
        return jax.tree.map(lambda sums: sums.sum() / self.counts.sum(), self.sums)

    def mean_norms(self) -> Float[Array, " parts"] | None:
        """Over the steps."""
        return None if self.norms is None else self.norms.mean(axis=0)


def plan_course(
    fit: FitConfig,
    n_steps: int,
    epoch: Int[Array, ""],
    done: Int[Array, ""],
    rates: LearningRates,
    *,
    training: bool,
) -> Course:
    """What is planned for a pass of `n_steps`, where latents have `done` steps behind them."""
    numbers = jnp.arange(n_steps)
    shares = _schedule(fit, epoch * n_steps + numbers, n_steps)
    if training:
        shares = shares * _warmup(fit, epoch * n_steps + numbers, n_steps)
    latent_rates = rates.latents * shares
    ends = jnp.arange(n_steps + 1)
    before = plan_rest(done, jnp.zeros_like(numbers), numbers, latent_rates)
    after = plan_rest(done, ends, n_steps - ends, latent_rates)
    whole, after = (jax.tree.map(lambda a, k=k: a[k], after) for k in (0, slice(1, None)))
    steps = Steps(numbers, done + numbers, rates.decoder * shares, latent_rates, before, after)
    return Course(steps, whole)


def visit(
    moving: Moving,
    order: Order,
    steps: Steps,
    images: Num[Array, "n pixels"],
    mask: Bool[Array, "n pixels"] | None,
    noise_key: PRNGKeyArray,
    config: RunConfig,
    layout: RowLayout | None = None,
) -> tuple[Moving, Seen]:
    """Take steps of a pass, all of them or some in a row.

    How a pass is cut does not matter, but for the statistics of batch normalisation in a step that
    images of the step before fill up: those have moved by then where the pass is cut between.

    Parameters
    ----------
    moving : Moving
        As the steps before leave it.
    order : Order
        Of these steps.
    steps : Steps
    images, mask
        Those that the order numbers.
    noise_key : key
        Of the pass.
    config : RunConfig
    layout : RowLayout, optional
        How images, mask and rows lie; by default together.
    """
    fit = config.fit
    layout = RowLayout(len(images)) if layout is None else layout
    take = layout.local(_take, (0, 0), 0)
    training = moving.decoder_moments is not None

    def step(carry: tuple[Decoder, Moments], visited: tuple[Steps, Order, Rows]):
        decoder, decoder_moments = carry
        now, (chosen, counted), rows = visited
        key = jax.random.fold_in(noise_key, now.number) if training else None
        known = None if mask is None else take(mask, chosen)
        counts = jnp.asarray(counted, jnp.float32)
        if known is not None:
            counts = counts * known.mean(axis=1, dtype=jnp.float32)
        total = counts.sum()
        batch = _Batch(
            images=_targets(take(images, chosen), key, config),
            mask=known,
            counts=counts,
            weights=counts / total,
            key=key,
        )
        rows = rest_rows(rows, now.before)
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
            parts, decoder_moments = adam_step(
                decoder.trainable(),
                parts_gradient,
                decoder_moments,
                jax.tree.map(
                    lambda scale: now.decoder_rate * scale, tuple(decoder.step_scales(fit))
                ),
                nesterov=fit.nesterov,
            )
            decoder = decoder.with_trainable(parts)
        else:
            gradient = jax.grad(_batch_loss, argnums=1, has_aux=True)
            z_gradient, sums = gradient(decoder.trainable(), rows.values, decoder, batch, config)
        rows = rest_rows(step_rows(rows, z_gradient, now.done, now.latent_rate), now.after)
        return (decoder, decoder_moments), (rows, Seen(sums, total, norms))

    before = layout.local(_take, (0, 1), 1)(moving.rows, jnp.asarray(order.images))
    (decoder, decoder_moments), (after, seen) = jax.lax.scan(
        step, (moving.decoder, moving.decoder_moments), (steps, order, before)
    )
    put_back = layout.local(_put_back, (0, 0, 1, 1, 1), 0)
    rows, visited = put_back(
        moving.rows, moving.visited, after, order.images, jnp.asarray(order.counted)
    )
    return Moving(decoder, decoder_moments, rows, visited), seen


def _take(rows: Any, chosen: Int[Array, "..."]) -> Any:
    return jax.tree.map(lambda a: a[chosen], rows)


def _put_back(
    rows: Rows,
    visited: Bool[Array, " n"],
    moved: Rows,
    images: Int[Array, "steps b"],
    counted: Bool[Array, "steps b"],
) -> tuple[Rows, Bool[Array, " n"]]:
    """Rows, and which have been visited, after those of some batches have moved."""
    n = len(visited)
    # Where each image comes in these steps; what fills up a batch is written nowhere.
    written = jnp.where(counted, images, n).ravel()
    place = jnp.full(n, -1).at[written].set(jnp.arange(written.size), mode="drop")
    came = place >= 0

    def put(moved: Float[Array, "steps b dims"], rows: Float[Array, "n dims"]) -> Array:
        return jnp.where(came[:, None], moved.reshape(-1, moved.shape[-1])[place], rows)

    return jax.tree.map(put, moved, rows), visited | came


class _Batch(NamedTuple):
    images: Float[Array, "b pixels"]
    mask: Bool[Array, "b pixels"] | None
    counts: Float[Array, " b"]
    """Share of its pixels that are known; 0 where an image fills up the batch."""
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


def _schedule(fit: FitConfig, step: Int[Array, " steps"], n_batches: int) -> Array:
    """Share of the full step size in steps of a fit.

    In whole numbers as far as it goes: then its rounding is the same whatever else is compiled with
    it.
    """
    total = fit.num_epochs * n_batches
    if fit.schedule == "constant":
        return jnp.ones(step.shape)
    if fit.schedule == "linear":
        return (total - step) / total
    return 0.5 * (1 + jnp.cos(jnp.pi * (step / total)))


def _warmup(fit: FitConfig, step: Int[Array, " steps"], n_batches: int) -> Float[Array, " steps"]:
    """Share of the full step size in the first steps of a fit.

    Without it the first steps of a deep decoder, whose second moments rest on few gradients yet,
    throw it where its outputs are saturated and nothing moves it any more (Liu et al.
    2020, "On the variance of the adaptive learning rate and beyond").
    """
    length = min(fit.warmup_steps, fit.num_epochs * n_batches // 5)
    return jnp.minimum(1, (step + 1) / max(1, length))
