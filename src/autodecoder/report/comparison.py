"""A page that compares studies: settings that differ, curves in one chart, linked maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from autodecoder._version import __version__
from autodecoder.config import OBJECTIVES, differences, format_value, to_dict
from autodecoder.errors import DataError
from autodecoder.files import write_file
from autodecoder.model import Model
from autodecoder.model.card import describe_decoder
from autodecoder.paths import user_path
from autodecoder.report.curves import pack_studies
from autodecoder.report.known import pack_counts, pack_named
from autodecoder.report.page import curves_context, page_json, title_of_study
from autodecoder.report.plane import (
    Plane,
    classes_context,
    latent_plane,
    pack_decoder,
    pack_plane,
    pack_shape,
    shown_part,
)
from autodecoder.report.templates import render_page
from autodecoder.study import Study
from autodecoder.study.results import format_score
from autodecoder.text import legible

#: Most points of each set on one map.
_MOST_POINTS = 20_000


def write_comparison(studies: Sequence[Study], path: Path | str) -> Path:
    """Write a page that compares studies: their best trials, the settings that differ, curves in
    one chart, and maps that are aligned and linked.

    Parameters
    ----------
    studies : sequence of Study
        Two or more.
    path : path
        The file, which is replaced if it exists. It needs no other files.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    names = _names(studies)
    changed = differences(*(to_dict(study.config) for study in studies))
    settings = [(path, [_setting(value) for value in values]) for path, values in changed.items()]
    results = _results(studies)
    packed = pack_studies(
        [(name, study.best_trial) for name, study in zip(names, studies, strict=True)]
    )
    context: dict[str, Any] = {
        "title": "Comparison: " + ", ".join(dict.fromkeys(map(title_of_study, studies))),
        "lead": f"{len(studies)} studies. autodecoder {__version__}.",
        "columns": names,
        "rows": [*results, *settings],
        "n_results": len(results),
        "table_title": "Results and settings that differ",
    }
    models, why_not = _models(studies, names)
    titled = [(f"{name}: {describe_decoder(model)}", model) for name, _, model in models]
    linked = _are_linked([study for _, study, _ in models])
    context |= {"without_map": why_not, **maps_context(titled, linked=linked)}
    return write_side_by_side(context, packed, path)


def write_side_by_side(
    context: Mapping[str, Any], curves: dict[str, Any], path: Path | str
) -> Path:
    """Write a page with a table, curves and maps side by side.

    Parameters
    ----------
    context : mapping
        Title, table and maps (`maps_context`).
    curves : dict
        From `report.curves`.
    path : path
    """
    without: dict[str, Any] = {"histories": None, "lines": [], "metrics": {}}
    without |= {"first_metric": None, "several_runs": False}
    whole = {**without, **curves_context(curves), **context}
    target = user_path(path)
    write_file(target, render_page("comparison.html.jinja", whole).encode("utf-8", "replace"))
    return target


def maps_context(titled: Sequence[tuple[str, Model]], *, linked: bool) -> dict[str, Any]:
    """The part of a page with maps side by side, each with a title.

    `linked` says whether all models have the same images in the same rows.
    """
    if not titled:
        return {"maps": None, "titles": [], "same": False, "legends": [], "size_text": ""}
    maps = _maps([model for _, model in titled])
    legends = [classes_context(model) for _, model in titled]
    alike = all(legend == legends[0] for legend in legends)
    return {
        "maps": page_json({"maps": maps}),
        "titles": [title for title, _ in titled],
        "same": linked,
        "legends": legends[:1] if alike else legends,
        "size_text": _size_text(maps),
    }


def _models(
    studies: Sequence[Study], names: Sequence[str]
) -> tuple[list[tuple[str, Study, Model]], list[str]]:
    """The models for the maps, each with its study and name, and why other studies have no map."""
    models, why_not = [], []
    for name, study in zip(names, studies, strict=True):
        try:
            model = study.best_model()
        except DataError as error:
            why_not.append(f"{name} has no map: {legible(error)}")
            continue
        if model is None:
            why_not.append(f"{name} has no map: it keeps no run.")
        else:
            models.append((name, study, shown_part(model)))
    return models, why_not


