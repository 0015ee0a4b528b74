"""The joint fit: decoder and latents are trained together, epoch by epoch.

A run is a pytree, and a pure function advances it to a given epoch. An epoch is a pass over the
training images, which updates decoder and latents, then a pass over the validation images under the
co-trained protocol, which updates their latents only.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from autodecoder.brief import brief
from autodecoder.config import RunConfig
from autodecoder.core.adam import Moments, adam_start
from autodecoder.core.decoders import Decoder, init_decoder, part_names, shape_decoder
from autodecoder.core.epoch import LearningRates, MovingLatents, Pass, run_pass, start_moving
from autodecoder.core.latents import start_latents
from autodecoder.core.layout import Layout, RowLayout
from autodecoder.core.losses import Errors
from autodecoder.core.priors import Prior, start_prior, update_prior
from autodecoder.core.scaling import SCALINGS
from autodecoder.core.watch import RUNNING, Watch, init_watch, watch_epoch

#: Errors of one epoch, in the order of a history.
EPOCH_METRICS = (*Errors._fields, *(f"val_{name}" for name in Errors._fields))
#: Errors under the fresh protocol, which is evaluated elsewhere, and only after some epochs.
FRESH_METRICS = tuple(f"fresh_val_{name}" for name in Errors._fields)
#: Mean and variance over all entries of the latents at the end of an epoch.
LATENT_STATISTICS = ("latent_mean", "latent_variance", "val_latent_mean", "val_latent_variance")

#: Mean log density of the latents under the prior, in nats.
PRIOR_METRICS = ("log_prior", "val_log_prior")

#: Number of training latents from which the statistics of batch normalisation, and the prior, are
#: estimated.
_STATISTICS_SAMPLE = 8192


class Images(NamedTuple):
    """Training and validation images with stored values: uint8, or float32 in the same range."""

    train: Num[Array, "n_train pixels"]
    val: Num[Array, "n_val pixels"]
    train_mask: Bool[Array, "n_train pixels"] | None = None
    """True where a pixel is known; `None` if all are. Unknown pixels have finite values and weight
    0."""
    val_mask: Bool[Array, "n_val pixels"] | None = None


#: Initial latents of training and validation images, before scaling by the spread.
LatentStarts = tuple[
    Float[Array | np.ndarray, "n_train dims"], Float[Array | np.ndarray, "n_val dims"]
]


class RunState(eqx.Module):
    """What training carries from epoch to epoch."""

    decoder: Decoder
    decoder_moments: Moments
    train: MovingLatents
    """Latents of the training images."""
    val: MovingLatents
    """Latents of the validation images under the co-trained protocol."""
    key: PRNGKeyArray
    epoch: Int[Array, ""]
    """Number of epochs done."""
    prior: Prior | None = None
    """The prior that is learnt along; `None` for a fit without."""


@brief
class Snapshot(NamedTuple):
    """A decoder with its latents after some epoch."""

    decoder: Decoder
    train_latents: Float[Array, "n_train dims"]
    val_latents: Float[Array, "n_val dims"]
    epoch: Int[Array, ""]


#: One value per epoch for each of `history_names`; NaN for epochs that are still to come or were
#: not evaluated.
History = dict[str, Float[Array, " epochs"]]


class Run(NamedTuple):
    """A run in progress: its state and its records."""

    state: RunState
    history: History
    watch: Watch
    best: Snapshot | None
    """Snapshot of the best epoch so far, if the configuration asks to keep it."""


def history_names(config: RunConfig) -> tuple[str, ...]:
    """The names of the metrics that are recorded for each epoch."""
    loss = config.fit.loss
    terms = () if loss == "mse" else (loss, f"val_{loss}")
    if config.fit.prior != "none":
        terms += PRIOR_METRICS
    return EPOCH_METRICS + terms + FRESH_METRICS + LATENT_STATISTICS + _gradient_names(config)


def _gradient_names(config: RunConfig) -> tuple[str, ...]:
    if not config.track_gradients:
        return ()
    activation = SCALINGS[config.scaler].output_activation
    decoder = shape_decoder(config.decoder, config.image_shape, activation)
    return tuple(f"gradient_norm_{name}" for name in (*part_names(decoder), "latents"))


def init_run(
    key: PRNGKeyArray,
    images: Images,
    starts: LatentStarts | None,
    config: RunConfig,
    decoder: Decoder | None = None,
) -> Run:
    """Create a run before its first epoch.

    Parameters
    ----------
    key : key
        Determines everything random in the run.
    images : Images
    starts : LatentStarts, optional
        From `latent_starts.find_starts`.
    config : RunConfig
    decoder : Decoder, optional
        The initial decoder; by default one is drawn.
    """
    decoder_key, train_key, val_key, run_key = jax.random.split(key, 4)
    fit, dims = config.fit, config.decoder.latent_dims
    if decoder is None:
        activation = SCALINGS[config.scaler].output_activation
        spreads = fit.bias_spread, 1.0 if starts is None else fit.spread_for(dims)
        shape = config.image_shape
        decoder = init_decoder(decoder_key, config.decoder, shape, activation, *spreads)
    train_starts, val_starts = (None, None) if starts is None else starts
    train = start_latents(train_key, fit, (len(images.train), dims), train_starts)
    val = start_latents(val_key, fit, (len(images.val), dims), val_starts)
    state = RunState(
        decoder=decoder,
        decoder_moments=adam_start(decoder.trainable()),
        train=start_moving(train, fit),
        val=start_moving(val, fit),
        key=run_key,
        epoch=jnp.zeros((), jnp.int32),
        prior=start_prior(fit, dims),
    )
    return begin_run(state, config)


def begin_run(state: RunState, config: RunConfig) -> Run:
    """A run with the given state and an empty history."""
    n_epochs = config.fit.num_epochs
    history = {n: jnp.full(n_epochs, jnp.nan, jnp.float32) for n in history_names(config)}
    best = take_snapshot(state) if config.watch.keep_best else None
    return Run(state, history, init_watch(), best)


def advance_run(
    run: Run,
    rates: LearningRates,
    images: Images,
    until: int | Int[Array, ""],
    config: RunConfig,
    layout: Layout | None = None,
) -> Run:
    """Advance a run to epoch `until`, unless divergence or early stopping ends it before.

    `until` is traced, so that all values share one program. Advancing in several portions gives the
    same result. A run that has ended, or has reached the epoch, is returned unchanged.
    """

    def goes_on(run: Run) -> Array:
        return (run.state.epoch < until) & (run.watch.status == RUNNING)

    def one_epoch(run: Run) -> Run:
        state, metrics = run_epoch(run.state, rates, images, config, layout)
        return note_epoch(run, state, metrics, config)[0]

    return jax.lax.while_loop(goes_on, one_epoch, run)


def note_epoch(
    run: Run, state: RunState, metrics: dict[str, Float[Array, ""]], config: RunConfig
) -> tuple[Run, Bool[Array, ""]]:
    """Record an epoch: the updated run, and whether this epoch was the best so far."""
    history = run.history | {
        name: run.history[name].at[state.epoch - 1].set(value) for name, value in metrics.items()
    }
    watch, better = watch_epoch(run.watch, metrics, state.epoch, config.watch)
    best = run.best
    if best is not None:
        best = jax.lax.cond(better, take_snapshot, lambda _: run.best, state)
    return Run(state, history, watch, best), better


def run_epoch(
    state: RunState,
    rates: LearningRates,
    images: Images,
    config: RunConfig,
    layout: Layout | None = None,
) -> tuple[RunState, dict[str, Float[Array, ""]]]:
    """Do one pass over the training images, then one over the validation images.

    Returns
    -------
    state : RunState
    metrics : dict
        A value for each of `history_names`, except those of the fresh protocol and, if there are no
        validation images, those of validation.
    """
    if layout is None:
        train_rows, val_rows = RowLayout(len(images.train)), RowLayout(len(images.val))
    else:
        train_rows, val_rows = layout.train, layout.val
    keys = epoch_keys(state)
    trained = run_pass(
        state.decoder,
        state.decoder_moments,
        state.train,
        images.train,
        images.train_mask,
        keys.order,
        keys.noise,
        state.epoch,
        rates,
        config,
        train_rows,
        state.prior,
    )
    latents, sample = trained.latents.values, None
    chosen = sample_rows(keys.sample, train_rows.n, config)
    if chosen is not None:
        is_all = isinstance(chosen, np.ndarray) and train_rows.n_parts == 1
        sample = latents if is_all else train_rows.take(latents, chosen)
    statistics = _statistics("", latents, train_rows)
    return end_epoch(state, trained, sample, statistics, keys, rates, images, config, val_rows)


class EpochKeys(NamedTuple):
    """Keys for everything random in an epoch."""

    order: PRNGKeyArray
    """For the order of the training images."""
    noise: PRNGKeyArray
    """For augmentation and dropout."""
    val: PRNGKeyArray
    """For the order of the validation images."""
    sample: PRNGKeyArray
    """For `sample_rows`."""


def epoch_keys(state: RunState) -> EpochKeys:
    """The keys of the next epoch."""
    return EpochKeys(*jax.random.split(jax.random.fold_in(state.key, state.epoch), 4))


def end_epoch(
    state: RunState,
    trained: Pass,
    sample: Float[Array, "m dims"] | None,
    statistics: dict[str, Float[Array, ""]],
    keys: EpochKeys,
    rates: LearningRates,
    images: Images,
    config: RunConfig,
    val_rows: RowLayout,
) -> tuple[RunState, dict[str, Float[Array, ""]]]:
    """Finish an epoch after the pass over the training images.

    Estimates the statistics of batch normalisation and the prior, and does the pass over the
    validation images.

    Parameters
    ----------
    state : RunState
        The state before the pass.
    trained : Pass
        The result of the pass.
    sample : (m, latent_dims), optional
        The training latents for batch normalisation and prior, see `sample_rows`.
    statistics : dict
        `latent_mean` and `latent_variance` of the training latents.
    keys, rates, config
        As of the pass.
    images : Images
        Only the validation images are used.
    val_rows : RowLayout
        How the validation images are divided among devices.
    """
    decoder, prior = trained.decoder, state.prior
    if sample is not None:
        decoder = decoder.calibrate(sample)
    if prior is not None:
        assert sample is not None  # `sample_rows` says so
        noise = trained.metrics["loss" if config.fit.loss == "mse" else config.fit.loss]
        prior = update_prior(prior, jax.random.fold_in(keys.sample, 1), sample, noise)
    metrics = trained.metrics | statistics
    val = state.val
    if len(images.val):
        validated = run_pass(
            decoder,
            None,
            val,
            images.val,
            images.val_mask,
            keys.val,
            keys.noise,  # a frozen decoder has no noise
            state.epoch,
            rates,
            config,
            val_rows,
            state.prior,
        )
        val = validated.latents
        metrics |= {f"val_{name}": value for name, value in validated.metrics.items()}
        metrics |= _statistics("val_", val.values, val_rows)
    if trained.gradient_norms is not None:
        metrics |= zip(_gradient_names(config), trained.gradient_norms, strict=True)
    moved = RunState(
        decoder, trained.decoder_moments, trained.latents, val, state.key, state.epoch + 1, prior
    )
    return moved, metrics


def _statistics(
    prefix: str, latents: Float[Array, "n dims"], layout: RowLayout
) -> dict[str, Float[Array, ""]]:
    is_row = layout.is_row()
    where = None if is_row is None else is_row[:, None]
    return {
        f"{prefix}latent_mean": jnp.mean(latents, where=where),
        f"{prefix}latent_variance": jnp.var(latents, where=where),
    }


def take_snapshot(state: RunState) -> Snapshot:
    """Decoder, latents and epoch of a state, without what only further training needs."""
    return Snapshot(state.decoder, state.train.values, state.val.values, state.epoch)


def sample_rows(
    key: PRNGKeyArray, n: int, config: RunConfig
) -> Int[np.ndarray | Array, " m"] | None:
    """The training latents from which the statistics of batch normalisation, and the prior, are
    estimated.

    Up to 8,192 latents are all used; of more, 8,192 are drawn at random. `None` if there is neither
    batch normalisation nor a prior.
    """
    if config.decoder.normalisation != "batch" and config.fit.prior == "none":
        return None
    if n > _STATISTICS_SAMPLE:
        return jax.random.randint(key, (_STATISTICS_SAMPLE,), 0, n)
    return np.arange(n)


def map_rows(
    run: Run, train: Callable[[Any], Any], val: Callable[[Any], Any], other: Callable[[Any], Any]
) -> Run:
    """Apply functions to the arrays of a run, or of stacked runs.

    `train` is applied to arrays with a row for each training image, `val` to those with a row for
    each validation image, and `other` to the rest.
    """

    def moving(latents: MovingLatents, of_rows: Callable[[Any], Any]) -> MovingLatents:
        return MovingLatents(jax.tree.map(of_rows, latents.rows), other(latents.steps))

    state, best = run.state, run.best
    changed = RunState(
        jax.tree.map(other, state.decoder),
        jax.tree.map(other, state.decoder_moments),
        moving(state.train, train),
        moving(state.val, val),
        other(state.key),
        other(state.epoch),
        jax.tree.map(other, state.prior),
    )
    if best is not None:
        best = Snapshot(
            jax.tree.map(other, best.decoder),
            train(best.train_latents),
            val(best.val_latents),
            other(best.epoch),
        )
    history, watch = jax.tree.map(other, (run.history, run.watch))
    return Run(changed, history, watch, best)
