"""One pass over a set of images, which trains decoder and latents, or the latents alone."""

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
from autodecoder.core.codes import divergence, draw
from autodecoder.core.decoders import Decoder, Parts
from autodecoder.core.layout import RowLayout
from autodecoder.core.losses import criterion_of, measure, reconstruction_loss
from autodecoder.core.order import Order, Windows, draw_order, plan_windows
from autodecoder.core.priors import Prior, penalty_factor
from autodecoder.core.scaling import scale_pixels
from autodecoder.core.schedule import schedule, warmup


class LearningRates(NamedTuple):
    """Learning rates of a run, or of stacked runs. They are traced, so that a search over them
    compiles once."""

    decoder: Float[Array, "*runs"]
    latents: Float[Array, "*runs"]


class MovingLatents(NamedTuple):
    """Codes under optimisation (see `codes`), with their Adam moments."""

    rows: Rows
    steps: Int[Array, ""]
    """Number of steps done, below 2³¹."""

    @property
    def values(self) -> Any:
        """The codes, `(n, width)`."""
        return self.rows.values


def start_moving(codes: Float[Array, "n width"], fit: FitConfig | None = None) -> MovingLatents:
    """Codes before their first step, with moments in the form that `fit` configures."""
    fit = FitConfig() if fit is None else fit
    rows = start_rows(codes, fit.latent_second_moment, fit.latent_first_moment_dtype)
    return MovingLatents(rows, jnp.zeros((), jnp.int32))


class Pass(NamedTuple):
    """The result of a pass: the updated decoder and latents, and what was measured."""

    decoder: Decoder
    decoder_moments: Moments
    latents: MovingLatents
    metrics: dict[str, Float[Array, ""]]
    """Means over the visited images: the `Errors`, and the loss by its name if it is not `mse`.
    Each image is measured before the step on its batch, and is weighted by the share of its pixels
    that are known."""
    gradient_norms: Float[Array, " parts"] | None
    """L2 norm of the gradient, averaged over the steps: one for each part of the decoder, then one
    for the latents."""


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
    prior: Prior | None = None,
) -> Pass:
    """Visit the images once, in random order. The decoder is frozen if its moments are `None`.

    Latents move as if Adam took a step on all of them at every step (`autodecoder.core.adam`).
    `layout` says how images, mask and latents are divided among devices; by default they are not.
    """
    layout = RowLayout(len(images)) if layout is None else layout
    fit, n = config.fit, layout.n
    training = decoder_moments is not None
    windows = pass_windows(n, config, training=training)
    order = draw_order(order_key, windows, n_parts=layout.n_parts)
    course = plan_course(fit, windows.n_steps, epoch, latents.steps, rates, training=training)
    moving = Moving(decoder, decoder_moments, latents.rows, jnp.zeros(layout.total, bool))
    moving, seen = visit(
        moving, order, course.steps, images, mask, noise_key, config, layout, prior
    )
    rows = rest_the_others(moving, course.whole) if windows.leaves_out else moving.rows
    return Pass(
        moving.decoder,
        moving.decoder_moments,
        MovingLatents(rows, latents.steps + windows.n_steps),
        seen.means(),
        seen.mean_norms(),
    )


def pass_windows(n: int, config: RunConfig, *, training: bool) -> Windows:
    """The windows in which a pass visits `n` images."""
    fit = config.fit
    return plan_windows(
        n,
        fit.batch_size,
        fit.shards,
        drop_last=training and fit.drop_last,
        together=fit.count_together(math.prod(config.image_shape)),
    )


def rest_the_others(moving: "Moving", whole: Rest) -> Rows:
    """The latents at the end of a pass: those that were not visited take all its steps at once."""
    rested = rest_rows(moving.rows, whole)
    visited = moving.visited[:, None]
    return jax.tree.map(lambda a, b: jnp.where(visited, a, b), moving.rows, rested)


