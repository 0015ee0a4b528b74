"""Fits of images and of features with missing values: what is hidden has no influence, and is
filled in."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.utils import get_tags

from autodecoder import AutoDecoder, fit_model, load_dataset, load_model, save_model
from autodecoder.config import AugmentConfig, DecoderConfig, fit_config
from autodecoder.errors import ConfigError, DataError, DataWarning
from autodecoder.model import Model

DECODER = DecoderConfig(arch=(64, 64), latent_dims=4, batch_norm=False)
FIT = fit_config("fast", num_epochs=40, batch_size=50)
N = 400


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return load_dataset("digits").train.images[:N]


@pytest.fixture(scope="module")
def known() -> np.ndarray:
    return np.random.default_rng(1).random((N, 8, 8, 1)) < 0.5


@pytest.fixture(scope="module")
def model(images: np.ndarray, known: np.ndarray) -> Model:
    """Fitted to images each of which lacks half of its pixels."""
    shown: dict[str, Any] = {"val_images": images[:20], "val_mask": known[:20]}
    return fit_model(images, decoder=DECODER, fit=FIT, mask=known, **shown)


def test_what_no_image_shows_whole_is_reconstructed_whole(
    model: Model, images: np.ndarray, known: np.ndarray
) -> None:
    made, pixels = model.decode(model.latents), images / 255
    error = np.mean((made - pixels)[~known] ** 2)
    mean = np.sum(pixels * known, axis=0) / known.sum(axis=0)
    filled = np.broadcast_to(mean, pixels.shape)
    assert error < 0.75 * np.mean((filled - pixels)[~known] ** 2), "beside the mean image"
    more = load_dataset("digits").val
    whole = model.infer(more.images).errors.loss.mean() / 4
    assert whole < 0.6 * np.mean((mean - more.images / 255) ** 2)
    assert np.isfinite(model.history["val_loss"]).all()


@pytest.mark.slow
@pytest.mark.parametrize("held", ["not a number", "masked", "a frame", "noise behind a mask"])
def test_however_pixels_are_missing_the_fit_is_the_same(
    model: Model, images: np.ndarray, known: np.ndarray, held: str
) -> None:
    """A 40th of the epochs, so that four of them take no time."""
    fit = fit_config("fast", num_epochs=1, batch_size=50)
    expected = fit_model(images, decoder=DECODER, fit=fit, mask=known)
    mask = None
    if held == "not a number":
        given: Any = np.where(known, images / np.float32(255), np.nan)
    elif held == "masked":
        given = np.ma.array(images, mask=~known)
    elif held == "a frame":
        rows, seen = images.reshape(N, 64), known.reshape(N, 64)
        given = pd.DataFrame(rows).astype("UInt8").mask(~seen)
    else:
        noise = np.random.default_rng(2).integers(0, 256, images.shape, np.uint8)
        given, mask = np.where(known, images, noise), 255 * known.astype(np.uint8)
    found = fit_model(given, decoder=DECODER, fit=fit, mask=mask)
    np.testing.assert_allclose(found.latents, expected.latents, atol=1e-4)
    np.testing.assert_allclose(found.history["loss"], expected.history["loss"], rtol=1e-4)
    if held in ("masked", "noise behind a mask"):
        fingerprints = [each.about["data_fingerprint"] for each in (found, expected)]
        assert fingerprints[0] == fingerprints[1]


@pytest.mark.slow
def test_a_mask_that_hides_nothing_changes_nothing(images: np.ndarray) -> None:
    fit = fit_config("fast", num_epochs=1, batch_size=50)
    plain = fit_model(images[:100], decoder=DECODER, fit=fit)
    masked = fit_model(images[:100], decoder=DECODER, fit=fit, mask=np.ones((8, 8), bool))
    np.testing.assert_array_equal(plain.latents, masked.latents)
    assert plain.about["data_fingerprint"] == masked.about["data_fingerprint"]


@pytest.mark.thorough
def test_a_pixel_that_no_image_shows_is_warned_of(images: np.ndarray, known: np.ndarray) -> None:
    hidden = known.copy()
    hidden[:, 3, 4:6] = False
    fit = fit_config("fast", num_epochs=1, batch_size=50)
    with pytest.warns(DataWarning, match="2 of 64 values of an image are missing from every"):
        model = fit_model(images, decoder=DECODER, fit=fit, mask=hidden)
    assert np.isfinite(model.decode(model.latents)).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"mask": np.ones((N, 8, 7))}, DataError, r"mask must be \(n, 8, 8\) or \(n, 8, 8, 1\)"),
        ({"mask": np.ones((3, 8, 8))}, DataError, f"mask must be for {N} images or for one"),
        (
            {"mask": np.zeros((8, 8))},
            DataError,
            "each of the images must have a known value, but number 0",
        ),
        ({"mask": np.full((8, 8), 0.5)}, DataError, "mask must hold booleans, 0 and 1, or"),
        ({"mask": [["a"]]}, DataError, "mask must be real numbers"),
        ({"val_mask": np.ones((8, 8))}, DataError, "val_mask must come with val_images"),
        (
            {"mask": np.eye(8), "augment": AugmentConfig(enabled=("zoom",))},
            ConfigError,
            "augmentation moves pixels and cannot be used with missing ones",
        ),
    ],
)
def test_what_does_not_go_is_told(
    images: np.ndarray, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fit_model(images, decoder=DECODER, fit=FIT, **options)


# Features


@pytest.fixture(scope="module")
def iris() -> tuple[np.ndarray, np.ndarray]:
    """Whole and with a fifth of the values missing, none of them all of a sample."""
    X = np.asarray(load_iris(return_X_y=True)[0]) * [1, 1000, 1e-6, 1]
    missing = np.random.default_rng(0).random(X.shape) < 0.2
    missing[np.arange(len(X)), np.arange(len(X)) % 4] = False
    return X, np.where(missing, np.nan, X)


@pytest.fixture(scope="module")
def fitted(iris: tuple[np.ndarray, np.ndarray]) -> AutoDecoder:
    return AutoDecoder(arch="32-32", num_epochs=100, batch_size=30, random_state=0).fit(iris[1])


@pytest.mark.thorough
def test_a_table_with_missing_values_comes_back_whole(
    fitted: AutoDecoder, iris: tuple[np.ndarray, np.ndarray]
) -> None:
    X, holed = iris
    assert get_tags(fitted).input_tags.allow_nan
    by = fitted.model_.standardization
    assert by is not None
    np.testing.assert_allclose(by.mean, np.nanmean(holed, axis=0))
    np.testing.assert_allclose(by.std, np.nanstd(holed, axis=0))
    latents = fitted.transform(holed)
    back = fitted.inverse_transform(latents)
    assert np.isfinite(back).all()
    missing = np.isnan(holed)
    lost = np.mean((((back - X) / by.std) ** 2)[missing])
    assert lost < 0.5, "a guess by the mean loses 1"
    assert -0.5 < fitted.score(holed) < 0
    whole = ~missing.any(axis=1)
    np.testing.assert_array_equal(latents[whole], fitted.transform(X[whole]))


@pytest.mark.thorough
def test_frames_with_missing_values_are_alike(fitted: AutoDecoder) -> None:
    ints = np.array([[5, 3000, 1, 0], [6, 2900, 4, 1]])
    missing = np.array([[0, 1, 0, 0], [0, 0, 0, 1]], bool)
    frame = pd.DataFrame(ints, dtype="Int64").mask(missing)
    floats = np.where(missing, np.nan, ints)
    for held in (frame, frame.astype(object), np.ma.array(ints, mask=missing)):
        np.testing.assert_array_equal(fitted.transform(held), fitted.transform(floats))
    with pytest.raises(
        ValueError, match="each of the samples must have a known value, but number 1"
    ):
        fitted.transform(np.where([[False], [True]], np.nan, floats))


@pytest.mark.slow
def test_pixels_of_a_frame_stay_whole_numbers(images: np.ndarray, known: np.ndarray) -> None:
    frame = pd.DataFrame(images.reshape(N, 64)[:100]).astype("UInt8")
    frame = frame.mask(~known.reshape(N, 64)[:100])
    found = AutoDecoder(arch="16", num_epochs=2, random_state=0, scaler="standard").fit(frame)
    assert found.inverse_transform(found.transform(frame)).max() <= 1


@pytest.mark.slow
def test_a_feature_that_no_sample_has_decodes_to_0(
    iris: tuple[np.ndarray, np.ndarray], tmp_path: Any
) -> None:
    X = iris[1].copy()
    X[:, 2] = np.nan
    with pytest.warns(DataWarning, match="1 of 4 values .* missing from every"):
        found = AutoDecoder(arch="8", num_epochs=2, random_state=0).fit(X)
    back = found.inverse_transform(found.transform(X))
    np.testing.assert_array_equal(back[:, 2], 0)
    save_model(found.model_, tmp_path)
    np.testing.assert_allclose(load_model(tmp_path).reconstruct(X), back, atol=1e-4)
