"""The joint fit: decoder and latents are trained together, epoch by epoch.

A run is a pytree, and a pure function advances it to a given epoch. An epoch is a pass over the
training images, which updates decoder and latents, then a pass over the validation images under the
co-trained protocol, which updates their latents only.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from autodecoder.config import RunConfig
from autodecoder.core.adam import adam_start
from autodecoder.core.codes import draw, latents_of, start_codes
from autodecoder.core.decoders import Decoder, init_decoder, part_names, shape_decoder
from autodecoder.core.epoch import LearningRates, Pass, run_pass, start_moving
from autodecoder.core.latents import start_latents
from autodecoder.core.layout import Layout, RowLayout
from autodecoder.core.losses import Errors
from autodecoder.core.priors import start_prior, update_prior
from autodecoder.core.runs import Images, Run, RunState, keep_epoch
from autodecoder.core.scaling import SCALINGS
from autodecoder.core.watch import RUNNING, init_watch, watch_epoch

#: Errors of one epoch, in the order of a history.
EPOCH_METRICS = (*Errors._fields, *(f"val_{name}" for name in Errors._fields))
#: Errors under the fresh protocol, which is evaluated elsewhere, and only after some epochs.
FRESH_METRICS = tuple(f"fresh_val_{name}" for name in Errors._fields)
#: Mean and variance over all entries of the latents at the end of an epoch.
LATENT_STATISTICS = ("latent_mean", "latent_variance", "val_latent_mean", "val_latent_variance")

#: Mean log density of the latents under the prior, in nats.
PRIOR_METRICS = ("log_prior", "val_log_prior")
#: Mean Kullback-Leibler divergence of Gaussian codes from the prior, in nats.
CODE_METRICS = ("divergence", "val_divergence")

#: Number of training latents from which the statistics of batch normalisation, and the prior, are
#: estimated.
_STATISTICS_SAMPLE = 8192


#: Initial latents of training and validation images, before scaling by the spread.
LatentStarts = tuple[
    Float[Array | np.ndarray, "n_train dims"], Float[Array | np.ndarray, "n_val dims"]
]


def history_names(config: RunConfig) -> tuple[str, ...]:
    """The names of the metrics that are recorded for each epoch."""
    loss = config.fit.loss
    terms = () if loss == "mse" else (loss, f"val_{loss}")
    if config.fit.prior != "none":
        terms += PRIOR_METRICS
    if config.fit.codes == "gaussian":
        terms += CODE_METRICS
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
        train=start_moving(start_codes(train, fit), fit),
        val=start_moving(start_codes(val, fit), fit),
        key=run_key,
        epoch=jnp.zeros((), jnp.int32),
        prior=start_prior(fit, dims),
    )
    return begin_run(state, config)


def begin_run(state: RunState, config: RunConfig) -> Run:
    """A run with the given state and an empty history."""
    n_epochs = config.fit.num_epochs
    history = {n: jnp.full(n_epochs, jnp.nan, jnp.float32) for n in history_names(config)}
    best = keep_epoch(state) if config.watch.keep_best else None
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
        best = jax.lax.cond(better, keep_epoch, lambda _: run.best, state)
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
    keys = epoch_keys(state.key, state.epoch)
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
    rows, sample = trained.latents.values, None
    chosen = sample_rows(keys.sample, train_rows.n, config)
    if chosen is not None:
        is_all = isinstance(chosen, np.ndarray) and train_rows.n_parts == 1
        sample = rows if is_all else train_rows.take(rows, chosen)
    statistics = _statistics("", latents_of(rows, config.decoder.latent_dims), train_rows)
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


def epoch_keys(key: PRNGKeyArray, epoch: Int[Array, ""]) -> EpochKeys:
    """The keys of the next epoch of a run with this key, after `epoch` epochs."""
    return EpochKeys(*jax.random.split(jax.random.fold_in(key, epoch), 4))


def end_epoch(
    state: RunState,
    trained: Pass,
    sample: Float[Array, "m width"] | None,
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
    sample : (m, width), optional
        The codes of training images for batch normalisation and prior, see `sample_rows`.
    statistics : dict
        `latent_mean` and `latent_variance` of the training latents.
    keys, rates, config
        As of the pass.
    images : Images
        Only the validation images are used.
    val_rows : RowLayout
        How the validation images are divided among devices.
    """
    decoder, prior, dims = trained.decoder, state.prior, config.decoder.latent_dims
    if sample is not None:
        decoder = decoder.calibrate(latents_of(sample, dims))
    if prior is not None:
        assert sample is not None  # `sample_rows` says so
        noise = trained.metrics["loss" if config.fit.loss == "mse" else config.fit.loss]
        first_key, draw_key = (jax.random.fold_in(keys.sample, k) for k in (1, 2))
        prior = update_prior(prior, first_key, draw(sample, dims, draw_key).latents, noise)
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
            jax.random.fold_in(keys.noise, 2**31 - 1),  # the steps of training fold small numbers
            state.epoch,
            rates,
            config,
            val_rows,
            state.prior,
        )
        val = validated.latents
        metrics |= {f"val_{name}": value for name, value in validated.metrics.items()}
        metrics |= _statistics("val_", latents_of(val.values, dims), val_rows)
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
