"""A density of the latents of training images, from which new latents are drawn."""

from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from autodecoder.core.mixture import Mixture, fit_mixture
from autodecoder.errors import DataError

if TYPE_CHECKING:
    from autodecoder.model.model import Model

#: Candidate numbers of components: larger ones are tried as long as held-out latents become more
#: likely.
_COMPONENTS = (1, 4, 16, 64)
#: Most latents by which the number of components is chosen; every tenth of them is held out.
_N_CHOOSING, _HELD_OUT = 10_000, 10
#: Steps of EM for this choice, and for the fit to all latents.
_FEW_STEPS, _STEPS = 20, 40


def fit_density(latents: Float[np.ndarray, "n dims"], n_components: int | None = None) -> Mixture:
    """Fit a mixture of Gaussians to latents.

    Covariances are full up to 128 dimensions, and diagonal beyond.

    Parameters
    ----------
    latents : (n, latent_dims)
        Latents that are not finite are ignored.
    n_components : int, optional
        By default the one of 1, 4, 16 and 64 under which held-out latents are likeliest.

    Raises
    ------
    DataError
        If fewer than two latents are left, or fewer than `n_components`.
    """
    latents = np.asarray(latents, np.float32)
    latents = latents[np.isfinite(latents).all(axis=1)]
    least = max(2, n_components or 0)
    if len(latents) < least:
        wanted = "two latents" if least == 2 else f"{least} latents for {least} components"
        raise DataError(f"a density needs {wanted} of training images, got {len(latents)}.")
    mean, deviation = latents.mean(0, dtype=np.float64), latents.std(0, dtype=np.float64)
    scale = np.where(deviation > 0, deviation, 1).astype(np.float32)
    scaled = ((latents - mean) / scale).astype(np.float32)
    if n_components is None:
        n_components = _choose_components(scaled)
    mixture = fit_mixture(jax.random.key(0), jnp.asarray(scaled), n_components, _STEPS)
    return mixture.rescale(jnp.asarray(mean, jnp.float32), jnp.asarray(scale))


def class_density(model: "Model", label: int | str) -> Mixture:
    """The density of the training latents of one class.

    Parameters
    ----------
    model : Model
    label : int or str
        A number as in `labels`; or a name, else the digits of a number.

    Raises
    ------
    DataError
        If the model has no labels, or fewer than two training latents of the class.
    """
    if model.labels is None or not len(model.labels):
        raise DataError("a class needs a model with labels, and this one has none.")
    names = [str(name) for name in model.about.get("class_names") or ()]
    present = np.unique(model.labels).tolist()
    number: int | str | None = label
    if isinstance(label, str):
        named = {name: k for k, name in enumerate(names) if k in present}
        number = named.get(label, int(label) if label.isdecimal() else None)
    if number not in present:
        known = ", ".join(names[k] if k < len(names) else str(k) for k in present[:20])
        raise DataError(f"no training image has the class {label!r}: the classes are {known}.")
    return fit_density(spread_latents(model)[np.asarray(model.labels) == number])


def spread_latents(model: "Model") -> Float[np.ndarray, "n dims"]:
    """The latents of training images; if codes are Gaussian, one draw from each."""
    if model.latent_deviations is None:
        return model.latents
    noise = np.random.default_rng(0).normal(size=model.latents.shape).astype(np.float32)
    return model.latents + model.latent_deviations * noise


def _choose_components(latents: Float[np.ndarray, "n dims"]) -> int:
    some = latents[np.random.default_rng(0).permutation(len(latents))[:_N_CHOOSING]]
    held_out = np.arange(len(some)) % _HELD_OUT == 0
    seen, unseen = jnp.asarray(some[~held_out]), jnp.asarray(some[held_out])
    best, chosen = np.full(len(unseen), -np.inf), 1
    for n in _COMPONENTS:
        if n > len(seen):
            break
        mixture = fit_mixture(jax.random.key(0), seen, n, _FEW_STEPS)
        found = np.asarray(mixture.log_density(unseen), np.float64)
        gains = found - best
        # A larger number must gain more than its standard error.
        if n > 1 and not gains.mean() > gains.std() / np.sqrt(len(gains)):
            break
        best, chosen = found, n
    return chosen


def draw_latents(
    mixture: Mixture, n: int, seed: int, temperature: float = 1.0
) -> Float[np.ndarray, "n dims"]:
    """Draw `n` independent latents.

    `temperature` scales the standard deviations of the components; 0 draws their means.
    """
    rng = np.random.default_rng(seed)
    weights = np.exp(np.asarray(mixture.log_weights, np.float64))
    which = rng.choice(len(weights), size=n, p=weights / weights.sum())
    draws = temperature * rng.normal(size=(n, mixture.means.shape[1]))
    roots = np.asarray(mixture.roots, np.float64)
    if mixture.is_full:
        # With the root R of the inverse covariance, draws have the covariance (R Rᵀ)⁻¹.
        steps = np.empty_like(draws)
        for k in np.unique(which):
            mine = which == k
            steps[mine] = np.linalg.solve(roots[k].T, draws[mine].T).T
    else:
        steps = draws / roots[which]
    return (np.asarray(mixture.means, np.float64)[which] + steps).astype(np.float32)
