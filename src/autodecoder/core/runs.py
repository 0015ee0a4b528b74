"""The state of a run, and what is kept of it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from autodecoder.brief import brief
from autodecoder.core.adam import Moments
from autodecoder.core.codes import latents_of, log_variances_of
from autodecoder.core.decoders import Decoder
from autodecoder.core.epoch import MovingLatents
from autodecoder.core.priors import Prior
from autodecoder.core.watch import Watch


class Images(NamedTuple):
    """Training and validation images with stored values: uint8, or float32 in the same range."""

    train: Num[Array, "n_train pixels"]
    val: Num[Array, "n_val pixels"]
    train_mask: Bool[Array, "n_train pixels"] | None = None
    """True where a pixel is known; `None` if all are. Unknown pixels have finite values and weight
    0."""
    val_mask: Bool[Array, "n_val pixels"] | None = None


class RunState(eqx.Module):
    """What training carries from epoch to epoch."""

    decoder: Decoder
    decoder_moments: Moments
    train: MovingLatents
    """Codes of the training images."""
    val: MovingLatents
    """Codes of the validation images under the co-trained protocol."""
    key: PRNGKeyArray
    epoch: Int[Array, ""]
    """Number of epochs done."""
    prior: Prior | None = None
    """The prior that the fit learns; `None` for a fit without."""

    @property
    def latents(self) -> Any:
        """Latents of the training images, `(n_train, dims)`."""
        return latents_of(self.train.values, self.decoder.config.latent_dims)

    @property
    def val_latents(self) -> Any:
        """Latents of the validation images, `(n_val, dims)`."""
        return latents_of(self.val.values, self.decoder.config.latent_dims)


@brief
class Snapshot(NamedTuple):
    """A decoder with its latents after some epoch."""

    decoder: Decoder
    train_latents: Float[Array | np.ndarray, "n_train dims"]
    val_latents: Float[Array | np.ndarray, "n_val dims"]
    epoch: Int[Array, ""]
    train_deviations: Float[Array, "n_train dims"] | None = None
    """Standard deviations of the training latents; `None` if codes are points."""


class Kept(NamedTuple):
    """What a run keeps of an epoch: the decoder, and the codes as rows."""

    decoder: Decoder
    train_latents: Float[Array, "n_train width"]
    val_latents: Float[Array, "n_val width"]
    epoch: Int[Array, ""]

    def snapshot(self) -> Snapshot:
        """The decoder with its latents."""
        dims = self.decoder.config.latent_dims
        log_variances = log_variances_of(self.train_latents, dims)
        return Snapshot(
            self.decoder,
            latents_of(self.train_latents, dims),
            latents_of(self.val_latents, dims),
            self.epoch,
            None if log_variances is None else jnp.exp(log_variances / 2),
        )


#: One value per epoch for each of `history_names`; NaN for epochs that are still to come or were
#: not evaluated.
History = dict[str, Float[Array, " epochs"]]


class Run(NamedTuple):
    """A run in progress: its state and its records."""

    state: RunState
    history: History
    watch: Watch
    best: Kept | None
    """The best epoch so far, if the configuration asks to keep it."""


def keep_epoch(state: RunState) -> Kept:
    """Decoder, codes and epoch of a state, without what only further training needs."""
    return Kept(state.decoder, state.train.values, state.val.values, state.epoch)


def take_snapshot(state: RunState) -> Snapshot:
    """Decoder, latents and epoch of a state."""
    return keep_epoch(state).snapshot()


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
        best = Kept(
            jax.tree.map(other, best.decoder),
            train(best.train_latents),
            val(best.val_latents),
            other(best.epoch),
        )
    history, watch = jax.tree.map(other, (run.history, run.watch))
    return Run(changed, history, watch, best)
