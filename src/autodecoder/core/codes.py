"""Codes of images: the values that an image owns in a fit, as rows of an array.

A point is a latent. A Gaussian is a mean and a log variance for each dimension, from which a latent
is drawn in every step. A row begins with the latent, or the mean; the log variances follow. Only
this module knows what stands where.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.config import FitConfig
from autodecoder.core.latents import spread_of
from autodecoder.core.mixture import Mixture

#: Initial standard deviation of Gaussian codes, as a share of the spread of the initial latents.
_FIRST_SHARE = 0.02


def row_width(fit: FitConfig, dims: int) -> int:
    """The length of the rows of a fit with latents of `dims` dimensions."""
    return 2 * dims if fit.codes == "gaussian" else dims


def start_codes(latents: Float[Array, "n dims"], fit: FitConfig) -> Float[Array, "n width"]:
    """Initial rows with these latents."""
    if fit.codes == "point":
        return latents
    dims = latents.shape[1]
    first = 2 * math.log(_FIRST_SHARE * spread_of(fit, dims))
    return jnp.concatenate([latents, jnp.full_like(latents, first)], axis=1)


def latents_of(rows: Any, dims: int) -> Any:
    """The latents in rows, which are means if codes are Gaussian."""
    return rows if rows.shape[-1] == dims else rows[..., :dims]


def log_variances_of(rows: Any, dims: int) -> Any:
    """The log variances in rows; `None` if codes are points."""
    return None if rows.shape[-1] == dims else rows[..., dims:]


class Draws(NamedTuple):
    """Latents that are drawn from codes; the latents themselves if codes are points."""

    latents: Float[Array, "n dims"]
    means: Float[Array, "n dims"]
    log_variances: Float[Array, "n dims"] | None


def draw(rows: Float[Array, "n width"], dims: int, key: PRNGKeyArray) -> Draws:
    """Draw a latent from each code (Kingma & Welling 2014, "Auto-encoding variational Bayes")."""
    means, log_variances = latents_of(rows, dims), log_variances_of(rows, dims)
    if log_variances is None:
        return Draws(means, means, None)
    noise = jax.random.normal(key, means.shape)
    return Draws(means + jnp.exp(log_variances / 2) * noise, means, log_variances)


def divergence(drawn: Draws, prior: Mixture) -> Float[Array, " n"]:
    """Kullback-Leibler divergence of Gaussian codes from a prior, in nats.

    For one component it is exact. For a mixture the mean of `log p(z)` is estimated by the latent
    that was drawn.
    """
    assert drawn.log_variances is not None  # codes are Gaussian
    constant = math.log(2 * math.pi) + 1
    entropy = 0.5 * jnp.sum(drawn.log_variances + constant, axis=1)
    if len(prior.means) > 1:
        return -entropy - prior.log_density(drawn.latents)
    root = prior.roots[0]
    precisions = jnp.sum(root**2, axis=1) if prior.is_full else root**2
    widths = jnp.sum(jnp.exp(drawn.log_variances) * precisions, axis=1)
    return -entropy - prior.log_density(drawn.means) + 0.5 * widths
