"""Page about a study or a model: one HTML file that needs no network, with a live latent plane."""

import base64
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from matplotlib.figure import Figure

from autodecoder._version import __version__
from autodecoder.config import to_dict
from autodecoder.data import Dataset
from autodecoder.files import refuse_link, write_file
from autodecoder.measures.evaluation import FILE as EVALUATION
from autodecoder.measures.evaluation import Evaluation, read_evaluation
from autodecoder.model import Model
from autodecoder.model.card import describe_decoder, model_facts, title_of_dataset
from autodecoder.model.metrics import (
    compare_error,
    describe_epoch,
    error_levels,
    is_last_epoch,
    named_metrics,
)
from autodecoder.paths import user_path
from autodecoder.report.curves import pack_curves, pack_history
from autodecoder.report.figures import plot_latent_space
from autodecoder.report.film import Frame, read_film
from autodecoder.report.fonts import tell_missing
from autodecoder.report.model_pictures import draw_decoded, draw_fit, draw_latents
from autodecoder.report.originals import image_errors, pack_originals, point_rows
from autodecoder.report.pictures import TITLES, draw_figure
from autodecoder.report.plane import (
    class_names,
    classes_context,
    pack_model,
    shown_part,
    why_not_live,
)
from autodecoder.report.templates import render_page
from autodecoder.report.trials import trials_table, trials_text
from autodecoder.report.umap import map_latents
from autodecoder.study import Study
from autodecoder.study.records import execution_folder
from autodecoder.text import count, legible

#: Pictures that the map of a page replaces, and pictures that a live decoder replaces.
_ON_MAP, _DECODED = ("latent_space_train", "latent_space_val"), ("latent_plane",)
_SMALL = {2: "two", 3: "three", 4: "four"}
_PNG = b"\x89PNG\r\n\x1a\n"
_NO_PICTURES = "No figures in this folder. `autodecoder report` draws them from the images."


class _Picture(NamedTuple):
    name: str
    title: str
    alt: str
    data: str
    """A PNG file in base64."""


def write_study_page(study: Study, *, dataset: Dataset | None = None, umap: bool = False) -> Path:
    """Write `report/index.html` of a study: its map, trials, figures and settings.

    The map shows the model in `best`, or without it the best run after its last epoch. The figures
    are those in the folder.

    Parameters
    ----------
    study : Study
    dataset : Dataset, optional
        The images of the study. The page then shows small originals and the error of each image.
    umap : bool
        Add a UMAP of the training latents, by umap-learn.

    Raises
    ------
    OutputError
        If the page cannot be written, or `report` is a link that leads out of the study's folder.
    ConfigError
        If umap-learn is requested but not installed.
    DataError
        If a file of the run is damaged.
    """
    folder = study.folder / "report"
    refuse_link(study.folder, folder)
    pictures = [p for p in _read_pictures(folder) if p.name != "loss_curves"]
    begun = any(execution.epochs for trial in study.trials for execution in trial.executions)
    model = study.best_model()
    shown = study.shown_run()
    film = []
    if shown is not None:
        film = read_film(execution_folder(study.folder, shown[0].trial_id, shown[1]))
    context: dict[str, Any] = {
        "title": _title(study, model),
        "lead": [_lead(study), *_lead_of_map(model)],
        "trials": trials_table(study),
        "trials_text": trials_text(study),
        "figures_command": _figures_command(study.folder.resolve().name),
        "figures": pictures,
        "figures_text": _NO_PICTURES if begun and not pictures else "",
        "settings": json.dumps(to_dict(study.config), indent=2, default=str),
        **curves_context(
            pack_curves(
                [t for t in study.trials if any(e.epochs for e in t.executions)], study.levels
            )
        ),
    }
    if model is None:
        context["plane_text"] = "This study has no model to show yet."
    else:
        context |= _of_model(model, film, dataset)
        context["figures"] = _beside_map(pictures, context["is_live"])
        context["figures"] += [_umap(shown_part(model))] if umap else []
        evaluated = study.folder / "best" / EVALUATION
        if evaluated.is_file():
            context["evaluation"] = _evaluated(read_evaluation(evaluated))
    return _write(folder / "index.html", _render(context))


def write_model_page(
    model: Model,
    path: Path | str,
    *,
    title: str = "A model",
    dataset: Dataset | None = None,
    film: Sequence[Frame] = (),
    umap: bool = False,
    evaluation: Evaluation | None = None,
) -> Path:
    """Write the page of `model_page` to a file; an existing file is replaced.

    Raises
    ------
    OutputError
        If the page cannot be written.
    ConfigError, DataError
        As in `model_page`.
    """
    page = model_page(
        model, title=title, dataset=dataset, film=film, umap=umap, evaluation=evaluation
    )
    return _write(user_path(path), page)


