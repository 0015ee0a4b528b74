"""Self-organising map: positions on a plane, such that like images lie near each other."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num

from autodecoder.core.latents import PCA, fit_pca, project

#: Nodes of a map, about.
_N_NODES = 1024
#: Images that a map is made of, and the principal components along which they are compared.
_N_IMAGES, _N_BYTES = 10_000, 2**28
_RANK = 64
_N_ITERATIONS = 15
#: Width of the neighbourhood: at first as a share of a side of the map, in the end in nodes.
_FIRST_WIDTH = 0.25
_LAST_WIDTH = 0.7
_TINY = 1e-20
#: Rows compared at once.
_ROWS = 2000


class Map(NamedTuple):
    """Nodes on a regular grid, each with the image that it stands for."""

    pca: PCA
    codes: Float[np.ndarray, "nodes rank"]
    """Principal component scores of the nodes' images."""
    positions: Float[np.ndarray, "nodes dims"]
    """Of the nodes: a grid around 0, of unit variance in each dimension."""


def fit_map(images: Num[np.ndarray, "n pixels"], dims: int) -> Map:
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
    most = max(1, min(_N_IMAGES, _N_BYTES // images.shape[1]))
    sample = images[:: -(-len(images) // most)]
    pca = fit_pca(sample, _RANK)
    codes, positions = _fit(project(pca, sample), pca.std[:dims], dims)
    return Map(pca, codes, positions)


def map_positions(som: Map, images: Num[np.ndarray, "n pixels"]) -> Float[np.ndarray, "n dims"]:
    """The position of the node that is nearest to each image."""
    return som.positions[_nearest(project(som.pca, images), som.codes)]


def _fit(
    codes: Float[np.ndarray, "n rank"], std: Float[np.ndarray, " dims"], dims: int
) -> tuple[Float[np.ndarray, "nodes rank"], Float[np.ndarray, "nodes dims"]]:
    side = max(2, round(min(_N_NODES, len(codes)) ** (1 / dims)))
    steps = np.arange(side, dtype=np.float32) - (side - 1) / 2
    grid = np.stack(np.meshgrid(*[steps] * dims, indexing="ij"), axis=-1).reshape(-1, dims)
    positions = grid / np.sqrt(np.float32((side**2 - 1) / 12))
    apart = np.sum((grid[:, None] - grid) ** 2, axis=-1)
    nodes = np.zeros((len(grid), codes.shape[1]), np.float32)
    nodes[:, :dims] = positions * std
    # From the first width of the neighbourhood to the last, by equal ratios.
    for width in np.geomspace(_FIRST_WIDTH * side, _LAST_WIDTH, _N_ITERATIONS, dtype=np.float32):
        near = np.exp(-apart / (2 * width**2))
        owner = _nearest(codes, nodes)
        order = np.argsort(owner, kind="stable")
        owning, first = np.unique(owner[order], return_index=True)
        sums = np.add.reduceat(codes[order], first)
        weight = near @ np.bincount(owner, minlength=len(grid)).astype(np.float32)
        # A node with no image far and wide stays where it was.
        reached = weight > _TINY
        nodes[reached] = (near[:, owning] @ sums)[reached] / weight[reached, None]
    return nodes, positions


def _nearest(
    rows: Float[np.ndarray, "n rank"], others: Float[np.ndarray, "k rank"]
) -> Int[np.ndarray, " n"]:
    """For each row, which of the others is nearest."""
    squares = np.sum(others**2, axis=1)
    blocks = [rows[i : i + _ROWS] for i in range(0, len(rows), _ROWS)]
    return np.concatenate(
        [np.zeros(0, int), *(np.argmin(squares - 2 * row @ others.T, axis=1) for row in blocks)]
    )
