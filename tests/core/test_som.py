"""Self-organising maps: like images lie near each other, and every image lies somewhere."""

import numpy as np
import pytest
from tests.core.builders import digits

from autodecoder.core.latents import fit_pca, pca_scores
from autodecoder.core.som import fit_map, map_positions
from autodecoder.data import load_dataset


def residual(positions: np.ndarray, images: np.ndarray) -> float:
    """Mean squared distance of an image from the mean of the eight that lie nearest to it."""
    apart = np.sum((positions[:, None] - positions) ** 2, axis=-1)
    np.fill_diagonal(apart, np.inf)
    near = np.argsort(apart, axis=1)[:, :8]
    return float(np.mean((images[near].mean(1) - images) ** 2))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_like_images_lie_nearer_to_each_other_than_by_principal_components(dims: int) -> None:
    images = np.asarray(digits().train)
    positions = map_positions(fit_map(images, dims), images)
    assert positions.shape == (len(images), dims)
    pixels = np.asarray(images, np.float32)
    scores = pca_scores(fit_pca(images, dims), images)
    assert residual(positions, pixels) < 0.8 * residual(scores, pixels)


def test_places_are_those_of_the_nearest_nodes_and_spread_evenly() -> None:
    images, others = map(np.asarray, digits()[:2])
    som = fit_map(images, 2)
    np.testing.assert_allclose(som.positions.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(som.positions.std(0), 1, rtol=1e-4)
    decoded = som.codes @ som.pca.components.T + som.pca.mean
    apart = np.sum((np.asarray(others, np.float32)[:, None] - decoded) ** 2, axis=-1)
    np.testing.assert_allclose(
        np.take_along_axis(apart, apart.argmin(1)[:, None], 1)[:, 0],
        apart[np.arange(len(others)), _node(som.positions, map_positions(som, others))],
        rtol=1e-3,
    )


def _node(nodes: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return np.sum((positions[:, None] - nodes) ** 2, axis=-1).argmin(1)


@pytest.mark.slow
def test_the_classes_of_digits_clump() -> None:
    data = load_dataset("digits")
    images, labels = data.train.flat, np.asarray(data.train.labels)
    positions = map_positions(fit_map(images, 2), images)
    apart = np.sum((positions[:, None] - positions) ** 2, axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert np.mean(labels[apart.argmin(1)] == labels) > 0.85


@pytest.mark.parametrize(
    "images",
    [np.zeros((30, 16)), np.full((1, 16), 7), np.tile(np.arange(3)[:, None], (1, 2)) * 100],
    ids=["all alike", "one", "three of two pixels"],
)
@pytest.mark.parametrize("dims", [1, 2])
def test_few_and_equal_images_have_places(images: np.ndarray, dims: int) -> None:
    pixels = images.astype(np.uint8)
    positions = map_positions(fit_map(pixels, dims), pixels)
    assert np.isfinite(positions).all()
