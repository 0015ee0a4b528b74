"""A density of the latents of training images, from which new latents are drawn."""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from autodecoder.errors import DataError

#: Candidate numbers of components.
_COMPONENTS = (1, 2, 4, 8, 16, 32)
#: Most latents to fit the density to, and the largest number of latent dimensions for full
#: covariances; longer latents have diagonal ones.
_N_LATENTS = 10_000
_FULL_DIMS = 16


class Density:
    """A mixture of Gaussians (Dempster, Laird & Rubin 1977).

    The number of components, 1, 2, 4, … or 32, is chosen by the Bayesian information criterion
    (Schwarz 1978).

    Parameters
    ----------
    latents : (n, latent_dims)
        Of more than 10,000 latents, up to 10,000 evenly spaced ones are used. Latents that are not
        finite are ignored.

    Raises
    ------
    DataError
        If fewer than two latents are left.
    """

    def __init__(self, latents: Float[np.ndarray, "n dims"]) -> None:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        latents = latents[np.isfinite(latents).all(axis=1)].astype(np.float64)
        latents = latents[:: max(1, -(-len(latents) // _N_LATENTS))]
        if len(latents) < 2:
            raise DataError(f"a density needs two latents of training images, got {len(latents)}.")
        dims = latents.shape[1]
        self._mean, deviation = latents.mean(0), latents.std(0)
        self._scale = np.where(deviation > 0, deviation, 1)
        scaled = (latents - self._mean) / self._scale
        kind = "full" if dims <= _FULL_DIMS else "diag"
        found: Any = None
        least = np.inf
        for k in _COMPONENTS:
            if k * (dims + 1) > len(scaled) and k > 1:
                break
            mixture = GaussianMixture(k, covariance_type=kind, random_state=0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                mixture.fit(scaled)
            criterion = mixture.bic(scaled)
            if criterion < least:
                found, least = mixture, criterion
        self._mixture = found

    @property
    def n_components(self) -> int:
        return len(self._mixture.weights_)

    def sample(self, n: int, seed: int) -> Float[np.ndarray, "n dims"]:
        """Draw `n` independent latents."""
        rng = np.random.default_rng(seed)
        mixture = self._mixture
        which = rng.choice(self.n_components, size=n, p=mixture.weights_)
        draws = rng.normal(size=(n, len(self._mean)))
        if mixture.covariance_type == "full":
            roots = np.linalg.cholesky(mixture.covariances_)
            steps = np.einsum("nij,nj->ni", roots[which], draws)
        else:
            steps = np.sqrt(mixture.covariances_)[which] * draws
        return ((mixture.means_[which] + steps) * self._scale + self._mean).astype(np.float32)

    def assign(self, latents: Float[np.ndarray, "n dims"]) -> Int[np.ndarray, " n"]:
        """The most likely component of each latent, counted from 0."""
        return self._mixture.predict((latents - self._mean) / self._scale)
