"""Starts of a fit: PCA against scikit-learn, and draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA

from autodecoder.config import FitConfig
from autodecoder.core.latents import fit_pca, pca_scores, start_latents
from autodecoder.data import load_dataset


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return load_dataset("digits").train.flat


@pytest.mark.parametrize("n_components", [2, 16])
def test_pca_is_that_of_scikit_learn(digits: np.ndarray, n_components: int) -> None:
    reference = PCA(n_components, svd_solver="full").fit(digits)
    pca = fit_pca(digits, n_components)
    n = len(digits)
    # scikit-learn divides by n - 1.
    expected = reference.explained_variance_ * (n - 1) / n
    np.testing.assert_allclose(pca.std**2, expected, rtol=1e-3)
    cosines = np.abs(np.sum(pca.components.T * reference.components_, axis=1))
    assert cosines.min() > 0.99
    scores = pca_scores(pca, digits)
    np.testing.assert_allclose(scores.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose((scores**2).mean(), 1, rtol=1e-3)
    ratios = np.sqrt(reference.explained_variance_ / reference.explained_variance_[0])
    np.testing.assert_allclose(scores.std(0) / scores[:, 0].std(), ratios, rtol=1e-3)


@pytest.mark.parametrize("n", [999, 1000, 1001])
def test_block_borders_do_not_matter(n: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (n, 12), dtype=np.uint8)
    expected = np.linalg.eigvalsh(np.cov(images.T, bias=True))[::-1][:3]
    np.testing.assert_allclose(fit_pca(images, 3).std ** 2, expected, rtol=1e-3)


def test_components_that_the_images_lack_score_zero() -> None:
    line = np.arange(0, 250, 10, dtype=np.uint8)[:, None] * np.ones((1, 4), np.uint8)
    pca = fit_pca(line, 6)
    scores = pca_scores(pca, line)
    assert scores.shape == (25, 6)
    np.testing.assert_allclose(scores[:, 0].std(), np.sqrt(6), rtol=1e-3)
    np.testing.assert_array_equal(scores[:, 1:], 0)
    np.testing.assert_array_equal(pca.std[1:], 0)
    blank = np.zeros((5, 4), np.uint8)
    np.testing.assert_array_equal(pca_scores(fit_pca(blank, 2), blank), 0)


def test_starts() -> None:
    key = jax.random.key(0)
    places = jnp.ones((1000, 2))

    def begin(start: str, places: jax.Array | None = None) -> jax.Array:
        fit = FitConfig(latent_start=start, latent_spread=3.0)
        return start_latents(key, fit, (1000, 2), places)

    np.testing.assert_array_equal(begin("zeros"), 0)
    drawn = begin("normal")
    np.testing.assert_allclose(drawn.std(), 0.1, rtol=0.1)
    np.testing.assert_array_equal(drawn, begin("normal"))
    for start in ("pca", "som", "neighbours", "auto"):
        np.testing.assert_array_equal(begin(start, places), 3 * places)
