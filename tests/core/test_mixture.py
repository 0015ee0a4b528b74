"""Mixtures against scikit-learn and SciPy, and their penalty against its derivatives."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from autodecoder.core.mixture import (
    Mixture,
    fit_mixture,
    improve_mixture,
    normal,
    start_mixture,
)

KEY = jax.random.key(0)
CLUSTERS = jnp.concatenate(
    [
        scale * jax.random.normal(jax.random.key(k), (1500, 3)) + 4.0 * k
        for k, scale in enumerate((0.5, 1.0, 2.0))
    ]
)


def mixtures() -> list[Any]:
    full = fit_mixture(KEY, CLUSTERS, 3, 20)
    diagonal = Mixture(full.log_weights, full.means, jnp.diagonal(full.roots, axis1=1, axis2=2))
    return [full, diagonal, normal(jnp.arange(3.0), jnp.array([1.0, 2.0, 3.0]))]


@pytest.mark.parametrize("mixture", mixtures())
def test_densities_are_those_of_scipy(mixture: Mixture) -> None:
    roots = mixture.roots if mixture.is_full else jax.vmap(jnp.diag)(mixture.roots)
    covariances = np.linalg.inv(np.asarray(roots @ jnp.swapaxes(roots, 1, 2), np.float64))
    parts = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(CLUSTERS)
        for weight, mean, covariance in zip(
            np.exp(mixture.log_weights), mixture.means, covariances, strict=True
        )
    ]
    expected = np.logaddexp.reduce(parts)
    np.testing.assert_allclose(mixture.log_density(CLUSTERS), expected, rtol=1e-3, atol=1e-2)
    shares = np.exp(parts - expected)
    np.testing.assert_allclose(mixture.shares(CLUSTERS), shares, atol=1e-2)


@pytest.mark.parametrize("mixture", mixtures())
def test_the_penalty_is_expanded_by_its_derivatives(mixture: Mixture) -> None:
    spots = CLUSTERS[::50]
    assert (mixture.penalty(spots) >= 0).all()
    bent = mixture.expand(spots)
    slope = jax.grad(lambda z: mixture.penalty(z).sum())(spots)
    np.testing.assert_allclose(bent.slope, slope / 2, rtol=1e-3, atol=1e-3)
    along = mixture.curvature_along(spots, slope)
    np.testing.assert_allclose(
        along, jnp.einsum("nd,nde,ne->n", slope, bent.curvature, slope), rtol=1e-3, atol=1e-3
    )
    assert (np.linalg.eigvalsh(bent.curvature) > 0).all()
    if len(mixture.means) == 1:  # without shares that change, the curvature is that of the penalty
        hessian = jax.vmap(jax.hessian(lambda z: mixture.penalty(z[None])[0]))(spots)
        np.testing.assert_allclose(bent.curvature, hessian / 2, rtol=1e-3, atol=1e-4)


def test_every_step_of_em_makes_the_latents_likelier() -> None:
    mixture = start_mixture(KEY, CLUSTERS, 5)
    likelihoods = []
    for _ in range(15):
        likelihoods.append(float(mixture.log_density(CLUSTERS).mean()))
        mixture = improve_mixture(mixture, CLUSTERS)
    assert (np.diff(likelihoods) > -1e-4).all()
    assert likelihoods[-1] > likelihoods[0] + 0.1


def test_the_fit_is_that_of_scikit_learn() -> None:
    ours = fit_mixture(KEY, CLUSTERS, 3, 50)
    theirs: Any = GaussianMixture(3, random_state=0, n_init=3).fit(np.asarray(CLUSTERS, np.float64))
    gap = theirs.score(CLUSTERS) - float(ours.log_density(CLUSTERS).mean())
    assert abs(gap) < 0.02
    order, their_order = np.argsort(ours.means[:, 0]), np.argsort(theirs.means_[:, 0])
    np.testing.assert_allclose(ours.means[order], theirs.means_[their_order], atol=0.1)
    np.testing.assert_allclose(
        np.exp(ours.log_weights)[order], theirs.weights_[their_order], atol=0.02
    )


def test_more_components_than_distinct_latents_stay_finite() -> None:
    few = jnp.tile(CLUSTERS[:2], (3, 1))
    mixture = fit_mixture(KEY, few, 5, 20)
    assert np.isfinite(mixture.log_density(few)).all()


def test_many_latents_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture, *_ = mixtures()
    expected = mixture.log_density(CLUSTERS)
    monkeypatch.setattr("autodecoder.core.mixture._AT_ONCE", 1)
    np.testing.assert_allclose(mixture.log_density(CLUSTERS), expected, rtol=1e-5)


def test_a_mixture_is_rescaled_with_its_latents() -> None:
    shift, scale = jnp.array([1.0, 2.0, 3.0]), jnp.array([2.0, 0.5, 4.0])
    for mixture in mixtures():
        moved = mixture.rescale(shift, scale).log_density(shift + scale * CLUSTERS)
        expected = mixture.log_density(CLUSTERS) - jnp.log(scale).sum()
        np.testing.assert_allclose(moved, expected, rtol=1e-3, atol=1e-2)
