"""The part of a plane that is shown, and the points in it."""

import numpy as np
from jaxtyping import Bool, Float

#: Quantiles that enclose the middle 90 %. Points beyond `_FAR` times this range from either
#: quantile are outliers if at most the share `_RARE` of all points lies there.
_MIDDLE, _FAR, _RARE = (0.05, 0.95), 1.5, 0.01
#: If more points lie there: the view ends at these quantiles if it would otherwise be larger by
#: more than this factor.
_ENDS, _MOST_STRETCH = (0.001, 0.999), 1.5
#: Margin at each side, as a share of the view's width.
_MARGIN = 0.06

#: The lowest and the highest coordinates.
Bounds = tuple[Float[np.ndarray, "2"], Float[np.ndarray, "2"]]


def view_bounds(points: Float[np.ndarray, "n 2"]) -> Bounds:
    """The part of the plane to show: all finite points but a few outliers, which would shrink the
    picture."""
    points = points[np.isfinite(points).all(axis=1)].astype(np.float64)
    if len(points) == 0:
        return np.full(2, -2.0), np.full(2, 2.0)
    low, high = np.array([_bulk(values) for values in points.T]).T
    # Around a single place, show some room that is larger than rounding errors.
    size = np.maximum(np.abs(low), np.abs(high))
    room = np.where(high - low > 1e-6 * np.maximum(size, 1e-6), 0, np.maximum(1, 1e-3 * size))
    margin = _MARGIN * (high - low) + room
    return low - margin, high + margin


def _bulk(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """The range of values without outliers."""
    low, high = np.quantile(values, _MIDDLE)
    far = _FAR * (high - low)
    near = values[(values >= low - far) & (values <= high + far)]
    if len(values) - len(near) <= max(1, _RARE * len(values)):
        return near.min(), near.max()
    low, high = np.quantile(values, _ENDS)
    stretch = np.ptp(values) / (high - low)
    return (low, high) if stretch > _MOST_STRETCH else (values.min(), values.max())


def in_view(points: Float[np.ndarray, "n 2"], bounds: Bounds) -> Bool[np.ndarray, " n"]:
    """Which points the view shows; False for points that are not finite."""
    low, high = bounds
    return np.all((points >= low) & (points <= high), axis=1)
