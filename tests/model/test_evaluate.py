"""`Model.evaluate`: what it measures, and what it leaves out by name."""

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

import autodecoder as ad
from autodecoder.measures.evaluation import TITLES, Evaluation
from autodecoder.model.evaluate import draw_rows

#: Measures of images.
NAMES = {name for titles in TITLES.values() for name in titles} - {"mse_standardize"}
OF_CLASSES = [name for name in TITLES["structure"] if "accuracy" in name] + [
    "silhouette",
    "adjusted_rand",
]
OF_CLASSIFIER = ["frechet_distance", "class_divergence"]


@pytest.fixture(scope="module")
def digits() -> ad.Dataset:
    """431 training and 108 validation images."""
    return ad.load_dataset("digits", examples_frac=0.3)


@pytest.fixture(scope="module")
def model(digits: ad.Dataset) -> ad.Model:
    return ad.fit_model(
        digits.train.images,
        labels=digits.train.labels,
        decoder=ad.DecoderConfig(arch=(32,)),
        fit=ad.fit_config("fast", num_epochs=8),
        learning_rate=1e-2,
    )


@pytest.fixture(scope="module")
def evaluation(model: ad.Model, digits: ad.Dataset) -> Evaluation:
    return model.evaluate(digits.val.images, digits.val.labels, train_images=digits.train.images)


@pytest.fixture(scope="module")
def whole(model: ad.Model, digits: ad.Dataset) -> Evaluation:
    """Of the validation images alone."""
    return model.evaluate(digits.val.images, digits.val.labels)


def taken(found: Evaluation) -> set[str]:
    """Names of the measures that were taken; each of the others is left out with a reason."""
    names = {*found.reconstruction, *found.structure, *found.generation}
    assert (names | set(found.left_out)) - {"mse_standardize"} == NAMES
    assert not names & set(found.left_out)
    assert all(found.left_out.values())
    for part in (found.reconstruction, found.structure, found.generation, found.floor):
        assert all(np.isfinite(value) for value in part.values())
    return names


def test_images_with_labels_have_all_measures(evaluation: Evaluation) -> None:
    assert taken(evaluation) == NAMES - {"ssim"}
    assert "11 × 11" in evaluation.left_out["ssim"]
    assert evaluation.sizes == {
        "n_images": 108,
        "n_train_latents": 431,
        "n_subset": 108,
        "n_classifier": 431,
        "n_samples": 108,
    }
    assert set(evaluation.floor) == set(evaluation.generation) == set(TITLES["generation"])
    assert evaluation.classifier_accuracy is not None
    assert evaluation.classifier_accuracy > 0.8
    assert set(evaluation.class_shares) == {"images", "samples", "reconstructions"}
    assert sum(evaluation.class_shares["samples"].values()) == pytest.approx(1)


def test_numbers_are_those_of_the_model(
    model: ad.Model, digits: ad.Dataset, evaluation: Evaluation
) -> None:
    found = model.infer(digits.val.images)
    loss = float(found.errors.loss.mean())
    assert evaluation.reconstruction["mse_standard"] == pytest.approx(loss, rel=1e-4)
    assert evaluation.reconstruction["psnr"] == pytest.approx(found.errors.psnr.mean(), rel=1e-4)
    distances = ((found.latents[:, None] - model.latents) ** 2).sum(axis=2)
    assert model.labels is not None
    nearest = model.labels[distances.argmin(axis=1)]
    share = (nearest == digits.val.labels).mean()
    assert evaluation.structure["accuracy_1nn"] == pytest.approx(share)
    assert evaluation.structure["active_units"] == 2


def test_it_repeats_itself(model: ad.Model, digits: ad.Dataset, evaluation: Evaluation) -> None:
    steps: list[str] = []
    again = model.evaluate(
        *(digits.val.images / 255, list(digits.val.labels)),
        train_images=digits.train.images,
        train_labels=digits.train.labels,
        report=steps.append,
    )
    assert len(steps) == 4
    assert again.sizes == evaluation.sizes
    for name, value in evaluation.generation.items():
        assert again.generation[name] == pytest.approx(value, rel=1e-3)


def test_numbers_of_classes_may_be_large(
    model: ad.Model, digits: ad.Dataset, evaluation: Evaluation
) -> None:
    far = 10**8 * (1 + digits.train.labels.astype(int))
    other = replace(model, labels=far, about={})
    train: dict[str, Any] = {"train_images": digits.train.images, "train_labels": far}
    found = other.evaluate(digits.val.images, 10**8 * (1 + digits.val.labels.astype(int)), **train)
    assert found.structure == evaluation.structure
    assert found.generation == evaluation.generation
    assert list(found.class_shares["samples"]) == [str(10**8 * k) for k in range(1, 11)]


