"""Self-organising map: positions on a grid such that similar images are near each other."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num

from autodecoder.core.latents import PCA, fit_pca, project

#: Approximate number of nodes in a map.
_N_NODES = 1024
#: Most images, and most values in them, to fit a map to.
_N_IMAGES, _N_BYTES = 10_000, 2**28
#: Principal components along which images are compared.
_RANK = 64
_N_ITERATIONS = 15
#: Width of the neighbourhood: the first as a share of the side of the map, the last in nodes.
_FIRST_WIDTH = 0.25
_LAST_WIDTH = 0.7
_TINY = 1e-20
#: Distances computed at once.
_N_DISTANCES = 2000 * _N_NODES


class Map(NamedTuple):
    """Nodes on a regular grid. Each node has an image, stored by its principal component scores."""

    pca: PCA
    codes: Float[np.ndarray, "nodes rank"]
    """Principal component scores of the nodes' images."""
    positions: Float[np.ndarray, "nodes dims"]
    """Positions of the nodes: a grid around 0 with variance 1 in each dimension."""


def fit_map(images: Num[np.ndarray, "n pixels"], dims: int) -> Map:
    """Fit a grid of nodes to the images by the batch algorithm.

    Each iteration assigns every image to its nearest node, then sets every node to the weighted
    mean of the images of its neighbourhood on the grid. The neighbourhood shrinks with each
    iteration. The result is deterministic.

    Parameters
    ----------
    images : (n, pixels)
        Of more than 10,000 images, up to 10,000 evenly spaced ones are used.
    dims : int
        Number of dimensions of the grid, 1 to 3. The grid has about 1,000 nodes, or as many as
        images if these are fewer, which is too few for more dimensions.

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
    # The widths of the neighbourhood form a geometric sequence.
    for width in np.geomspace(_FIRST_WIDTH * side, _LAST_WIDTH, _N_ITERATIONS, dtype=np.float32):
        near = np.exp(-apart / (2 * width**2))
        owner = _nearest(codes, nodes)
        order = np.argsort(owner, kind="stable")
        owning, first = np.unique(owner[order], return_index=True)
        sums = np.add.reduceat(codes[order], first)
        weight = near @ np.bincount(owner, minlength=len(grid)).astype(np.float32)
        # A node without images in its neighbourhood stays where it is.
        reached = weight > _TINY
        nodes[reached] = (near[:, owning] @ sums)[reached] / weight[reached, None]
    return nodes, positions


def _nearest(
    rows: Float[np.ndarray, "n rank"], others: Float[np.ndarray, "k rank"]
) -> Int[np.ndarray, " n"]:
    """For each row, the index of the nearest of the others."""
    squares = np.sum(others**2, axis=1)
    n = max(1, _N_DISTANCES // len(others))
    blocks = [rows[i : i + n] for i in range(0, len(rows), n)]
    return np.concatenate(
        [np.zeros(0, int), *(np.argmin(squares - 2 * row @ others.T, axis=1) for row in blocks)]
    )
