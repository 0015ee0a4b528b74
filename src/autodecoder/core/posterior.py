"""Laplace's approximation: uncertainty of inferred latents, and the density of images."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num, Shaped

from autodecoder.core.blocks import by_blocks, take
from autodecoder.core.plan import InferencePlan, problem_of
from autodecoder.core.solvers import linearise

#: Most pixels that all passes of a block compute.
_PASSED_ENTRIES = 2**24


def posterior_roots(
    plan: InferencePlan,
    images: Num[Array | np.ndarray, "n pixels"],
    latents: Float[np.ndarray, "n dims"],
    *,
    weights: Shaped[Array | np.ndarray, "n pixels"] | None = None,
) -> Float[np.ndarray, "n dims dims"]:
    """Roots of the posterior covariances of inferred latents, by Laplace's approximation.

    With a root `R` and standard normal numbers `e`, draws from the posterior are `latent + R e`.
    The covariance is the inverse Hessian of the negative log posterior, by Gauss-Newton. The plan
    must have a prior.

    Parameters
    ----------
    plan, images, weights
        As of `infer_latents`.
    latents : (n, latent_dims)
        Its results.
    """
    dims = latents.shape[1]
    if not len(images):
        return np.zeros((0, dims, dims), np.float32)
    return _by_blocks(_root, plan, images, weights, latents)


def log_evidence(
    plan: InferencePlan,
    images: Num[Array | np.ndarray, "n pixels"],
    latents: Float[np.ndarray, "n dims"],
    *,
    weights: Shaped[Array | np.ndarray, "n pixels"] | None = None,
) -> Float[np.ndarray, " n"]:
    """Log density of images in the scaled space, in nats, by Laplace's approximation:

        log p(x) = log p(x | z) + log p(z) + d/2 log 2 pi - 1/2 log det H

    `z` is the inferred latent of `d` dimensions, and `H` the Hessian of the negative log posterior
    there, by Gauss-Newton. The errors of pixels are independent Gaussians with the variance
    `plan.noise`. It is exact for a linear decoder and a prior of one Gaussian. Pixels of weight 0
    do not count.

    Parameters
    ----------
    plan
        With a prior of weight 1, `is_bayes`, and the squared error.
    images, weights
        As of `infer_latents`.
    latents : (n, latent_dims)
        Its results.

    References
    ----------
    MacKay 2003, "Information theory, inference, and learning algorithms", chapter 27.
    """
    if not len(images):
        return np.zeros(0, np.float32)
    return _by_blocks(_log_evidence, plan, images, weights, latents)


def _by_blocks(
    program: Any, plan: InferencePlan, images: Any, weights: Any, latents: Float[np.ndarray, "n d"]
) -> np.ndarray:
    most = plan.config.block_size_for(accelerator=jax.default_backend() != "cpu")
    size = max(1, min(most, _PASSED_ENTRIES // (latents.shape[1] * images.shape[1])))
    return by_blocks(
        lambda rows, device: program(plan, *take(rows, device, images, weights, latents)),
        np.arange(len(images)),
        size,
    )


@jax.jit
def _log_evidence(
    plan: InferencePlan, images: Array, weights: Array | None, latents: Array
) -> Float[Array, " b"]:
    problem, noise, (n, dims) = problem_of(plan.task, images, weights), plan.noise, latents.shape
    assert problem.prior is not None
    assert noise is not None
    n_known = jnp.full(n, float(images.shape[1]))
    if weights is not None:
        n_known = weights.sum(axis=1, dtype=jnp.float32)
    value, _, gram = linearise(problem, latents)
    # The objective is the negative log posterior, but for constants, times two strengths.
    strength = jnp.broadcast_to(problem.strength, n)
    diagonal = jnp.diagonal(jnp.linalg.cholesky(gram), axis1=1, axis2=2)
    half_determinant = jnp.log(diagonal).sum(axis=1) - dims / 2 * jnp.log(strength)
    likelihood = -n_known / 2 * jnp.log(2 * math.pi * noise)
    highest = jax.nn.logsumexp(problem.prior.log_peaks())  # where the penalty is 0
    joint = likelihood + highest - value / (2 * strength)
    return joint + dims / 2 * math.log(2 * math.pi) - half_determinant


@jax.jit
def _root(
    plan: InferencePlan, images: Array, weights: Array | None, latents: Array
) -> Float[Array, "b dims dims"]:
    problem = problem_of(plan.task, images, weights)
    lower = jnp.linalg.cholesky(linearise(problem, latents)[2])
    unit = jnp.broadcast_to(jnp.eye(latents.shape[1]), lower.shape)
    roots = jax.lax.linalg.triangular_solve(
        lower, unit, left_side=True, lower=True, transpose_a=True
    )
    # The objective is the negative log posterior, times two strengths of the prior.
    strength = jnp.broadcast_to(problem.strength, len(latents))
    return jnp.sqrt(strength)[:, None, None] * roots
