"""The table of trials on the page of a study."""

import math
from typing import Any

from autodecoder.config import OBJECTIVES, format_value
from autodecoder.study import Study
from autodecoder.study.results import format_score
from autodecoder.text import legible

#: Largest number of trials on a page; the best ones are listed.
_MOST_TRIALS = 50
_METRICS = ("loss", "val_loss", "fresh_val_loss")


def _others(study: Study) -> list[str]:
    """The losses in the table of trials, besides the objective."""
    known = _METRICS if study.about.get("n_val") != 0 else ("loss",)
    return [name for name in known if name != study.metric]


def trials_text(study: Study) -> str:
    """What the columns of the table of trials mean."""
    n, others = study.config.executions_per_trial, _others(study)
    least = "least" if OBJECTIVES[study.metric] == "min" else "largest"
    over = f", mean ± standard deviation of {n} executions" if n > 1 else ""
    columns = f"{'Column' if len(others) == 1 else 'Columns'} {', '.join(others)}"
    return (
        f"Best first. Column {study.metric}: {least} over the epochs{over}. {columns}: after the "
        "last epoch."
    )


def trials_table(study: Study) -> dict[str, Any]:
    """The best trials as rows of a table, with the names of its columns."""
    searched = list(study.config.searched)
    columns = ["trial", *(name.replace("_", " ") for name in searched), study.metric]
    others = _others(study)
    columns += [*others, "epochs", "state"]
    rows = [
        [
            trial.trial_id,
            *(format_value(trial.values[name]) for name in searched),
            format_score(trial),
            *(_number(trial.last(name)) for name in others),
            max((execution.epochs for execution in trial.executions), default=0),
            legible(trial.error or trial.state),
        ]
        for trial in study.trials[:_MOST_TRIALS]
    ]
    return {"columns": columns, "rows": rows, "has_best": study.best_trial is not None}


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "–"
