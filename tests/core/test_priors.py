"""Priors that are learnt along: what they do to a fit, and that a fit in parts equals a whole."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import autodecoder as ad
from autodecoder.core.priors import Prior, penalty_factor, start_prior, update_prior

IMAGES = ad.load_dataset("digits").train.images[:300]


def fit(prior: str, weight: float = 50.0, *, dims: int = 4, **more: Any) -> ad.Model:
    config = ad.fit_config(
        "fast", num_epochs=12, prior=prior, n_components=3, prior_weight=weight, batch_size=50
    )
    decoder = ad.DecoderConfig(arch=(32,), latent_dims=dims)
    return ad.fit_model(IMAGES, decoder=decoder, fit=config, learning_rate=1e-2, seed=1, **more)


@pytest.fixture(scope="module")
def model() -> ad.Model:
    """With a prior of much weight."""
    return fit("mixture")


def test_a_prior_draws_latents_together(model: ad.Model) -> None:
    weak, strong = fit("mixture", 0.1).history, model.history
    assert strong["log_prior"][-1] > weak["log_prior"][-1]
    assert strong["loss"][-1] > weak["loss"][-1]
    assert np.isfinite(strong["log_prior"]).all()


def test_long_latents_have_a_diagonal_prior() -> None:
    model = fit("gaussian", dims=130)
    assert np.isfinite(model.history["log_prior"]).all()
    assert not model.density.is_full


def test_a_prior_has_no_effect_before_the_end_of_the_first_epoch(model: ad.Model) -> None:
    without, along = fit("none").history, model.history
    assert without["loss"][0] == along["loss"][0]
    assert without["loss"][2] != along["loss"][2]
    assert "log_prior" not in without


@pytest.mark.parametrize("saved", [pytest.param(False, marks=pytest.mark.thorough), True])
def test_a_fit_in_parts_equals_a_whole(saved: bool, model: ad.Model, tmp_path: Any) -> None:
    half = fit("mixture", until=5)
    if saved:
        ad.save_model(half, tmp_path / "half", training=True)
        half = ad.load_model(tmp_path / "half")
    rest = fit("mixture", start=half)
    np.testing.assert_array_equal(rest.latents, model.latents)
    np.testing.assert_array_equal(rest.history["log_prior"], model.history["log_prior"])


def test_a_model_infers_under_the_prior_of_its_fit(model: ad.Model) -> None:
    assert len(model.density.means) == 3
    free = model.infer(IMAGES[:20], config=ad.InferConfig(prior_weight=0.0))
    found = model.infer(IMAGES[:20])
    same = model.infer(IMAGES[:20], config=ad.InferConfig(prior_weight=50.0))
    np.testing.assert_array_equal(found.latents, same.latents)
    assert model.log_density(found.latents).mean() > model.log_density(free.latents).mean()


def test_more_components_than_images_are_refused() -> None:
    config = ad.fit_config("fast", num_epochs=1, prior="mixture", n_components=301)
    with pytest.raises(ad.ConfigError, match="must not exceed the number of training images, 300"):
        ad.fit_model(IMAGES, fit=config)


def test_the_mixture_follows_the_latents() -> None:
    config = ad.fit_config("fast", prior="mixture", n_components=2)
    prior = start_prior(config, 3)
    assert prior is not None
    assert prior.noise == 0
    rng = np.random.default_rng(0)
    both = jnp.asarray(rng.normal(size=(400, 3)) + np.repeat([[0], [8]], 200, axis=0), jnp.float32)

    @jax.jit
    def after_three(prior: Prior) -> Prior:
        def step(_: Any, prior: Prior) -> Prior:
            return update_prior(prior, jax.random.key(5), both, jnp.float32(0.1))

        return jax.lax.fori_loop(0, 3, step, prior)

    prior = after_three(prior)
    centres = np.sort(np.asarray(prior.mixture.means).mean(axis=1))
    np.testing.assert_allclose(centres, [0, 8], atol=0.3)


@pytest.mark.parametrize(("loss", "factor"), [("mse", 0.2), ("bce", 0.5), ("laplacian", 0.1)])
def test_the_weight_is_that_of_the_likelihood(loss: str, factor: float) -> None:
    assert penalty_factor(0.2, loss, 3.0) == pytest.approx(3 * factor)
    assert penalty_factor(0.0, loss, 3.0) == 0
