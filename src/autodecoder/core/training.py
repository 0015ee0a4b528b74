"""The training state that a fit needs to continue, beside decoder and latents.

It holds Adam's moments and step counts, the key of the run, and the number of epochs done. With it,
a fit in two parts equals an uninterrupted one, bit for bit.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from autodecoder.brief import brief
from autodecoder.config import FitConfig, RunConfig
from autodecoder.core.adam import Moments, Rows, adam_start
from autodecoder.core.codes import log_variances_of, row_width, start_codes
from autodecoder.core.decoders import Decoder
from autodecoder.core.epoch import MovingLatents
from autodecoder.core.fit import begin_run
from autodecoder.core.priors import Prior, start_prior
from autodecoder.core.runs import Run, RunState


class LatentMoments(NamedTuple):
    """What belongs to latents: Adam's moments of codes, see `Rows`, and log variances."""

    mean: Float[np.ndarray, "n width"]
    square: Float[np.ndarray, "n _"]
    steps: Int[np.ndarray, ""]
    """Number of steps done."""
    log_variances: Float[np.ndarray, "n dims"] | None = None
    """Log variances of the latents; `None` if codes are points."""

    def forget(self) -> "LatentMoments":
        """Moments without rows, but with the same number of steps, for use with other latents."""
        return LatentMoments(self.mean[:0], self.square[:0], self.steps)


@brief
class Training(NamedTuple):
    """The part of a `RunState` that is neither decoder nor latents."""

    decoder: Moments
    """Adam's moments of the decoder's trainable arrays."""
    train: LatentMoments
    val: LatentMoments
    key: UInt32[np.ndarray, "2"]
    """Key data of the run, from which the keys of each epoch are derived."""
    epoch: Int[np.ndarray, ""]
    """Number of epochs done."""
    prior: Prior | None = None
    """The prior that the fit learns, if any."""


def take_training(state: RunState) -> Training:
    """The training state of a run, as NumPy arrays on the host."""

    def moments(codes: MovingLatents) -> LatentMoments:
        log_variances = log_variances_of(codes.values, state.decoder.config.latent_dims)
        parts = (codes.rows.mean, codes.rows.square, codes.steps, log_variances)
        return LatentMoments(*jax.tree.map(np.asarray, parts))

    return Training(
        jax.tree.map(np.asarray, state.decoder_moments),
        moments(state.train),
        moments(state.val),
        np.asarray(jax.random.key_data(state.key)),
        np.asarray(state.epoch),
        jax.tree.map(np.asarray, state.prior),
    )


def fresh_training(
    decoder: Decoder,
    n_train: int,
    n_val: int,
    key: PRNGKeyArray,
    epoch: int,
    second_moment: str = "coordinate",
    first_moment_dtype: str = "float32",
    prior: Prior | None = None,
    codes: str = "point",
) -> Training:
    """A training state with zero moments, for a decoder and latents without a training state."""
    dims, fit = decoder.config.latent_dims, FitConfig(codes=codes)
    width = row_width(fit, dims)

    def moments(n: int) -> LatentMoments:
        return LatentMoments(
            np.zeros((n, width), jnp.dtype(first_moment_dtype)),
            np.zeros((n, width if second_moment == "coordinate" else 1), np.float32),
            np.zeros((), np.int32),
            None if codes == "point" else np.zeros((n, dims), np.float32),
        )

    return Training(
        adam_start(decoder.trainable()),
        moments(n_train),
        moments(n_val),
        np.asarray(jax.random.key_data(key)),
        np.asarray(epoch, np.int32),
        prior,
    )


def resume_run(
    decoder: Decoder,
    train: Float[np.ndarray, "n_train dims"],
    val: Float[np.ndarray, "n_val dims"],
    training: Training,
    history: Mapping[str, Float[np.ndarray, " epochs"]],
    config: RunConfig,
) -> Run:
    """Create a run that continues from a decoder and latents.

    Moments are converted to the form that `config` asks for. A second moment per row becomes that
    of all coordinates of the row; second moments per coordinate are averaged over the row. Latents
    beyond those of `training` have moments of zero, like latents without a gradient so far. Log
    variances that `training` lacks start as in a new fit.

    Parameters
    ----------
    decoder : Decoder
    train, val : (n, dims)
    training : Training
        Its moments belong to the first latents.
    history : dict
        Values of the epochs done, for some or all of `history_names`.
    config : RunConfig
        Its `num_epochs` includes the epochs done.
    """
    state = RunState(
        decoder=decoder,
        # Copied, since training donates its input buffers.
        decoder_moments=jax.tree.map(jnp.array, training.decoder),
        train=_moving(train, training.train, config.fit),
        val=_moving(val, training.val, config.fit),
        key=jax.random.wrap_key_data(jnp.array(training.key)),
        epoch=jnp.array(training.epoch, jnp.int32),
        prior=_prior(training.prior, config),
    )
    run = begin_run(state, config)
    known = {
        name: blank.at[: len(history[name])].set(jnp.asarray(history[name]))
        for name, blank in run.history.items()
        if name in history
    }
    return run._replace(history=run.history | known)


def _prior(found: Prior | None, config: RunConfig) -> Prior | None:
    """The prior of a training state if the configuration asks for one of its form; else a new one,
    which has an effect from the second epoch on."""
    wanted = start_prior(config.fit, config.decoder.latent_dims)
    if wanted is None or found is None:
        return wanted
    shapes = [[leaf.shape for leaf in jax.tree.leaves(one)] for one in (wanted, found)]
    return jax.tree.map(jnp.array, found) if shapes[0] == shapes[1] else wanted


def _moving(
    latents: Float[np.ndarray, "n dims"], moments: LatentMoments, fit: FitConfig
) -> MovingLatents:
    n, dims = latents.shape
    width = row_width(fit, dims)
    values = np.array(start_codes(jnp.asarray(latents), fit))
    if width > dims and moments.log_variances is not None:
        known = moments.log_variances[:n]
        values[: len(known), dims:] = known

    def fitted(moment: Float[np.ndarray, "m _"], width: int) -> Array:
        known = moment[:n, :width]
        lacking = [(0, n - known.shape[0]), (0, width - known.shape[1])]
        return jnp.array(np.pad(known, lacking))

    mean = moments.mean.astype(jnp.dtype(fit.latent_first_moment_dtype))
    square = moments.square
    if fit.latent_second_moment == "row":
        square = fitted(square.mean(axis=1, keepdims=True), 1)
    else:
        is_by_row = square.shape[1] < mean.shape[1]
        square = fitted(np.repeat(square, width, axis=1) if is_by_row else square, width)
    rows = Rows(jnp.array(values), fitted(mean, width), square)
    return MovingLatents(rows, jnp.array(moments.steps, jnp.int32))