class Steps(NamedTuple):
    """The plan for each step of a pass, or for some successive steps."""

    number: Int[Array, " steps"]
    """Number of the step within the pass, from 0."""
    done: Int[Array, " steps"]
    """Number of Adam steps of the latents before this one, over the whole fit."""
    decoder_rate: Float[Array, " steps"]
    latent_rate: Float[Array, " steps"]
    before: Rest
    """The idle span of a batch's rows from the start of the pass to this step."""
    after: Rest
    """Their idle span from after this step to the end of the pass."""


class Course(NamedTuple):
    """The plan for a pass."""

    steps: Steps
    whole: Rest
    """The idle span of rows that the pass does not visit: the whole pass."""


class Moving(NamedTuple):
    """Everything that a pass changes."""

    decoder: Decoder
    decoder_moments: Moments
    rows: Rows
    """The latents."""
    visited: Bool[Array, " n"]
    """Which rows have been visited; those already have their values for the end of the pass."""


class Seen(NamedTuple):
    """What was measured at each step."""

    sums: dict[str, Float[Array, " steps"]]
    """Sum of each metric over the batch. Each image is weighted by its share of known pixels."""
    counts: Float[Array, " steps"]
    """Sum of these weights."""
    norms: Float[Array, "steps parts"] | None
    """L2 norm of the gradient of each part of the decoder, then of the latents, if tracked."""

    def means(self) -> dict[str, Float[Array, ""]]:
        """Each metric as a mean over the images."""
        return jax.tree.map(lambda sums: sums.sum() / self.counts.sum(), self.sums)

    def mean_norms(self) -> Float[Array, " parts"] | None:
        """The gradient norms as means over the steps."""
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
    """Plan a pass of `n_steps` steps in epoch `epoch`, for latents that have taken `done` steps."""
    numbers = jnp.arange(n_steps)
    shares = schedule(fit, epoch * n_steps + numbers, n_steps)
    if training:
        shares = shares * warmup(fit, epoch * n_steps + numbers, n_steps)
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
    prior: Prior | None = None,
) -> tuple[Moving, Seen]:
    """Take all steps of a pass, or some successive ones.

    Cutting a pass into several calls does not change the result, with one exception. If images of
    the previous step fill up a batch and the cut lies between the two steps, then these images have
    moved already, which changes the batch's statistics of batch normalisation.

    Parameters
    ----------
    moving : Moving
        The result of the previous steps.
    order : Order
        The images of these steps.
    steps : Steps
    images, mask
        The rows that `order` refers to.
    noise_key : key
        The key of the pass for augmentation, dropout, and draws from Gaussian codes.
    config : RunConfig
    layout : RowLayout, optional
        How images, mask and rows are divided among devices; by default they are not.
    prior : Prior, optional
        Density that draws the latents towards it.
    """
    fit = config.fit
    layout = RowLayout(len(images)) if layout is None else layout
    take = layout.local(_take, (0, 0), 0)
    training = moving.decoder_moments is not None

    def step(carry: tuple[Decoder, Moments], visited: tuple[Steps, Order, Rows]):
        decoder, decoder_moments = carry
        now, (chosen, counted), rows = visited
        key = jax.random.fold_in(noise_key, now.number)
        known = None if mask is None else take(mask, chosen)
        counts = ones = jnp.asarray(counted, jnp.float32)
        if known is not None:
            counts = counts * known.mean(axis=1, dtype=jnp.float32)
        total = counts.sum()
        batch = _Batch(
            images=_targets(take(images, chosen), key if training else None, config),
            mask=known,
            counts=counts,
            weights=counts / total,
            shares=ones / total,
            key=key if training else None,
            draw_key=jax.random.fold_in(key, _FOR_DRAWS),
        )
        rows = rest_rows(rows, now.before)
        norms = None
        if training:
            gradient = jax.grad(_batch_loss, argnums=(0, 1), has_aux=True)
            (parts_gradient, z_gradient), sums = gradient(
                decoder.trainable(), rows.values, decoder, prior, batch, config
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
            z_gradient, sums = gradient(
                decoder.trainable(), rows.values, decoder, prior, batch, config
            )
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
    """Write the moved rows of some batches back, and mark them as visited."""
    n = len(visited)
    # The position of each image in these steps. Rows that fill up a batch are not written back.
    written = jnp.where(counted, images, n).ravel()
    place = jnp.full(n, -1).at[written].set(jnp.arange(written.size), mode="drop")
    came = place >= 0

    def put(moved: Float[Array, "steps b dims"], rows: Float[Array, "n dims"]) -> Array:
        return jnp.where(came[:, None], moved.reshape(-1, moved.shape[-1])[place], rows)

    return jax.tree.map(put, moved, rows), visited | came


#: Folded into the key of a step for draws from codes. A large number, since the decoder's dropout
#: folds small ones into the same key; augmentation has the next one.
_FOR_DRAWS, _FOR_AUGMENTATION = 2**31 - 2, 2**31 - 1


class _Batch(NamedTuple):
    images: Float[Array, "b pixels"]
    mask: Bool[Array, "b pixels"] | None
    counts: Float[Array, " b"]
    """Share of known pixels of each image; 0 for an image that fills up the batch."""
    weights: Float[Array, " b"]
    """`counts`, scaled to sum to 1."""
    shares: Float[Array, " b"]
    """1 over the sum of `counts`; 0 for an image that fills up the batch."""
    key: PRNGKeyArray | None
    """Key for dropout. With a key the decoder runs in training mode."""
    draw_key: PRNGKeyArray
    """Key for draws from Gaussian codes."""


def _targets(
    images: Num[Array, "b pixels"], key: PRNGKeyArray | None, config: RunConfig
) -> Float[Array, "b pixels"]:
    if key is None or not config.augment.enabled:
        return scale_pixels(images, config.scaler)
    shaped = images.reshape(-1, *config.image_shape).astype(jnp.float32)
    changed = augment_images(jax.random.fold_in(key, _FOR_AUGMENTATION), shaped, config.augment)
    return scale_pixels(changed.reshape(images.shape), config.scaler)


def _batch_loss(
    parts: Parts,
    rows: Float[Array, "b width"],
    decoder: Decoder,
    prior: Prior | None,
    batch: _Batch,
    config: RunConfig,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The loss of a batch, and the metrics summed over its rows, weighted by `counts`.

    The loss is a mean over all known pixels of the batch with equal weights, so that an image with
    few known pixels has a small weight. The prior counts once for each image.
    """
    drawn = draw(rows, decoder.config.latent_dims, batch.draw_key)
    outputs = decoder.with_trainable(parts).decode(drawn.latents, key=batch.key)
    metrics = measure(outputs, batch.images, config.scaler, batch.mask)._asdict()
    losses = metrics["loss"]
    if config.fit.loss != "mse":
        weights = None
        if batch.mask is not None:
            weights = batch.mask / batch.mask.sum(axis=1, keepdims=True)
        losses = reconstruction_loss(outputs, batch.images, criterion_of(config), weights)
        metrics[config.fit.loss] = losses
    total = jnp.sum(batch.weights * losses)
    if prior is not None:
        metrics["log_prior"] = prior.mixture.log_density(drawn.latents)
        penalties = prior.mixture.penalty(drawn.latents)
        if config.fit.codes == "gaussian":
            metrics["divergence"] = divergence(drawn, prior.mixture)
            penalties = 2 * metrics["divergence"]
        factor = penalty_factor(prior.noise, config.fit.loss, config.fit.prior_weight)
        total += factor / outputs.shape[1] * jnp.sum(batch.shares * penalties)
    sums = jax.tree.map(lambda values: jnp.sum(batch.counts * values), metrics)
    return total, sums


def _norms(parts: Parts, latents: Float[Array, "b dims"]) -> Float[Array, " parts"]:
    """The L2 norm of the gradient of each part (all its arrays together), then of the latents."""
    return jnp.stack([optax.tree.norm(part) for part in (*parts, latents)])
