"""Errors of reconstructions by hand, and SSIM against the filter of SciPy."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from autodecoder.measures.evaluation import TITLES
from autodecoder.measures.reconstruction import (
    measure_reconstruction,
    squared_errors,
    ssim,
    to_psnr,
)
from autodecoder.measures.record import Record

RNG = np.random.default_rng(0)


def test_squared_errors_by_hand() -> None:
    images = np.array([[0, 1], [0.5, 0.5]], np.float32)
    made = np.array([[0.5, 1], [0, 0]], np.float32)
    np.testing.assert_allclose(squared_errors(images, made), [0.125, 0.25])
    weights = np.array([[1, 3], [0, 0]])
    np.testing.assert_allclose(squared_errors(images, made, weights), [0.0625, np.nan])
    known = np.array([[True, False], [False, True]])
    images[0, 1] = np.nan
    np.testing.assert_allclose(squared_errors(images, made, known), [0.25, 0.25])


def test_errors_are_the_same_in_blocks() -> None:
    images, made = RNG.uniform(size=(2, 1234, 7)).astype(np.float32)
    want = ((images.astype(float) - made) ** 2).mean(axis=1)
    np.testing.assert_allclose(squared_errors(images, made), want)


def test_signal_to_noise_by_hand() -> None:
    np.testing.assert_allclose(to_psnr(np.array([1, 0.01, 1e-4, 0])), [0, 20, 40, 100])


def reference(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """SSIM as scikit-image computes it with Gaussian weights and population covariances."""

    def mean(values: np.ndarray) -> np.ndarray:
        return gaussian_filter(values, (0, 1.5, 1.5, 0), truncate=3.5)

    m_x, m_y = mean(x), mean(y)
    s_x, s_y, s_xy = mean(x * x) - m_x**2, mean(y * y) - m_y**2, mean(x * y) - m_x * m_y
    found = (2 * m_x * m_y + 1e-4) * (2 * s_xy + 9e-4)
    found /= (m_x**2 + m_y**2 + 1e-4) * (s_x + s_y + 9e-4)
    return found[:, 5:-5, 5:-5].mean(axis=(1, 2, 3))


@pytest.mark.parametrize("shape", [(11, 11, 1), (17, 23, 3)])
def test_structural_similarity_is_that_of_the_filter(shape: tuple[int, int, int]) -> None:
    x = RNG.uniform(size=(4, *shape))
    y = np.clip(x + RNG.normal(0, [[[[0.0]]], [[[0.1]]], [[[0.3]]], [[[1.0]]]], x.shape), 0, 1)
    found = ssim(x, y)
    np.testing.assert_allclose(found, reference(x, y), rtol=1e-9)
    assert found[0] == pytest.approx(1)
    assert (np.diff(found) < 0).all()


def test_structural_similarity_of_even_images_by_hand() -> None:
    x, y = np.full((1, 12, 12, 1), 0.25), np.full((1, 12, 12, 1), 0.5)
    # No variance, so that only the means count.
    want = (2 * 0.25 * 0.5 + 1e-4) / (0.25**2 + 0.5**2 + 1e-4)
    np.testing.assert_allclose(ssim(x, y), [want])


def test_measures_of_images_and_features() -> None:
    images = np.zeros((2, 144), np.float32)
    made = np.stack([np.full(144, 0.1), np.full(144, 0.2)]).astype(np.float32)
    record = Record()
    measure_reconstruction(record, images, made, None, (12, 12, 1))
    found = record.finish()
    assert found.left_out == {}
    assert found.reconstruction["mse_zero_one"] == pytest.approx(0.025)
    assert found.reconstruction["mse_standard"] == pytest.approx(0.1)
    assert found.reconstruction["psnr"] == pytest.approx((20 - 20 * np.log10(0.2)) / 2)
    assert found.reconstruction["psnr_of_mean"] == pytest.approx(-10 * np.log10(0.025))
    record = Record()
    measure_reconstruction(record, images, made, None, None)
    found = record.finish()
    assert found.reconstruction == {"mse_standardize": pytest.approx(0.025)}
    assert {"mse_standardize", *found.left_out} == set(TITLES["reconstruction"])


def test_what_similarity_needs() -> None:
    images = np.zeros((2, 100), np.float32)
    for weights, shape, reason in (
        (None, (10, 10, 1), "11 × 11"),
        (np.ones((2, 100)), (100, 1, 1), "missing"),
    ):
        record = Record()
        measure_reconstruction(record, images, images, weights, shape)
        assert reason in record.finish().left_out["ssim"]
