"""The mean image and principal components beside a fit, against hand-computed errors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA

from autodecoder.core.incomplete import fill_missing, fit_incomplete
from autodecoder.core.scaling import SCALINGS
from autodecoder.data import load_dataset
from autodecoder.data.pack_writer import PackWriter
from autodecoder.measures import yardstick
from autodecoder.measures.yardstick import Set, Yardstick, measure_yardstick, read_yardstick

DIGITS = load_dataset("digits")
TRAIN, VAL = DIGITS.train.flat, DIGITS.val.flat
DIMS = (2, 16)


def projected(fitted: np.ndarray, judged: np.ndarray, k: int) -> float:
    """Error of scikit-learn's components, in stored values."""
    pca = PCA(k, svd_solver="full").fit(fitted.astype(float))
    return float(
        ((pca.inverse_transform(pca.transform(judged.astype(float))) - judged) ** 2).mean()
    )


@pytest.mark.parametrize("scaler", ["standard", "zero_one", "identity"])
def test_errors_are_those_of_scikit_learn_in_the_scaled_space(scaler: str) -> None:
    found = measure_yardstick(Set(TRAIN), Set(VAL), DIMS, scaler)
    unit = SCALINGS[scaler].unit ** 2
    mean = ((VAL - TRAIN.mean(0)) ** 2).mean()
    assert found.mean_image == pytest.approx(unit * mean, rel=1e-5)
    assert list(found.components) == list(DIMS)
    for k, error in found.components.items():
        assert error == pytest.approx(unit * projected(TRAIN, VAL, k), rel=1e-4)
    assert (found.part, found.n_images, found.n_fitted) == ("val", len(VAL), len(TRAIN))
    assert found.note() == ""


def test_without_validation_images_the_training_images_are_judged() -> None:
    found = measure_yardstick(Set(TRAIN), None, DIMS, "identity")
    assert (found.part, found.n_images) == ("train", len(TRAIN))
    assert found.mean_image == pytest.approx(TRAIN.var(0).mean(), rel=1e-5)
    assert found.components[2] == pytest.approx(projected(TRAIN, TRAIN, 2), rel=1e-4)
    assert list(found.levels([2])) == ["loss"]
    assert found.images == "training images"


def test_missing_pixels_count_for_nothing() -> None:
    rng = np.random.default_rng(0)
    known, val_known = rng.random(TRAIN.shape) < 0.6, rng.random(VAL.shape) < 0.6
    noise = rng.integers(0, 256, TRAIN.shape, np.uint8)
    holed = np.where(known, TRAIN, noise)
    found = measure_yardstick(Set(holed, known), Set(VAL, val_known), DIMS, "identity")

    mean = np.array([TRAIN[known[:, j], j].mean() for j in range(64)])
    errors = [((x - mean) ** 2)[w].mean() for x, w in zip(VAL, val_known, strict=True)]
    assert found.mean_image == pytest.approx(np.mean(errors), rel=1e-5)

    filled = fill_missing(fit_incomplete(TRAIN, known), TRAIN, known)
    for k in DIMS:
        pca = PCA(k, svd_solver="full").fit(filled)
        left = []
        for x, w in zip(VAL, val_known, strict=True):
            basis, target = np.asarray(pca.components_)[:, w].T, (x - pca.mean_)[w]
            scores = np.linalg.lstsq(basis, target, rcond=None)[0]
            left.append(((target - basis @ scores) ** 2).mean())
        assert found.components[k] == pytest.approx(np.mean(left), rel=1e-3)
    whole = measure_yardstick(Set(TRAIN), Set(VAL, val_known), DIMS, "identity")
    assert found.components[2] == pytest.approx(whole.components[2], rel=0.05), "near complete data"


def test_a_pixel_that_no_image_shows_has_the_mean_of_the_others() -> None:
    known = np.ones(TRAIN.shape, bool)
    known[:, 30] = False
    found = measure_yardstick(Set(TRAIN, known), Set(VAL), (), "identity")
    mean = np.where(np.arange(64) == 30, TRAIN[known].mean(), TRAIN.mean(0))
    assert found.mean_image == pytest.approx(((VAL - mean) ** 2).mean(), rel=1e-5)


