"""Images with missing pixels, filled in by principal components: where a joint fit starts."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Num

#: Components that fill in, at most, and rounds of filling in and finding them anew.
_RANK = 32
_ROUNDS = 10
#: Images that the components are found from, spread evenly, and how many are filled at once.
_N_IMAGES = 4000
_BLOCK = 1000
#: Rounds with missing pixels at their mean, before.
_FIRST_ROUNDS = 3
#: Degrees of freedom of the noise, at least, as a share of the known pixels; and the least ridge.
_LEAST_FREEDOM = 0.1
_LEAST_RIDGE = 1e-6


class Filler(NamedTuple):
    """Principal components of incomplete images, with the model of noise around them."""

    mean: Float[np.ndarray, " pixels"]
    """Over the images that show a pixel; where none does, over all pixels that are known."""
    components: Float[np.ndarray, "pixels rank"]
    """Orthonormal."""
    ridge: Float[np.ndarray, " rank"]
    """Variance of the noise, as a share of that of the scores."""


def fit_filler(images: Num[np.ndarray, "n pixels"], mask: Bool[np.ndarray, "n pixels"]) -> Filler:
    """Find principal components of images some of whose pixels are missing.

    By turns the scores of each image are found from its known pixels, under a normal prior, and the
    components from the images that these scores fill in. The result does not depend on chance.

    Parameters
    ----------
    images : (n, pixels)
        What stands where the mask is false is not looked at. Of many images 4,000 are used.
    mask : (n, pixels) bool
        True where a pixel is known.

    References
    ----------
    Tipping & Bishop 1999, "Probabilistic principal component analysis"; Josse & Husson 2012,
    "Handling missing values in exploratory multivariate data analysis methods".
    """
    sample = slice(None, None, -(-len(images) // _N_IMAGES))
    known = mask[sample]
    x = np.where(known, images[sample], 0).astype(np.float32)
    n, n_pixels = x.shape
    counts = known.sum(axis=0)
    everywhere = np.float32(x.sum(dtype=np.float64) / max(1, counts.sum()))
    mean = np.where(counts > 0, x.sum(axis=0) / np.maximum(counts, 1), everywhere)
    mean = mean.astype(np.float32)
    x -= mean
    x *= known
    rank = max(1, min(_RANK, n // 2, n_pixels // 4))
    n_known = max(1, int(counts.sum()))
    # What scores explain of the known pixels that is noise: as many numbers as there are scores.
    freedom = max(_LEAST_FREEDOM, 1 - rank * n / n_known) * n_known
    components = np.random.default_rng(0).standard_normal((n_pixels, rank), np.float32)
    for _ in range(_FIRST_ROUNDS):
        components = np.linalg.qr(x.T @ (x @ components))[0]
    filler = _find(x, np.zeros_like(mean), components, float(np.vdot(x, x)) / n_known)
    for _ in range(_ROUNDS):
        filled = _scores(filler, x, known) @ filler.components.T
        filled -= x - filler.mean
        squares = float(np.vdot(filled, filled))
        filled *= ~known
        noise = (squares - float(np.vdot(filled, filled))) / freedom
        x += filled
        mean_of_filled = x.mean(axis=0)
        centred = x - mean_of_filled
        components = np.linalg.qr(centred.T @ (centred @ filler.components))[0]
        filler = _find(centred, mean_of_filled, components, noise)
    return filler._replace(mean=mean + filler.mean)


def _find(
    centred: Float[np.ndarray, "n pixels"],
    mean: Float[np.ndarray, " pixels"],
    components: Float[np.ndarray, "pixels rank"],
    noise: float,
) -> Filler:
    """Turn components to their principal axes, and tell what the noise is of the variance there."""
    rotation = np.linalg.svd(centred @ components, full_matrices=False)[2]
    components = components @ rotation.T
    variances = np.mean((centred @ components) ** 2, axis=0)
    signal = np.maximum(variances - noise, _LEAST_RIDGE * noise + np.finfo(np.float32).tiny)
    ridge = np.clip(noise / signal, _LEAST_RIDGE, 1 / _LEAST_RIDGE)
    return Filler(mean, components, ridge.astype(np.float32))


def fill_missing(
    filler: Filler,
    images: Num[np.ndarray, "n pixels"],
    mask: Bool[np.ndarray, "n pixels"],
) -> Float[np.ndarray, "n pixels"]:
    """The images with their missing pixels filled in."""
    filled = np.empty(images.shape, np.float32)
    for first in range(0, len(images), _BLOCK):
        rows = slice(first, first + _BLOCK)
        known = mask[rows]
        scores = _scores(filler, images[rows].astype(np.float32), known)
        values = scores @ filler.components.T + filler.mean
        filled[rows] = np.where(known, images[rows], values)
    return filled


def _scores(
    filler: Filler, images: Float[np.ndarray, "n pixels"], known: Bool[np.ndarray, "n pixels"]
) -> Float[np.ndarray, "n rank"]:
    """The most probable scores of images, by ridge regression on their known pixels."""
    mean, components, ridge = filler
    rank = len(ridge)
    upper = np.triu_indices(rank)
    pairs = components[:, upper[0]] * components[:, upper[1]]
    found = np.empty((len(images), rank), np.float32)
    for first in range(0, len(images), _BLOCK):
        rows = slice(first, first + _BLOCK)
        seen = known[rows].astype(np.float32)
        products = seen @ pairs
        gram = np.empty((len(seen), rank, rank), np.float32)
        gram[:, upper[0], upper[1]] = products
        gram[:, upper[1], upper[0]] = products
        gram += np.diag(ridge)
        sides = ((images[rows] - mean) * seen) @ components
        found[rows] = np.linalg.solve(gram, sides[..., None])[..., 0]
    return found
