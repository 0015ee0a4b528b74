"""The pictures of a study or a model, and their files."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from autodecoder.config.rules import check_choice
from autodecoder.data import Dataset
from autodecoder.errors import OutputError
from autodecoder.files import refuse_link, write_file
from autodecoder.model import Model
from autodecoder.paths import user_path
from autodecoder.report.drawing import DataFigure, default_style
from autodecoder.report.figures import plot_learning_rates, plot_loss_curves
from autodecoder.report.fonts import tell_missing
from autodecoder.report.model_pictures import draw_decoded, draw_fit, draw_latents
from autodecoder.report.plane import class_names, shown_part
from autodecoder.study import Study
from autodecoder.text import legible

#: All pictures of a study, with their titles.
TITLES = {
    "loss_curves": "Loss curves",
    "learning_rates": "Learning rates",
    "latent_space_train": "Latents of the training images",
    "latent_space_val": "Latents of the validation images",
    "latent_pairs": "Latents in pairs of principal components",
    "reconstructions_train": "Reconstructions of training images",
    "reconstructions_val": "Reconstructions of validation images",
    "reconstructions_extreme": "Best and worst reconstructions",
    "errors": "Errors by class",
    "latent_plane": "Images on the latent plane",
    "interpolations": "Interpolations between images",
}
#: File types of figures.
KINDS = ("pdf", "svg", "png")
#: Resolution of pixel parts in dots per inch, on pages and for print.
_DPI, _PRINT_DPI = 130, 300


def write_pictures(study: Study, dataset: Dataset) -> list[Path]:
    """Draw a study as PNG files in its folder `report`, and as SVG files if the study asks for it.

    Loss curves, and the sweep over several learning rates, show all trials. Latent spaces,
    reconstructions and errors show the best run. Latents of more than two dimensions are shown by
    their principal components. Earlier pictures that are not drawn again are removed, so that all
    pictures show the same state of the study.

    Returns
    -------
    list of Path
        The files written: only curves if no run ended well; none before the first epoch.

    Raises
    ------
    OutputError
        If a file cannot be written or removed, or `report` is a link that leads out of the study's
        folder.
    """
    folder = study.folder / "report"
    refuse_link(study.folder, folder)
    figures = study_figures(study, dataset)
    suffixes = (".png", ".svg") if study.config.log.svg else (".png",)
    wanted = {f"{name}{suffix}" for name in figures for suffix in suffixes}
    for name in TITLES:
        for suffix in (".png", ".svg"):
            if f"{name}{suffix}" not in wanted:
                _remove(folder / f"{name}{suffix}")
    written = [
        save_figure(figure, folder / f"{name}{suffix}")
        for name, figure in figures.items()
        for suffix in suffixes
    ]
    tell_missing()
    return written


def write_figures(
    shown: Study | Model, folder: Path | str, kind: str = "pdf", *, dataset: Dataset | None = None
) -> dict[Path, str]:
    """Write the figures of a study or a model for print, each with its data as a CSV file.

    PDF and SVG are vector graphics, except for decoded images and originals. Figures have no title.

    Parameters
    ----------
    shown : Study or Model
    folder : path
        A new folder, or one in which files of the same names are replaced.
    kind : str
        `pdf`, `svg` or `png`.
    dataset : Dataset, optional
        The images of the study or the model. Reconstructions and errors need them.

    Returns
    -------
    dict of Path to str
        The files of the figures, with their captions.

    Raises
    ------
    ConfigError
        If the kind is not one of these.
    OutputError
        If a file cannot be written.
    """
    check_choice("kind", kind, KINDS)
    folder = user_path(folder, "folder")
    draw = study_figures if isinstance(shown, Study) else model_figures
    figures = draw(shown, dataset)  # pyright: ignore[reportArgumentType]
    written = {}
    for name, figure in figures.items():
        path = folder / f"{name}.{kind}"
        write_file(path, draw_figure(figure, kind, for_print=True))
        write_file(folder / f"{name}.csv", format_table(figure.table))
        written[path] = figure.caption
    tell_missing()
    return written


def study_figures(study: Study, dataset: Dataset | None) -> dict[str, DataFigure]:
    """The figures of a study by name; reconstructions and errors need its images."""
    trials = [t for t in study.trials if any(execution.epochs for execution in t.executions)]
    if not trials:
        return {}
    n_val = study.about.get("n_val") if dataset is None else len(dataset.val)
    metrics = _curves(study.metric)[: 1 if n_val == 0 else 2]
    figures = {"loss_curves": plot_loss_curves(trials, metrics, study.levels)}
    if len({trial.learning_rate for trial in trials}) > 1:
        figures["learning_rates"] = plot_learning_rates(trials, study.metric)
    shown, model = study.shown_run(), study.shown_model()
    if shown is not None and model is not None:
        protocol, run = shown[2].protocol, shown[2].shown
        assert run is not None  # see `shown_run`
        name = study.config.data.dataset if dataset is None else dataset.name
        labels, names = (run.train_labels, run.val_labels), study.about["class_names"]
        figures |= draw_latents(model, labels, names, name=name, protocol=protocol)
        if dataset is not None:
            figures |= draw_fit(model, dataset.thinned(), run.val_loss, protocol=protocol)
        figures |= draw_decoded(model)
    return figures


def model_figures(model: Model, dataset: Dataset | None) -> dict[str, DataFigure]:
    """The figures of a model by name; reconstructions and errors need its images."""
    shown, protocol = shown_part(model), "as stored in the model"
    names = class_names(shown) or ["images"]
    labels = [
        np.zeros(len(latents), int) if own is None else np.minimum(own, len(names) - 1)
        for own, latents in ((shown.labels, shown.latents), (shown.val_labels, shown.val_latents))
    ]
    name = legible(model.about.get("dataset", "images"))
    figures = draw_latents(shown, (labels[0], labels[1]), names, name=name, protocol=protocol)
    if dataset is not None:
        figures |= draw_fit(shown, dataset.thinned(), protocol=protocol)
    return figures | draw_decoded(shown)


def _curves(metric: str) -> tuple[str, str]:
    """The objective's metric on training and validation images, as recorded every epoch."""
    base = metric.removeprefix("fresh_").removeprefix("val_")
    return base, f"val_{base}"


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a picture as PNG or SVG, by the suffix of its path."""
    write_file(path, draw_figure(figure, path.suffix[1:]))
    return path


@default_style()
def draw_figure(figure: Figure, kind: str = "png", *, for_print: bool = False) -> bytes:
    """Draw a figure as the content of a file.

    Parameters
    ----------
    figure : Figure
    kind : str
        One of `KINDS`.
    for_print : bool
        Draw dots as vectors, and keep the pixels of images unscaled. Otherwise parts with many dots
        are pixels, also in an SVG.
    """
    buffer = io.BytesIO()
    # Without the time, so that equal figures give equal files.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    if not for_print:
        figure.savefig(buffer, format=kind, dpi=_DPI, metadata=metadata)
        return buffer.getvalue()
    for artist in figure.findobj(lambda artist: isinstance(artist, Collection | AxesImage)):
        if isinstance(artist, AxesImage):
            artist.set_interpolation("none")
        else:
            artist.set_rasterized(False)
    figure.savefig(buffer, format=kind, dpi=_PRINT_DPI, metadata=metadata)
    return buffer.getvalue()


def format_table(table: Mapping[str, Any]) -> bytes:
    """Format columns as CSV: one line of names, and one row per entry."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table)
    writer.writerows(zip(*map(_cells, table.values()), strict=True))
    return text.getvalue().encode("utf-8", "replace")


def _cells(column: Sequence[Any]) -> Iterator[str]:
    """Numbers with the digits of single precision; blank if not finite."""
    for value in column:
        if isinstance(value, float | np.floating):
            yield f"{value:.7g}" if np.isfinite(value) else ""
        else:
            yield str(value)


def _remove(path: Path) -> None:
    try:
        if path.is_file():
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be removed: {error.strerror}.") from error
