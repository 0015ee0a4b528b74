"""Starts of latent inference for unseen images."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from autodecoder.config import InferConfig
from autodecoder.core.decoders import Decoder
from autodecoder.core.neighbours import Decoded, decode_known, nearest

#: A dimension whose standard deviation is below this share of the widest one's counts as constant.
_FLAT = 1e-6


class Starts(NamedTuple):
    """The source of starts, the same for every image."""

    candidates: Decoded | None
    """Candidates for nearest starts; `None` if there are no such starts."""
    fixed: Float[Array, "m dims"]
    """Starts that do not depend on the image: zeros and random draws."""


@jax.jit(static_argnames="n")
def draw_candidates(
    key: PRNGKeyArray, known: Float[Array, "k dims"], n: int
) -> tuple[Float[Array, "n dims"], Float[Array, " dims"], Float[Array, " dims"], PRNGKeyArray]:
    """Draw `n` candidates from known latents.

    Returns the candidates, their mean and spread (see `InferencePlan`), and a key for the random
    starts.
    """
    draw_key, start_key = jax.random.split(key)
    if n == 0:
        dims = known.shape[1]
        return jnp.zeros((0, dims)), jnp.zeros(dims), jnp.ones(dims), start_key
    candidates = _all_finite(known[jax.random.permutation(draw_key, len(known))[:n]])
    spread = candidates.std(0)
    widest = spread.max()
    unit = jnp.where(widest > _FLAT * jnp.abs(candidates).max(), widest, 1)
    spread = jnp.where(spread > _FLAT * unit, spread, unit)
    return candidates, candidates.mean(0), spread, start_key


def _all_finite(latents: Float[Array, "k dims"]) -> Float[Array, "k dims"]:
    finite = jnp.isfinite(latents).all(axis=1, keepdims=True)
    mean = jnp.where(finite, latents, 0).sum(0) / jnp.maximum(finite.sum(), 1)
    return jnp.where(finite, latents, mean)


def prepare_starts(
    decoder: Decoder,
    candidates: Float[Array, "k dims"],
    key: PRNGKeyArray,
    config: InferConfig,
) -> Starts:
    """Decode the candidates for nearest starts, and draw the random starts.

    Random starts are normal with the candidates' mean and standard deviation per dimension. They
    are the same for every image, so that an image's result does not depend on other images.
    """
    dims = candidates.shape[1]
    fixed = [jnp.zeros((0, dims))]
    if "zeros" in config.starts:
        fixed.append(jnp.zeros((1, dims)))
    if "random" in config.starts:
        draws = jax.random.normal(key, (config.n_starts, dims))
        fixed.append(candidates.mean(0) + draws * candidates.std(0))
    near = decode_known(decoder, candidates) if "nearest" in config.starts else None
    return Starts(near, jnp.concatenate(fixed))


def place_starts(
    starts: Starts,
    targets: Float[Array, "b pixels"],
    weights: Shaped[Array, "b pixels"] | None,
    config: InferConfig,
) -> Float[Array, "b starts dims"]:
    """The starts of each image, in the order of `start_names`."""
    fixed = jnp.broadcast_to(starts.fixed, (len(targets), *starts.fixed.shape))
    if starts.candidates is None:
        return fixed
    found = nearest(starts.candidates, targets, weights, config.n_starts)
    return jnp.concatenate([found, fixed], axis=1)


def start_names(config: InferConfig) -> tuple[str, ...]:
    """A name for each start of an image, in the order of `Inference.start`."""
    counts = {"nearest": config.n_starts, "zeros": 1, "random": config.n_starts}
    return tuple(name for name in counts if name in config.starts for _ in range(counts[name]))
