"""Priors that are learnt together with decoder and latents."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.config import FitConfig
from autodecoder.core.mixture import Mixture, blank_mixture, improve_mixture, start_mixture

#: Steps of EM after the first epoch, and after each further one.
_FIRST_STEPS, _STEPS = 10, 2


class Prior(eqx.Module):
    """A mixture of Gaussians for the latents, and the noise against which it is weighed.

    The fit minimises, for each image of `n` pixels and its latent `z`,

        loss - prior_weight (2 noise / n) log p(z)

    With `prior_weight = 1` and the squared error, these latents are the most probable ones (MAP)
    under independent Gaussian errors of the pixels, whose variance is the training error. After
    each epoch, expectation-maximisation fits the mixture to the latents.

    References
    ----------
    Schuster & Krogh 2023, "The deep generative decoder: MAP estimation of representations improves
    modelling of single-cell RNA data", where the mixture is trained by gradients.
    """

    mixture: Mixture
    noise: Float[Array, ""]
    """Loss of the training images in the last epoch; 0 before the end of the first, in which the
    prior has no effect."""


def start_prior(fit: FitConfig, dims: int) -> Prior | None:
    """The prior before the first epoch; `None` for a fit that learns none."""
    n = fit.count_components()
    if n == 0:
        return None
    return Prior(blank_mixture(n, dims, fit.spread_for(dims)), jnp.zeros(()))


def update_prior(
    prior: Prior, key: PRNGKeyArray, latents: Float[Array, "n dims"], noise: Float[Array, ""]
) -> Prior:
    """The prior after an epoch with mean loss `noise`, fitted to training latents or some of them.

    After the first epoch the mixture starts from latents that `key` draws.
    """

    def improved(mixture: Mixture) -> Mixture:
        return improve_mixture(mixture, latents)

    def first(mixture: Mixture) -> Mixture:
        # Over devices, a step may change which of them share a value, but the next ones do not.
        mixture = improved(start_mixture(key, latents, len(mixture.means)))
        return jax.lax.fori_loop(1, _FIRST_STEPS, lambda _, one: improved(one), mixture)

    def further(mixture: Mixture) -> Mixture:
        for _ in range(_STEPS):
            mixture = improved(mixture)
        return mixture

    return Prior(jax.lax.cond(prior.noise > 0, further, first, prior.mixture), noise)


def penalty_factor(noise: Any, loss: str, weight: float) -> Any:
    """The factor on `Mixture.penalty`, `-2 log p(z)`, for an image of one pixel.

    Parameters
    ----------
    noise : array or float
        Mean loss of the training images. For the squared error it estimates the variance of the
        errors, for other distances their scale. The cross entropy is a likelihood without it.
    loss : str
        One of `autodecoder.config.LOSSES`.
    weight : float
        1 for the most probable latents.
    """
    return weight * {"mse": noise, "bce": 0.5 * (noise > 0)}.get(loss, noise / 2)
