"""Classes in figures: colours, names and legends."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autodecoder.report.fonts import with_boxes
from autodecoder.text import legible

#: Ten colours that colour-blind people can distinguish: Okabe & Ito's eight (yellow darkened for a
#: white page), and two between them.
CLASS_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
    "#B8A800",
    "#000000",
    "#7A4FBF",
    "#8C6D4A",
)
#: Colour of points without a class.
GREY = "#C8C8C8"
#: Longest name that is shown, in characters.
_LONGEST_NAME = 24


def class_colours(n_classes: int) -> Float[np.ndarray, "classes 4"]:
    """One RGBA colour per class, from 0 to 1: the ten distinct colours for up to ten classes, else
    a perceptually uniform scale."""
    if n_classes <= len(CLASS_COLOURS):
        return to_rgba_array(CLASS_COLOURS[:n_classes])
    return mpl.colormaps["viridis"](np.linspace(0, 1, n_classes))


def literal(text: str) -> str:
    """Escape text for matplotlib: one line, no part is read as a formula, and boxes for letters
    that no font has."""
    return with_boxes(legible(text)).replace("$", r"\$")


def short_name(name: str) -> str:
    """A class's name for display, cut if it is long."""
    cut = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    # Matplotlib leaves out labels that begin with an underscore.
    return f" {literal(cut)}" if cut.startswith("_") else literal(cut)


def add_class_legend(figure: Figure, names: Sequence[str], *, others: str = "") -> None:
    """Add a legend beside the panels, for up to ten classes; the entry `others` is grey."""
    if len(names) <= len(CLASS_COLOURS):
        widen_by_legend(figure, *class_entries(names, others=others))


def class_entries(names: Sequence[str], *, others: str = "") -> tuple[list[Line2D], list[str]]:
    """Dots and names of a legend of up to ten classes; the entry `others` is grey."""
    entries: list[tuple[str, str]] = [*zip(CLASS_COLOURS, names, strict=False)]
    if others:
        entries.append((GREY, others))
    dots = [Line2D([], [], ls="", marker="o", color=colour, ms=6) for colour, _ in entries]
    return dots, [short_name(name) for _, name in entries]


def widen_by_legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """Add a legend beside the panels, and widen the figure so that these keep their width."""
    legend = figure.legend(handles, labels, frameon=False, loc="outside right center")
    width = legend.get_window_extent().width / figure.dpi
    figure.set_figwidth(figure.get_figwidth() + width)