def test_without_training_images_half_of_the_images_train_the_classifier(
    whole: Evaluation,
) -> None:
    assert taken(whole) == NAMES - {"ssim", "frechet_distance"}
    assert whole.sizes["n_classifier"] == whole.sizes["n_samples"] == 54
    assert whole.left_out["frechet_distance"] == "65 images are needed, got 54"


def test_rows_are_drawn_of_every_class() -> None:
    rows = draw_rows(20_000, 10_000, 0)
    assert (np.diff(rows) > 0).all()
    assert np.bincount(rows % 10).min() > 900
    np.testing.assert_array_equal(draw_rows(7, 10, 3), np.arange(7))
    assert (draw_rows(20_000, 10_000, 1) != rows).any()


def test_fewer_images_where_that_is_asked_for(model: ad.Model, digits: ad.Dataset) -> None:
    found = model.evaluate(digits.val.images, n_images=50, n_subset=25)
    want = {"n_images": 50, "n_train_latents": 431, "n_subset": 25, "n_samples": 25}
    assert found.sizes == want
    rows = draw_rows(108, 50, 0)
    assert len(set(rows)) == 50
    want = model.infer(digits.val.images[rows]).errors.loss.mean()
    assert found.reconstruction["mse_standard"] == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("one", [False, True], ids=["none", "one class"])
def test_without_classes_what_needs_them_is_left_out(
    model: ad.Model, digits: ad.Dataset, one: bool
) -> None:
    found = model.evaluate(digits.val.images, np.zeros(108, int) if one else None)
    left = {*OF_CLASSES, *OF_CLASSIFIER, "ssim"}
    assert taken(found) == NAMES - left
    reason = "the labels name one class only" if one else "no labels are given"
    assert {found.left_out[name] for name in (*OF_CLASSES, *OF_CLASSIFIER)} == {reason}
    assert "principal components" in found.features
    assert found.classifier_accuracy is None


def test_few_images(model: ad.Model, digits: ad.Dataset) -> None:
    found = model.evaluate(digits.val.images[:3], digits.val.labels[:3])
    names = taken(found)
    assert {"psnr", "accuracy_15nn", "loo_accuracy_1nn", "active_units"} <= names
    assert not names & {"loo_accuracy_5nn", "trustworthiness", "precision", "silhouette"}
    assert "psnr" in taken(model.evaluate(digits.val.images[:1], digits.val.labels[:1]))


def masked(images: np.ndarray, how: str) -> dict[str, Any]:
    hidden = np.arange(8) < 3
    if how == "not a number":
        return {"images": np.where(hidden[:, None], np.nan, images / 255)}
    if how == "masked array":
        return {
            "images": np.ma.masked_array(images, np.broadcast_to(hidden[:, None], images.shape))
        }
    if how == "weights":
        return {"images": images, "mask": np.broadcast_to(np.where(hidden, 0.2, 1), (8, 8))}
    return {"images": images, "mask": np.broadcast_to(~hidden, (8, 8))}


@pytest.mark.parametrize("how", ["not a number", "masked array", "mask", "weights"])
def test_missing_pixels_count_nowhere(model: ad.Model, digits: ad.Dataset, how: str) -> None:
    given = masked(digits.val.images, how)
    found = model.evaluate(labels=digits.val.labels, **given)
    want = model.infer(**given).errors
    assert found.reconstruction["mse_standard"] == pytest.approx(want.loss.mean(), rel=1e-4)
    assert found.reconstruction["psnr"] == pytest.approx(want.psnr.mean(), rel=1e-4)
    of_images = {"trustworthiness", "continuity", *(n for n in NAMES if "_images_" in n)}
    left = {"ssim", *of_images, *TITLES["generation"]}
    assert taken(found) == NAMES - left
    assert {found.left_out[name] for name in left} == {
        "pixels of the images are missing or weighted"
    }


def test_images_without_a_known_pixel_are_not_evaluated(
    model: ad.Model, digits: ad.Dataset, whole: Evaluation
) -> None:
    hidden = np.zeros((2 * len(digits.val.images), 8, 8, 1), bool)
    hidden[::2] = True
    images = np.ma.masked_array(np.repeat(digits.val.images, 2, axis=0), hidden)
    labels = np.repeat(digits.val.labels, 2)
    labels[::2] = 0
    found = model.evaluate(images, labels)
    assert found.sizes == whole.sizes
    assert found.reconstruction == pytest.approx(whole.reconstruction)
    assert taken(found) == taken(whole)


