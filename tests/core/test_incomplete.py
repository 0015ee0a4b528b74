"""Incomplete images are filled in from what is known of them and of the others."""

import numpy as np
import pytest

from autodecoder.core.incomplete import fill_missing, fit_incomplete
from autodecoder.data import load_dataset


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    return load_dataset("digits").train.flat[:500]


@pytest.mark.parametrize(("share", "most"), [(0.25, 0.5), (0.5, 0.7)])
def test_filling_in_beats_the_mean(digits: np.ndarray, share: float, most: float) -> None:
    mask = np.random.default_rng(0).random(digits.shape) >= share
    pca = fit_incomplete(digits, mask)
    filled = fill_missing(pca, digits, mask)
    np.testing.assert_array_equal(filled[mask], digits[mask])
    apart = (filled.astype(float) - digits)[~mask]
    of_mean = (pca.mean - digits.astype(float))[~mask]
    assert np.mean(apart**2) < most * np.mean(of_mean**2)


def test_what_is_hidden_does_not_matter(digits: np.ndarray) -> None:
    mask = np.random.default_rng(0).random(digits.shape) >= 0.5
    other = np.where(mask, digits, 255 - digits)
    np.testing.assert_array_equal(
        fill_missing(fit_incomplete(digits, mask), digits, mask),
        fill_missing(fit_incomplete(other, mask), other, mask),
    )


def test_low_rank_features_are_recovered() -> None:
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 20)).astype(np.float32) + 5
    whole = whole.astype(np.float32)
    mask = rng.random(whole.shape) >= 0.3
    holed = np.where(mask, whole, 0)
    filled = fill_missing(fit_incomplete(holed, mask), holed, mask)
    assert np.mean((filled - whole)[~mask] ** 2) < 0.02 * whole.var()


def test_pixels_that_no_image_shows_are_filled_alike(digits: np.ndarray) -> None:
    mask = np.ones(digits.shape, bool)
    mask[:, 20] = False
    filled = fill_missing(fit_incomplete(digits, mask), digits, mask)
    assert len(np.unique(filled[:, 20])) == 1
    assert 0 < filled[0, 20] < 255


def test_few_images_of_few_pixels() -> None:
    for shape in ((1, 3), (2, 1), (3, 2)):
        images = np.full(shape, 7, np.uint8)
        mask = np.ones(shape, bool)
        mask[0, 0] = shape[1] == 1
        np.testing.assert_array_equal(
            fill_missing(fit_incomplete(images, mask), images, mask), images
        )
