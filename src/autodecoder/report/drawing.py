"""matplotlib with its own defaults, whatever the user's settings, for all pictures."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float

from autodecoder.errors import ConfigError
from autodecoder.report.view import in_view, view_bounds

#: Settings that do not affect how pictures look. No backend is needed or resolved.
_NOT_STYLE = ("backend", "backend_fallback", "interactive", "toolbar")
_VARIABLES = ("MPLBACKEND", "MATPLOTLIBRC")
#: matplotlib's settings are global to the process, so one picture is drawn at a time.
_ALONE = threading.RLock()


def _import() -> None:
    """Import matplotlib. If an unusable $MPLBACKEND or $MATPLOTLIBRC makes that fail, import it
    without the two, since no picture depends on them."""
    try:
        import matplotlib
    except (ValueError, OSError):
        _forget_half_imported()
        set_aside = {k: os.environ.pop(k) for k in _VARIABLES if k in os.environ}
        try:
            import matplotlib  # noqa: F401
        except (ValueError, OSError) as error:
            _forget_half_imported()
            raise ConfigError(
                f"matplotlib must be able to read its settings, got {error}; correct or remove the "
                "file `matplotlibrc` of the current folder or of the user."
            ) from error
        finally:
            os.environ.update(set_aside)


def _forget_half_imported() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        del sys.modules[name]


_import()

import matplotlib as mpl  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from autodecoder.report.fonts import font_families  # noqa: E402


class DataFigure(Figure):
    """A figure that knows its caption, which is not drawn, and its data.

    Parameters
    ----------
    caption : str
    **options
        Of `matplotlib.figure.Figure`.
    """

    def __init__(self, caption: str, **options: Any) -> None:
        super().__init__(**options)
        self.caption = caption
        self.table: dict[str, Any] = {}
        """Columns of one length, by name."""


@contextmanager
def default_style() -> Iterator[None]:
    """Draw with matplotlib's defaults, and restore the caller's settings afterwards; also a
    decorator. The backend is neither changed nor resolved."""
    # By `dict`: deprecated items of `rcParams` warn on access, and "backend" starts a backend.
    rc = mpl.rcParams
    style = {k: v for k, v in dict.items(mpl.rcParamsDefault) if k not in _NOT_STYLE}
    style["svg.hashsalt"] = "autodecoder"  # so that the same figure gives the same file
    style["font.family"] = list(font_families())
    style["pdf.fonttype"] = 42  # letters that journals take, and editors change
    with _ALONE:
        before = {k: v for k, v in dict.items(rc) if k in style}
        dict.update(rc, style)
        try:
            yield
        finally:
            dict.update(rc, before)


def limit_to_view(axes: Axes, points: Float[np.ndarray, "n 2"], *, fontsize: float = 8.0) -> None:
    """Limit the axes to all points but a few outliers, which would shrink the picture. A note in a
    corner counts the points left out, including those that are not finite."""
    (left, bottom), (right, top) = bounds = view_bounds(points)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    missing = len(points) - int(in_view(points, bounds).sum())
    if missing:
        axes.text(
            0.99, 0.99, f"{missing:,} of {len(points):,} not in the picture",
            transform=axes.transAxes, ha="right", va="top", fontsize=fontsize, zorder=5,
            bbox={"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 2},
        )  # fmt: skip
