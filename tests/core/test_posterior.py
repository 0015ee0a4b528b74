"""Log density of images by Laplace's approximation, which is exact for a linear decoder."""

from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

from autodecoder.config import InferConfig
from autodecoder.core.decoders import own_decoder
from autodecoder.core.infer import infer_latents
from autodecoder.core.mixture import Mixture
from autodecoder.core.plan import InferencePlan, plan_inference
from autodecoder.core.posterior import log_evidence

DIMS, PIXELS, NOISE = 3, 10, 0.05
RNG = np.random.default_rng(0)
LOADINGS = RNG.normal(size=(DIMS, PIXELS)).astype(np.float32)
OFFSET = RNG.normal(size=PIXELS).astype(np.float32)
MEAN = RNG.normal(size=DIMS)
HALF = RNG.normal(size=(DIMS, DIMS))
COVARIANCE = HALF @ HALF.T + np.eye(DIMS)


class Linear(eqx.Module):
    loadings: jax.Array
    offset: jax.Array

    def __call__(self, latents: jax.Array) -> jax.Array:
        return jnp.matmul(latents, self.loadings, precision="highest") + self.offset


def plan(method: str = "lm") -> InferencePlan:
    decoder = own_decoder(Linear(jnp.asarray(LOADINGS), jnp.asarray(OFFSET)), DIMS, PIXELS)
    root = np.linalg.cholesky(np.linalg.inv(COVARIANCE))
    prior = Mixture(
        jnp.zeros(1), jnp.asarray(MEAN[None], jnp.float32), jnp.asarray(root[None], jnp.float32)
    )
    made = plan_inference(
        decoder,
        RNG.normal(size=(50, DIMS)).astype(np.float32),
        scaler="identity",
        config=InferConfig(prior_weight=1.0, method=method, tolerance=0.0, n_steps=200),
        key=jax.random.key(0),
        prior=prior,
        noise=NOISE,
    )
    return replace(made, is_bayes=True)


def images(n: int) -> np.ndarray:
    latents = RNG.multivariate_normal(MEAN, COVARIANCE, size=n)
    drawn = latents @ LOADINGS + OFFSET + np.sqrt(NOISE) * RNG.normal(size=(n, PIXELS))
    return drawn.astype(np.float32)


@pytest.mark.parametrize(
    ("is_masked", "method"),
    [
        (False, "lm"),
        pytest.param(False, "lbfgs", marks=pytest.mark.thorough),
        (True, "lm"),
        (True, "lbfgs"),
    ],
)
def test_a_linear_decoder_has_the_density_of_a_gaussian(method: str, is_masked: bool) -> None:
    given = images(7)
    known = np.ones(given.shape, bool)
    if is_masked:
        known = RNG.random(given.shape) < 0.6
    weights: Any = known if is_masked else None
    planned = plan(method)
    latents = infer_latents(planned, given, weights=weights).latents
    found = log_evidence(planned, given, latents, weights=weights)
    for row, seen, value in zip(given, known, found, strict=True):
        loadings = LOADINGS[:, seen].astype(np.float64)
        covariance = loadings.T @ COVARIANCE @ loadings + NOISE * np.eye(seen.sum())
        mean = MEAN @ loadings + OFFSET[seen]
        gaussian: Any = multivariate_normal
        expected = gaussian(mean, covariance).logpdf(row[seen])
        assert value == pytest.approx(expected, abs=2e-3)


def test_no_images_have_no_densities() -> None:
    nothing = np.zeros((0, PIXELS), np.float32)
    assert log_evidence(plan(), nothing, np.zeros((0, DIMS), np.float32)).shape == (0,)
