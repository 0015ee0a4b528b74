"""Samples beside images, by hand and by SciPy."""

import functools

import numpy as np
import pytest
from scipy.linalg import sqrtm

from autodecoder.measures.classifier import Classifier
from autodecoder.measures.evaluation import TITLES, Evaluation
from autodecoder.measures.generation import (
    class_divergence,
    class_shares,
    frechet_distance,
    manifold_scores,
    measure_samples,
)
from autodecoder.measures.record import Record

RNG = np.random.default_rng(0)


def test_balls_by_hand() -> None:
    real, generated = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [10.0]])
    # Real balls reach to 1, 1 and 2; generated ones to 9.5. The first sample is in two real balls.
    found = manifold_scores(real, generated, 1)
    assert found == {
        "precision": 0.5,
        "recall": 1.0,
        "density": 1.0,
        "coverage": pytest.approx(2 / 3),
    }


def test_balls_by_the_whole_matrix() -> None:
    real, generated = RNG.normal(size=(1100, 4)), RNG.normal(0.5, 0.7, size=(700, 4))

    def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.sqrt(((a[:, None] - b) ** 2).sum(axis=2))

    of_real = np.sort(distances(real, real))[:, 5]
    of_generated = np.sort(distances(generated, generated))[:, 5]
    between = distances(real, generated)
    inside = between < of_real[:, None]
    found = manifold_scores(real, generated, 5)
    assert found["precision"] == pytest.approx(inside.any(axis=0).mean())
    assert found["recall"] == pytest.approx((between < of_generated).any(axis=1).mean())
    assert found["density"] == pytest.approx(inside.sum(axis=0).mean() / 5)
    assert found["coverage"] == pytest.approx(inside.any(axis=1).mean())


def test_samples_of_one_place_do_not_cover() -> None:
    real = np.concatenate([RNG.normal(size=(200, 2)), RNG.normal(50, 1, size=(200, 2))])
    found = manifold_scores(real, RNG.normal(size=(400, 2)), 5)
    assert found["precision"] > 0.9
    assert found["recall"] < 0.51
    assert found["coverage"] < 0.51


def test_frechet_distance_by_hand() -> None:
    a, b = np.array([[0.0], [2.0], [4.0]]), np.array([[10.0], [11.0], [12.0]])
    # Means 2 and 11; standard deviations 2 and 1.
    assert frechet_distance(a, b) == pytest.approx(81 + 1)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("n", [200, 5])
def test_frechet_distance_by_the_root_of_scipy(n: int) -> None:
    a, b = RNG.normal(size=(n, 6)) @ RNG.normal(size=(6, 6)), RNG.normal(1, 2, size=(150, 6))
    of_a, of_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.trace(sqrtm(of_a @ of_b)).real
    want = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(of_a) + np.trace(of_b) - 2 * root
    assert frechet_distance(a, b) == pytest.approx(want, rel=1e-5)


def test_shares_and_their_divergence_by_hand() -> None:
    np.testing.assert_allclose(class_shares(np.array([0, 2, 2, 0]), 4), [0.5, 0, 0.5, 0])
    one, both = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    assert class_divergence(one, one) == 0
    assert class_divergence(one, one[::-1]) == 1
    want = (np.log2(4 / 3) + 0.5 * np.log2(2 / 3) + 0.5) / 2
    assert class_divergence(one, both) == pytest.approx(want)
    assert class_divergence(both, one) == pytest.approx(want)


def blobs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Points around three corners, and their classes."""
    labels = np.arange(n, dtype=np.int32) % 3
    points = 3 * np.eye(3, 6)[labels] + RNG.normal(0, 0.3, (n, 6))
    return points.astype(np.float32), labels


@functools.cache
def trained() -> Classifier:
    return Classifier(*blobs(300), 0)


def measured(n: int, samples: np.ndarray, *, labelled: bool = True) -> Evaluation:
    record, images = Record(), blobs(n)[0]
    classifier = trained() if labelled else None
    measure_samples(record, images, samples, images, classifier, "no labels", ["a", "b", "c"])
    return record.finish()


def test_samples_of_two_classes_lack_the_third() -> None:
    samples, labels = blobs(300)
    samples[labels == 2] = samples[labels == 0]
    found = measured(300, samples)
    assert set(found.generation) == set(found.floor) == set(TITLES["generation"])
    assert found.class_shares["samples"] == pytest.approx({"a": 2 / 3, "b": 1 / 3, "c": 0})
    assert found.class_shares["images"] == pytest.approx({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3})
    assert found.generation["class_divergence"] > 0.1 > found.floor["class_divergence"]
    assert found.generation["coverage"] < 0.75 < found.floor["coverage"]
    assert found.generation["frechet_distance"] > 10 * found.floor["frechet_distance"]
    assert "classifier" in found.features
    assert found.sizes == {"n_samples": 300}


def test_without_labels_features_are_components() -> None:
    found = measured(90, blobs(90)[0], labelled=False)
    assert set(found.generation) == {"precision", "recall", "density", "coverage"}
    assert found.left_out == {"frechet_distance": "no labels", "class_divergence": "no labels"}
    assert found.features == "6 principal components of the images"
    assert found.class_shares == {}


def test_what_samples_need() -> None:
    found = measured(5, blobs(5)[0])
    assert found.generation == found.floor == {}
    assert set(found.left_out.values()) == {"6 images are needed, got 5"}
    found = measured(64, blobs(64)[0])
    assert found.left_out == {"frechet_distance": "65 images are needed, got 64"}
    samples = blobs(90)[0]
    samples[3, 2] = np.nan
    found = measured(90, samples)
    assert set(found.left_out) == set(TITLES["generation"])
    assert all("not finite" in reason for reason in found.left_out.values())
