"""Initial latents of a joint fit.

What depends on the images alone is computed on the host by NumPy: that takes less time than
compiling a program, and all runs share the result.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num, PRNGKeyArray

from autodecoder.config import STARTS_FROM_IMAGES, FitConfig

#: With more rows than this, principal components are fitted to some of them, and draws are made
#: row by row, so that the set need not fit into memory.
MANY_ROWS = 2**18
#: Most rows, and most values in them, to fit principal components to if there are many.
_FITTED_ROWS, _FITTED_BYTES = 2**16, 2**28
_NORMAL_STD = 0.1
_BLOCK = 1000
_PCA_OVERSAMPLING = 10
_PCA_ITERATIONS = 8
#: Components with a smaller standard deviation, as a share of the first one's, count as rounding.
_PCA_RANK_TOLERANCE = 1e-3


class PCA(NamedTuple):
    """Principal components of a set of images."""

    mean: Float[np.ndarray, " pixels"]
    components: Float[np.ndarray, "pixels dims"]
    std: Float[np.ndarray, " dims"]
    """Standard deviation of the scores along each component, in pixel values."""


def fit_pca(images: Num[np.ndarray, "n pixels"], n_components: int) -> PCA:
    """Find the leading principal components by randomised subspace iteration.

    Images are read in blocks, so that the working memory stays at a few thousand images. The result
    is deterministic (the test matrix is fixed). The sign of each component makes its largest entry
    positive. Components beyond the rank of the images are 0, and so is their `std`. Of more than
    262,144 images, up to 65,536 evenly spaced ones are used.

    References
    ----------
    Halko, Martinsson & Tropp 2011, "Finding structure with randomness", algorithm 4.4.
    """
    if len(images) > MANY_ROWS:
        most = max(1, min(_FITTED_ROWS, _FITTED_BYTES // images.shape[1]))
        images = images[:: -(-len(images) // most)]
    n, n_pixels = images.shape
    width = min(n_components + _PCA_OVERSAMPLING, n, n_pixels)
    mean = sum(block.sum(0, dtype=np.float64) for block in _blocks(images)) / n
    mean = mean.astype(np.float32)

    def covariance_times(basis: Float[np.ndarray, "pixels w"]) -> Float[np.ndarray, "pixels w"]:
        total = np.zeros(basis.shape, np.float32)
        for block in _blocks(images):
            centred = block - mean
            total += centred.T @ (centred @ basis)
        return total / n

    start = np.random.default_rng(0).standard_normal((n_pixels, width), np.float32)
    basis = np.linalg.qr(start)[0]
    for _ in range(_PCA_ITERATIONS):
        basis = np.linalg.qr(covariance_times(basis))[0]
    variances, rotation = np.linalg.eigh(basis.T @ covariance_times(basis))
    order = np.argsort(-variances)[:n_components]
    components = basis @ rotation[:, order]
    largest = np.take_along_axis(components, np.abs(components).argmax(0)[None], axis=0)
    components = components * np.sign(largest)
    std = np.sqrt(np.maximum(variances[order], 0))
    present = std > _PCA_RANK_TOLERANCE * std[0]
    components, std = components * present, std * present
    missing = n_components - components.shape[1]
    return PCA(mean, np.pad(components, ((0, 0), (0, missing))), np.pad(std, (0, missing)))


def pca_scores(pca: PCA, images: Num[np.ndarray, "n pixels"]) -> Float[np.ndarray, "n dims"]:
    """Scores of images, divided by one number so that their mean square is 1 on the fitted images.

    Components keep their relative scale, so that distances between latents are in proportion to
    distances between images along the components. Columns of components beyond the rank are 0.
    """
    size = np.sqrt(np.mean(pca.std**2))
    return project(pca._replace(components=pca.components / (size or 1)), images)


def project(pca: PCA, images: Num[np.ndarray, "n pixels"]) -> Float[np.ndarray, "n dims"]:
    """Scores of images, in pixel values."""
    scores = [(block - pca.mean) @ pca.components for block in _blocks(images)]
    return np.concatenate([np.zeros((0, pca.components.shape[1]), np.float32), *scores])


def start_latents(
    key: PRNGKeyArray,
    fit: FitConfig,
    shape: tuple[int, int],
    starts: Float[Array | np.ndarray, "n dims"] | None,
) -> Float[Array, "n dims"]:
    """Initial latents of a fit.

    Parameters
    ----------
    key : key
        Used by the start `normal`.
    fit : FitConfig
        Its `latent_start` is `zeros`; `normal`, with standard deviation 0.1; or `pca` (as in
        Bojanowski et al. 2018), `som` or `neighbours`, which scale `starts` by `fit.spread_for`.
    shape : (n, latent_dims)
    starts : (n, latent_dims), optional
        Starts with mean square 1, required for `pca`, `som` and `neighbours`.
    """
    start = fit.start_for(shape[1])
    if start == "zeros":
        return jnp.zeros(shape)
    if start == "normal":
        return draw_normal(key, jnp.arange(shape[0]), shape)
    assert starts is not None  # the caller finds them for these starts
    return fit.spread_for(shape[1]) * jnp.asarray(starts)


def spread_of(fit: FitConfig, dims: int) -> float:
    """The root mean square of initial latents, or that of the start `normal` where all are 0."""
    return fit.spread_for(dims) if fit.start_for(dims) in STARTS_FROM_IMAGES else _NORMAL_STD


def draw_normal(
    key: PRNGKeyArray, rows: Int[Array | np.ndarray, " k"], shape: tuple[int, int]
) -> Float[Array, "k dims"]:
    """The given rows of the start `normal` for latents of `shape`."""
    n, dims = shape
    if n <= MANY_ROWS:
        return _NORMAL_STD * jax.random.normal(key, shape)[rows]
    keys = jax.vmap(partial(jax.random.fold_in, key))(rows)
    return _NORMAL_STD * jax.vmap(lambda key: jax.random.normal(key, (dims,)))(keys)


def _blocks(images: Num[np.ndarray, "n pixels"]) -> Iterator[Float[np.ndarray, "b pixels"]]:
    for first in range(0, len(images), _BLOCK):
        yield images[first : first + _BLOCK].astype(np.float32)
