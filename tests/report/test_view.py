"""What part of a plane is shown."""

import numpy as np
import pytest

from autodecoder.report.view import in_view, view_bounds

RNG = np.random.default_rng(0)
CLOUD = RNG.normal(size=(2000, 2))
FAR_CLASS = np.concatenate([CLOUD, RNG.normal(30, 1, (60, 2))])


@pytest.mark.parametrize(
    "points",
    [
        CLOUD,
        RNG.normal(size=(60_000, 2)),
        RNG.uniform(size=(50, 2)),
        FAR_CLASS,
        CLOUD[:2],
        CLOUD[:1],
        np.zeros((3, 2)),
        np.full((9, 2), 3e38, np.float32),
        np.full((9, 2), -1e-30),
        np.array([[3e38, 0], [-3e38, 0]], np.float32),
        CLOUD * np.array([1, 0]),
    ],
)
def test_all_points_are_shown_with_a_margin(points: np.ndarray) -> None:
    low, high = view_bounds(points)
    assert (high > low).all()
    assert in_view(points, (low, high)).all()
    size = np.ptp(points.astype(float), axis=0)
    assert (points.min(0) - low > 0.05 * size).all()
    wide = size > 0
    assert (high - low)[wide] == pytest.approx(1.12 * size[wide])


@pytest.mark.parametrize("points", [CLOUD, CLOUD[:20], FAR_CLASS])
def test_a_stray_does_not_shrink_the_picture(points: np.ndarray) -> None:
    points = points.copy()
    points[7] = 1e6
    bounds = view_bounds(points)
    assert (bounds[1] < 50).all()
    found = in_view(points, bounds)
    assert not found[7]
    assert found.mean() > 0.9


def test_what_is_not_finite_is_not_in_view() -> None:
    points = np.array([[0, 0], [np.nan, 0], [np.inf, 0], [1, 1]])
    bounds = view_bounds(points)
    np.testing.assert_array_equal(in_view(points, bounds), [True, False, False, True])
    assert np.isfinite(view_bounds(points[1:3])).all()
