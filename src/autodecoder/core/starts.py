"""Where the search for the latents of unseen images starts."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from autodecoder.config import InferConfig
from autodecoder.core.decoders import Decoder
from autodecoder.core.neighbours import Decoded, decode_known, nearest, nearest_images
from autodecoder.errors import ConfigError

#: Points of the grid along each axis, and how far it reaches beyond the candidates.
_GRID_SIDE = 64
_GRID_MARGIN = 0.1
#: Ridge penalty, as a share of the mean variance of the decoded candidates' pixels.
_RIDGE = 0.1


class LinearMap(NamedTuple):
    """From an image to a latent."""

    matrix: Float[Array, "pixels dims"]
    offset: Float[Array, " dims"]


class Starts(NamedTuple):
    """What starts are taken from; the same for every image."""

    candidates: Decoded | None
    grid: Decoded | None
    learned: LinearMap | None
    fixed: Float[Array, "m dims"]
    """Zeros and random draws."""


def prepare_starts(
    decoder: Decoder,
    candidates: Float[Array, "k dims"],
    key: PRNGKeyArray,
    config: InferConfig,
) -> Starts:
    """Decode what every image is compared with, and draw what is drawn.

    Draws follow the mean and standard deviation of the candidates in each dimension, and are the
    same for every image, so that its result does not depend on the others.

    Raises
    ------
    ConfigError
        If more starts are asked for than a grid has points.
    """
    n, dims = config.n_starts, candidates.shape[1]
    fixed = [jnp.zeros((0, dims))]
    grid = None
    if "zeros" in config.starts:
        fixed.append(jnp.zeros((1, dims)))
    if "random" in config.starts:
        draws = jax.random.normal(key, (n, dims))
        fixed.append(candidates.mean(0) + draws * candidates.std(0))
    if "grid" in config.starts:
        if n > _GRID_SIDE**2:
            raise ConfigError(
                f"n_starts must not exceed the points of the grid, {_GRID_SIDE**2}, got {n}."
            )
        grid = decode_known(decoder, _grid(candidates))
    needed = {"nearest", "learned"} & set(config.starts)
    near = decode_known(decoder, candidates) if needed else None
    learned = _fit_ridge(near) if near is not None and "learned" in config.starts else None
    return Starts(near, grid, learned, jnp.concatenate(fixed))


def place_starts(
    starts: Starts,
    targets: Float[Array, "b pixels"],
    weights: Shaped[Array, "b pixels"] | None,
    config: InferConfig,
) -> Float[Array, "b starts dims"]:
    """The starts of each image, in the order of `start_names`."""
    placed = []
    for name in config.starts:
        if name == "nearest":
            assert starts.candidates is not None
            placed.append(nearest(starts.candidates, targets, weights, config.n_starts))
        elif name == "grid":
            assert starts.grid is not None
            placed.append(nearest(starts.grid, targets, weights, config.n_starts))
        elif name == "learned":
            placed.append(_learned(starts, targets, weights)[:, None])
    fixed = jnp.broadcast_to(starts.fixed, (len(targets), *starts.fixed.shape))
    return jnp.concatenate([*placed, fixed], axis=1)


def start_names(config: InferConfig) -> tuple[str, ...]:
    """A name for each start of an image, in the order in which they are numbered."""
    searched = [name for name in config.starts if name not in ("zeros", "random")]
    fixed = [name for name in ("zeros", "random") if name in config.starts]
    counts = {"learned": 1, "zeros": 1}
    return tuple(n for n in (*searched, *fixed) for _ in range(counts.get(n, config.n_starts)))


def _learned(
    starts: Starts, targets: Float[Array, "b pixels"], weights: Shaped[Array, "b pixels"] | None
) -> Float[Array, "b dims"]:
    """Ridge regression's guess; where pixels are missing, those of the nearest candidate stand."""
    assert starts.candidates is not None
    assert starts.learned is not None
    if weights is not None:
        stand_ins = nearest_images(starts.candidates, targets, weights)
        targets = jnp.where(weights > 0, targets, stand_ins)
    return targets @ starts.learned.matrix + starts.learned.offset


def _grid(candidates: Float[Array, "k dims"]) -> Float[Array, "g dims"]:
    low, high = candidates.min(0), candidates.max(0)
    margin = _GRID_MARGIN * (high - low)
    axes = [
        jnp.linspace(a, b, _GRID_SIDE) for a, b in zip(low - margin, high + margin, strict=True)
    ]
    points = jnp.stack(jnp.meshgrid(*axes), axis=-1).reshape(-1, candidates.shape[1])
    # In random order, as the search among many takes the first ones for a sample.
    return jax.random.permutation(jax.random.key(0), points)


@jax.jit
def _fit_ridge(known: Decoded) -> LinearMap:
    """Regress latents on the images that they decode to (Hoerl & Kennard 1970)."""
    image_mean, latent_mean = known.images.mean(0), known.latents.mean(0)
    images, latents = known.images - image_mean, known.latents - latent_mean
    n, n_pixels = images.shape
    penalty = jnp.maximum(_RIDGE * n * jnp.mean(images**2), 1e-12)
    # (XᵀX + pI)⁻¹Xᵀ = Xᵀ(XXᵀ + pI)⁻¹: the smaller system.
    if n_pixels <= n:
        gram = images.T @ images + penalty * jnp.eye(n_pixels)
        matrix = jnp.linalg.solve(gram, images.T @ latents)
    else:
        gram = images @ images.T + penalty * jnp.eye(n)
        matrix = images.T @ jnp.linalg.solve(gram, latents)
    return LinearMap(matrix, latent_mean - image_mean @ matrix)
