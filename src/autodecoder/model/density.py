"""A density over the latents of training images, from which new ones are drawn."""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Float

from autodecoder.errors import DataError

#: Numbers of components that are tried.
_COMPONENTS = (1, 2, 4, 8, 16, 32)
#: Latents that the density is fitted to, at most, and the length up to which its components are
#: full ellipsoids; longer latents have axis-parallel ones.
_N_LATENTS = 10_000
_FULL_DIMS = 16


class Density:
    """A mixture of Gaussians (Dempster, Laird & Rubin 1977).

    The number of components is the one of 1, 2, 4, … 32 with the least Bayesian information
    criterion (Schwarz 1978).

    Parameters
    ----------
    latents : (n, latent_dims)
        Of many, 10,000 are used, spread evenly. Those that are not finite do not count.

    Raises
    ------
    DataError
        If there are fewer than two.
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
        """Draw latents, in random order of components."""
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
