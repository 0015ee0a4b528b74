"""Neighbour layout: positions of images by t-SNE, such that neighbours stay neighbours.

openTSNE is imported at use. It lays out some images, the landmarks. Any other image is placed at
its nearest landmark, so that the cost of further images is that of a search.
"""

from importlib.util import find_spec
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from autodecoder.core.latents import PCA, fit_pca, pca_scores, project
from autodecoder.core.som import Map
from autodecoder.errors import ConfigError

#: Most landmarks, by the number of dimensions: openTSNE has its fast method for up to 2.
_N_LANDMARKS = {1: 20_000, 2: 20_000, 3: 4000}
#: Most values in the landmarks' images.
_MOST_VALUES = 2**28
#: Principal components along which images are compared.
_RANK = 50
#: Fewer landmarks are not laid out, but placed by their principal components.
_LEAST = 20
#: Effective number of neighbours of a landmark, and neighbours searched for each of them.
_PERPLEXITY, _SEARCHED = 15, 3
#: Iterations, exaggeration and momentum of both phases of t-SNE.
_PHASES = ((100, 12.0, 0.5), (250, 1.0, 0.8))
#: Standard deviation of the positions before the first iteration, and of the noise that separates
#: equal ones.
_FIRST_STD, _FIRST_NOISE = 1e-4, 1e-6
#: From this number of landmarks on, repulsion is computed on a grid, with cells of this size in
#: units of the layout; below, and with 3 dimensions, by a tree.
_GRID_FROM, _CELL = 3000, 3
#: Rows compared at once.
_ROWS = 100


def check_library() -> None:
    """Check that openTSNE is installed.

    Raises
    ------
    ConfigError
        If it is not.
    """
    if find_spec("openTSNE") is None:
        raise ConfigError(
            "latent_start: neighbours needs openTSNE, which is not installed; "
            "pip install 'autodecoder[neighbours]' brings it."
        )


def fit_layout(images: Any, dims: int) -> Map:
    """Lay out some of the images, the landmarks, by t-SNE. `map_positions` places others.

    The landmarks are compared along 50 principal components. The result is deterministic, and does
    not depend on the number of threads. The rounding of another processor changes it visibly, since
    t-SNE amplifies small differences.

    Parameters
    ----------
    images : (n, pixels)
        An array, or an object that reads rows on request. Evenly spaced rows are the landmarks: up
        to 20,000, or 4,000 with 3 dimensions. Fewer than 20 are placed by their principal
        components.
    dims : int
        1 to 3.

    Returns
    -------
    Map
        With the landmarks as nodes. The mean square of their positions is 1.

    Raises
    ------
    ConfigError
        If openTSNE is not installed.

    References
    ----------
    van der Maaten & Hinton 2008, "Visualizing data using t-SNE"; Linderman et al. 2019, "Fast
    interpolation-based t-SNE for improved visualization of single-cell RNA-seq data"; Poličar et
    al. 2024, "openTSNE: a modular Python library for t-SNE dimensionality reduction and embedding".
    """
    check_library()
    most = max(1, min(_N_LANDMARKS[dims], _MOST_VALUES // images.shape[1]))
    n = min(len(images), most)
    landmarks = images[np.arange(n) * len(images) // n]
    pca = fit_pca(landmarks, _RANK)
    codes = project(pca, landmarks)
    if n < _LEAST:
        return Map(pca, codes, pca_scores(_leading(pca, dims), landmarks))
    positions = _lay_out(codes, dims)
    positions -= positions.mean(0)
    return Map(pca, codes, (positions / np.sqrt(np.mean(positions**2))).astype(np.float32))


def _leading(pca: PCA, n: int) -> PCA:
    return PCA(pca.mean, pca.components[:, :n], pca.std[:n])


def _lay_out(codes: Float[np.ndarray, "n rank"], dims: int) -> Float[np.ndarray, "n dims"]:
    """Positions by t-SNE. One thread is used, as a second one takes longer than it saves."""
    from openTSNE import TSNEEmbedding  # pyright: ignore[reportMissingImports]
    from openTSNE.affinity import PerplexityBasedNN  # pyright: ignore[reportMissingImports]
    from openTSNE.nearest_neighbors import (  # pyright: ignore[reportMissingImports]
        PrecomputedNeighbors,
    )

    perplexity = min(_PERPLEXITY, (len(codes) - 1) // _SEARCHED)
    rows, distances = _neighbours(codes, perplexity * _SEARCHED)
    affinities = PerplexityBasedNN(
        perplexity=perplexity, knn_index=PrecomputedNeighbors(rows, distances), n_jobs=1
    )
    options: dict[str, Any] = {"negative_gradient_method": "bh"}
    if dims <= 2 and len(codes) >= _GRID_FROM:
        options = {"negative_gradient_method": "fft", "ints_in_interval": _CELL}
    layout = TSNEEmbedding(_first_positions(codes, dims), affinities, n_jobs=1, **options)
    for n_iter, exaggeration, momentum in _PHASES:
        layout = layout.optimize(n_iter, exaggeration=exaggeration, momentum=momentum)
    return np.array(layout)


def _first_positions(codes: Float[np.ndarray, "n rank"], dims: int) -> Float[np.ndarray, "n dims"]:
    """The first principal component scores, scaled down, with noise that separates equal ones."""
    scores = np.zeros((len(codes), dims))
    scores[:, : codes.shape[1]] = codes[:, :dims]
    scale = _FIRST_STD / (scores[:, 0].std() or 1)
    return scores * scale + np.random.default_rng(0).normal(0, _FIRST_NOISE, scores.shape)


def _neighbours(
    codes: Float[np.ndarray, "n rank"], k: int
) -> tuple[Int[np.ndarray, "n k"], Float[np.ndarray, "n k"]]:
    """The `k` nearest other rows of each row, the nearest first, and their distances."""
    rows, distances = [], []
    squares = np.sum(codes**2, axis=1)
    for first in range(0, len(codes), _ROWS):
        some = codes[first : first + _ROWS]
        apart = squares - 2 * some @ codes.T
        own = np.arange(len(some))
        apart[own, first + own] = np.inf
        near = np.argpartition(apart, k - 1, axis=1)[:, :k]
        square = np.take_along_axis(apart, near, axis=1)
        order = np.argsort(square, axis=1, kind="stable")
        rows.append(np.take_along_axis(near, order, axis=1))
        square = np.take_along_axis(square, order, axis=1) + np.sum(some**2, axis=1)[:, None]
        distances.append(np.sqrt(np.maximum(square, 0)))
    return np.concatenate(rows), np.concatenate(distances)