@pytest.fixture(scope="module")
def table() -> np.ndarray:
    """As many samples as `digits` has images, so that programs for latents serve both."""
    return np.random.default_rng(0).normal(100, [1, 2, 3, 4, 500], size=(539, 5))


def test_features(table: np.ndarray) -> None:
    model = ad.fit_model(
        table[:431],
        decoder=ad.DecoderConfig(arch=(16,)),
        fit=ad.fit_config("fast", num_epochs=3),
        learning_rate=1e-2,
        scaler="standardize",
    )
    labels = (table[431:, 0] > 100).astype(int)
    found = model.evaluate(table[431:], labels)
    left = set(TITLES["reconstruction"]) - {"mse_standardize"}
    names = [f"accuracy_{k}nn" for k in (1, 5, 15)]
    want = NAMES - left - set(names) - {"frechet_distance"} | {"mse_standardize"}
    assert taken(found) == want
    want = float(model.infer(table[431:]).errors.loss.mean())
    assert found.reconstruction["mse_standardize"] == pytest.approx(want, rel=1e-4)
    assert "no range" in found.left_out["psnr"]
    assert "no labels of its training images" in found.left_out["accuracy_1nn"]


def test_a_model_without_training_latents(model: ad.Model, digits: ad.Dataset) -> None:
    bare = replace(model, latents=model.latents[:0], labels=None)
    found = bare.evaluate(digits.val.images, digits.val.labels)
    left = {*TITLES["generation"], "adjusted_rand", *(f"accuracy_{k}nn" for k in (1, 5, 15))}
    assert taken(found) == NAMES - left - {"ssim"}
    assert "0 training latents to draw samples from" in found.left_out["recall"]


def test_samples_that_are_not_finite(
    model: ad.Model, digits: ad.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = np.full((108, 2), np.nan, np.float32)
    monkeypatch.setattr("autodecoder.model.evaluate.draw_latents", lambda *_: nowhere)
    found = model.evaluate(digits.val.images)
    assert not taken(found) & set(TITLES["generation"])
    assert "samples of the model are not finite numbers" in found.left_out["recall"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(7, int)}, "labels must be 108 whole numbers, got int64 of"),
        ({"labels": np.full(108, 0.5)}, "labels must be 108 whole numbers, got float64"),
        ({"labels": np.full(108, -1)}, "labels must be whole numbers from 0"),
        ({"images": np.zeros((0, 8, 8))}, "images must have values that count, got 0 images"),
        ({"images": np.full((4, 8, 8), np.nan)}, "values that count, got 4 images"),
        ({"images": np.zeros((4, 9, 9))}, r"images must be \(n, 8, 8, 1\)"),
        ({"train_images": np.zeros((4, 9, 9))}, r"train_images must be \(n, 8, 8, 1\)"),
        ({"train_images": np.zeros((4, 8, 8))}, "without train_labels, must be 4 whole"),
    ],
)
def test_bad_input(
    model: ad.Model, digits: ad.Dataset, changes: dict[str, Any], message: str
) -> None:
    given: dict[str, Any] = {"images": digits.val.images} | changes
    with pytest.raises(ad.DataError, match=message):
        model.evaluate(**given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_images": 0}, "n_images must be a positive whole number, got 0"),
        ({"n_subset": -5}, "n_subset must be a positive whole number, got -5"),
        ({"seed": -1}, "seed must lie between 0 and 4294967295, got -1"),
    ],
)
def test_bad_settings(
    model: ad.Model, digits: ad.Dataset, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ad.ConfigError, match=message):
        model.evaluate(digits.val.images, **changes)


def test_a_fit_that_has_diverged(model: ad.Model, digits: ad.Dataset) -> None:
    weights = jax.tree.map(lambda leaf: leaf * np.nan, model.decoder)
    with pytest.raises(ad.DataError, match="its fit has diverged"):
        replace(model, decoder=weights).evaluate(digits.val.images)


def test_an_evaluation_does_not_outlive_its_model(model: ad.Model, tmp_path: Any) -> None:
    ad.save_model(model, tmp_path)
    (tmp_path / "evaluation.json").write_text("{}")
    ad.save_model(model, tmp_path)
    assert not (tmp_path / "evaluation.json").exists()
