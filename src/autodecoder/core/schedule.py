"""Learning rate schedules."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from autodecoder.config import FitConfig


def schedule(fit: FitConfig, step: Int[Array, " steps"], n_batches: int) -> Array:
    """Factor on the learning rate at given steps of a fit, by the schedule.

    Computed with integers as far as possible, so that its rounding does not depend on what else is
    compiled with it.
    """
    total = fit.num_epochs * n_batches
    if fit.schedule == "constant":
        return jnp.ones(step.shape)
    if fit.schedule == "linear":
        return (total - step) / total
    return 0.5 * (1 + jnp.cos(jnp.pi * (step / total)))


def warmup(fit: FitConfig, step: Int[Array, " steps"], n_batches: int) -> Float[Array, " steps"]:
    """Factor on the learning rate in the first steps of a fit (warmup).

    In the first steps the second moments rest on few gradients. Without warmup, these steps can
    take a deep decoder to where its outputs saturate and gradients vanish (Liu et al. 2020, "On the
    variance of the adaptive learning rate and beyond").
    """
    length = min(fit.warmup_steps, fit.num_epochs * n_batches // 5)
    return jnp.minimum(1, (step + 1) / max(1, length))
