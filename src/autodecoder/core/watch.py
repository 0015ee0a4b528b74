"""Watching a run from inside its program: when it ends, and which epoch was its best."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from autodecoder.config import OBJECTIVES, WatchConfig

#: How a run stands: under way (or at its last epoch), not finite any more, stopped early by its own
#: metrics, or ended from outside, as others are better.
RUNNING, DIVERGED, STOPPED, PRUNED = range(4)


class Watch(NamedTuple):
    """What has been seen of a run so far."""

    status: Int[Array, ""]
    best: Float[Array, ""]
    """Best value of the metric, negated where more is better."""
    reference: Float[Array, ""]
    """The value that the next improvement is measured against, likewise."""
    wait: Int[Array, ""]
    """Epochs since the reference."""


def init_watch() -> Watch:
    """Before the first epoch."""
    return Watch(
        status=jnp.array(RUNNING, jnp.int32),
        best=jnp.array(jnp.inf, jnp.float32),  # a dtype not given is weak, and costs a compilation
        reference=jnp.array(jnp.inf, jnp.float32),
        wait=jnp.array(0, jnp.int32),
    )


def watch_epoch(
    watch: Watch, metrics: dict[str, Float[Array, ""]], epoch: Int[Array, ""], config: WatchConfig
) -> tuple[Watch, Bool[Array, ""]]:
    """Look at the metrics of one more epoch.

    Parameters
    ----------
    watch : Watch
    metrics : dict
        Of the epoch just done.
    epoch : int
        Its number, counted from 1.

    Returns
    -------
    watch : Watch
        A loss that is not finite ends a run as diverged; patience at its end stops it, by the
        rule of Keras' `EarlyStopping`.
    better : bool
        Whether the epoch is the best so far.
    """
    sign = 1 if OBJECTIVES[config.metric] == "min" else -1
    value = sign * metrics[config.metric]
    finite = jnp.isfinite(metrics["loss"])
    if "val_loss" in metrics:
        finite &= jnp.isfinite(metrics["val_loss"])
    better = finite & (value < watch.best)
    reference, wait, status = watch.reference, watch.wait, watch.status
    if config.patience is not None:
        counts = epoch > config.start_epoch
        improved = value < reference - config.min_delta
        reference = jnp.where(counts & improved, value, reference)
        wait = jnp.where(counts, jnp.where(improved, 0, wait + 1), wait)
        # The first epoch that counts improves on infinity, so one epoch alone never stops a run.
        status = jnp.where(wait >= config.patience, STOPPED, status)
    status = jnp.where(finite, status, DIVERGED).astype(jnp.int32)
    best = jnp.where(better, value, watch.best)
    return Watch(status, best, reference, wait), better