def model_page(
    model: Model,
    *,
    title: str = "A model",
    dataset: Dataset | None = None,
    film: Sequence[Frame] = (),
    umap: bool = False,
    evaluation: Evaluation | None = None,
) -> str:
    """A page about a model, as self-contained HTML: the latent plane, decoded images, the fit, and
    facts.

    Parameters
    ----------
    model : Model
    title : str
    dataset : Dataset, optional
        The images of the model's latents, in the same order. The page then shows small originals,
        the error of each image, reconstructions, and errors by class.
    film : sequence of Frame
        Earlier places of some latents. Frames that do not fit the model are ignored.
    umap : bool
        Add a UMAP of the training latents, by umap-learn.
    evaluation : Evaluation, optional
        The result of `model.evaluate`, to show as a table.

    Raises
    ------
    ConfigError
        If umap-learn is requested but not installed.
    DataError
        If it is requested and there are too few latents.
    """
    shown = shown_part(model)
    labels = (_labels(shown, shown.labels), _labels(shown, shown.val_labels, of="val_latents"))
    title, names = legible(title), class_names(model) or ["images"]
    figures = draw_latents(shown, labels, names, name=title, protocol="as stored in the model")
    if dataset is not None:
        figures |= draw_fit(shown, dataset.thinned(), protocol="as stored in the model")
    figures |= draw_decoded(shown)
    pictures = [_drawn(name, TITLES[name], fig) for name, fig in figures.items()]
    told = _of_model(model, film, dataset)
    pictures = _beside_map(pictures, told["is_live"]) + ([_umap(shown)] if umap else [])
    context = {
        "title": title,
        "lead": [f"autodecoder {__version__}.", *compare_error(model)],
        "figures": pictures,
        **curves_context(pack_history(model.history, error_levels(model))),
        **told,
    }
    if evaluation is not None:
        context["evaluation"] = _evaluated(evaluation)
    return _render(context)


def _of_model(
    model: Model, film: Sequence[Frame] = (), dataset: Dataset | None = None
) -> dict[str, Any]:
    """The part of a page about its model."""
    metrics = {name: f"{value:.4g}" for name, value in named_metrics(model).items()}
    facts = {**model_facts(model), **metrics}
    shown, why_not = shown_part(model), why_not_live(model)
    sets = None if dataset is None or model.standardization is not None else dataset.thinned()
    errors = None if sets is None else image_errors(shown, sets)
    packed = pack_model(shown, film, errors)
    what = "row" if model.standardization is not None else "image"
    originals = None if sets is None else pack_originals(point_rows(shown, sets))
    channels = model.image_shape[2]
    return {
        "facts": {
            legible(name): legible(value) for name, value in facts.items() if value is not None
        },
        "model": page_json(packed),
        "originals": None if originals is None else page_json(originals),
        "has_originals": originals is not None,
        "is_live": why_not is None,
        "can_place": why_not is None and channels in (1, 3),
        "why_not": why_not and f"{why_not} Decoded {what}s are in the figures below.",
        "plane_text": _explain(model, packed, originals, what),
        "axis_names": packed["axis_names"],
        **classes_context(model),
        "n_train": f"{len(model.latents):,}",
        "n_val": f"{len(model.val_latents):,}",
        "is_table": model.standardization is not None,
        "n_frames": len(packed["film"]["frames"]),
        "film_end": packed["film"]["end"],
    }


