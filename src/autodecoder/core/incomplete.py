"""Missing pixels of images, filled in by principal components to find initial latents."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num

from autodecoder.core.latents import fit_pca

#: Most components, and most images to estimate them from (evenly spaced).
_RANK = 32
_N_IMAGES = 4000
#: Most iterations of expectation maximisation. They stop when the error decreases by a smaller
#: share than `_GAIN`.
_ROUNDS, _GAIN = 8, 1e-3
#: Ridge of least squares over known pixels, for orthonormal components.
_RIDGE = 1e-6
#: Rows that are filled in at once.
_BLOCK = 1000
#: Least noise variance as a share of the pixels' variance, and a ridge that avoids a singular
#: system for pixels that no image shows.
_LEAST_NOISE, _TINY = 1e-6, 1e-6


class IncompletePCA(NamedTuple):
    """Probabilistic principal components: an image is `mean + loadings @ scores` plus noise."""

    mean: Float[np.ndarray, " pixels"]
    """Mean of each pixel. A pixel that no image shows has the mean over all known pixels."""
    loadings: Float[np.ndarray, "pixels rank"]
    """Loadings for independent normal scores of variance 1."""
    noise: float
    """Variance of the noise, the same for every pixel."""


def fit_incomplete(
    images: Num[np.ndarray, "n pixels"],
    mask: Bool[np.ndarray, "n pixels"],
    rank: int = _RANK,
    n_images: int = _N_IMAGES,
    rounds: int = _ROUNDS,
    gain: float = _GAIN,
) -> IncompletePCA:
    """Fit principal components to images with missing pixels, by expectation maximisation.

    Each iteration computes the mean and covariance of each image's scores from its known pixels,
    then the loadings and mean of each pixel from the images that show it. The result is
    deterministic.

    Parameters
    ----------
    images : (n, pixels)
        Values where the mask is False are ignored.
    mask : (n, pixels) bool
        True where a pixel is known.
    rank : int
        Most components.
    n_images : int
        Most images to use; of more, evenly spaced ones are used.
    rounds : int
        Most iterations. Many iterations overfit the known pixels of small images.
    gain : float
        Stop when the error on known pixels decreases by a smaller share than this.

    References
    ----------
    Tipping & Bishop 1999, "Probabilistic principal component analysis"; Ilin & Raiko 2010,
    "Practical approaches to principal component analysis in the presence of missing values".
    """
    sample = slice(None, None, -(-len(images) // n_images))
    known = mask[sample].astype(np.float32)
    x = np.where(mask[sample], images[sample], 0).astype(np.float32)
    counts = known.sum(axis=0)
    n_known = max(1.0, float(counts.sum(dtype=np.float64)))
    everywhere = x.sum(dtype=np.float64) / n_known
    mean = np.where(counts > 0, x.sum(axis=0) / np.maximum(counts, 1), everywhere)
    mean = mean.astype(np.float32)
    centred = (x - mean) * known
    variance = float(np.vdot(centred, centred)) / n_known
    least = _LEAST_NOISE * variance + float(np.finfo(np.float32).tiny)
    pca = fit_pca(centred, max(1, min(rank, len(x) // 2, x.shape[1] // 2)))
    found = IncompletePCA(mean, pca.components * pca.std, max(least, variance))
    before = np.inf
    for _ in range(rounds):
        found, error = _improve(found, x, known, n_known, least)
        if before - error < gain * before:
            break
        before = error
    return found


def fill_missing(
    pca: IncompletePCA,
    images: Num[np.ndarray, "n pixels"],
    mask: Bool[np.ndarray, "n pixels"],
) -> Float[np.ndarray, "n pixels"]:
    """Replace missing pixels by their most probable values; known pixels are kept."""
    filled = np.empty(images.shape, np.float32)
    for first in range(0, len(images), _BLOCK):
        rows = slice(first, first + _BLOCK)
        known = mask[rows]
        seen = np.where(known, images[rows], 0).astype(np.float32)
        scores, _ = _find_scores(pca, seen, known.astype(np.float32))
        filled[rows] = np.where(known, seen, scores @ pca.loadings.T + pca.mean)
    return filled


def normal_equations(
    centred: Float[np.ndarray, "n pixels"],
    known: Float[np.ndarray, "n pixels"],
    components: Float[np.ndarray, "pixels dims"],
) -> tuple[Float[np.ndarray, "n dims dims"], Float[np.ndarray, "n dims"]]:
    """The least squares problems for the scores of images, each over its known pixels: matrices and
    right sides, for `solve_scores`.

    Parameters
    ----------
    centred : (n, pixels)
        Images without their mean, 0 where unknown.
    known : (n, pixels)
        1 where a pixel is known, else 0.
    components : (pixels, dims)
    """
    n_pixels, dims = components.shape
    sides = (centred @ components).astype(np.float64)
    weighted = (known[:, None] * components.T).reshape(-1, n_pixels)
    return (weighted @ components).reshape(-1, dims, dims).astype(np.float64), sides


def solve_scores(
    grams: Float[np.ndarray, "n dims dims"], sides: Float[np.ndarray, "n dims"]
) -> Float[np.ndarray, "n dims"]:
    """The scores that solve `normal_equations`, with a small ridge."""
    ridge = _RIDGE * np.eye(sides.shape[1])
    return np.linalg.solve(grams + ridge, sides[..., None])[..., 0]


def _find_scores(
    pca: IncompletePCA, images: Float[np.ndarray, "n pixels"], known: Float[np.ndarray, "n pixels"]
) -> tuple[Float[np.ndarray, "n rank"], Float[np.ndarray, "n rank rank"]]:
    """Mean and covariance of the scores of images, given their known pixels."""
    rank = pca.loadings.shape[1]
    informed = _unpack(known @ _pairs(pca.loadings), rank) / pca.noise
    covariances = np.linalg.inv(informed + np.eye(rank, dtype=np.float32))
    sides = ((images - pca.mean) * known) @ pca.loadings / pca.noise
    return (covariances @ sides[..., None])[..., 0], covariances


def _improve(
    pca: IncompletePCA,
    images: Float[np.ndarray, "n pixels"],
    known: Float[np.ndarray, "n pixels"],
    n_known: float,
    least: float,
) -> tuple[IncompletePCA, float]:
    """Do one iteration; return the components and the mean squared error of the known pixels."""
    rank = pca.loadings.shape[1]
    upper = np.triu_indices(rank)
    scores, covariances = _find_scores(pca, images, known)
    spreads = covariances[:, *upper]
    grams = _unpack(known.T @ (spreads + _pairs(scores)), rank) + _TINY * np.eye(rank)
    sides = ((images - pca.mean) * known).T @ scores
    loadings = np.linalg.solve(grams, sides[..., None])[..., 0].astype(np.float32)
    off = (images - scores @ loadings.T) * known
    counts = known.sum(axis=0)
    mean = np.where(counts > 0, off.sum(axis=0) / np.maximum(counts, 1), pca.mean)
    off -= mean * known
    error = float(np.vdot(off, off)) / n_known
    # The packed form holds each pair of different scores once, but the sum needs it twice.
    twice = np.where(upper[0] == upper[1], 1, 2)
    unsure = np.sum((known.T @ spreads) * _pairs(loadings) * twice, dtype=np.float64)
    return IncompletePCA(mean, loadings, max(least, error + float(unsure) / n_known)), error


def _pairs(rows: Float[np.ndarray, "n rank"]) -> Float[np.ndarray, "n pairs"]:
    """Products of any two numbers of a row: the upper triangle of its outer product, packed."""
    one, other = np.triu_indices(rows.shape[1])
    return rows[:, one] * rows[:, other]


def _unpack(pairs: Float[np.ndarray, "n pairs"], rank: int) -> Float[np.ndarray, "n rank rank"]:
    """The symmetric matrices of which `pairs` are the packed upper triangles."""
    one, other = np.triu_indices(rank)
    full = np.empty((len(pairs), rank, rank), pairs.dtype)
    full[:, one, other] = pairs
    full[:, other, one] = pairs
    return full
