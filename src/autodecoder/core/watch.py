"""Watching a run inside its program: when it ends, and which epoch was its best."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from autodecoder.config import OBJECTIVES, WatchConfig

#: Status of a run: running (or at its last epoch), diverged to values that are not finite, stopped
#: early by its own metrics, or pruned because other runs are better.
RUNNING, DIVERGED, STOPPED, PRUNED = range(4)


class Watch(NamedTuple):
    """Record of a run so far."""

    status: Int[Array, ""]
    best: Float[Array, ""]
    """Best value of the metric, negated if more is better."""
    reference: Float[Array, ""]
    """Value that the next improvement is compared with, negated if more is better."""
    wait: Int[Array, ""]
    """Counted epochs since the reference."""


def init_watch() -> Watch:
    """The state before the first epoch."""
    return Watch(
        status=jnp.array(RUNNING, jnp.int32),
        best=jnp.array(jnp.inf, jnp.float32),  # a weak dtype would cause another compilation
        reference=jnp.array(jnp.inf, jnp.float32),
        wait=jnp.array(0, jnp.int32),
    )


def watch_epoch(
    watch: Watch, metrics: dict[str, Float[Array, ""]], epoch: Int[Array, ""], config: WatchConfig
) -> tuple[Watch, Bool[Array, ""]]:
    """Update the record with the metrics of one more epoch.

    Parameters
    ----------
    watch : Watch
    metrics : dict
        Metrics of the last epoch.
    epoch : int
        Its number, counted from 1.

    Returns
    -------
    watch : Watch
        The run diverges if a loss is not finite. It stops when its patience is used up, by the rule
        of Keras' `EarlyStopping`.
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
