"""Tables on the terminal: the trials of a study, several studies, and studies side by side."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from autodecoder.cli.console import console, describe, wide_console
from autodecoder.compare import Comparison
from autodecoder.compare.result import TITLES, tabulate
from autodecoder.config import (
    OWN_SOURCES,
    Range,
    StudyConfig,
    Values,
    differences,
    format_value,
    to_dict,
)
from autodecoder.data.overview import Overview
from autodecoder.measures.evaluation import Evaluation
from autodecoder.study import Reproduction, Study, Trial
from autodecoder.study.results import FAILED, PRUNED, UNFINISHED, format_score
from autodecoder.text import count, legible

_N_SHOWN = 10
#: Most characters of a fact.
_MOST_OF_FACT = 400
#: Columns of compared methods; the page has all.
_SHOWN_OF_METHODS = tuple(
    TITLES[name]
    for name in ("method", "rate", "error", "difference", "p_value", "seconds", "place_seconds")
)
_METRICS = ("loss", "val_loss", "fresh_val_loss")


def print_study(study: Study) -> None:
    """Print the best trials with their settings and scores, and notes about them."""
    config = study.config
    n = config.executions_per_trial
    over = f", mean ± standard deviation over {n} executions" if n > 1 else ""
    n_trials = len(study.trials)
    which = f"The best {_N_SHOWN} of {n_trials} trials" if n_trials > _N_SHOWN else "Trials"
    console.print(f"\n{which} by {study.metric}, best first", highlight=False)
    console.print(
        f"best: {study.metric} of the best epoch{over}; other losses: after the last epoch",
        highlight=False,
    )
    table, metrics = _table(), _METRICS if study.about.get("n_val") != 0 else ("loss",)
    for name in ("trial", *config.searched, "best", *metrics):
        table.add_column(
            name.replace("_", " ") if name in config.searched else name, justify="right"
        )
    for name in ("epochs", "seconds", "ended"):
        table.add_column(name, justify="left" if name == "ended" else "right")
    for trial in study.trials[:_N_SHOWN]:
        table.add_row(
            trial.trial_id,
            *(format_value(trial.values[name]) for name in config.searched),
            format_score(trial),
            *(_number(trial.last(metric)) for metric in metrics),
            _epochs(trial),
            _seconds(trial),
            _ended(trial),
        )
    wide_console().print(table)
    ended = sum(trial.state != UNFINISHED for trial in study.trials)
    total = config.search.n_trials
    failed = sum(trial.state == FAILED for trial in study.trials)
    pruned = sum(trial.state == PRUNED for trial in study.trials)
    if pruned:
        console.print(
            f"{count(pruned, 'trial')} pruned by the rule {config.search.prune}: worse than the "
            "trials that ran with them."
        )
    if failed:
        console.print(f"{count(failed, 'trial')} failed: no finite {study.metric}, or no memory.")
    if ended < total and config.search.sampler != "random":
        console.print(f"{ended} of {count(total, 'trial')} ended.")
    timed = [e for trial in study.trials for e in trial.executions if e.epochs and e.seconds]
    if timed:
        seconds, epochs = sum(e.seconds for e in timed), sum(e.epochs for e in timed)
        console.print(
            f"{count(epochs, 'epoch')} in {seconds:.1f} s ({seconds / epochs:.3g} s each)",
            highlight=False,
        )
    print_yardstick(study)


def print_yardstick(study: Study) -> None:
    """Print the errors of the mean image and of as many principal components as the latents of the
    printed trials have dimensions."""
    yardstick = study.yardstick
    if yardstick is None:
        return
    beside = yardstick.tell(map(study.latent_dims, study.trials[:_N_SHOWN]))
    console.print(
        f"For comparison, mean squared errors of the {yardstick.images}: {beside}."
        f"{yardstick.note()}",
        highlight=False,
    )


def print_best(study: Study) -> None:
    """Print the best trial of a search in a sentence."""
    best = study.best_trial
    assert best is not None  # checked by the caller
    values = ", ".join(
        f"{name.replace('_', ' ')} {format_value(best.values[name])}"
        for name in study.config.searched
    )
    console.print(
        f"Best trial {best.trial_id}: {values}; {study.metric} {format_score(best)}",
        highlight=False,
    )
    for name in study.config.searched:
        beyond = _beyond(best.values[name], study.config.search.space[name])
        if beyond is not None:
            console.print(
                f"{name.replace('_', ' ')} {format_value(best.values[name])} is at the end of the "
                f"searched values: {beyond} ones may be better.",
                highlight=False,
            )


def _beyond(value: Any, values: Values) -> str | None:
    """Which numbers lie beyond a value at an end of the search: `lower` or `higher`. The outer
    twentieths of a range count as its ends."""
    if isinstance(values, Range):
        low, high, at = (float(number) for number in (values.low, values.high, value))
        if values.log:
            low, high, at = map(math.log, (low, high, at))
        margin = (high - low) / 20
    elif len(values) > 1 and all(type(v) in (int, float) for v in values):
        low, high, at, margin = min(values), max(values), value, 0
    else:
        return None
    return "lower" if at <= low + margin else "higher" if at >= high - margin else None


def print_methods(compared: Comparison, ours: str | None) -> None:
    """Print a line for each compared method, with the columns that matter most."""
    head, lines = tabulate(compared, ours)
    shown = [k for k, name in enumerate(head) if name in _SHOWN_OF_METHODS]
    table = _table()
    for k in shown:
        table.add_column(head[k], justify="right" if k else "left")
    for line in lines:
        table.add_row(*(line[k] for k in shown))
    wide_console().print(table)


def print_reproduction(found: Reproduction) -> None:
    """Print a line for each run that was repeated, and what has changed since."""
    searched, table = found.study.config.searched, _table()
    for name in (*(name.replace("_", " ") for name in searched), "run", found.study.metric):
        table.add_column(name, justify="right")
    for name in ("now", "difference", "first difference"):
        table.add_column(name, justify="right")
    for run in found.runs:
        first = [] if run.differs_from is None else [f"epoch {run.differs_from}"]
        table.add_row(
            *(format_value(run.values[name]) for name in searched),
            str(run.execution + 1),
            *(f"{value:.6g}" for value in (run.before, run.now)),
            "same bits" if run.is_exact else tell_difference(run.difference),
            ", ".join(first or run.differs_in),
        )
    wide_console().print(table)
    if found.changed:
        told = ", ".join(f"{name} {old} is now {new}" for name, (old, new) in found.changed.items())
        console.print(f"Changed since: {told}.", highlight=False)


def tell_difference(share: float) -> str:
    """A relative difference in percent; `no result` if it is not finite."""
    return f"{100 * share:.2g} %" if math.isfinite(share) else "no result"


def print_studies(studies: Sequence[Study], unreadable: Sequence[tuple[Path, str]]) -> None:
    """Print a line for each study, with the searched values of some settings."""
    table = _table()
    for name in ("study", "data set", "arch", "latent dims", "trials", "objective", "best"):
        table.add_column(name)
    for study in studies:
        config, best = study.config, study.best_trial
        table.add_row(
            str(study.folder),
            legible(config.data.dataset),
            _values(config, "arch"),
            _values(config, "latent_dims"),
            _trials_ended(study),
            config.objective or config.metric,
            "none yet" if best is None else format_score(best),
        )
    wide_console().print(table)
    for path, reason in unreadable:
        console.print(f"{path}: {reason}", highlight=False)


def print_comparison(studies: Sequence[Study]) -> None:
    """Print studies side by side: their best trials, and the settings that differ."""
    table = _table()
    for name in ("", *(str(study.folder) for study in studies)):
        table.add_column(name, justify="left" if not name else "right")
    table.add_row("objective", *(study.config.objective or study.metric for study in studies))
    table.add_row("trials ended", *(_trials_ended(study) for study in studies))
    bests = [study.best_trial for study in studies]
    table.add_row("best score", *("none" if b is None else format_score(b) for b in bests))
    names = dict.fromkeys(name for study in studies for name in study.config.searched)
    for name in names:
        table.add_row(f"  its {name.replace('_', ' ')}", *(_value(b, name) for b in bests))
    for name, label in (("mean_image", "mean image"), ("components", "principal components")):
        errors = (
            {} if b is None else s.errors_beside(b) for s, b in zip(studies, bests, strict=True)
        )
        table.add_row(f"  {label}", *(_number(found.get(name, math.nan)) for found in errors))
    for metric in (*_METRICS, "psnr", "val_psnr"):
        values = ("–" if b is None else _number(b.last(metric)) for b in bests)
        table.add_row(f"  its last {metric}", *values)
    table.add_row("  its epochs", *("–" if b is None else _epochs(b) for b in bests))
    seconds = (sum(e.seconds for t in s.trials for e in t.executions) for s in studies)
    table.add_row("seconds of training", *(f"{value:.1f}" for value in seconds))
    changed = differences(*(to_dict(study.config) for study in studies))
    if changed:
        table.add_section()
    for path, values in changed.items():
        table.add_row(path, *("–" if v is None else legible(_setting(v)) for v in values))
    wide_console().print(table)


def print_datasets(listed: Sequence[Overview]) -> None:
    """Print a line for each published data set."""
    table = _table()
    for name in ("data set", "images", "validation", "shape", "classes", "where"):
        table.add_column(name, justify="left" if name in ("data set", "where") else "right")
    for found in listed:
        where = f"not here: {found.megabytes} MB to download"
        if found.is_here:
            where = str(found.folder or "comes with scikit-learn")
        table.add_row(
            found.name,
            f"{found.n_train:,}",
            f"{found.n_val:,}",
            " × ".join(map(str, found.image_shape)),
            str(found.n_classes),
            where,
        )
    wide_console().print(table)
    own = ", ".join(f"{kind}:{what}" for kind, what in OWN_SOURCES.items())
    console.print(f"Your own images: --dataset {own}; see docs/datasets.md", highlight=False)


def print_facts(folder: Path, facts: Mapping[str, object]) -> None:
    """Print a line for each known fact about a model."""
    known = {
        name: legible(value, _MOST_OF_FACT)
        for name, value in {"model": folder, **facts}.items()
        if value is not None
    }
    width = max(map(len, known))
    for name, value in known.items():
        console.print(f"{name:{width}}  {value}", highlight=False)


def print_evaluation(evaluation: Evaluation) -> None:
    """The measures of a model: those of samples beside those of reconstructions."""
    for group, head, floor in (
        ("reconstruction", "", None),
        ("structure", "", None),
        ("generation", "samples", "reconstructions"),
    ):
        rows = [row for row in evaluation.rows() if row.group == group]
        table = _table()
        table.add_column(group)
        for name in (head, floor):
            if name is not None:
                table.add_column(name, justify="right")
        for row in rows:
            table.add_row(*row[1:] if floor else row[1:3])
        if rows:
            wide_console().print(table)
    head, *lines = evaluation.class_rows() or [()]
    if lines:
        table = _table()
        for name in head:
            table.add_column(name, justify="right")
        for line in lines:
            table.add_row(*map(legible, line))
        wide_console().print(table)
    for note in evaluation.notes():
        console.print(note, highlight=False)


def _table() -> Table:
    return Table(box=box.SIMPLE_HEAD, pad_edge=False)


def _value(trial: Trial | None, name: str) -> str:
    return "–" if trial is None or name not in trial.values else format_value(trial.values[name])


def _values(config: StudyConfig, name: str) -> str:
    """The values of a decoder setting over all trials."""
    return describe(config.search.space.get(name, (getattr(config.decoder, name),)))


def _setting(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_setting, value))
    return format_value(value)


def _trials_ended(study: Study) -> str:
    ended = sum(trial.state != UNFINISHED for trial in study.trials)
    return f"{ended} of {study.config.search.n_trials}"


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "–"


def _epochs(trial: Trial) -> str:
    epochs = sorted({execution.epochs for execution in trial.executions})
    return str(epochs[0]) if len(epochs) == 1 else f"{epochs[0]}–{epochs[-1]}"


def _seconds(trial: Trial) -> str:
    """The seconds of a trial; none yet if another process is still running it."""
    seconds = sum(execution.seconds for execution in trial.executions)
    return f"{seconds:.1f}" if seconds else "–"


def _ended(trial: Trial) -> str:
    if trial.error:
        return legible(trial.error)
    counts: dict[str, int] = {}
    for execution in trial.executions:
        counts[execution.status] = counts.get(execution.status, 0) + 1
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
