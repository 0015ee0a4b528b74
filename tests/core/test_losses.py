"""Errors and scalings against hand-computed values."""

import jax.numpy as jnp
import numpy as np
import pytest

from autodecoder.core.losses import measure, squared_error
from autodecoder.core.scaling import SCALINGS, scale_pixels, to_unit


def test_errors_against_hand_computed_values() -> None:
    outputs = jnp.array([[0.0, 1.0], [0.5, 0.5]])
    targets = jnp.array([[0.0, 0.0], [0.5, 0.5]])
    errors = measure(outputs, targets, "zero_one")
    np.testing.assert_allclose(errors.loss, [0.5, 0.0])
    np.testing.assert_allclose(errors.mae, [0.5, 0.0])
    np.testing.assert_allclose(errors.psnr, [10 * np.log10(2), 100], rtol=1e-6)
    np.testing.assert_allclose(squared_error(outputs, targets), errors.loss)


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
