"""Neighbours, classes and dimensions, by hand and by scikit-learn."""

import numpy as np
import pytest
from sklearn.manifold import trustworthiness
from sklearn.model_selection import LeaveOneOut, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from autodecoder.measures.evaluation import TITLES
from autodecoder.measures.record import Record
from autodecoder.measures.structure import (
    Known,
    count_active,
    likelihood_dimension,
    measure_classes,
    measure_shape,
    neighbour_accuracy,
    neighbour_distances,
    two_nn,
)

RNG = np.random.default_rng(0)


def test_neighbours_by_hand() -> None:
    known = np.array([[0.0], [1.0], [2.0], [10.0]])
    classes = np.array([0, 0, 1, 1])
    latents, labels = np.array([[0.1], [2.1], [9.0]]), np.array([0, 1, 1])
    found = neighbour_accuracy(known, classes, latents, labels, (1, 3, 5))
    # Of three neighbours two have class 0 for the first and the second latent, 1 for the third.
    assert found == {1: 1.0, 3: pytest.approx(2 / 3)}
    # Alone, each latent but the first and the second has a neighbour of another class, or far off.
    assert neighbour_accuracy(known, classes, None, classes, (1,)) == {1: 0.75}
    assert neighbour_accuracy(known[:1], classes[:1], None, classes[:1]) == {}


def test_neighbours_are_those_of_scikit_learn() -> None:
    known, latents = RNG.normal(size=(200, 3)), RNG.normal(size=(60, 3))
    classes, labels = RNG.integers(0, 4, 200), RNG.integers(0, 4, 60)
    found = neighbour_accuracy(known, classes, latents, labels)
    alone = neighbour_accuracy(latents, labels, None, labels)
    for k in (1, 5, 15):
        judge = KNeighborsClassifier(k)
        assert found[k] == pytest.approx(judge.fit(known, classes).score(latents, labels))
        by_one = cross_val_score(judge, latents, labels, cv=LeaveOneOut())
        assert alone[k] == pytest.approx(by_one.mean())


def test_dimensions_by_hand() -> None:
    # Of two ratios, 2 and 4, the larger one is left out: -log(1 - 1 / 2) / log 2.
    assert two_nn(np.array([[1.0, 4.0], [1.0, 2.0], [0.0, 1.0]])) == pytest.approx(1)
    # Mean of log(4 / 1) and log(4 / 2).
    found = likelihood_dimension(np.array([[1.0, 2.0, 4.0], [0.0, 1.0, 2.0]]))
    assert found == pytest.approx(1 / (1.5 * np.log(2)))


@pytest.mark.parametrize("dims", [1, 2, 5])
def test_dimensions_of_points_that_fill_their_space(dims: int) -> None:
    points = RNG.uniform(size=(3000, dims)) @ RNG.normal(size=(dims, 9))
    distances = neighbour_distances(points, 20)
    assert two_nn(distances) == pytest.approx(dims, rel=0.12)
    assert likelihood_dimension(distances) == pytest.approx(dims, rel=0.12)


@pytest.mark.parametrize("distances", [np.zeros((5, 20)), np.ones((5, 20)), np.ones((0, 20))])
def test_equal_distances_have_no_dimension(distances: np.ndarray) -> None:
    assert np.isnan(two_nn(distances))
    assert np.isnan(likelihood_dimension(distances))


def test_active_units_by_hand() -> None:
    latents = np.array([[1.0, 0.2, 0.05, 3.0], [-1.0, -0.2, -0.05, 3.0]])
    # Variances 1, 0.04, 0.0025 and 0.
    assert count_active(latents) == 2
    assert count_active(np.ones((4, 3))) == 0


def classes_of(latents: np.ndarray, labels: np.ndarray | None, **changes: object) -> Record:
    record, n = Record(), len(latents)
    given = {
        "known": Known(latents, labels),
        "components": np.zeros(n, int) if labels is None else labels,
        "subset": np.arange(n),
    }
    measure_classes(record, latents, labels, **given | changes)  # pyright: ignore
    return record


