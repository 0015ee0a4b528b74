"""What training carries from epoch to epoch beside a decoder and latents, to go on with a fit.

Adam's moments and numbers of steps, the key of the order of the images, and the epochs done. With
them a fit that is cut in two equals one that is not, bit for bit.
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
from autodecoder.core.decoders import Decoder
from autodecoder.core.epoch import MovingLatents
from autodecoder.core.fit import Run, RunState, begin_run


class LatentMoments(NamedTuple):
    """Adam's moments of latents, as `Rows` keep them."""

    mean: Float[np.ndarray, "n dims"]
    square: Float[np.ndarray, "n _"]
    steps: Int[np.ndarray, ""]
    """Steps made."""

    def forget(self) -> "LatentMoments":
        """Of other latents, under the same count of steps: none."""
        return LatentMoments(self.mean[:0], self.square[:0], self.steps)


@brief
class Training(NamedTuple):
    """The part of a `RunState` that is neither decoder nor latents."""

    decoder: Moments
    """Adam's moments of the decoder's trainable arrays."""
    train: LatentMoments
    val: LatentMoments
    key: UInt32[np.ndarray, "2"]
    """Data of the key from which each epoch takes its own."""
    epoch: Int[np.ndarray, ""]
    """Number of epochs done."""


def take_training(state: RunState) -> Training:
    """That part of a state, on the host."""

    def moments(latents: MovingLatents) -> LatentMoments:
        parts = (latents.rows.mean, latents.rows.square, latents.steps)
        return LatentMoments(*map(np.asarray, parts))

    return Training(
        jax.tree.map(np.asarray, state.decoder_moments),
        moments(state.train),
        moments(state.val),
        np.asarray(jax.random.key_data(state.key)),
        np.asarray(state.epoch),
    )


def fresh_training(
    decoder: Decoder,
    n_train: int,
    n_val: int,
    key: PRNGKeyArray,
    epoch: int,
    second_moment: str = "coordinate",
    first_moment_dtype: str = "float32",
) -> Training:
    """Training after some epochs of which only decoder and latents are known: no moments."""
    dims = decoder.config.latent_dims

    def moments(n: int) -> LatentMoments:
        return LatentMoments(
            np.zeros((n, dims), jnp.dtype(first_moment_dtype)),
            np.zeros((n, dims if second_moment == "coordinate" else 1), np.float32),
            np.zeros((), np.int32),
        )

    return Training(
        adam_start(decoder.trainable()),
        moments(n_train),
        moments(n_val),
        np.asarray(jax.random.key_data(key)),
        np.asarray(epoch, np.int32),
    )


def resume_run(
    decoder: Decoder,
    train: Float[np.ndarray, "n_train dims"],
    val: Float[np.ndarray, "n_val dims"],
    training: Training,
    history: Mapping[str, Float[np.ndarray, " epochs"]],
    config: RunConfig,
) -> Run:
    """A run that goes on from a decoder and latents.

    Moments that were kept otherwise than `config` says are brought into its form: the second one of
    a row is the mean of those of its coordinates, which all start with it the other way round.
    Latents beyond those of `training` have no moments yet, as under an Adam on all latents none has
    that never had a gradient.

    Parameters
    ----------
    decoder : Decoder
    train, val : (n, dims)
    training : Training
        Its moments belong to the first latents.
    history : dict
        Values of the epochs done, of those of `history_names` that are known.
    config : RunConfig
        Its `num_epochs` counts the epochs done.
    """
    state = RunState(
        decoder=decoder,
        # Copied, as training consumes what it is given.
        decoder_moments=jax.tree.map(jnp.array, training.decoder),
        train=_moving(train, training.train, config.fit),
        val=_moving(val, training.val, config.fit),
        key=jax.random.wrap_key_data(jnp.array(training.key)),
        epoch=jnp.array(training.epoch, jnp.int32),
    )
    run = begin_run(state, config)
    known = {
        name: blank.at[: len(history[name])].set(jnp.asarray(history[name]))
        for name, blank in run.history.items()
        if name in history
    }
    return run._replace(history=run.history | known)


def _moving(
    latents: Float[np.ndarray, "n dims"], moments: LatentMoments, fit: FitConfig
) -> MovingLatents:
    def padded(values: Float[np.ndarray, "m _"]) -> Array:
        known = values[: len(latents)]
        return jnp.array(np.pad(known, ((0, len(latents) - len(known)), (0, 0))))

    square = moments.square
    if fit.latent_second_moment == "row":
        square = square.mean(axis=1, keepdims=True)
    elif square.shape[1] < latents.shape[1]:
        square = np.repeat(square, latents.shape[1], axis=1)
    mean = moments.mean.astype(jnp.dtype(fit.latent_first_moment_dtype))
    rows = Rows(jnp.array(latents), padded(mean), padded(square))
    return MovingLatents(rows, jnp.array(moments.steps, jnp.int32))
