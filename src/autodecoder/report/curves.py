"""Packing histories for a page's script: every metric by epoch, one line per run."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from autodecoder.compare import Row
from autodecoder.config import OBJECTIVES
from autodecoder.measures.yardstick import Levels
from autodecoder.report.classes import page_colours, page_scale
from autodecoder.report.figures import MOST_CURVES, label_trials, metric_label
from autodecoder.study import Trial

#: Most epochs of a run that are drawn, spread evenly.
_MOST_EPOCHS = 200
_DIGITS = 5


def pack_curves(
    trials: Sequence[Trial], levels: Mapping[str, Levels] | None = None
) -> dict[str, Any]:
    """Pack the histories of all executions of the first ten trials, which are given best first.

    Parameters
    ----------
    trials : sequence of Trial
    levels : mapping, optional
        Horizontal lines by metric, see `Yardstick.levels`.

    Returns
    -------
    dict
        `metrics`: the label of each, by its name; `trials`, each with `label`, `colour`,
        `dark_colour` and `runs`: by metric, a list of values for each execution; `epochs`: the
        epochs of the values; `levels`: by metric, a label and a value for each horizontal line. A
        value that is not finite is null. Metrics with fewer than two values
        in every run are left out.
    """
    labelled = label_trials(trials[:MOST_CURVES])
    runs = [(label, [execution.history for execution in t.executions]) for t, label in labelled]
    return _pack(runs, page_scale(len(runs)), levels)


def pack_studies(studies: Sequence[tuple[str, Trial | None]]) -> dict[str, Any]:
    """Pack the best trials of several studies like `pack_curves`, labelled by study."""
    runs = [
        (name, [execution.history for execution in trial.executions])
        for name, trial in studies
        if trial is not None
    ]
    return _pack(runs, page_colours(len(runs)))


def pack_methods(rows: Sequence[Row]) -> dict[str, Any]:
    """Pack the training losses of compared methods like `pack_curves`, with a run for each seed."""
    runs = [
        (row.title, [{"loss": score.losses} for score in row.scores])
        for row in rows
        if any(len(score.losses) for score in row.scores)
    ]
    return _pack(runs, page_colours(len(runs)))


def pack_history(
    history: Mapping[str, Float[np.ndarray, " epochs"]], levels: Mapping[str, Levels] | None = None
) -> dict[str, Any]:
    """Pack the history of a single run like `pack_curves`."""
    return _pack([("this model", [history])], page_colours(1), levels)


def _pack(
    histories: Sequence[tuple[str, Sequence[Mapping[str, Any]]]],
    colours: Mapping[str, list[str]],
    levels: Mapping[str, Levels] | None = None,
) -> dict[str, Any]:
    runs = [history for _, each in histories for history in each]
    longest = max((len(values) for history in runs for values in history.values()), default=0)
    # In the order of `OBJECTIVES`; the order in a file may differ.
    order = {name: k for k, name in enumerate(OBJECTIVES)}
    names = sorted(
        dict.fromkeys(name for history in runs for name in history),
        key=lambda name: order.get(name, len(order)),
    )
    known = {name: [_known(history.get(name, ())) for history in runs] for name in names}
    several = [name for name in names if max(map(len, known[name])) > 1]
    # An even grid of epochs, and all epochs of metrics that have few.
    grids = [_thin(np.arange(longest))]
    for name in names:
        some = np.unique(np.concatenate(known[name]))
        grids += [_thin(some)] if len(some) < _MOST_EPOCHS else []
    epochs = np.unique(np.concatenate(grids))
    return {
        "epochs": (epochs + 1).tolist(),
        "metrics": {name: _label(name) for name in several},
        "levels": {
            name: [{"label": label, "value": _rounded(value)} for label, value in lines]
            for name, lines in (levels or {}).items()
            if name in several
        },
        "trials": [
            {
                "label": label,
                "colour": colours["light"][k],
                "dark_colour": colours["dark"][k],
                "runs": {
                    name: [_values(history.get(name, ()), epochs) for history in each]
                    for name in several
                },
            }
            for k, (label, each) in enumerate(histories)
        ],
    }


def _known(values: Any) -> Int[np.ndarray, " k"]:
    """Indices of the epochs with a finite value."""
    return np.flatnonzero(np.isfinite(np.asarray(values, np.float64)))


def _thin(epochs: Int[np.ndarray, " n"]) -> Int[np.ndarray, " k"]:
    """At most `_MOST_EPOCHS` epochs, spread evenly, with the first and the last."""
    n = min(len(epochs), _MOST_EPOCHS)
    return epochs[np.rint(np.linspace(0, max(len(epochs) - 1, 0), n)).astype(int)]


def _label(name: str) -> str:
    return metric_label(name) if name in OBJECTIVES else name.replace("_", " ")


def _values(values: Any, epochs: np.ndarray) -> list[float | None]:
    array = np.asarray(values, np.float64)
    found = [float(array[k]) if k < len(array) else math.nan for k in epochs]
    return [_rounded(v) if math.isfinite(v) else None for v in found]


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
