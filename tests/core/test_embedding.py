"""Neighbour layouts: they keep neighbourhoods, place any image, and take any number of images."""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier
from tests.core.builders import run_config

from autodecoder import fit_model
from autodecoder.config import DecoderConfig, FitConfig, SearchConfig, StudyConfig
from autodecoder.core import embedding, latent_starts
from autodecoder.core.embedding import fit_layout
from autodecoder.core.fit import Images
from autodecoder.core.latent_starts import RowStarts, find_starts
from autodecoder.core.som import fit_map, map_positions
from autodecoder.data import load_dataset
from autodecoder.errors import ConfigError
from autodecoder.study import run_study

pytest.importorskip("openTSNE", reason="openTSNE is not installed (extra neighbours)")
DIGITS = load_dataset("digits")
TRAIN, LABELS = DIGITS.train.flat, np.asarray(DIGITS.train.labels)
VAL, CLASSES = DIGITS.val.flat, np.asarray(DIGITS.val.labels)
SOME = TRAIN[:500]
START = FitConfig(latent_start="neighbours", num_epochs=2, batch_size=100)
CONFIG = run_config(fit=START)


def accuracy(places: np.ndarray, others: np.ndarray) -> float:
    """How often the class of a validation image is that of its five nearest training images."""
    return KNeighborsClassifier(5).fit(places, LABELS[: len(places)]).score(others, CLASSES)


def test_neighbours_are_kept_better_than_on_a_map() -> None:
    layout, som = (map_positions(fit(SOME, 2), SOME) for fit in (fit_layout, fit_map))
    pixels = SOME.astype(np.float32)
    assert 1 - trustworthiness(pixels, layout) < 0.7 * (1 - trustworthiness(pixels, som))
    # With the roles of both changed it is the continuity.
    assert 1 - trustworthiness(layout, pixels) < 0.7 * (1 - trustworthiness(som, pixels))


@pytest.mark.thorough
def test_many_landmarks_are_laid_out_on_a_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    by_tree = map_positions(fit_layout(TRAIN, 2), TRAIN)
    monkeypatch.setattr(embedding, "_GRID_FROM", 1000)
    by_grid = map_positions(fit_layout(TRAIN, 2), TRAIN)
    pixels = TRAIN.astype(np.float32)
    found = [trustworthiness(pixels, places) for places in (by_tree, by_grid)]
    np.testing.assert_allclose(*found, atol=2e-3)


def test_others_are_placed_at_their_nearest_landmark(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "_N_LANDMARKS", {2: 400})
    layout = fit_layout(TRAIN, 2)
    rows = np.arange(400) * len(TRAIN) // 400
    np.testing.assert_allclose(layout.positions.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(np.mean(layout.positions**2), 1, rtol=1e-4)
    places = map_positions(layout, TRAIN)
    np.testing.assert_array_equal(places[rows], layout.positions)
    pixels = TRAIN.astype(np.float32)
    apart = np.sum((pixels[:, None] - pixels[rows]) ** 2, axis=-1)
    same = (places == layout.positions[apart.argmin(1)]).all(axis=1)
    assert same.mean() > 0.99  # 50 of 64 components decide, so that a few may differ
    assert accuracy(places, map_positions(layout, VAL)) > 0.9


@pytest.mark.parametrize("dims", [1, pytest.param(3, marks=pytest.mark.thorough)])
def test_other_numbers_of_dimensions(dims: int) -> None:
    layout = fit_layout(SOME, dims)
    assert layout.positions.shape == (len(SOME), dims)
    assert accuracy(map_positions(layout, SOME), map_positions(layout, VAL)) > 0.85


NOISE = np.random.default_rng(0).integers(0, 256, (25, 16))


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(
    "images",
    [
        *(NOISE[:n] for n in (1, 2, 3, 5, 19, 20)),
        np.zeros((30, 16)),
        np.repeat(NOISE[:3], 40, axis=0),
        np.tile(np.arange(40)[:, None], (1, 2)) * 6,
    ],
    ids=["1", "2", "3", "5", "19", "20", "all alike", "three of each", "two pixels"],
)
def test_few_and_equal_images_have_places(
    images: np.ndarray, dims: int, capfd: pytest.CaptureFixture
) -> None:
    pixels = images.astype(np.uint8)
    positions = map_positions(fit_layout(pixels, dims), pixels)
    assert positions.shape == (len(images), dims)
    assert np.isfinite(positions).all()
    assert capfd.readouterr() == ("", "")


def test_missing_pixels_are_filled_in_first() -> None:
    known = np.random.default_rng(0).random(SOME.shape) < 0.7
    images = Images(
        jnp.asarray(np.where(known, SOME, 200)), jnp.asarray(VAL), train_mask=jnp.asarray(known)
    )
    starts = find_starts(images, CONFIG)
    assert starts is not None
    assert accuracy(np.asarray(starts[0]), np.asarray(starts[1])) > 0.9


class OnDisk:
    """Rows that are read on request, as those of packed images."""

    shape, nbytes = SOME.shape, SOME.nbytes

    def __len__(self) -> int:
        return len(SOME)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return SOME[rows]


def test_streamed_images_start_where_those_in_memory_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latent_starts, "_FEW_BYTES", 0)
    train: Any = OnDisk()
    streamed = RowStarts(Images(train, jnp.asarray(VAL)), CONFIG)
    expected = find_starts(Images(jnp.asarray(SOME), jnp.asarray(VAL)), CONFIG)
    assert expected is not None
    assert streamed.val is not None
    np.testing.assert_array_equal(streamed.val, expected[1])
    rows = np.arange(7, 450, 3)
    found = streamed.take(jax.random.key(0), rows, SOME[rows])
    np.testing.assert_array_equal(found, 10 * np.asarray(expected[0])[rows])


def test_without_the_library_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openTSNE", None)
    told = r"needs openTSNE, .* pip install 'autodecoder\[neighbours\]'"
    with pytest.raises(ConfigError, match=told):
        fit_model(DIGITS.train.images, decoder=DecoderConfig(arch=(8,)), fit=START)
    space = {"learning_rate": (1e-3,), "latent_start": ("som", "neighbours")}
    for config in (StudyConfig(fit=START), StudyConfig(search=SearchConfig(space=space))):
        with pytest.raises(ConfigError, match=told):
            run_study(config, DIGITS, tmp_path / "study")
    assert not (tmp_path / "study").exists()
