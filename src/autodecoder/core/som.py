"""Self-organising map: places on a plane for images, such that like images lie near each other."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from autodecoder.core.latents import PCA, fit_pca, project
from autodecoder.core.neighbours import nearest_row

#: Nodes of a map, about.
_N_NODES = 1024
#: Images that a map is made of, and the principal components along which they are compared.
_N_IMAGES = 10_000
_RANK = 64
_N_ITERATIONS = 25
#: Width of the neighbourhood: at first as a share of a side of the map, in the end in nodes.
_FIRST_WIDTH = 0.25
_LAST_WIDTH = 0.7
_TINY = 1e-20


class Map(NamedTuple):
    """Nodes on a regular grid, each with the image that it stands for."""

    pca: PCA
    codes: Float[Array, "nodes rank"]
    """Principal component scores of the nodes' images."""
    places: Float[Array, "nodes dims"]
    """Of the nodes: a grid around 0, of unit variance in each dimension."""


def fit_map(images: Num[Array, "n pixels"], dims: int) -> Map:
    """Lay a grid of nodes through the images, stiff at first and soft in the end.

    Each round gives every image to its nearest node, then every node the mean of the images nearby
    on the grid. The result does not depend on chance.

    Parameters
    ----------
    images : (n, pixels)
        Of many, 10,000 are used, spread evenly.
    dims : int
        Dimensions of the grid, 1 to 3; more could not be filled by its nodes, about 1,000 or, where
        there are fewer, as many as images.

    References
    ----------
    Kohonen 1982, "Self-organized formation of topologically correct feature maps"; Kohonen 2013,
    "Essentials of the self-organizing map", section 4, for the batch algorithm.
    """
    sample = images[:: -(-len(images) // _N_IMAGES)]
    pca = fit_pca(sample, _RANK)
    codes, places = _fit(project(pca, sample), pca.std[:dims], dims)
    return Map(pca, codes, places)


@jax.jit
def map_places(som: Map, images: Num[Array, "n pixels"]) -> Float[Array, "n dims"]:
    """The place of the node that is nearest to each image."""
    return som.places[nearest_row(project(som.pca, images), som.codes)]


@partial(jax.jit, static_argnames="dims")
def _fit(
    codes: Float[Array, "n rank"], std: Float[Array, " dims"], dims: int
) -> tuple[Float[Array, "nodes rank"], Float[Array, "nodes dims"]]:
    side = max(2, round(min(_N_NODES, len(codes)) ** (1 / dims)))
    steps = jnp.arange(side) - (side - 1) / 2
    grid = jnp.stack(jnp.meshgrid(*[steps] * dims, indexing="ij"), axis=-1).reshape(-1, dims)
    places = grid / jnp.sqrt((side**2 - 1) / 12)
    apart = jnp.sum((grid[:, None] - grid) ** 2, axis=-1)
    first, last = _FIRST_WIDTH * side, _LAST_WIDTH

    def move(nodes: Array, k: Array) -> tuple[Array, None]:
        width = first * (last / first) ** (k / (_N_ITERATIONS - 1))
        near = jnp.exp(-apart / (2 * width**2))
        owner = nearest_row(codes, nodes)
        sums = jax.ops.segment_sum(codes, owner, len(grid))
        counts = jax.ops.segment_sum(jnp.ones(len(codes)), owner, len(grid))
        weight = (near @ counts)[:, None]
        # A node with no image far and wide stays where it was.
        return jnp.where(weight > _TINY, near @ sums / jnp.maximum(weight, _TINY), nodes), None

    start = jnp.zeros((len(grid), codes.shape[1])).at[:, :dims].set(places * std)
    nodes, _ = jax.lax.scan(move, start, jnp.arange(_N_ITERATIONS))
    return nodes, places
