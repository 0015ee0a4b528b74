"""Images with missing pixels, filled in by principal components: where a joint fit starts."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num

from autodecoder.core.latents import fit_pca

#: Components, at most, and images that they are estimated from, spread evenly.
_RANK = 32
_N_IMAGES = 4000
#: Iterations of expectation maximisation, at most; they end where the error falls by less, as a
#: share of it.
_ROUNDS, _GAIN = 8, 1e-3
#: Rows at once.
_BLOCK = 1000
#: Least variance of the noise, as a share of that of the pixels; and what keeps a pixel that no
#: image shows from dividing by 0.
_LEAST_NOISE, _TINY = 1e-6, 1e-6


class IncompletePCA(NamedTuple):
    """Probabilistic principal components: an image is `mean + loadings @ scores` and noise."""

    mean: Float[np.ndarray, " pixels"]
    """Where no image shows a pixel, the mean over all pixels that are known."""
    loadings: Float[np.ndarray, "pixels rank"]
    """Of scores that are normal, each of variance 1."""
    noise: float
    """Its variance, the same for every pixel."""


def fit_incomplete(
    images: Num[np.ndarray, "n pixels"],
    mask: Bool[np.ndarray, "n pixels"],
    rank: int = _RANK,
    n_images: int = _N_IMAGES,
    rounds: int = _ROUNDS,
    gain: float = _GAIN,
) -> IncompletePCA:
    """Find principal components of images some of whose pixels are missing.

    By expectation maximisation: mean and covariance of the scores of each image follow from its
    known pixels, then loadings and mean of each pixel from the images that show it. The result does
    not depend on chance.

    Parameters
    ----------
    images : (n, pixels)
        What stands where the mask is false is not looked at.
    mask : (n, pixels) bool
        True where a pixel is known.
    rank : int
        Components, at most.
    n_images : int
        Of more images as many are used, spread evenly.
    rounds : int
        Iterations, at most. Many fit what is seen of small images too well to fill in the rest.
    gain : float
        They end where the error on known pixels falls by a smaller share than this.

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
    """The images with the most probable values in the place of missing pixels."""
    filled = np.empty(images.shape, np.float32)
    for first in range(0, len(images), _BLOCK):
        rows = slice(first, first + _BLOCK)
        known = mask[rows]
        seen = np.where(known, images[rows], 0).astype(np.float32)
        scores, _ = _find_scores(pca, seen, known.astype(np.float32))
        filled[rows] = np.where(known, seen, scores @ pca.loadings.T + pca.mean)
    return filled


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
    """One round, and the mean squared error of the known pixels."""
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
    # Pairs of different scores stand once in what is packed, and count twice.
    twice = np.where(upper[0] == upper[1], 1, 2)
    unsure = np.sum((known.T @ spreads) * _pairs(loadings) * twice, dtype=np.float64)
    return IncompletePCA(mean, loadings, max(least, error + float(unsure) / n_known)), error


def _pairs(rows: Float[np.ndarray, "n rank"]) -> Float[np.ndarray, "n pairs"]:
    """Products of any two numbers of a row."""
    one, other = np.triu_indices(rows.shape[1])
    return rows[:, one] * rows[:, other]


def _unpack(pairs: Float[np.ndarray, "n pairs"], rank: int) -> Float[np.ndarray, "n rank rank"]:
    """Symmetric matrices of such products."""
    one, other = np.triu_indices(rank)
    full = np.empty((len(pairs), rank, rank), pairs.dtype)
    full[:, one, other] = pairs
    full[:, other, one] = pairs
    return full
