"""From arrays to a model: the same fit as a study's, on images and on features."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris

from autodecoder import (
    AugmentConfig,
    DataConfig,
    Dataset,
    DecoderConfig,
    LogConfig,
    SearchConfig,
    StudyConfig,
    fit_config,
    fit_model,
    load_dataset,
    run_study,
)
from autodecoder.errors import ConfigError, DataError

DECODER = DecoderConfig(arch=(16,), batch_norm=False)
FIT = fit_config("fast", num_epochs=8, batch_size=50)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def iris() -> tuple[np.ndarray, np.ndarray]:
    found = load_iris(return_X_y=True)
    return np.asarray(found[0]), np.asarray(found[1])


@pytest.mark.thorough
def test_it_is_the_fit_of_a_study(digits: Dataset, tmp_path: Path) -> None:
    config = StudyConfig(
        data=DataConfig(examples_frac=1.0),
        decoder=DECODER,
        fit=FIT,
        search=SearchConfig({"learning_rate": (1e-2,)}),
        log=LogConfig(tensorboard=False, visualize_freq=0, save_best_model=True),
        executions_per_trial=1,
        seed=3,
    )
    study = run_study(config, digits, tmp_path)
    told: list[tuple[int, dict[str, float]]] = []
    model = fit_model(
        digits.train.images,
        decoder=DECODER,
        fit=FIT,
        learning_rate=1e-2,
        val_images=digits.val.images,
        labels=digits.train.labels,
        val_labels=digits.val.labels,
        seed=3,
        callback=lambda *news: told.append(news),
    )
    history = study.trials[0].executions[0].history
    for name in ("loss", "val_loss", "val_psnr"):
        np.testing.assert_allclose(model.history[name], history[name], rtol=1e-4)
    assert "fresh_val_loss" not in model.history, "nothing was inferred"
    assert told[-1] == (8, {name: values[-1] for name, values in model.history.items()})
    assert model.about["data_fingerprint"] == digits.fingerprint
    assert model.val_labels is not None
    np.testing.assert_array_equal(model.val_labels, digits.val.labels)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["floats", "without channels", "flat", "not contiguous"])
def test_images_of_other_forms_give_the_same_model(form: str, digits: Dataset) -> None:
    images = digits.train.images[:200]
    other: Any = {
        "floats": images.astype(np.float64) / 255,
        "without channels": images[..., 0],
        "flat": images.reshape(200, 64),
        "not contiguous": np.asfortranarray(images),
    }[form]
    models = [fit_model(x, decoder=DECODER, fit=FIT) for x in (images, other)]
    first, second = (model.latents for model in models)
    np.testing.assert_allclose(first, second, atol=1e-3 * np.abs(first).max())
    assert models[1].image_shape == ((1, 64, 1) if form == "flat" else (8, 8, 1))
    assert models[1].val_latents.shape == (0, 2)


@pytest.mark.parametrize(
    "start",
    [
        "zeros",
        pytest.param("normal", marks=pytest.mark.thorough),
        pytest.param("pca", marks=pytest.mark.thorough),
        "som",
        pytest.param("neighbours", marks=pytest.mark.thorough),
    ],
)
def test_without_validation_images_a_fit_goes_its_way(start: str, digits: Dataset) -> None:
    if start == "neighbours":
        pytest.importorskip("openTSNE", reason="openTSNE is not installed (extra neighbours)")
    fit = replace(FIT, latent_start=start)
    model = fit_model(digits.train.images[:100], decoder=DECODER, fit=fit)
    assert model.history["loss"][-1] < model.history["loss"][0]
    assert not [name for name in model.history if name.startswith("val_")]


@pytest.mark.thorough
def test_features_come_back_in_their_units(iris: tuple[np.ndarray, np.ndarray]) -> None:
    X = iris[0] * [1, 1000, 1e-6, 1] + [0, -5e5, 0, 7]
    fit = fit_config("fast", num_epochs=60, batch_size=30)
    decoder = DecoderConfig(arch=(32, 32), batch_norm=False)
    model = fit_model(X, decoder=decoder, fit=fit, scaler="standardize", labels=iris[1])
    found = model.infer(X)
    lost = np.mean((model.decode(found.latents) - X) ** 2, axis=0) / X.var(axis=0)
    assert lost.max() < 0.2
    np.testing.assert_allclose(found.errors.loss.mean(), lost.mean(), rtol=1e-3)
    # A hidden feature may be anything, and is filled in from the others.
    hidden = X.copy()
    hidden[:, 2] = np.nan
    filled = model.reconstruct(hidden, np.array([True, True, False, True]).reshape(1, 4))
    guess = np.mean((filled[:, 2] - X[:, 2]) ** 2) / X[:, 2].var()
    assert guess < 0.3
    np.testing.assert_array_equal(model.reconstruct(hidden), filled)
    with pytest.raises(DataError, match="samples must be finite, but row 5 is not"):
        model.infer(np.where(np.arange(150)[:, None] == 5, np.inf, X), np.ones((1, 4), bool))


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (np.zeros((4, 2, 2, 1, 1)), {}, r"images must be \(n, height, width, channels\)"),
        (np.zeros((0, 2, 2)), {}, "must hold at least one sample of one value, got"),
        (np.zeros((3, 0)), {}, "must hold at least one sample of one value, got"),
        (np.full((3, 4), 2.0), {}, "float pixels must lie between 0 and 1"),
        (
            np.full((3, 4), np.nan),
            {},
            "each of the images must have a known value, but number 0 has",
        ),
        (np.full((3, 4), np.inf), {}, "images must have finite pixels"),
        (np.full((3, 4), 256, np.int32), {}, r"between 0 and 255, but .* pixel_range=\(0, 1023\)"),
        (np.zeros((3, 3, 8, 8)), {}, r"channels last, .* got 3 × 3 × 8 × 8"),
        (np.zeros((3, 1, 8, 8)), {}, r"channels last, .* got 3 × 1 × 8 × 8"),
        (np.zeros((3, 4)), {"pixel_range": "1:0"}, "range must rise, got 1:0"),
        (
            np.zeros((3, 4)),
            {"scaler": "standardize", "pixel_range": (0, 1)},
            "pixel_range is for pixels",
        ),
        (np.full((3, 4), np.inf), {"scaler": "standardize"}, "samples must be finite, but row 0"),
        (
            np.full((3, 4), np.nan),
            {"scaler": "standardize"},
            "each of the samples must have a known value",
        ),
        (np.zeros((3, 2, 2)), {"scaler": "standardize"}, r"samples must be \(n, n_features\)"),
        (np.zeros((3, 4)), {"scaler": "log"}, "scaler must be one of"),
        (np.zeros((3, 4)), {"seed": -1}, "seed must lie between"),
        (np.zeros((3, 4)), {"learning_rate": 0.0}, "learning_rate must be greater than 0"),
        (np.zeros((3, 4)), {"labels": [1, 2]}, r"labels must be 3 whole numbers, got"),
        (np.zeros((3, 4)), {"labels": ["a", "b", "c"]}, r"labels must be real numbers, got list"),
        (np.zeros((3, 4)), {"labels": [0, 1, -1]}, r"labels must be whole numbers from 0 to"),
        (np.zeros((3, 4)), {"names": ["a", "b"]}, r"names must be 3 names, one for each image"),
        (np.zeros((3, 4)), {"names": "abc"}, r"names must be 3 names, .*, got 'abc'"),
        (np.zeros((3, 4)), {"val_names": ["a"]}, r"val_names must be 0 names, one for each image"),
        (np.zeros((3, 4)), {"columns": {"a": [1]}}, r"columns must have 3 values in each column"),
        (np.zeros((3, 4)), {"val_columns": {"a": [1]}}, r"val_columns must have 0 values"),
        (np.zeros((3, 4)), {"columns": [1, 2, 3]}, r"columns must be a frame or a mapping"),
        (np.zeros((1, 4)), {"names": ["x" * 10**5]}, r"names must have 2048 letters or fewer"),
        (np.zeros((3, 4)), {"val_images": np.zeros((2, 5))}, r"images must be \(n, 1, 4, 1\)"),
        (
            np.zeros((3, 4)),
            {"scaler": "standardize", "augment": AugmentConfig(enabled=("zoom",))},
            "augmentation is for pixels",
        ),
        (
            np.zeros((1, 4)),
            {"decoder": DecoderConfig(arch=(4,), batch_norm=True)},
            "at least two images",
        ),
    ],
)
def test_what_cannot_be_fitted_is_told(images: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, ConfigError), match=message):
        fit_model(images, **{"decoder": DECODER, "fit": FIT, **options})


@pytest.mark.thorough
def test_a_loss_beyond_all_numbers_is_told(digits: Dataset) -> None:
    with pytest.raises(ConfigError, match=r"no longer finite .* learning_rate must be smaller"):
        fit_model(
            digits.train.images[:50],
            decoder=DECODER,
            fit=FIT,
            scaler="identity",
            learning_rate=1e30,
        )


@pytest.mark.thorough
def test_the_caller_may_change_the_images_meanwhile(digits: Dataset) -> None:
    images = np.repeat(digits.train.images[:256], 4, axis=0)
    expected = fit_model(images, decoder=DECODER, fit=FIT).latents
    changed = images.copy()

    def change(epoch: int, metrics: dict[str, float]) -> None:
        changed.fill(0)

    found = fit_model(changed, decoder=DECODER, fit=FIT, callback=change).latents
    np.testing.assert_array_equal(found, expected)


def test_labels_of_any_whole_type_and_names(digits: Dataset) -> None:
    images, labels = digits.train.flat[:8], np.arange(8) % 3
    words = [Path(f"a/{k}.png") for k in range(8)]
    texts, rows = list(map(str, words)), list(range(8))
    names = ((words, texts), (pd.Series(texts), texts), (np.arange(8), rows), (range(8), rows))
    helds = (labels[:, None], labels.astype(float), labels.astype(object), labels.tolist())
    for held, (given, kept) in zip(helds, names, strict=True):
        model = fit_model(images, decoder=DECODER, fit=FIT, labels=held, names=given)
        np.testing.assert_array_equal(model.labels, labels)
        assert model.names is not None
        assert model.names.tolist() == kept
        assert model.val_names is None


def test_further_columns_are_kept(digits: Dataset) -> None:
    images = digits.train.flat[:8]
    frame = pd.DataFrame({"age": [1, None, 3, 4] * 2, "class": list("abcdefgh")})
    model = fit_model(
        images, decoder=DECODER, fit=FIT, columns=frame, val_images=images[:2],
        val_columns={"site": ["N", None]}, until=4,
    )  # fmt: skip
    assert {k: v.tolist() for k, v in model.columns.items()} == {
        "age": ["1", "", "3", "4"] * 2,
        "class_2": list("abcdefgh"),
    }
    assert model.val_columns["site"].tolist() == ["N", ""]
    again = fit_model(images, fit=FIT, start=model, val_images=images[:2])
    assert again.columns["class_2"].tolist() == list("abcdefgh")
    other = fit_model(images, fit=FIT, start=model, val_images=images[:2], columns={"x": range(8)})
    assert list(other.columns) == ["x"]


def test_the_index_of_a_frame_names_its_rows(digits: Dataset) -> None:
    frame = pd.DataFrame(digits.train.flat[:8])
    settings: dict[str, Any] = {"decoder": DECODER, "fit": FIT}
    assert fit_model(frame, **settings).names is None, "it only counts"
    named = frame.set_index(pd.Index([f"patient {k}" for k in range(8)]))
    model = fit_model(named, val_images=frame.iloc[[5, 2]], **settings)
    assert model.names is not None
    assert model.names.tolist() == named.index.tolist()
    assert model.val_names is not None
    assert model.val_names.tolist() == [5, 2]
    given = fit_model(named, names=range(8), until=4, **settings)
    assert given.names is not None
    assert given.names.tolist() == list(range(8))
    on = fit_model(frame.set_index(pd.Index(range(9, 17))), fit=FIT, start=given)
    assert on.names is not None
    assert on.names.tolist() == list(range(8)), "names that were given stay"


WARNED = """
import warnings
import numpy as np
import autodecoder as ad
images = np.eye(8, dtype=np.uint8)[None].repeat(3, axis=0)
for options in ({}, {"mask": np.eye(8, dtype=bool), "pixel_range": (0, 1)}):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            ad.fit_model(images, labels=[1], **options)
        except ad.DataError:
            print([warning.filename for warning in told])
"""


def test_warnings_point_to_the_caller() -> None:
    # In a process of its own, since the checks of annotations add calls here.
    done = subprocess.run([sys.executable, "-c", WARNED], capture_output=True, text=True)
    assert done.stdout == 2 * "['<string>']\n", done.stderr
