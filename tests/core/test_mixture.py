"""Mixtures against scikit-learn and SciPy, and their penalty against its derivatives."""

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from autodecoder.core.mixture import (
    _PRIOR_COUNT,
    Mixture,
    fit_mixture,
    improve_mixture,
    normal,
    start_mixture,
)

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
CLUSTERS = np.concatenate(
    [scale * RNG.normal(size=(1500, 3)) + 4.0 * k for k, scale in enumerate((0.5, 1.0, 2.0))],
    dtype=np.float32,
)
log_density = jax.jit(lambda mixture, latents: mixture.log_density(latents))


@cache
def mixtures() -> dict[str, Any]:
    full = fit_mixture(KEY, jnp.asarray(CLUSTERS), 3, 20)
    diagonal = replace(full, roots=jnp.asarray(np.diagonal(full.roots, axis1=1, axis2=2)))
    mean, deviation = np.arange(3, dtype=np.float32), np.arange(1, 4, dtype=np.float32)
    return {
        "full": full,
        "diagonal": diagonal,
        "normal": normal(jnp.asarray(mean), jnp.asarray(deviation)),
    }


@pytest.fixture(params=["full", "diagonal", "normal"])
def mixture(request: pytest.FixtureRequest) -> Mixture:
    return mixtures()[request.param]


def test_densities_are_those_of_scipy(mixture: Mixture) -> None:
    roots = np.asarray(mixture.roots, np.float64)
    roots = roots if mixture.is_full else np.stack([np.diag(root) for root in roots])
    covariances = np.linalg.inv(roots @ np.swapaxes(roots, 1, 2))
    parts = [
        np.log(weight) + multivariate_normal(mean, covariance).logpdf(CLUSTERS)
        for weight, mean, covariance in zip(
            np.exp(mixture.log_weights), mixture.means, covariances, strict=True
        )
    ]
    expected = np.logaddexp.reduce(parts)
    np.testing.assert_allclose(log_density(mixture, CLUSTERS), expected, rtol=1e-3, atol=1e-2)
    found = jax.jit(lambda latents: mixture.shares(latents))(CLUSTERS)
    np.testing.assert_allclose(found, np.exp(parts - expected), atol=1e-2)


def test_the_penalty_is_expanded_by_its_derivatives(mixture: Mixture) -> None:
    spots = CLUSTERS[::50]

    @jax.jit
    def look(spots: jax.Array) -> Any:
        slope = jax.grad(lambda z: mixture.penalty(z).sum())(spots)
        along = mixture.curvature_along(spots, slope)
        return mixture.penalty(spots), mixture.expand(spots), slope, along

    penalty, bent, slope, along = jax.tree.map(np.asarray, look(spots))
    assert (penalty >= 0).all()
    np.testing.assert_allclose(bent.slope, slope / 2, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        along, np.einsum("nd,nde,ne->n", slope, bent.curvature, slope), rtol=1e-3, atol=1e-3
    )
    assert (np.linalg.eigvalsh(bent.curvature) > 0).all()
    if len(mixture.means) == 1:  # without shares that change, the curvature is that of the penalty
        hessian = jax.jit(jax.vmap(jax.hessian(lambda z: mixture.penalty(z[None])[0])))(spots)
        np.testing.assert_allclose(bent.curvature, hessian / 2, rtol=1e-3, atol=1e-4)


def test_every_step_of_em_makes_the_latents_likelier() -> None:
    latents = jnp.asarray(CLUSTERS)

    @jax.jit
    def step(mixture: Mixture) -> Any:
        return mixture.log_density(latents).mean(), improve_mixture(mixture, latents)

    mixture = jax.jit(start_mixture, static_argnums=2)(KEY, latents, 5)
    likelihoods = []
    for _ in range(15):
        likelihood, mixture = step(mixture)
        likelihoods.append(float(likelihood))
    assert (np.diff(likelihoods) > -1e-4).all()
    assert likelihoods[-1] > likelihoods[0] + 0.1


def test_a_step_of_em_by_hand() -> None:
    """Weights, means and covariances by their formulas, with the counts that the priors add."""
    before = jax.tree.map(np.asarray, mixtures()["full"])
    covariances = np.linalg.inv(before.roots.astype(np.float64) @ before.roots.swapaxes(1, 2))
    latents = CLUSTERS[::30].astype(np.float64)  # few, so that what the priors add counts
    densities = np.stack(
        [
            np.exp(weight) * multivariate_normal(mean, covariance).pdf(latents)
            for weight, mean, covariance in zip(
                before.log_weights, before.means, covariances, strict=True
            )
        ]
    )
    shares = densities / densities.sum(axis=0)
    counts = shares.sum(axis=1)
    means = shares @ latents / counts[:, None]
    offsets = latents - means[:, None]
    sums = np.einsum("kn,kni,knj->kij", shares, offsets, offsets)
    pooled = sums.sum(axis=0) / len(latents)
    wanted = (sums + _PRIOR_COUNT * pooled) / (counts[:, None, None] + _PRIOR_COUNT)

    after = jax.jit(improve_mixture)(mixtures()["full"], CLUSTERS[::30])
    roots = np.asarray(after.roots, np.float64)
    np.testing.assert_allclose(np.exp(after.log_weights), (counts + 1) / (len(latents) + 3), 1e-4)
    np.testing.assert_allclose(after.means, means, atol=1e-4)
    found = np.linalg.inv(roots @ roots.swapaxes(1, 2))
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3)


def test_the_fit_is_that_of_scikit_learn() -> None:
    ours = jax.tree.map(np.asarray, fit_mixture(KEY, jnp.asarray(CLUSTERS), 3, 50))
    theirs: Any = GaussianMixture(3, random_state=0, n_init=3).fit(CLUSTERS.astype(np.float64))
    gap = theirs.score(CLUSTERS) - float(log_density(ours, CLUSTERS).mean())
    assert abs(gap) < 0.02
    order, their_order = np.argsort(ours.means[:, 0]), np.argsort(theirs.means_[:, 0])
    np.testing.assert_allclose(ours.means[order], theirs.means_[their_order], atol=0.1)
    np.testing.assert_allclose(
        np.exp(ours.log_weights)[order], theirs.weights_[their_order], atol=0.02
    )


def test_more_components_than_distinct_latents_stay_finite() -> None:
    few = np.tile(CLUSTERS[:2], (3, 1))
    mixture = fit_mixture(KEY, jnp.asarray(few), 5, 20)
    assert np.isfinite(log_density(mixture, few)).all()


def test_many_latents_are_computed_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = mixtures()["full"]
    expected = log_density(mixture, CLUSTERS)
    monkeypatch.setattr("autodecoder.core.mixture._AT_ONCE", 1)
    found = jax.jit(lambda latents: mixture.log_density(latents))(CLUSTERS)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_mixture_is_rescaled_with_its_latents() -> None:
    shift, scale = np.array([1, 2, 3], np.float32), np.array([2, 0.5, 4], np.float32)
    for mixture in mixtures().values():
        moved = mixture.rescale(jnp.asarray(shift), jnp.asarray(scale))
        moved = log_density(moved, shift + scale * CLUSTERS)
        expected = log_density(mixture, CLUSTERS) - np.log(scale).sum()
        np.testing.assert_allclose(moved, expected, rtol=1e-3, atol=1e-2)
