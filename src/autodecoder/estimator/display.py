"""How a fitted estimator shows itself: a plot, a live map, and a short card in a notebook."""

import copy
import html
import math
import os
import sys
import tempfile
import warnings
import webbrowser
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sklearn.utils.validation import check_is_fitted

from autodecoder.errors import DataWarning
from autodecoder.estimator.labels import number_labels, read_labels
from autodecoder.estimator.samples import as_dataset
from autodecoder.model import Model
from autodecoder.model.card import model_facts
from autodecoder.model.metrics import UNITS, model_metrics
from autodecoder.text import count, legible

#: What the card tells of a model, by its names of `model_facts`, and of its history.
_FACTS = ("one sample", "decoder", "weights", "epoch", "learning rate")
_ERRORS = {"loss": "training error (mean squared, {units})", "psnr": "training PSNR [dB]"}


class _Short:
    """Stands for a value in the repr of an estimator."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


class Displayed:
    """What a fitted estimator can show, for `AutoDecoder` to inherit."""

    model_: Model

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        module = getattr(self, "decoder", None)
        shown: Any = self
        if module is not None:  # whose own repr lists all layers
            shown = copy.copy(self)
            shown.decoder = _Short(f"{type(module).__name__}(…)")
        base: Any = super(Displayed, shown)
        return base.__repr__(N_CHAR_MAX=N_CHAR_MAX)

    def plot(
        self, X: Any = None, y: Any = None, *, ax: Any = None, title: str | None = None
    ) -> Any:
        """Draw the map of the training samples with matplotlib, coloured by their labels.

        Parameters
        ----------
        X : array-like, optional
            Other samples, see `transform`: their latents are inferred, and drawn over a grey cloud
            of the training samples.
        y : array-like, optional
            Labels of what is drawn, see `fit`; by default those of `fit`, for training samples.
        ax : matplotlib.axes.Axes, optional
            Axes to draw in; by default those of a new figure.
        title : str, optional

        Returns
        -------
        matplotlib.axes.Axes
            Of more than two dimensions it shows the two leading principal components. Up to ten
            classes have a legend, more a colour bar.

        Raises
        ------
        ValueError
            As `fit`, of X and y.
        """
        from autodecoder.report.maps import plot_map

        check_is_fitted(self)
        me: Any = self
        model, latents = self.model_, None if X is None else me._infer(X).latents
        labels, names = (model.labels, class_names(model)) if X is None else (None, ())
        read = None
        if y is not None:
            read = read_labels(y, len(model.latents if latents is None else latents))
        if read is not None:
            known = me._classes
            alike = known is not None and known.fit(read)  # then they have the same colours
            labels, classes = number_labels(read, known if alike else None)
            names = classes.names
        axes = plot_map(model, latents, labels, names, axes=ax)
        if title is not None:
            axes.set_title(title)
        return axes

    def show(self, *, title: str | None = None, height: int = 800) -> None:
        """Show the live map: the decoder draws the image of the point below the mouse.

        In a notebook (Jupyter, JupyterLab, VS Code, Colab) it appears below the cell, and is saved
        with the notebook. Elsewhere it is written to a temporary file, which the browser opens.
        `autodecoder.report.write_model_page(decoder.model_, path)` writes it to a file of yours.

        Parameters
        ----------
        title : str, optional
            Of the page; by default it says what the samples are.
        height : int
            Of the page in a notebook, in pixels.
        """
        from autodecoder.report.page import model_page

        check_is_fitted(self)
        me: Any = self
        model = self.model_
        are_pixels, dataset = model.standardization is None, None
        if are_pixels and model.image_shape[0] == 1:
            warnings.warn(_tell_flat(model), DataWarning, stacklevel=2)
        if are_pixels and hasattr(self, "_samples"):
            dataset = as_dataset(model, me._samples, class_names(model) or ("images",))
        page = model_page(model, title=title or _describe(model), dataset=dataset)
        if in_notebook():
            from IPython.display import HTML, display  # pyright: ignore[reportMissingImports]

            display(HTML(frame(page, height)))
        else:
            _open_in_browser(page)

    @property
    def _repr_html_(self) -> Callable[[], str]:
        """A card of a few lines in a notebook; scikit-learn's before the fit, and none where it is
        told to show text."""
        diagram = super()._repr_html_  # pyright: ignore[reportAttributeAccessIssue]
        if not hasattr(self, "model_"):
            return diagram
        return lambda: _card(type(self).__name__, self.model_)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        card = getattr(self, "_repr_html_", None)
        return {"text/plain": repr(self)} | ({} if card is None else {"text/html": card()})


def class_names(model: Model) -> tuple[str, ...]:
    """Of the classes of its labels; none without labels."""
    return () if model.labels is None else tuple(model.about.get("class_names", ()))


def frame(page: str, height: int) -> str:
    """A page as a part of a notebook, in a frame of its own that needs no file beside it."""
    # Around the frame, since IPython advises against one by itself. A notebook that is not trusted
    # leaves frames out, and shows what is in them.
    return (
        '<div><iframe title="The live map" style="width: 100%; border: 0; background: white; '
        f'height: {int(height)}px" srcdoc="{html.escape(page)}">The live map appears when the '
        "notebook is trusted, or the cell is run again.</iframe></div>"
    )


def in_notebook() -> bool:
    """Whether this runs in a kernel of Jupyter, whose cells show HTML; a console does not."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


def _open_in_browser(page: str) -> None:
    """Write the page to a temporary file, say where, and open it where there is a screen."""
    path = Path(tempfile.mkdtemp(prefix="autodecoder-")) / "map.html"
    path.write_text(page, encoding="utf-8", errors="replace")
    sys.stdout.write(f"The live map is in {path}\n")
    has_screen = sys.platform in ("win32", "darwin") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if has_screen:  # else a browser of text would take the terminal
        webbrowser.open(path.as_uri())


def _describe(model: Model) -> str:
    """What the samples are, and of how many dimensions the map is."""
    n, dims = len(model.latents), count(model.latent_dims, "dimension")
    if model.standardization is not None:
        features = count(math.prod(model.sample_shape), "feature")
        return f"{count(n, 'sample')} of {features}, in {dims}"
    sides = [str(side) for side in model.sample_shape if side > 1]
    return f"{count(n, 'image')} of {' × '.join(sides) or '1 pixel'}, in {dims}"


def _tell_flat(model: Model) -> str:
    n = math.prod(model.image_shape)
    side = math.isqrt(n)
    example = (side, side) if side * side == n else "(height, width)"
    return (
        f"samples are shown as rows of {n:,} pixels; with AutoDecoder(image_shape={example}) they "
        "are shown as images."
    )


def _card(name: str, model: Model) -> str:
    facts = model_facts(model)
    rows: list[tuple[str, Any]] = [(fact, facts[fact]) for fact in _FACTS]
    names = class_names(model)
    if names:
        rows.append(("classes", _list(names)))
    metrics, units = model_metrics(model), UNITS[model.scaler]
    rows += [
        (words.format(units=units), f"{metrics[key]:.4g}")
        for key, words in _ERRORS.items()
        if key in metrics
    ]
    cells = "".join(
        f'<tr><th style="text-align: left">{html.escape(legible(what))}</th>'
        f'<td style="text-align: left">{html.escape(legible(value))}</td></tr>'
        for what, value in rows
        if value is not None
    )
    return (
        f"<div><b>{html.escape(name)}</b>: {html.escape(_describe(model))}<table>{cells}</table>"
        "<code>.plot()</code> draws the map, <code>.show()</code> opens the live map.</div>"
    )


def _list(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{', '.join(map(str, names[:most]))}{more}"
