"""Dashed horizontal lines in panels of learning curves, with labels beside the panels."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from autodecoder.measures.yardstick import Levels

_COLOUR, _SIZE = "#55555f", 8.0
#: Gap between a panel and its labels, and least distance of two labels, in points.
_GAP, _LEAST = 4.0, 10.0


def draw_levels(figure: Figure, panels: Sequence[Axes], levels: Sequence[Levels]) -> None:
    """Draw a dashed line for each value of each panel. Labels stand at the right of the panel,
    where no curve is. Lines above the scale are named in its title. A panel without curves has no
    lines. The figure is widened, so that its panels keep their width."""
    shown = [_draw_lines(axes, lines) for axes, lines in zip(panels, levels, strict=True)]
    widest = 0.0
    for axes, lines in zip(panels, shown, strict=True):
        for label, value in lines:
            text = axes.annotate(
                f"{label} {value:.4g}",
                (1, value),
                xycoords=("axes fraction", "data"),
                xytext=(_GAP, 0),
                textcoords="offset points",
                va="center",
                fontsize=_SIZE,
                color=_COLOUR,
            )
            widest = max(widest, text.get_window_extent().width)
    n = sum(map(bool, shown))
    figure.set_figwidth(figure.get_figwidth() + n * widest / figure.dpi)
    layout = figure.get_layout_engine()
    if n and layout is not None:
        layout.execute(figure)  # distances depend on the height of the panels
    for axes, lines in zip(panels, shown, strict=True):
        heights = axes.transData.transform([(0, value) for _, value in lines] or [(0, 0)])[:, 1]
        heights = heights * 72 / figure.dpi
        moves = _spread(heights, _LEAST) - heights
        for text, move in zip(axes.texts[-len(lines) :], moves, strict=False):
            text.set_position((_GAP, move))


def _draw_lines(axes: Axes, levels: Levels) -> Levels:
    """Draw the lines in view, and return them."""
    if not any(np.isfinite(np.asarray(line.get_ydata())).any() for line in axes.lines):
        return []
    bottom, top = axes.get_ylim()
    above = [f"{label} {value:.4g}" for label, value in levels if value > top]
    if above:
        before = axes.get_title("right") or "above this scale:"
        axes.set_title("\n".join([before, *above]), loc="right", fontsize=8)
    shown = [(label, value) for label, value in levels if value <= top]
    for _, value in shown:
        axes.axhline(value, color=_COLOUR, ls=(0, (5, 3)), lw=1)
    axes.set_ylim(bottom, top)
    return shown


def _spread(heights: np.ndarray, least: float) -> np.ndarray:
    """The heights, moved apart until two neighbours have at least a distance; their mean stays."""
    order = np.argsort(heights)
    moved = heights[order].copy()
    for k in range(1, len(moved)):
        moved[k] = max(moved[k], moved[k - 1] + least)
    moved -= (moved - heights[order]).mean()
    found = np.empty_like(moved)
    found[order] = moved
    return found
