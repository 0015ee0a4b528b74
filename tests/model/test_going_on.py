"""Going on with a fit: from a model in memory or files, with further images, from latents."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
import pytest
from sklearn.datasets import load_iris

from autodecoder import (
    Dataset,
    DataWarning,
    DecoderConfig,
    Model,
    fit_config,
    fit_model,
    load_dataset,
    load_model,
    save_model,
)
from autodecoder.errors import ConfigError, DataError

DECODER = DecoderConfig(arch=(16,))
FIT = fit_config("fast", num_epochs=8, batch_size=50)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def given(digits: Dataset) -> dict[str, Any]:
    train, val = digits.train, digits.val
    return {
        "images": train.images[:200],
        "labels": train.labels[:200],
        "val_images": val.images[:40],
        "val_labels": val.labels[:40],
    }


@pytest.fixture(scope="module")
def half(given: dict[str, Any]) -> Model:
    """Half of a fit of 8 epochs."""
    return fit_model(**given, decoder=DECODER, fit=FIT, seed=3, until=4)


@pytest.fixture(scope="module")
def whole(given: dict[str, Any]) -> Model:
    return fit_model(**given, decoder=DECODER, fit=FIT, seed=3)


def assert_same(model: Model, other: Model) -> None:
    assert model.history.keys() == other.history.keys()
    for name, values in other.history.items():
        np.testing.assert_array_equal(model.history[name], values, err_msg=name)
    pairs = zip(jax.tree.leaves(model.decoder), jax.tree.leaves(other.decoder), strict=True)
    latents = [(model.latents, other.latents), (model.val_latents, other.val_latents)]
    for found, expected in [*pairs, *latents]:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("carried", ["in memory", "in files", "pickled"])
def test_a_fit_in_two_parts_is_the_whole_fit(
    carried: str, half: Model, whole: Model, given: dict[str, Any], tmp_path: Path
) -> None:
    start = half
    if carried == "in files":
        save_model(half, tmp_path, training=True)
        start = load_model(tmp_path)
    elif carried == "pickled":
        start = pickle.loads(pickle.dumps(half))
    assert len(half.history["loss"]) == half.about["epoch"] == 4
    epochs: list[int] = []
    model = fit_model(
        given["images"],
        fit=FIT,
        val_images=given["val_images"],
        start=start,
        callback=lambda epoch, metrics: epochs.append(epoch),
    )
    assert_same(model, whole)
    assert epochs[0] > 4
    assert epochs[-1] == model.about["epoch"] == 8
    assert model.labels is not None
    np.testing.assert_array_equal(model.labels, given["labels"])


SMALL = replace(FIT, latent_second_moment="row", latent_first_moment_dtype="bfloat16")


@pytest.fixture(scope="module")
def small_half(given: dict[str, Any]) -> Model:
    """Half of a fit whose latents have small moments."""
    return fit_model(**given, decoder=DECODER, fit=SMALL, seed=3, until=4)


def test_a_fit_with_small_moments_in_two_parts_is_the_whole_fit(
    small_half: Model, given: dict[str, Any], tmp_path: Path
) -> None:
    save_model(small_half, tmp_path, training=True)
    start = load_model(tmp_path)
    assert start.training is not None
    for part, n in ((start.training.train, 200), (start.training.val, 40)):
        assert (part.mean.dtype, part.mean.shape) == ("bfloat16", (n, 2))
        assert (part.square.dtype, part.square.shape) == ("float32", (n, 1))
    model = fit_model(given["images"], fit=SMALL, val_images=given["val_images"], start=start)
    assert_same(model, fit_model(**given, decoder=DECODER, fit=SMALL, seed=3))
    assert model.about["settings"]["fit"]["latent_second_moment"] == "row"


def test_moments_of_two_forms_are_refused(small_half: Model, tmp_path: Path) -> None:
    assert small_half.training is not None
    val = small_half.training.val
    mixed = small_half.training._replace(val=val._replace(square=np.ones((40, 2), np.float32)))
    save_model(replace(small_half, training=mixed), tmp_path, training=True)
    with pytest.raises(DataError, match=r"val/square must be float32\[40, 1\], got float32\[40, 2"):
        load_model(tmp_path)


@pytest.mark.slow
def test_without_a_schedule_lengths_add_up(given: dict[str, Any]) -> None:
    images = given["images"]
    fits = [fit_config("original", num_epochs=n, batch_size=50) for n in (2, 4)]
    short = fit_model(images, decoder=DECODER, fit=fits[0])
    longer = fit_model(images, fit=fits[1], start=short)
    assert_same(longer, fit_model(images, decoder=DECODER, fit=fits[1]))


def test_without_its_moments_a_fit_goes_on_and_says_so(
    half: Model, whole: Model, given: dict[str, Any], tmp_path: Path
) -> None:
    save_model(half, tmp_path)
    assert not (tmp_path / "training.safetensors").exists()
    start = load_model(tmp_path)
    assert start.training is None
    with pytest.warns(DataWarning, match="continues with moments of zero"):
        model = fit_model(**given, fit=FIT, start=start)
    np.testing.assert_array_equal(model.history["loss"][:4], half.history["loss"])
    assert model.history["loss"][-1] < half.history["loss"][-1]
    assert (model.latents != whole.latents).any()


@pytest.mark.thorough
def test_further_images_are_placed_and_trained_along(
    whole: Model, digits: Dataset, given: dict[str, Any]
) -> None:
    """One epoch at small steps leaves what is known nearly where it is."""
    images = digits.train.images[:230]
    fit = replace(FIT, num_epochs=9, latent_learning_rate=1e-3)
    more = {"start": whole, "val_images": digits.val.images[:50], "learning_rate": 1e-6}
    model = fit_model(images, fit=fit, labels=digits.train.labels[:230], **more)
    placed = whole.infer(images[200:]).latents
    assert model.latents.shape == (230, 2)
    assert model.val_latents.shape == (50, 2)
    assert model.val_labels is None, "those of further images are not known"
    for found, before in ((model.latents[:200], whole.latents), (model.latents[200:], placed)):
        assert (found != before).any()
        np.testing.assert_allclose(found, before, atol=0.2)
    errors = np.mean((model.decode(model.latents) - images / 255) ** 2, axis=(1, 2, 3))
    assert errors[200:].mean() < 1.2 * errors[:200].mean()


@pytest.mark.thorough
def test_latents_may_be_ones_own(half: Model, given: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    latents, val_latents = rng.normal(size=(200, 2)), rng.normal(size=(40, 2))
    fit = replace(FIT, latent_learning_rate=None, num_epochs=5)
    own: dict[str, Any] = {"latents": latents.tolist(), "val_latents": val_latents}
    options: dict[str, Any]
    for options in ({"decoder": DECODER}, {"start": half}):
        model = fit_model(**given, **own, **options, fit=fit, learning_rate=1e-9)
        np.testing.assert_allclose(model.latents, latents, atol=1e-5)
        np.testing.assert_allclose(model.val_latents, val_latents, atol=1e-5)


@pytest.mark.slow
def test_features_go_on_in_their_units() -> None:
    X = np.asarray(load_iris(return_X_y=True)[0]) * [1, 1000, 1e-6, 1]
    fits = [replace(FIT, num_epochs=n) for n in (20, 24)]
    start = fit_model(X[::2], decoder=DECODER, fit=fits[0], scaler="standardize")
    model = fit_model(np.concatenate([X[::2], X[1::2]]), fit=fits[1], start=start)
    assert model.standardization is start.standardization
    assert model.latents.shape == (150, 2)
    with pytest.raises(DataError, match=r"images must be \(n, 4\), got \(75, 3\)"):
        fit_model(X[::2, :3], fit=fits[1], start=start)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder": DecoderConfig(arch=(8,))}, r"arch must be that of start, \(16,\), got \(8,\)"),
        ({"decoder": eqx.nn.MLP(2, 64, 8, 1, key=jax.random.key(0))}, "decoder must be left out"),
        ({"scaler": "zero_one"}, "scaler must be that of start, standard, got zero_one"),
        ({"pixel_range": (0, 1)}, "pixel_range must be that of start, None, got"),
        ({"images": np.zeros((200, 7, 7), np.uint8)}, r"images must be \(n, 8, 8, 1\), got"),
        (
            {"images": np.zeros((9, 8, 8), np.uint8), "labels": None},
            "begin with the 200 that .* there are 9",
        ),
        ({"images": np.zeros((200, 8, 8), np.uint8)}, "in their order .* fingerprint is another"),
        (
            {"val_images": np.zeros((9, 8, 8), np.uint8), "val_labels": None},
            "begin with the 40 of start, but there are 9",
        ),
        ({"labels": np.arange(200)}, "labels must begin with those of start, but image"),
        ({"fit": replace(FIT, num_epochs=4)}, "includes the 4 epochs of start .* got 4"),
        ({"until": 4}, "until must be above the 4 epochs .* num_epochs, 8, got 4"),
        ({"until": 9}, "until must be above the 4 epochs .* num_epochs, 8, got 9"),
        ({"until": 0}, "until must be"),
        ({"latents": np.zeros((199, 2))}, r"latents must be \(200, 2\), got \(199, 2\)"),
        ({"latents": np.zeros((200, 3))}, r"latents must be \(200, 2\), got \(200, 3\)"),
        ({"latents": np.full((200, 2), "a")}, "latents must be real numbers, got"),
        ({"latents": np.zeros((200, 2), complex)}, "latents must be real numbers, got"),
        ({"latents": np.full((200, 2), np.inf)}, "latents must be finite, but row 0 is not"),
        ({"latents": np.zeros((200, 2))}, "val_latents must be given with latents"),
        ({"val_latents": np.zeros((39, 2))}, r"val_latents must be \(40, 2\), got \(39, 2\)"),
        ({"start": None, "val_latents": np.zeros((40, 2))}, "latents must be given with val_lat"),
    ],
)
def test_what_does_not_go_with_the_start_is_told(
    options: dict[str, Any], message: str, half: Model, given: dict[str, Any]
) -> None:
    with pytest.raises((DataError, ConfigError), match=message):
        fit_model(**{**given, "fit": FIT, "start": half, **options})


def test_a_training_state_that_is_lost_or_damaged_is_told(half: Model, tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    save_model(half, tmp_path, training=True)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + bytes(8))
    with pytest.raises(DataError, match=r"training\.safetensors is damaged"):
        load_model(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match=r"training\.safetensors cannot be read"):
        load_model(tmp_path)
    save_model(half, tmp_path)
    with pytest.raises(DataError, match="this model has no training state"):
        save_model(load_model(tmp_path), tmp_path / "other", training=True)
    assert not (tmp_path / "other").exists()
