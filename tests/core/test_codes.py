"""Gaussian codes: draws and divergences by hand, and what they do to a fit."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import autodecoder as ad
from autodecoder.config import CODES
from autodecoder.core.codes import (
    divergence,
    draw,
    latents_of,
    log_variances_of,
    row_width,
    start_codes,
)
from autodecoder.core.mixture import Mixture, normal

KEY = jax.random.key(3)
DIGITS = ad.load_dataset("digits")
IMAGES, VAL = DIGITS.train.images[:100], DIGITS.val.images[:40]


def fit(codes: str = "gaussian", prior: str = "mixture", **more: Any) -> ad.Model:
    settings = {"num_epochs": 300, "prior_weight": 1.0, "latent_second_moment": "coordinate"}
    settings |= {name: more.pop(name) for name in settings if name in more}
    config = ad.fit_config(
        "fast", prior=prior, n_components=3, batch_size=10, codes=codes, **settings
    )
    decoder = None if "start" in more else ad.DecoderConfig(arch=(32,), latent_dims=4)
    given = {"images": IMAGES, "val_images": VAL, "learning_rate": 1e-2, "seed": 1} | more
    return ad.fit_model(decoder=decoder, fit=config, **given)


@pytest.fixture(scope="module")
def model() -> ad.Model:
    return fit()


def rows(n: int, dims: int) -> jax.Array:
    """Means, then log variances between 0.1 and 10."""
    rng = np.random.default_rng(3)
    wide = rng.uniform(-2.3, 2.3, size=(n, dims))
    means = 2 * rng.normal(size=(n, dims))
    return jnp.asarray(np.concatenate([means, wide], axis=1, dtype=np.float32))


@partial(jax.jit, static_argnums=1)
def drawn_divergence(codes: jax.Array, dims: int, prior: Mixture) -> jax.Array:
    return divergence(draw(codes, dims, KEY), prior)


def full_gaussian(dims: int) -> tuple[Mixture, np.ndarray, np.ndarray]:
    """A prior with its mean and covariance."""
    rng = np.random.default_rng(0)
    half, mean = rng.normal(size=(dims, dims)), rng.normal(size=dims)
    covariance = half @ half.T + np.eye(dims)
    root = np.linalg.cholesky(np.linalg.inv(covariance))
    given = np.zeros(1, np.float32), np.float32(mean[None]), np.float32(root[None])
    mixture = Mixture(*map(jnp.asarray, given))
    return mixture, mean, covariance


def test_rows_hold_latents_and_log_variances() -> None:
    fitted = {codes: ad.fit_config("fast", prior="gaussian", codes=codes) for codes in CODES}
    assert [row_width(config, 3) for config in fitted.values()] == [3, 6]
    latents = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(start_codes(latents, fitted["point"]), latents)
    begun = start_codes(latents, fitted["gaussian"])
    np.testing.assert_array_equal(latents_of(begun, 3), latents)
    deviations = np.exp(log_variances_of(begun, 3) / 2)
    spread = fitted["gaussian"].spread_for(3)
    assert ((deviations > 0) & (deviations < 0.2 * spread)).all()
    assert log_variances_of(latents, 3) is None


def test_draws_have_the_mean_and_deviation_of_their_codes() -> None:
    one = rows(1, 3)
    drawn = draw(jnp.repeat(one, 20_000, axis=0), 3, KEY)
    deviations = np.exp(np.asarray(one[0, 3:]) / 2)
    np.testing.assert_allclose(drawn.latents.std(axis=0), deviations, rtol=0.03)
    np.testing.assert_allclose(drawn.latents.mean(axis=0), one[0, :3], atol=0.03 * deviations.max())
    points = draw(one[:, :3], 3, KEY)
    np.testing.assert_array_equal(points.latents, one[:, :3])


def test_the_divergence_from_one_gaussian_is_that_of_the_textbook() -> None:
    prior, mean, covariance = full_gaussian(3)
    codes = rows(5, 3)
    found = np.asarray(drawn_divergence(codes, 3, prior))
    inverse = np.linalg.inv(covariance)
    for row, value in zip(np.asarray(codes, np.float64), found, strict=True):
        own, variances = row[:3] - mean, np.exp(row[3:])
        ratio = np.log(np.linalg.det(covariance)) - row[3:].sum()
        expected = 0.5 * (np.diag(inverse) @ variances + own @ inverse @ own - 3 + ratio)
        assert value == pytest.approx(expected, rel=1e-4)
    same = jnp.asarray(np.array([[0.2] * 3 + [2 * math.log(0.7)] * 3], np.float32))
    diagonal = normal(*(jnp.asarray(np.full(3, value, np.float32)) for value in (0.2, 0.7)))
    np.testing.assert_allclose(drawn_divergence(same, 3, diagonal), 0, atol=1e-5)


def test_the_divergence_from_a_mixture_is_right_in_the_mean() -> None:
    prior = full_gaussian(2)[0]
    twice = (
        np.full(2, -math.log(2), np.float32),
        *(np.repeat(part, 2, axis=0) for part in (prior.means, prior.roots)),
    )
    halves = Mixture(*map(jnp.asarray, twice))
    one = rows(1, 2)
    exact = drawn_divergence(one, 2, prior)[0]
    drawn = np.asarray(drawn_divergence(np.repeat(one, 50_000, axis=0), 2, halves))
    assert float(drawn.mean()) == pytest.approx(float(exact), abs=4 * float(drawn.std()) / 223)


def test_gradients_draw_codes_to_the_prior() -> None:
    """At the divergence's minimum, codes equal the prior."""
    prior = normal(jnp.array([1.0, -2.0]), jnp.array([0.5, 2.0]))
    gradient = jax.jit(jax.grad(lambda codes: drawn_divergence(codes, 2, prior).sum()))
    there = np.array([[1.0, -2.0, 2 * math.log(0.5), 2 * math.log(2.0)]], np.float32)
    np.testing.assert_allclose(gradient(there), 0, atol=1e-6)
    away = gradient(there + np.array([[0.1, -0.1, 0.2, -0.2]], np.float32))[0]
    assert (np.sign(away) == [1, -1, 1, -1]).all()


