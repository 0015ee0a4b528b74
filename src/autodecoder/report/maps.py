"""The map of a model in axes of the user's own, in the user's style."""

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

#: Classes named at a colour bar, at most.
_MOST_TICKS = 16


def plot_map(
    model: Model,
    latents: Float[np.ndarray, "n dims"] | None = None,
    labels: Int[np.ndarray, " n"] | None = None,
    class_names: Sequence[str] = (),
    *,
    axes: Axes | None = None,
) -> Axes:
    """Draw the training latents of a model; or other latents, over a grey cloud of those.

    Parameters
    ----------
    model : Model
    latents : (n, latent_dims), optional
        Of other samples.
    labels : (n,), optional
        Classes of what is drawn, counted from 0. Ten or fewer get a legend, more a colour bar; more
        than 100 are not told apart.
    class_names : sequence of str
    axes : matplotlib.axes.Axes, optional
        By default those of a new figure of pyplot.
    """
    plane = latent_plane(model.latents)
    train = plane.places(model.latents)
    places = train if latents is None else plane.places(latents)
    background = None if latents is None else train
    if labels is None or len(class_names) > MOST_CLASSES:
        labels, class_names = np.zeros(len(places), int), ()
    if axes is None:
        import matplotlib.pyplot as plt  # at use, as it looks for a screen

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
    """A band a class; of many, some are named."""
    n = len(names)
    bands = ScalarMappable(BoundaryNorm(np.arange(n + 1), n), ListedColormap(class_colours(n)))
    shown = sorted({int(k + 0.5) for k in np.linspace(0, n - 1, min(n, _MOST_TICKS))})
    bar = axes.figure.colorbar(bands, ax=axes)
    bar.set_ticks([k + 0.5 for k in shown], labels=[short_name(names[k]) for k in shown])
    bar.ax.tick_params(length=0)
