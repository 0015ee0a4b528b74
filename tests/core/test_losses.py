"""Losses, errors and scalings against hand-computed values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodecoder.core import losses, scaling
from autodecoder.core.losses import Criterion, expand
from autodecoder.core.scaling import SCALINGS

measure = jax.jit(losses.measure, static_argnums=2)
reconstruction_loss = jax.jit(losses.reconstruction_loss, static_argnums=2)
scale_pixels = jax.jit(scaling.scale_pixels, static_argnums=1)
to_unit = jax.jit(scaling.to_unit, static_argnums=1)


def test_errors_against_hand_computed_values() -> None:
    outputs = jnp.array([[0.0, 1.0], [0.5, 0.5]])
    targets = jnp.array([[0.0, 0.0], [0.5, 0.5]])
    errors = measure(outputs, targets, "zero_one")
    np.testing.assert_allclose(errors.loss, [0.5, 0.0])
    np.testing.assert_allclose(errors.mae, [0.5, 0.0])
    np.testing.assert_allclose(errors.psnr, [10 * np.log10(2), 100], rtol=1e-6)


@pytest.mark.parametrize("scaler", ["standard", "zero_one", "identity"])
def test_psnr_is_the_same_in_every_scaling(scaler: str) -> None:
    images = jnp.array([[0, 100, 200]], jnp.uint8)
    others = jnp.array([[10, 100, 150]], jnp.uint8)
    errors = measure(scale_pixels(others, scaler), scale_pixels(images, scaler), scaler)
    mse = (10**2 + 50**2) / 3 / 255**2
    np.testing.assert_allclose(errors.psnr, [-10 * np.log10(mse)], rtol=1e-5)
    np.testing.assert_allclose(errors.loss, [mse * SCALINGS[scaler].span ** 2], rtol=1e-5)


@pytest.mark.parametrize(
    ("scaler", "expected"),
    [("standard", [-1, 1]), ("zero_one", [0, 1]), ("identity", [0, 255])],
)
def test_scalings_cover_their_range_and_come_back(scaler: str, expected: list[float]) -> None:
    np.testing.assert_allclose(scale_pixels(jnp.array([0, 255], jnp.uint8), scaler), expected)
    every = jnp.arange(256, dtype=jnp.uint8)
    unit = to_unit(scale_pixels(every, scaler), scaler)
    np.testing.assert_array_equal(np.rint(np.asarray(unit) * 255), np.arange(256))


def test_standardised_features_are_left_alone_and_have_a_peak_of_their_deviation() -> None:
    features = jnp.array([[-1.5, 0.0, 2.0]])
    np.testing.assert_array_equal(scale_pixels(features, "standardize"), features)
    errors = measure(features, features + 0.1, "standardize")
    np.testing.assert_allclose(errors.psnr, [20], rtol=1e-5)


def test_outputs_out_of_range_are_clipped() -> None:
    np.testing.assert_array_equal(to_unit(jnp.array([-30.0, 300.0]), "identity"), [0, 1])


BCE, LAPLACIAN = Criterion("bce"), Criterion("laplacian", (8, 8, 1))


def test_cross_entropy_against_hand_computed_values() -> None:
    outputs, targets = jnp.array([[0.25, 0.5], [1.0, 0.0]]), jnp.array([[1.0, 0.5], [0.0, 0.0]])
    found = reconstruction_loss(outputs, targets, BCE)
    np.testing.assert_allclose(found[0], (np.log(4) + np.log(2)) / 2, rtol=1e-6)
    assert 1 < found[1] < 20  # wrong beyond doubt, and finite
    weights = jnp.array([[0.0, 1.0]])
    np.testing.assert_allclose(
        reconstruction_loss(outputs, targets, BCE, weights)[0], np.log(2), rtol=1e-6
    )


@pytest.mark.thorough
def test_pyramids_tell_a_shift_of_the_whole_from_an_edge() -> None:
    flat = jnp.full((1, 64), 0.3)
    black = jnp.zeros((1, 64))
    # No details at any level, and what is left of the last one: 2 × 2 pixels of 0.3.
    np.testing.assert_allclose(reconstruction_loss(flat, black, LAPLACIAN), [0.3], rtol=1e-5)
    edges = 0.3 * jnp.where(jnp.arange(64) % 2, 1.0, -1.0)[None]
    assert reconstruction_loss(edges, black, LAPLACIAN) > 0.29


@pytest.mark.slow
@pytest.mark.parametrize("criterion", [Criterion(), BCE, LAPLACIAN])
def test_an_expansion_has_the_slope_of_the_loss(criterion: Criterion) -> None:
    keys = jax.random.split(jax.random.key(0), 4)
    outputs, targets = jax.random.uniform(keys[0], (2, 3, 64), minval=0.1, maxval=0.9)
    weights = jax.random.uniform(keys[2], (3, 64))
    weights /= weights.sum(1, keepdims=True)
    model = expand(outputs, targets, criterion, weights)
    np.testing.assert_allclose(
        model.value, reconstruction_loss(outputs, targets, criterion, weights), rtol=1e-5
    )
    way = 1e-4 * jax.random.normal(keys[3], outputs.shape)
    ahead = reconstruction_loss(outputs + way, targets, criterion, weights)
    behind = reconstruction_loss(outputs - way, targets, criterion, weights)
    slope = 2 * jnp.sum(model.slope * way, axis=1)
    np.testing.assert_allclose((ahead - behind) / 2, slope, rtol=0.02, atol=1e-6)
    assert (model.curvature >= 0).all()


@pytest.mark.parametrize("criterion", [Criterion(), BCE, LAPLACIAN])
def test_a_missing_pixel_is_of_no_account(criterion: Criterion) -> None:
    rng = np.random.default_rng(0)
    outputs, targets = rng.random((2, 3, 64), np.float32)
    weights = (rng.random((3, 64)) < 0.5).astype(np.float32)
    others = np.where(weights > 0, targets, 1 - targets)
    weights /= weights.sum(1, keepdims=True)
    np.testing.assert_array_equal(
        reconstruction_loss(outputs, targets, criterion, weights),
        reconstruction_loss(outputs, others, criterion, weights),
    )
