"""Which part of a plane is shown, and which points lie in it."""

import numpy as np
from jaxtyping import Bool, Float

#: Nine in ten lie between these two quantiles. What is farther from them than their distance by
#: the factor is a stray, where such points are as rare as this.
_MIDDLE, _FAR, _RARE = (0.05, 0.95), 1.5, 0.01
#: Where they are not rare: left out at each end if the view would else be larger by the factor.
_ENDS, _MOST_STRETCH = (0.001, 0.999), 1.5
#: Of the view's width, at each side.
_MARGIN = 0.06

#: The lowest and the highest coordinates.
Bounds = tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]


def view_bounds(points: Float[np.ndarray, "n 2"]) -> Bounds:
    """The part of the plane that shows finite points: all of them, but for a few strays that would
    shrink the picture."""
    points = points[np.isfinite(points).all(axis=1)].astype(np.float64)
    if len(points) == 0:
        return np.full(2, -2.0), np.full(2, 2.0)
    low, high = np.array([_bulk(values) for values in points.T]).T
    # A single place is shown with some room around it, which is larger than its rounding.
    size = np.maximum(np.abs(low), np.abs(high))
    room = np.where(high - low > 1e-6 * np.maximum(size, 1e-6), 0, np.maximum(1, 1e-3 * size))
    margin = _MARGIN * (high - low) + room
    return low - margin, high + margin


def _bulk(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """The range of values, without strays."""
    low, high = np.quantile(values, _MIDDLE)
    far = _FAR * (high - low)
    near = values[(values >= low - far) & (values <= high + far)]
    if len(values) - len(near) <= max(1, _RARE * len(values)):
        return near.min(), near.max()
    low, high = np.quantile(values, _ENDS)
    stretch = np.ptp(values) / (high - low)
    return (low, high) if stretch > _MOST_STRETCH else (values.min(), values.max())


def in_view(points: Float[np.ndarray, "n 2"], bounds: Bounds) -> Bool[np.ndarray, " n"]:
    """Which points the view shows; not those that are not finite."""
    low, high = bounds
    return np.all((points >= low) & (points <= high), axis=1)
