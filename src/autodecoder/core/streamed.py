"""An epoch of a run whose training images and latents are not on the device, window by window.

It takes the same steps as `fit.run_epoch`, with the same images in the same order and the same
keys. A run here is hollow: it has no rows for its training images. The caller passes in the rows of
each window and stores the returned ones.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray, UInt32

from autodecoder.config import RunConfig
from autodecoder.core.adam import Moments, Rows
from autodecoder.core.decoders import Decoder
from autodecoder.core.epoch import (
    Course,
    LearningRates,
    Moving,
    MovingLatents,
    Pass,
    Seen,
    pass_windows,
    plan_course,
    rest_the_others,
    visit,
)
from autodecoder.core.fit import EpochKeys, end_epoch, epoch_keys, note_epoch, sample_rows
from autodecoder.core.latent_starts import RowStarts
from autodecoder.core.layout import RowLayout
from autodecoder.core.order import Order, Window, by_batches, draw_window
from autodecoder.core.population import Population, init_population
from autodecoder.core.priors import Prior
from autodecoder.core.runs import Images, Run


def init_hollow(
    key: PRNGKeyArray,
    executions: UInt32[np.ndarray, " runs"],
    rates: LearningRates,
    images: Images,
    config: RunConfig,
) -> tuple[Population, RowStarts]:
    """Create hollow runs before their first epoch, and the initial latents of training images.

    Parameters
    ----------
    key, executions, rates, images, config
        See `init_population`. The training images may be an object that reads rows on request.
    """
    found, starts = RowStarts(images, config), None
    if found.val is not None:
        starts = np.zeros((0, config.decoder.latent_dims), np.float32), found.val
    none = without_training(images)
    return init_population(key, executions, rates, none, starts, config), found


def without_training(images: Images) -> Images:
    """The validation images alone."""
    return images._replace(train=jnp.asarray(images.train[:0]), train_mask=None)


class Opening(NamedTuple):
    """The plan for an epoch."""

    keys: EpochKeys
    course: Course
    sample: Int[Array, " m"] | None
    """Indices of the training images whose codes are sampled, see `fit.sample_rows`."""


def open_epoch(run: Run, rates: LearningRates, n: int, config: RunConfig) -> Opening:
    """Plan the next epoch, on `n` training images."""
    state, n_steps = run.state, pass_windows(n, config, training=True).n_steps
    keys = epoch_keys(state.key, state.epoch)
    course = plan_course(config.fit, n_steps, state.epoch, state.train.steps, rates, training=True)
    sample = sample_rows(keys.sample, n, config)
    return Opening(keys, course, None if sample is None else jnp.asarray(sample))


def draw(opening: Opening, window: Any, n: int, config: RunConfig) -> Window:
    """Draw the images of a window; see `order.draw_window`."""
    return draw_window(opening.keys.order, pass_windows(n, config, training=True), window)


def move_window(
    decoder: Decoder,
    decoder_moments: Moments,
    rows: Rows,
    images: Num[Array, "k pixels"],
    mask: Bool[Array, "k pixels"] | None,
    drawn: Window,
    opening: Opening,
    first: Int[Array, ""],
    n: int,
    config: RunConfig,
    prior: Prior | None = None,
) -> tuple[Decoder, Moments, Rows, Seen]:
    """Take the steps of a window, the first of which is step `first` of the epoch.

    Rows and images are those of `drawn`, shard after shard. Rows are returned with their values at
    the end of the epoch.
    """
    n_shards, length = drawn.rows.shape
    share = pass_windows(n, config, training=True).share
    places = drawn.chosen + jnp.arange(n_shards)[:, None] * length
    order = Order(by_batches(places, share), by_batches(drawn.counted, share))
    course = opening.course
    steps = jax.tree.map(
        lambda a: jax.lax.dynamic_slice_in_dim(a, first, len(order.images)), course.steps
    )
    moving = Moving(decoder, decoder_moments, rows, jnp.zeros(len(images), bool))
    moving, seen = visit(
        moving, order, steps, images, mask, opening.keys.noise, config, None, prior
    )
    rows = moving.rows
    if order.images.size < len(images):
        rows = rest_the_others(moving, course.whole)
    return moving.decoder, moving.decoder_moments, rows, seen


def close_epoch(
    run: Run,
    seen: Seen,
    sample: Float[Array, "m width"] | None,
    statistics: dict[str, Float[Array, ""]],
    opening: Opening,
    rates: LearningRates,
    images: Images,
    config: RunConfig,
) -> tuple[Run, Bool[Array, ""]]:
    """Finish an epoch: the run after it, and whether it was the best epoch so far.

    Parameters
    ----------
    run : Run
        A hollow run with the decoder and its moments after the last window.
    seen : Seen
        The measurements of all windows, concatenated.
    sample : (m, width), optional
        The codes of the training images at `opening.sample`.
    statistics : dict
        `latent_mean` and `latent_variance` of the training latents.
    opening, rates, config
        As of the windows.
    images : Images
        Only the validation images are used.
    """
    state = run.state
    steps = state.train.steps + len(seen.counts)
    trained = Pass(
        state.decoder,
        state.decoder_moments,
        MovingLatents(state.train.rows, steps),
        seen.means(),
        seen.mean_norms(),
    )
    state, metrics = end_epoch(
        state,
        trained,
        sample,
        statistics,
        opening.keys,
        rates,
        images,
        config,
        RowLayout(len(images.val)),
    )
    return note_epoch(run, state, metrics, config)
