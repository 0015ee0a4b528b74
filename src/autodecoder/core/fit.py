"""The joint fit: decoder and latents move together, epoch by epoch.

A run is a pytree and a pure function that moves it on to an epoch. An epoch is a pass over the
training images, which moves decoder and latents, and one over the validation images under the
co-trained protocol, which moves their latents only.
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
from autodecoder.core.scaling import SCALINGS
from autodecoder.core.watch import RUNNING, Watch, init_watch, watch_epoch

#: Errors of one epoch, in the order in which a history has them.
EPOCH_METRICS = (*Errors._fields, *(f"val_{name}" for name in Errors._fields))
#: Errors under the fresh protocol, which is evaluated outside of this program and now and then.
FRESH_METRICS = tuple(f"fresh_val_{name}" for name in Errors._fields)
#: Mean and variance over all entries of the latents at the end of an epoch.
LATENT_STATISTICS = ("latent_mean", "latent_variance", "val_latent_mean", "val_latent_variance")

#: Training latents from which the statistics of batch normalisation are estimated.
_STATISTICS_SAMPLE = 8192


class Images(NamedTuple):
    """Training and validation images, as they are stored: uint8, or float32 of the same range."""

    train: Num[Array, "n_train pixels"]
    val: Num[Array, "n_val pixels"]
    train_mask: Bool[Array, "n_train pixels"] | None = None
    """True where a pixel is known; without it all are. Unknown pixels are finite, and weigh 0."""
    val_mask: Bool[Array, "n_val pixels"] | None = None


#: Where the latents of training and validation images start.
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


@brief
class Snapshot(NamedTuple):
    """A trained decoder with the latents that belong to it."""

    decoder: Decoder
    train_latents: Float[Array, "n_train dims"]
    val_latents: Float[Array, "n_val dims"]
    epoch: Int[Array, ""]


#: One value an epoch for each of `history_names`; not a number where the run has not been yet, or
#: was not evaluated.
History = dict[str, Float[Array, " epochs"]]


class Run(NamedTuple):
    """A run under way: its state, and what has been recorded and seen of it."""

    state: RunState
    history: History
    watch: Watch
    best: Snapshot | None
    """Of the best epoch so far, where the configuration asks to keep it."""


def history_names(config: RunConfig) -> tuple[str, ...]:
    """What is recorded of each epoch."""
    loss = config.fit.loss
    terms = () if loss == "mse" else (loss, f"val_{loss}")
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
    """A run before its first epoch.

    Parameters
    ----------
    key : key
        Everything random in the run follows from it.
    images : Images
    starts : LatentStarts, optional
        From `latent_starts.find_starts`.
    config : RunConfig
    decoder : Decoder, optional
        What it starts with; by default one is drawn.
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
    )
    return begin_run(state, config)


def begin_run(state: RunState, config: RunConfig) -> Run:
    """A run of which nothing is recorded yet."""
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
    """Move a run on to an epoch, unless it ends before, by divergence or early stopping.

    The epoch is traced: how the way to it is portioned is no matter. A run that has ended, or is
    there already, stays as it is.
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
    """A run after an epoch, and whether that was its best."""
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
    """One pass over the training images, then one over the validation images.

    Returns
    -------
    state : RunState
    metrics : dict
        A value for each of `history_names` but those of the fresh protocol, and those of
        validation where there are no validation images.
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
    )
    latents, sample = trained.latents.values, None
    chosen = sample_rows(keys.sample, train_rows.n, config)
    if chosen is not None:
        is_all = isinstance(chosen, np.ndarray) and train_rows.n_parts == 1
        sample = latents if is_all else train_rows.take(latents, chosen)
    statistics = _statistics("", latents, train_rows)
    return end_epoch(state, trained, sample, statistics, keys, rates, images, config, val_rows)


class EpochKeys(NamedTuple):
    """Keys of all that is random in an epoch."""

    order: PRNGKeyArray
    noise: PRNGKeyArray
    val: PRNGKeyArray
    sample: PRNGKeyArray


def epoch_keys(state: RunState) -> EpochKeys:
    """Those of the epoch that comes next."""
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
    """What comes after the pass over the training images: statistics of batch normalisation, and
    the pass over the validation images.

    Parameters
    ----------
    state : RunState
        Before the pass.
    trained : Pass
    sample : (m, latent_dims), optional
        Of the training latents, for batch normalisation, see `sample_rows`.
    statistics : dict
        `latent_mean` and `latent_variance` of the training latents.
    keys, rates, images, config
        Of the images only those of validation.
    val_rows : RowLayout
        How those lie.
    """
    decoder = trained.decoder
    if sample is not None:
        decoder = decoder.calibrate(sample)
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
        )
        val = validated.latents
        metrics |= {f"val_{name}": value for name, value in validated.metrics.items()}
        metrics |= _statistics("val_", val.values, val_rows)
    if trained.gradient_norms is not None:
        metrics |= zip(_gradient_names(config), trained.gradient_norms, strict=True)
    moved = RunState(
        decoder, trained.decoder_moments, trained.latents, val, state.key, state.epoch + 1
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
    """The part of a state that is worth keeping when training is over."""
    return Snapshot(state.decoder, state.train.values, state.val.values, state.epoch)


def sample_rows(
    key: PRNGKeyArray, n: int, config: RunConfig
) -> Int[np.ndarray | Array, " m"] | None:
    """The training latents from which the statistics of batch normalisation are estimated: some at
    random of many, all of few; none where there is no such normalisation."""
    if config.decoder.normalisation != "batch":
        return None
    if n > _STATISTICS_SAMPLE:
        return jax.random.randint(key, (_STATISTICS_SAMPLE,), 0, n)
    return np.arange(n)


def map_rows(
    run: Run, train: Callable[[Any], Any], val: Callable[[Any], Any], other: Callable[[Any], Any]
) -> Run:
    """Change the arrays of a run, or of stacked runs: those with a row for each training image,
    those with one for each validation image, and all others."""

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
