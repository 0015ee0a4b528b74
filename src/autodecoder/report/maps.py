"""Drawing the map of a model into the user's axes, in the user's style."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap

from autodecoder.model import Model
from autodecoder.report.classes import CLASS_COLOURS, class_colours, class_entries, short_name
from autodecoder.report.figures import LATENT_SPACE_SIZE, draw_latent_space
from autodecoder.report.plane import MOST_CLASSES, latent_plane

#: Most classes named at a colour bar.
_MOST_TICKS = 16


def plot_map(
    model: Model,
    latents: Float[np.ndarray, "n dims"] | None = None,
    labels: Int[np.ndarray, " n"] | None = None,
    class_names: Sequence[str] = (),
    *,
    axes: Axes | None = None,
) -> Axes:
    """Draw the training latents of a model, or other latents over a grey cloud of these.

    Parameters
    ----------
    model : Model
    latents : (n, latent_dims), optional
        Latents of other samples.
    labels : (n,), optional
        Classes of the points that are drawn, counted from 0. Up to 10 classes get a legend, more a
        colour bar; more than 100 are drawn in one colour.
    class_names : sequence of str
    axes : matplotlib.axes.Axes, optional
        By default the axes of a new pyplot figure.
    """
    plane = latent_plane(model.latents)
    train = plane.places(model.latents)
    places = train if latents is None else plane.places(latents)
    background = None if latents is None else train
    if labels is None or len(class_names) > MOST_CLASSES:
        labels, class_names = np.zeros(len(places), int), ()
    if axes is None:
        import matplotlib.pyplot as plt  # here, since it looks for a screen

        axes = plt.subplots(figsize=LATENT_SPACE_SIZE, layout="constrained")[1]
    n_classes = max(1, len(class_names))
    draw_latent_space(axes, places, labels, n_classes, background=background, names=plane.names)
    if n_classes > len(CLASS_COLOURS):
        _add_colour_bar(axes, class_names)
    elif class_names or latents is not None:
        others = "" if latents is None else "training"
        handles, words = class_entries(class_names or ["new samples"], others=others)
        axes.legend(handles, words, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return axes


def _add_colour_bar(axes: Axes, names: Sequence[str]) -> None:
    """Add a colour bar with one band per class; if they are many, only some are named."""
    n = len(names)
    bands = ScalarMappable(BoundaryNorm(np.arange(n + 1), n), ListedColormap(class_colours(n)))
    shown = sorted({int(k + 0.5) for k in np.linspace(0, n - 1, min(n, _MOST_TICKS))})
    bar = axes.figure.colorbar(bands, ax=axes)
    bar.set_ticks([k + 0.5 for k in shown], labels=[short_name(names[k]) for k in shown])
    bar.ax.tick_params(length=0)
