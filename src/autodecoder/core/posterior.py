"""Uncertainty of inferred latents."""

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
    most = plan.config.block_size_for(accelerator=jax.default_backend() != "cpu")
    size = max(1, min(most, _PASSED_ENTRIES // (dims * images.shape[1])))
    return by_blocks(
        lambda rows, device: _root(plan, *take(rows, device, images, weights, latents)),
        np.arange(len(images)),
        size,
    )


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
