"""Classes in figures: colours, names and legends."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from jaxtyping import Float
from matplotlib.artist import Artist
from matplotlib.colors import to_hex, to_rgb, to_rgba_array
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
#: The backgrounds of pages by scheme, as in `page.css`, and the least contrast with them of lines
#: and points (WCAG 2.1, 1.4.11).
PAPERS = {"light": "#ffffff", "dark": "#16161b"}
LEAST_CONTRAST = 3.0
#: Colours that take the place of those with less contrast.
_INSTEAD = {
    "light": {"#E69F00": "#C58700", "#56B4E9": "#4B9CCB", "#B8A800": "#8F8300"},
    "dark": {"#000000": "#F2F2F2"},
}
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


def page_colours(n_classes: int) -> dict[str, list[str]]:
    """The colours of classes on a page, by scheme: the distinct ones for up to ten classes, else a
    scale."""
    if n_classes > len(CLASS_COLOURS):
        return page_scale(n_classes)
    return {
        scheme: [instead.get(colour, colour) for colour in CLASS_COLOURS[: max(1, n_classes)]]
        for scheme, instead in _INSTEAD.items()
    }


def page_scale(n: int) -> dict[str, list[str]]:
    """Colours of the perceptually uniform scale on a page, by scheme: its part with enough
    contrast."""
    scale = mpl.colormaps["viridis"](np.linspace(0, 1, 256))
    colours = {}
    for scheme, paper in PAPERS.items():
        readable = [
            colour for colour in map(to_hex, scale) if contrast(colour, paper) >= LEAST_CONTRAST
        ]
        places = np.rint(np.linspace(0, len(readable) - 1, n)).astype(int)
        colours[scheme] = [readable[k] for k in places]
    return colours


def contrast(colour: str, other: str) -> float:
    """The contrast of two colours, from 1 to 21, by WCAG's definition."""
    dark, light = sorted(map(_luminance, (colour, other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    values = np.array(to_rgb(colour))
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


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