def test_a_fit_learns_means_and_deviations(model: ad.Model) -> None:
    deviations = model.latent_deviations
    assert deviations is not None
    assert deviations.shape == model.latents.shape
    assert deviations.std() > 0
    assert ((deviations > 0) & (deviations < model.latents.std())).all()
    for name in ("divergence", "val_divergence"):
        values = model.history[name]
        assert (values > 0).all()
        assert values[-1] < values[1]
    # The mean decodes to less error than the latents that were drawn from its code.
    errors = 4 * (model.decode(model.latents) - IMAGES / np.float32(255)) ** 2
    assert errors.mean() < model.history["loss"][-1]
    assert model.log_density(model.latents).mean() > -50


def test_a_larger_weight_makes_codes_wider(model: ad.Model) -> None:
    narrow, wide = (
        model.latent_deviations,
        fit(prior_weight=30.0, val_images=None).latent_deviations,
    )
    assert narrow is not None
    assert wide is not None
    assert wide.mean() > 1.5 * narrow.mean()


def test_images_with_holes_have_wider_codes() -> None:
    mask = np.ones(IMAGES.shape, bool)
    mask[::2, :, 2:] = False  # every second image has a quarter of its pixels
    deviations = fit(prior="gaussian", mask=mask, val_images=None).latent_deviations
    assert deviations is not None
    assert deviations[::2].mean() > 1.2 * deviations[1::2].mean()


@pytest.mark.parametrize(
    ("is_saved", "moment"),
    [(True, "coordinate"), pytest.param(False, "row", marks=pytest.mark.thorough)],
)
def test_a_fit_in_parts_equals_a_whole(
    is_saved: bool, moment: str, model: ad.Model, tmp_path: Path
) -> None:
    whole = model if moment == "coordinate" else fit(latent_second_moment=moment)
    half = fit(latent_second_moment=moment, until=5)
    if is_saved:
        ad.save_model(half, tmp_path / "half", training=True)
        half = ad.load_model(tmp_path / "half")
    rest = fit(latent_second_moment=moment, start=half)
    for name in ("latents", "val_latents", "latent_deviations"):
        np.testing.assert_array_equal(getattr(rest, name), getattr(whole, name), err_msg=name)
    for name, values in whole.history.items():
        np.testing.assert_array_equal(rest.history[name], values, err_msg=name)


@pytest.mark.parametrize(
    ("codes", "prior", "then"),
    [
        ("point", "none", "gaussian"),
        pytest.param("point", "mixture", "gaussian", marks=pytest.mark.thorough),
        pytest.param("gaussian", "mixture", "point", marks=pytest.mark.thorough),
    ],
)
def test_a_fit_goes_on_with_other_codes_and_further_images(
    codes: str, prior: str, then: str
) -> None:
    half = fit(codes, prior, images=IMAGES[:60], until=6)
    model = fit(then, start=half)
    assert (half.latent_deviations is None) == (codes == "point")
    assert (model.latent_deviations is None) == (then == "point")
    assert len(model.latents) == len(IMAGES)
    assert model.history["loss"][-1] < half.history["loss"][-1]


def test_a_model_with_deviations_is_saved_and_read(model: ad.Model, tmp_path: Path) -> None:
    ad.save_model(model, tmp_path / "m")
    read = ad.load_model(tmp_path / "m")
    np.testing.assert_array_equal(read.latent_deviations, model.latent_deviations)
    np.testing.assert_array_equal(read.sample(3).latents, model.sample(3).latents)


def test_deviations_below_0_are_refused(model: ad.Model, tmp_path: Path) -> None:
    assert model.latent_deviations is not None
    broken = replace(model, latent_deviations=-model.latent_deviations)
    with pytest.raises(ad.DataError, match="latent_deviations must not be below 0"):
        ad.save_model(broken, tmp_path / "m")


def test_images_have_a_log_density(model: ad.Model) -> None:
    noise = np.random.default_rng(0).integers(0, 256, VAL.shape, np.uint8)
    near, far = (model.log_density(images=images) for images in (VAL, noise))
    assert near.shape == (len(VAL),)
    assert near.min() > far.max()
    mask = np.ones(VAL.shape, bool)
    mask[0] = False
    mask[1:, 4:] = False
    known = model.log_density(images=VAL, mask=mask)
    assert np.isnan(known[0])
    assert np.isfinite(known[1:]).all()
    assert np.corrcoef(known[1:], near[1:])[0, 1] > 0


def test_log_densities_that_cannot_be_are_refused(model: ad.Model) -> None:
    wrong: tuple[dict[str, Any], ...] = ({}, {"latents": model.latents, "images": VAL})
    for given in wrong:
        with pytest.raises(ad.DataError, match="log_density takes either latents or images"):
            model.log_density(**given)
    other = replace(model, loss="laplacian")
    with pytest.raises(ad.ConfigError, match="needs a model with the loss mse, got laplacian"):
        other.log_density(images=VAL)
    with pytest.raises(ad.DataError, match="needs a model with training loss and latents"):
        replace(model, history={}).log_density(images=VAL)


def test_gaussian_codes_need_a_prior() -> None:
    with pytest.raises(ad.ConfigError, match="codes gaussian needs a prior: gaussian or mixture"):
        fit(prior="none")
    with pytest.raises(ad.ConfigError, match="codes must be one of"):
        ad.fit_config("fast", codes="dots")