def _names(studies: Sequence[Study]) -> list[str]:
    """Names of the studies: of their folders, or their whole paths if names repeat."""
    short = [legible(study.folder.resolve().name) for study in studies]
    if len(set(short)) == len(short):
        return short
    return [legible(str(study.folder)) for study in studies]


def _results(studies: Sequence[Study]) -> list[tuple[str, list[str]]]:
    bests = [study.best_trial for study in studies]

    def row(read: Any) -> list[str]:
        return ["–" if best is None else read(best) for best in bests]

    return [
        ("objective", [study.metric for study in studies]),
        (_best_label(studies), row(format_score)),
        ("learning rate", row(lambda best: format_value(best.learning_rate))),
        *(
            (f"{name} after the last epoch", row(lambda best, name=name: f"{best.last(name):.4f}"))
            for name in ("loss", "val_loss", "fresh_val_loss")
        ),
        *_yardsticks(studies),
        ("epochs", row(lambda best: str(max(e.epochs for e in best.executions)))),
        (
            "seconds of training",
            [f"{sum(e.seconds for t in s.trials for e in t.executions):.1f}" for s in studies],
        ),
    ]


def _yardsticks(studies: Sequence[Study]) -> list[tuple[str, list[str]]]:
    """The errors of the mean image and of principal components, if a study has measured them."""
    bests = [(study, study.best_trial) for study in studies]
    errors = [{} if best is None else study.errors_beside(best) for study, best in bests]
    named = (
        ("mean_image", "error of the mean image"),
        ("components", "error of as many principal components"),
    )
    return [
        (label, [f"{found[name]:.4f}" if name in found else "–" for found in errors])
        for name, label in named
        if any(name in found for found in errors)
    ]


def _size_text(maps: Sequence[dict[str, Any]]) -> str:
    """How much of the page its decoders take."""
    size = sum(len(page_json({"operators": packed["operators"]})) for packed in maps)
    return f"The decoders of the maps take {size / 1e6:.1f} MB of this page." if size > 1e6 else ""


def _best_label(studies: Sequence[Study]) -> str:
    """What the score of a study is."""
    metrics = {study.metric for study in studies}
    if len(metrics) > 1:
        return "best value of the objective"
    metric = metrics.pop()
    return f"{'lowest' if OBJECTIVES[metric] == 'min' else 'highest'} {metric}"


def _setting(value: Any) -> str:
    return "–" if value is None else legible(str(value))


def _are_linked(studies: Sequence[Study]) -> bool:
    """Whether all studies have the same images in the same rows."""
    return len({study.about.get("data_fingerprint") for study in studies}) == 1


def _maps(models: Sequence[Model]) -> list[dict[str, Any]]:
    planes = [latent_plane(model.latents) for model in models]
    first = planes[0].places(models[0].latents)
    maps = []
    for model, plane in zip(models, planes, strict=True):
        matched = turned(plane, model, first)
        maps.append(
            {
                **pack_shape(model),
                **pack_decoder(model),
                **pack_plane(model, matched, most=_MOST_POINTS),
                **pack_named(model),
                "counts": pack_counts(model),
            }
        )
    return maps


def turned(plane: Plane, model: Model, first: Float[np.ndarray, "n 2"]) -> Plane:
    """The plane, rotated and mirrored so that its points match those of the first map best
    (orthogonal Procrustes)."""
    places = plane.places(model.latents)
    if model.latent_dims == 1 or places.shape != first.shape or places is first:
        return plane
    both = np.isfinite(places).all(1) & np.isfinite(first).all(1)
    if both.sum() < 2:
        return plane
    a, b = places[both] - places[both].mean(0), first[both] - first[both].mean(0)
    left, _, right = np.linalg.svd(a.T @ b)
    turn = (left @ right).T
    if np.allclose(turn, np.eye(2)):
        return plane
    names = ("turned to match, first axis", "turned to match, second axis")
    return plane._replace(axes=turn @ plane.axes, names=names)