def test_classes_by_hand() -> None:
    latents, labels = np.array([[0.0], [1.0], [10.0], [11.0]]), np.array([0, 0, 1, 1])
    found = classes_of(latents, labels).finish()
    # Inside a class the distance is 1; to the other class 10.5 for outer latents, else 9.5.
    assert found.structure["silhouette"] == pytest.approx((2 - 1 / 10.5 - 1 / 9.5) / 2)
    assert found.structure["adjusted_rand"] == 1
    assert found.structure["accuracy_1nn"] == found.structure["loo_accuracy_1nn"] == 1
    assert "4 training latents" in found.left_out["accuracy_5nn"]
    assert "16 images are needed, got 4" in found.left_out["loo_accuracy_5nn"]
    apart = classes_of(latents, labels, components=np.array([0, 1, 0, 1])).finish()
    assert apart.structure["adjusted_rand"] == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("labels", "reason"), [(None, "no labels are given"), (np.zeros(4, int), "one class only")]
)
def test_without_classes_their_measures_are_left_out(
    labels: np.ndarray | None, reason: str
) -> None:
    found = classes_of(RNG.normal(size=(4, 2)), labels).finish()
    assert found.structure == {}
    assert len(found.left_out) == 8
    assert all(reason in why for why in found.left_out.values())


def test_classes_with_parts_missing() -> None:
    latents, labels = RNG.normal(size=(6, 2)), np.array([0, 0, 0, 1, 1, 1])
    found = classes_of(latents, labels, known=Known(latents, None)).finish()
    assert "no labels of its training images" in found.left_out["accuracy_1nn"]
    none = Known(latents[:0], labels[:0])
    found = classes_of(latents, labels, known=none, components=None).finish()
    for name in ("accuracy_1nn", "accuracy_5nn", "accuracy_15nn", "adjusted_rand"):
        assert "0 training latents" in found.left_out[name]
    found = classes_of(latents, np.arange(6)).finish()
    assert "6 images are of 6 classes" in found.left_out["silhouette"]


def test_shape_is_that_of_scikit_learn() -> None:
    images = RNG.normal(size=(60, 9))
    latents = images[:, :2]
    record = Record()
    measure_shape(record, latents, images, np.arange(0, 60, 2))
    found = record.finish().structure
    kept, placed = images[::2], latents[::2]
    assert found["trustworthiness"] == pytest.approx(trustworthiness(kept, placed))
    assert found["continuity"] == pytest.approx(trustworthiness(placed, kept))
    assert found["continuity"] != found["trustworthiness"]
    assert found["dimension_images_mle"] > found["dimension_latents_mle"]
    assert set(found) | {"silhouette", "adjusted_rand"} == {
        name for name in TITLES["structure"] if "accuracy" not in name
    }


def test_a_map_that_keeps_all_neighbours_is_trustworthy() -> None:
    images = RNG.normal(size=(40, 3))
    record = Record()
    measure_shape(record, 7 * images, images, np.arange(40))
    found = record.finish().structure
    assert found["trustworthiness"] == found["continuity"] == 1


def test_what_shape_needs() -> None:
    latents = RNG.normal(size=(10, 2))
    record = Record()
    measure_shape(record, latents, latents, np.arange(10))
    found = record.finish()
    assert set(found.structure) == {"active_units"}
    assert found.left_out["trustworthiness"] == "11 images are needed, got 10"
    assert found.left_out["dimension_latents_mle"] == "21 images are needed, got 10"
    record = Record()
    measure_shape(record, np.tile(latents, (3, 1)), None, np.arange(30))
    found = record.finish()
    assert "missing" in found.left_out["continuity"]
    assert "missing" in found.left_out["dimension_images_two_nn"]
    assert "not a finite number" in found.left_out["dimension_latents_two_nn"]
