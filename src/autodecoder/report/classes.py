"""How classes look in figures: their colours, their names, and the legend that joins the two."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from autodecoder.text import legible

#: Ten colours that stay apart for colour-blind eyes: Okabe & Ito's eight (yellow darkened for a
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
#: Of points without a class.
GREY = "#C8C8C8"
#: Letters of a name that are shown.
_LONGEST_NAME = 24


def class_colours(n_classes: int) -> Float[np.ndarray, "classes 4"]:
    """One RGBA colour a class: the ten told apart by eye; for more, which no eye does, a scale that
    every eye sees alike."""
    if n_classes <= len(CLASS_COLOURS):
        return to_rgba_array(CLASS_COLOURS[:n_classes])
    return mpl.colormaps["viridis"](np.linspace(0, 1, n_classes))


def literal(text: str) -> str:
    """Text that matplotlib shows as it is: one line, of which nothing is a formula."""
    return legible(text).replace("$", r"\$")


def short_name(name: str) -> str:
    """A class's name as it is shown, cut where it is long."""
    cut = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    # Matplotlib leaves out what begins with an underscore.
    return f" {literal(cut)}" if cut.startswith("_") else literal(cut)


def add_class_legend(figure: Figure, names: Sequence[str], *, others: str = "") -> None:
    """A dot a class beside the panels, where the classes are told apart; `others` are grey."""
    if len(names) <= len(CLASS_COLOURS):
        widen_by_legend(figure, *class_entries(names, others=others))


def class_entries(names: Sequence[str], *, others: str = "") -> tuple[list[Line2D], list[str]]:
    """The dots of a legend of ten classes or fewer, and their names; `others` are grey."""
    entries: list[tuple[str, str]] = [*zip(CLASS_COLOURS, names, strict=False)]
    if others:
        entries.append((GREY, others))
    dots = [Line2D([], [], ls="", marker="o", color=colour, ms=6) for colour, _ in entries]
    return dots, [short_name(name) for _, name in entries]


def widen_by_legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """A legend beside the panels, which keep their width."""
    legend = figure.legend(handles, labels, frameon=False, loc="outside right center")
    width = legend.get_window_extent().width / figure.dpi
    figure.set_figwidth(figure.get_figwidth() + width)
