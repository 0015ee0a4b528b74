"""The density of training latents: its fit, and what is drawn from it."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from tests.model.test_files import make

from autodecoder.core.mixture import Mixture
from autodecoder.errors import ConfigError, DataError
from autodecoder.model.density import draw_latents, fit_density

RNG = np.random.default_rng(0)
CLOUD = RNG.normal(size=(400, 3)).astype(np.float32)
log_density = jax.jit(Mixture.log_density)


@pytest.mark.slow
def test_as_many_components_as_there_are_clusters() -> None:
    clusters = np.concatenate([CLOUD + 30 * k for k in range(4)])
    assert len(fit_density(clusters).means) == 4
    assert len(fit_density(CLOUD).means) == 1
    assert len(fit_density(CLOUD, 3).means) == 3


def test_draws_follow_the_latents() -> None:
    stretched = (CLOUD @ np.diag([1, 10, 0]) + [5, 0, 2]).astype(np.float32)
    density = fit_density(stretched)
    drawn = draw_latents(density, 4000, seed=1)
    np.testing.assert_allclose(drawn.mean(0), stretched.mean(0), atol=0.5)
    np.testing.assert_allclose(drawn.std(0), stretched.std(0), rtol=0.1, atol=0.01)
    np.testing.assert_array_equal(
        draw_latents(density, 10, seed=1), draw_latents(density, 10, seed=1)
    )
    assert (draw_latents(density, 10, seed=1) != draw_latents(density, 10, seed=2)).any()
    cold = draw_latents(density, 4000, seed=1, temperature=0.5)
    np.testing.assert_allclose(cold.std(0)[:2], stretched.std(0)[:2] / 2, rtol=0.15)
    np.testing.assert_allclose(
        draw_latents(density, 3, seed=1, temperature=0.0), np.tile(density.means, (3, 1)), rtol=1e-5
    )


def test_correlations_are_kept() -> None:
    turned = CLOUD @ np.array([[1, 2, 0], [0, 1, 0], [0, 3, 0.1]], np.float32)
    drawn = draw_latents(fit_density(turned), 20_000, seed=0)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(turned.T), rtol=0.1, atol=0.05)


def test_long_latents_have_diagonal_covariances() -> None:
    long = RNG.normal(size=(400, 130)).astype(np.float32) * 3
    density = fit_density(long)
    assert not density.is_full
    np.testing.assert_allclose(draw_latents(density, 4000, 0).std(), 3, rtol=0.1)


@pytest.mark.parametrize(
    ("latents", "n", "message"),
    [
        (CLOUD[:1], None, "needs two latents of training images, got 1"),
        (np.full((9, 2), np.nan), None, "needs two latents of training images, got 0"),
        (CLOUD[:5], 6, "needs 6 latents for 6 components of training images, got 5"),
    ],
)
def test_too_few_latents_are_refused(latents: np.ndarray, n: int | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        fit_density(latents, n)


@pytest.mark.parametrize("latents", [np.zeros((400, 3)), CLOUD[:2], np.tile(CLOUD[:2], (200, 1))])
def test_latents_that_coincide_have_a_density(latents: np.ndarray) -> None:
    density = fit_density(latents)
    assert np.isfinite(draw_latents(density, 10, 0)).all()
    assert np.isfinite(log_density(density, latents.astype(np.float32))).all()


@pytest.mark.parametrize("rank", [1, pytest.param(5, marks=pytest.mark.thorough)])
def test_latents_in_a_plane_have_a_density(rank: int) -> None:
    latents = (RNG.normal(size=(300, rank)) @ RNG.normal(size=(rank, 128))).astype(np.float32)
    for n_components in (1, 4):
        density = fit_density(latents, n_components)
        assert np.isfinite(log_density(density, latents)).all()
        drawn = draw_latents(density, 1000, seed=0)
        np.testing.assert_allclose(np.cov(drawn.T).trace(), np.cov(latents.T).trace(), rtol=0.2)
        values = np.linalg.svd(drawn - drawn.mean(0), compute_uv=False)
        assert values[rank] < 0.02 * values[0], "draws lie in the plane"


# Of a model


def test_a_model_knows_where_its_latents_are_likely() -> None:
    model = make()
    mean = model.latents.mean(0)
    inside, outside = model.log_density(np.stack([mean, mean + 1e3]))
    assert inside > outside
    assert set(model.cluster(model.latents)) <= set(range(len(model.density.means)))
    with pytest.raises(DataError, match=r"latents must be \(n, 3\), got \(1, 2\)"):
        model.log_density(np.zeros((1, 2)))


def test_images_of_a_class_are_drawn_by_its_number_or_name() -> None:
    made = make()
    n = len(made.latents)
    apart = made.latents.copy()
    apart[: n // 2] += 100
    labels = np.repeat([0, 1], [n // 2, n - n // 2])
    model = replace(made, latents=apart, labels=labels, about={"class_names": ["far", "near"]})
    far, named = (model.sample(50, label=label, seed=3).latents for label in (0, "far"))
    np.testing.assert_array_equal(far, named)
    assert far[:, 0].min() > 50 > np.abs(model.sample(50, label="1").latents).max()
    with pytest.raises(DataError, match=r"no training image has the class 'blue': .* far, near"):
        model.sample(2, label="blue")
    swapped = replace(model, about={"class_names": ["1", "0"]})
    np.testing.assert_array_equal(swapped.sample(50, label=0, seed=3).latents, far)
    np.testing.assert_array_equal(swapped.sample(50, label="1", seed=3).latents, far)
    with pytest.raises(DataError, match="no training image has the class 2"):
        swapped.sample(2, label=2)
    with pytest.raises(DataError, match="a class needs a model with labels"):
        replace(model, labels=None).sample(2, label=0)
    with pytest.raises(ConfigError, match="temperature must not be negative"):
        model.sample(2, temperature=-1.0)
