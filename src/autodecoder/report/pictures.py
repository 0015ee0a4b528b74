"""Which pictures a study gets, and their files."""

import io
from pathlib import Path

from matplotlib.figure import Figure

from autodecoder.data import Dataset
from autodecoder.errors import OutputError
from autodecoder.files import write_file
from autodecoder.report.drawing import default_style
from autodecoder.report.figures import plot_learning_rates, plot_loss_curves
from autodecoder.report.model_pictures import draw_decoded, draw_fit, draw_latents
from autodecoder.study import Study

#: Every picture that a study may get, with what it is called.
TITLES = {
    "loss_curves": "Loss curves",
    "learning_rates": "Learning rates",
    "latent_space_train": "Latents of the training images",
    "latent_space_val": "Latents of the validation images",
    "latent_pairs": "Latents in pairs of principal components",
    "reconstructions_train": "Reconstructions of training images",
    "reconstructions_val": "Reconstructions of validation images",
    "reconstructions_extreme": "The best and the worst of them",
    "errors": "Errors by class",
    "latent_plane": "What the latent plane decodes to",
    "interpolations": "From image to image",
}


def write_pictures(study: Study, dataset: Dataset) -> list[Path]:
    """Draw a study as PNG files, on request as SVG too, in the folder `report` of its own.

    Loss curves and, with several learning rates, their sweep show all trials. Latent spaces, of
    more than two dimensions in their principal components, reconstructions and errors show the best
    run. Of pictures written earlier, those that are not drawn now are removed, so that all that lie
    there show the same state of the study.

    Returns
    -------
    list of Path
        The files written: curves alone where no run ended well, none before the first epoch.

    Raises
    ------
    OutputError
        If a file cannot be written or removed.
    """
    figures = _draw(study, dataset)
    folder = study.folder / "report"
    suffixes = (".png", ".svg") if study.config.log.svg else (".png",)
    wanted = {f"{name}{suffix}" for name in figures for suffix in suffixes}
    for name in TITLES:
        for suffix in (".png", ".svg"):
            if f"{name}{suffix}" not in wanted:
                _remove(folder / f"{name}{suffix}")
    return [
        save_figure(figure, folder / f"{name}{suffix}")
        for name, figure in figures.items()
        for suffix in suffixes
    ]


def _draw(study: Study, dataset: Dataset) -> dict[str, Figure]:
    trials = [t for t in study.trials if any(execution.epochs for execution in t.executions)]
    if not trials:
        return {}
    metrics = _curves(study.metric)[: 2 if len(dataset.val) else 1]
    figures = {"loss_curves": plot_loss_curves(trials, metrics)}
    if len({trial.learning_rate for trial in trials}) > 1:
        figures["learning_rates"] = plot_learning_rates(trials, study.metric)
    shown, model = study.shown_run(), study.shown_model()
    if shown is not None and model is not None:
        protocol, run = shown[2].protocol, shown[2].shown
        assert run is not None  # see `shown_run`
        dataset = dataset.thinned()
        labels, names = (dataset.train.labels, dataset.val.labels), dataset.class_names
        figures |= draw_latents(model, labels, names, name=dataset.name, protocol=protocol)
        figures |= draw_fit(model, dataset, run.val_loss, protocol=protocol)
        figures |= draw_decoded(model)
    return figures


def _curves(metric: str) -> tuple[str, str]:
    """The metric of the objective on both sets, as recorded every epoch."""
    base = metric.removeprefix("fresh_").removeprefix("val_")
    return base, f"val_{base}"


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a picture as a file of the kind that its name says: PNG or SVG."""
    write_file(path, draw_figure(figure, path.suffix[1:]))
    return path


@default_style()
def draw_figure(figure: Figure, kind: str = "png") -> bytes:
    """The content of a file; what consists of many dots is made of pixels in an SVG, too."""
    buffer = io.BytesIO()
    # Without the time, so that the same figure gives the same file.
    metadata = {"Date": None} if kind == "svg" else None
    figure.savefig(buffer, format=kind, dpi=130, metadata=metadata)
    return buffer.getvalue()


def _remove(path: Path) -> None:
    try:
        if path.is_file():
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path} cannot be removed: {error.strerror}.") from error