def _evaluated(evaluation: Evaluation) -> dict[str, Any]:
    """The part of a page that shows an evaluation: tables of a head and lines, and notes."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    for row in evaluation.rows():
        head = (row.group, "samples", "reconstructions") if row.floor else (row.group, "value")
        groups.setdefault(row.group, [head]).append(row[1 : len(head) + 1])
    tables = [*groups.values(), evaluation.class_rows()]
    return {
        "tables": [{"head": head, "lines": lines} for head, *lines in filter(None, tables)],
        "notes": evaluation.notes(),
    }


def _beside_map(pictures: Sequence[_Picture], is_live: bool) -> list[_Picture]:
    """Pictures with content that the map does not show."""
    shown = _ON_MAP + _DECODED if is_live else _ON_MAP
    return [picture for picture in pictures if picture.name not in shown]


def _explain(
    model: Model, packed: dict[str, Any], originals: dict[str, Any] | None, what: str
) -> str:
    """A description of the map and its omissions."""
    dims, draws = model.latent_dims, "draws" if what == "image" else "computes"
    numbers = "the number" if dims == 1 else f"the {_SMALL.get(dims, dims)} numbers"
    if dims <= 2:
        place = f"{numbers} (its latent) from which the decoder {draws} it"
        told = [f"Each point is one {what}, at {place}."]
    else:
        told = [
            f"Each point is one {what}. The decoder {draws} it from {numbers} (its latent); the "
            "map shows their two leading principal components."
        ]
    train = packed["points"]["train"]
    if len(model.latents) > train["n"] + train["missing"]:
        told.append(f"It draws {train['n']:,} of {len(model.latents):,} training points.")
    if originals is not None:
        n_copies = sum(part["n"] for part in originals["sets"].values())
        n_points = sum(part["n"] for part in packed["points"].values())
        if n_copies < n_points:
            told.append(f"This page contains small originals of {n_copies:,} images.")
    if left_out := packed["columns"]["left_out"]:
        subject = "columns {} are" if len(left_out) > 1 else "column {} is"
        told.append(
            f"The {subject.format(', '.join(left_out))} too large to travel with this page."
        )
    return " ".join(told)


def _figures_command(name: str) -> str:
    """The command that draws the figures of a study or a model again, by the name of its folder."""
    return f"autodecoder report {shlex.quote(legible(name))} --figures pdf"


def _labels(
    model: Model, labels: Int[np.ndarray, " n"] | None, of: str = "latents"
) -> Int[np.ndarray, " n"]:
    """Labels for colouring: one class for all, if there are no labels or too many classes."""
    if labels is None:
        labels = np.zeros(len(getattr(model, of)), int)
    return np.minimum(labels, max(1, len(class_names(model))) - 1)


def _umap(model: Model) -> _Picture:
    rows, places = map_latents(model.latents)
    figure = plot_latent_space(
        places,
        _labels(model, model.labels)[rows],
        class_names(model) or ["images"],
        title=f"{count(len(rows), 'training latent')} of "
        f"{count(model.latent_dims, 'dimension')}, by UMAP",
        names=("UMAP 1", "UMAP 2"),
    )
    return _drawn("umap", "Latents mapped by UMAP", figure)


def curves_context(packed: dict[str, Any]) -> dict[str, Any]:
    """The part of a page with histories; empty without any."""
    if not packed["metrics"]:
        return {}
    return {
        "histories": page_json(packed),
        "metrics": packed["metrics"],
        "first_metric": next(iter(packed["levels"]), None),
        "lines": [(t["label"], t["colour"], t["dark_colour"]) for t in packed["trials"]],
        "several_runs": any(
            len(runs) > 1 for trial in packed["trials"] for runs in trial["runs"].values()
        ),
    }


def page_json(packed: dict[str, Any]) -> str:
    """Format values as JSON that is safe in a script of a page."""
    return json.dumps(packed, allow_nan=False).replace("<", "\\u003c")


def title_of_study(study: Study) -> str:
    """The title of the data set of a study."""
    data = study.about.get("data")
    name = data.get("name") if isinstance(data, dict) else None
    return title_of_dataset(name or study.config.data.dataset)


def _title(study: Study, model: Model | None) -> str:
    """The title of a page: the data set, and the decoder that the page shows."""
    dataset = title_of_study(study)
    return dataset if model is None else f"{dataset}, {describe_decoder(model)}"


def _lead(study: Study) -> str:
    executions = [execution for trial in study.trials for execution in trial.executions]
    timed = [execution for execution in executions if execution.seconds]
    epochs, seconds = sum(e.epochs for e in timed), sum(e.seconds for e in timed)
    work = f", {count(epochs, 'epoch')} in {seconds:,.0f} s" if timed else ""
    folder = legible(study.folder.resolve().name)
    return f"{count(len(study.trials), 'trial')}{work}. Folder {folder}. autodecoder {__version__}."


def _lead_of_map(model: Model | None) -> list[str]:
    """The epoch that the map shows, if it is not the last one, which the figures show; and its
    error beside those of the mean image and of principal components."""
    if model is None:
        return []
    epoch = f"Map: epoch {describe_epoch(model)}. Figures: the same run after its last epoch."
    return [*([] if is_last_epoch(model) else [epoch]), *compare_error(model)]


def _read_pictures(folder: Path) -> list[_Picture]:
    """The undamaged pictures in the folder of a study; a link may lead to a private picture."""
    paths = {name: folder / f"{name}.png" for name in TITLES}
    contents = {
        name: path.read_bytes()
        for name, path in paths.items()
        if path.is_file() and not path.is_symlink()
    }
    return [
        _Picture(name, TITLES[name], TITLES[name].lower(), _encode(content))
        for name, content in contents.items()
        if content.startswith(_PNG)
    ]


def _drawn(name: str, title: str, figure: Figure) -> _Picture:
    return _Picture(name, title, title.lower(), _encode(draw_figure(figure)))


def _encode(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _render(context: dict[str, Any]) -> str:
    names = ("model", "originals", "is_live", "plane_text", "histories", "trials", "facts")
    parts = dict.fromkeys((*names, "settings", "figures", "figures_text", "evaluation"), ())
    tell_missing()
    return render_page("page.html.jinja", parts | {"figures_command": None} | context)


def _write(path: Path, page: str) -> Path:
    write_file(path, page.encode("utf-8", "replace"))
    return path