def test_features_are_measured_like_pixels() -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(0, 1, (200, 3)) @ rng.normal(0, 1, (3, 7)) + rng.normal(0, 0.1, (200, 7))
    table = ((table - table.mean(0)) / table.std(0)).astype(np.float32)
    found = measure_yardstick(Set(table[:150]), Set(table[150:]), [3], "standardize")
    mean = ((table[150:] - table[:150].mean(0)) ** 2).mean()
    assert found.mean_image == pytest.approx(mean, rel=1e-5)
    assert found.components[3] == pytest.approx(projected(table[:150], table[150:], 3), rel=1e-4)
    assert found.components[3] < 0.05 * found.mean_image


@pytest.mark.parametrize("val_known", [None, np.ones((5, 64), bool)])
def test_as_many_components_as_there_can_be_leave_nothing(val_known: Any) -> None:
    few = Set(TRAIN[:5], val_known)
    found = measure_yardstick(few, few, [2, 4, 100_000], "standard")
    assert found.components[2] > 0.01
    for k in (4, 100_000):
        assert found.components[k] == pytest.approx(0, abs=1e-4)


def test_some_of_many_images_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure_yardstick(Set(TRAIN), Set(VAL), [2, 40], "standard")
    monkeypatch.setattr(yardstick, "_WORK", 300 * 64 * (40 + yardstick._FIXED))
    monkeypatch.setattr(yardstick, "_FEWEST", len(VAL))
    found = measure_yardstick(Set(TRAIN), Set(VAL), [2, 40], "standard")
    assert list(found.components) == [2], "40 components of so few images say little"
    assert 300 < found.n_fitted < 600
    assert found.note() == (
        f" Mean and components are from {found.n_fitted} of {len(TRAIN):,} training images."
    )
    assert found.mean_image == pytest.approx(whole.mean_image, rel=0.02)
    assert found.components[2] == pytest.approx(whole.components[2], rel=0.04)
    assert found != whole


def test_a_part_of_images_that_alternate_is_of_both_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.zeros((2000, 4), np.uint8)
    rows[::2] = 200
    monkeypatch.setattr(yardstick, "_WORK", 500 * 4 * yardstick._FIXED)
    found = measure_yardstick(Set(rows), Set(rows), (), "identity")
    assert found.n_fitted == 500
    assert found.mean_image == pytest.approx(100**2, rel=0.02)


def test_images_on_disk_are_read_on_access(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "packed", (8, 8, 1), DIGITS.class_names, {"made": "here"}) as writer:
        for part in ("train", "val"):
            images = getattr(DIGITS, part)
            writer.write(part, 0, images.images, images.labels, np.arange(len(images)))
        packed = writer.finish()
    train, val = (part.images.reshape(-1, 64) for part in (packed.train, packed.val))
    found = measure_yardstick(Set(train), Set(val), DIMS, "standard")  # pyright: ignore
    assert found == measure_yardstick(Set(TRAIN), Set(VAL), DIMS, "standard")


def test_words_and_lines() -> None:
    found = Yardstick("val", 500, 1000, 4000, 0.25, {1: 0.2, 2: 0.125, 8: 0.1})
    assert found.tell([2, 2, 1]) == "mean image 0.25, 1 principal component 0.2, 2 principal " \
        "components 0.125"  # fmt: skip
    assert found.tell([3]) == "mean image 0.25", "not measured"
    lines = [("mean image", 0.25), ("8 principal components", 0.1)]
    assert found.levels([8]) == {"val_loss": lines, "fresh_val_loss": lines}


def test_it_reads_back_and_refuses_anything_else() -> None:
    found = Yardstick("train", 5, 5, 5, 0.25, {2: 0.125})
    content = json.loads(json.dumps(found.to_dict()))
    assert read_yardstick(content) == found
    for wrong in (
        {"part": "test"},
        {"n_images": 0},
        {"n_fitted": True},
        {"mean_image": float("nan")},
        {"mean_image": "0.25"},
        {"components": [0.125]},
        {"components": {"two": 0.125}},
        {"components": {"0": 0.125}},
        {"components": {"2": -1.0}},
    ):
        with pytest.raises(ValueError, match="yardstick"):
            read_yardstick(content | wrong)
    for wrong in (None, [], {}, "yardstick"):
        with pytest.raises(ValueError, match="not complete"):
            read_yardstick(wrong)
