"""Ways through the latent space."""

import copy
import pickle

import numpy as np
import pytest
from tests.model.test_files import make

from autodecoder.errors import ConfigError, DataError
from autodecoder.model.paths import PATHS, latent_path

RNG = np.random.default_rng(0)
CLOUD = RNG.normal(size=(300, 3)).astype(np.float32)


@pytest.mark.parametrize("path", PATHS)
def test_both_ends_stand_where_they_should(path: str) -> None:
    start, end = CLOUD[0], np.array([9, 9, 9], np.float32)
    way = latent_path(start, end, 7, path, CLOUD)
    assert way.shape == (7, 3)
    assert way.dtype == np.float32
    np.testing.assert_allclose(way[[0, -1]], [start, end], rtol=1e-6)
    np.testing.assert_allclose(latent_path(start, start, 4, path, CLOUD), [start] * 4, rtol=1e-6)
    assert np.isfinite(latent_path(start, end, 2, path, CLOUD)).all()


def test_a_line_is_straight_and_even() -> None:
    way = latent_path(
        np.array([0, 2], np.float32), np.array([4, 0], np.float32), 5, "linear", CLOUD[:, :2]
    )
    np.testing.assert_allclose(way, [[0, 2], [1, 1.5], [2, 1], [3, 0.5], [4, 0]])


def test_a_sphere_is_kept_to() -> None:
    """A quarter of a circle around the mean of the known latents."""
    centre = np.array([5, -1], np.float32)
    known = centre + np.array([[1, 0], [-1, 0]], np.float32)
    start, end = centre + np.array([2, 0], np.float32), centre + np.array([0, 2], np.float32)
    way = latent_path(start, end, 3, "spherical", known)
    np.testing.assert_allclose(way[1], centre + np.sqrt(2), rtol=1e-6)
    # Twice as far, the distance changes steadily.
    way = latent_path(start, centre + np.array([0, 4], np.float32), 3, "spherical", known)
    np.testing.assert_allclose(np.linalg.norm(way - centre, axis=1), [2, 3, 4], rtol=1e-6)


def test_opposite_directions_are_joined_by_the_line() -> None:
    known = np.array([[1, 0], [-1, 0]], np.float32)
    way = latent_path(
        np.array([1, 0], np.float32), np.array([-1, 0], np.float32), 3, "spherical", known
    )
    np.testing.assert_allclose(way[1], [0, 0], atol=1e-6)


def test_a_way_along_the_data_goes_round_where_there_is_none() -> None:
    angle = np.linspace(0, np.pi, 200)
    arc = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    way = latent_path(arc[0], arc[-1], 21, "data", arc)
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), 1, atol=0.02)
    steps = np.linalg.norm(np.diff(way, axis=0), axis=1)
    np.testing.assert_allclose(steps, steps.mean(), rtol=0.01)
    straight = latent_path(arc[0], arc[-1], 21, "linear", arc)
    assert np.linalg.norm(straight, axis=1).min() < 0.1


def test_a_way_leads_over_gaps_by_the_nearest_ends() -> None:
    clusters = np.concatenate([CLOUD[:100] + 40 * k for k in range(4)])
    way = latent_path(clusters[0], clusters[-1], 30, "data", clusters)
    np.testing.assert_allclose(way[[0, -1]], clusters[[0, -1]], rtol=1e-6)
    assert np.linalg.norm(np.diff(way, axis=0), axis=1).max() < 20


def test_equal_and_lost_latents_are_no_obstacle() -> None:
    known = np.concatenate([np.repeat(CLOUD[:1], 60, axis=0), CLOUD, np.full((1, 3), np.nan)])
    way = latent_path(CLOUD[0], CLOUD[5], 5, "data", known.astype(np.float32))
    assert np.isfinite(way).all()


def test_what_is_no_way_is_told() -> None:
    start = CLOUD[0]
    with pytest.raises(ConfigError, match="path must be one of linear, spherical, data, got 'arc'"):
        latent_path(start, start, 3, "arc", CLOUD)
    with pytest.raises(ConfigError, match="n must be 2 or more"):
        latent_path(start, start, 1, "linear", CLOUD)
    with pytest.raises(DataError, match="needs latents of training images"):
        latent_path(start, start, 3, "data", CLOUD[:0])


# Of a model


def test_a_model_decodes_the_way_it_went() -> None:
    model = make()
    image = model.decode(model.latents[1:2])[0]
    walk = model.interpolate(model.latents[0], image, 6, path="data")
    assert walk.images.shape == (6, 2, 3, 1)
    np.testing.assert_array_equal(walk.images, model.decode(walk.latents))
    np.testing.assert_allclose(walk.images[-1], image, atol=1e-2)
    flat = model.interpolate(image.reshape(-1), image[..., 0], 2)
    np.testing.assert_allclose(flat.images[0], flat.images[1], atol=1e-6)


def test_ends_of_another_form_are_told() -> None:
    model = make()
    with pytest.raises(DataError, match="a must be a latent of 3 numbers or an image of 2 × 3 × 1"):
        model.interpolate(np.zeros(5), model.latents[0])
    with pytest.raises(DataError, match="b is a latent with values that are not finite"):
        model.interpolate(model.latents[0], np.full(3, np.inf))


def test_a_model_draws_the_same_images_for_a_seed() -> None:
    model = make()
    first = model.sample(5, seed=3)
    assert first.images.shape == (5, 2, 3, 1)
    for other in (model, pickle.loads(pickle.dumps(model)), copy.copy(model), make()):
        np.testing.assert_array_equal(other.sample(5, seed=3).images, first.images)
    with pytest.raises(ConfigError, match="n must be a positive whole number, got 0"):
        model.sample(0)
    with pytest.raises(ConfigError, match="seed must lie between"):
        model.sample(1, seed=-1)


@pytest.mark.parametrize("n_places", [1, 2, 20])
def test_places_where_many_latents_coincide_are_no_obstacle(n_places: int) -> None:
    places = RNG.normal(size=(n_places, 3)).astype(np.float32)
    known = np.repeat(places, 400, axis=0)
    way = latent_path(known[0], known[-1], 5, "data", known)
    np.testing.assert_allclose(way[[0, -1]], known[[0, -1]], rtol=1e-6)


def test_many_separate_clusters_are_joined() -> None:
    centres = 100 * RNG.normal(size=(200, 2))
    known = (centres[:, None] + RNG.normal(size=(200, 20, 2))).reshape(-1, 2).astype(np.float32)
    way = latent_path(known[0], known[-1], 50, "data", known)
    np.testing.assert_allclose(way[[0, -1]], known[[0, -1]], rtol=1e-5)


def test_latents_that_are_lost_do_not_count() -> None:
    lost = np.concatenate([CLOUD, np.full((1, 3), np.nan, np.float32)])
    for path in PATHS:
        ways = [latent_path(CLOUD[0], CLOUD[9], 5, path, known) for known in (CLOUD, lost)]
        np.testing.assert_allclose(ways[0], ways[1], rtol=1e-5)
