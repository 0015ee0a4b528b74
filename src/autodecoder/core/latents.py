"""Where latents start before a joint fit."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num, PRNGKeyArray

from autodecoder.config import FitConfig

_NORMAL_STD = 0.1
_BLOCK = 1000
_PCA_OVERSAMPLING = 10
_PCA_ITERATIONS = 8
#: A component counts as absent below this share of the first one's standard deviation.
_PCA_RANK_TOLERANCE = 1e-4


class PCA(NamedTuple):
    """Principal components of a set of images, with the spread of the scores along each."""

    mean: Float[Array, " pixels"]
    components: Float[Array, "pixels dims"]
    std: Float[Array, " dims"]


@jax.jit(static_argnames="n_components")
def fit_pca(images: Num[Array, "n pixels"], n_components: int) -> PCA:
    """Find the leading principal components by randomised subspace iteration.

    Images are read in blocks, so that the working memory stays at a few thousand images. The
    result does not depend on chance (the test matrix is fixed), and the sign of a component makes
    its largest entry positive. Components beyond the rank of the images have `std` 0.

    References
    ----------
    Halko, Martinsson & Tropp 2011, "Finding structure with randomness", algorithm 4.4.
    """
    n, n_pixels = images.shape
    width = min(n_components + _PCA_OVERSAMPLING, n, n_pixels)
    mean = _block_sum(images, lambda x: x.sum(0)) / n

    def covariance_times(basis: Float[Array, "pixels w"]) -> Float[Array, "pixels w"]:
        def block(x: Float[Array, "block pixels"]) -> Float[Array, "pixels w"]:
            centred = x - mean
            return centred.T @ (centred @ basis)

        # Padding rows of a block are zeros, that is -mean once centred: taken out again.
        return (_block_sum(images, block) - _n_padding(n) * jnp.outer(mean, mean @ basis)) / n

    def iterate(_: int | Array, basis: Float[Array, "pixels w"]) -> Float[Array, "pixels w"]:
        return jnp.linalg.qr(covariance_times(basis))[0]

    start = jax.random.normal(jax.random.key(0), (n_pixels, width))
    basis = jax.lax.fori_loop(0, _PCA_ITERATIONS, iterate, jnp.linalg.qr(start)[0])
    variances, rotation = jnp.linalg.eigh(basis.T @ covariance_times(basis))
    order = jnp.argsort(-variances)[:n_components]
    components = basis @ rotation[:, order]
    largest = jnp.take_along_axis(components, jnp.abs(components).argmax(0)[None], axis=0)
    components = components * jnp.sign(largest)
    std = jnp.sqrt(jnp.maximum(variances[order], 0))
    missing = n_components - components.shape[1]
    return PCA(mean, jnp.pad(components, ((0, 0), (0, missing))), jnp.pad(std, (0, missing)))


@jax.jit
def pca_scores(pca: PCA, images: Num[Array, "n pixels"]) -> Float[Array, "n dims"]:
    """Scores of images, each component scaled to unit variance over the images it was fitted to.

    Columns for components that those images do not have are 0.
    """
    present = pca.std > _PCA_RANK_TOLERANCE * pca.std[0]
    scale = jnp.where(present, 1 / jnp.where(present, pca.std, 1), 0)
    return project(pca._replace(components=pca.components * scale), images)


@jax.jit
def project(pca: PCA, images: Num[Array, "n pixels"]) -> Float[Array, "n dims"]:
    """Scores of images, in pixels."""
    return jax.lax.map(
        lambda x: (x.astype(jnp.float32) - pca.mean) @ pca.components, images, batch_size=_BLOCK
    )


def start_latents(
    key: PRNGKeyArray,
    fit: FitConfig,
    shape: tuple[int, int],
    places: Float[Array, "n dims"] | None,
) -> Float[Array, "n dims"]:
    """Latents before the first step.

    Parameters
    ----------
    key : key
        Used by the start `normal`.
    fit : FitConfig
        Its `latent_start`: `zeros`; `normal`, standard deviation 0.1; `pca` (the start of
        Bojanowski et al. 2018) and `som`, the places given times their spread.
    shape : (n, latent_dims)
    places : (n, latent_dims), optional
        Of unit variance; needed by `pca` and `som`.
    """
    start = fit.start_for(shape[1])
    if start == "zeros":
        return jnp.zeros(shape)
    if start == "normal":
        return _NORMAL_STD * jax.random.normal(key, shape)
    assert places is not None  # the caller finds them for these starts
    return fit.spread_for(shape[1]) * places


def _n_padding(n: int) -> int:
    return -n % _BLOCK


def _block_sum(images: Num[Array, "n pixels"], function) -> Array:
    """Sum a function of blocks of images over all blocks; the last block is padded with zeros."""
    n, n_pixels = images.shape
    padded = jnp.pad(images, ((0, _n_padding(n)), (0, 0)))
    blocks = padded.reshape(-1, _BLOCK, n_pixels)

    def add(total: Array, block: Array) -> tuple[Array, None]:
        return total + function(block.astype(jnp.float32)), None

    shape = jax.eval_shape(function, jax.ShapeDtypeStruct((_BLOCK, n_pixels), jnp.float32))
    total, _ = jax.lax.scan(add, jnp.zeros(shape.shape), blocks)
    return total
