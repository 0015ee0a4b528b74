"""The result of a comparison: a row for each method, with a score for each seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from autodecoder.files import finite
from autodecoder.text import count

#: Numbers from here on are shown with few digits.
_LARGE = 1000
#: Least number of seeds for a paired test.
_LEAST_PAIRS = 2


def best_rate(errors: Mapping[float, float]) -> float:
    """The learning rate with the least error; those that diverged come last."""
    return min(errors, key=lambda rate: (math.isnan(errors[rate]), errors[rate]))


class Score(NamedTuple):
    """A fit, and how it places images that it was not trained on."""

    seed: int
    rate: float
    """Learning rate; 0 for principal components, which have none."""
    diverged: bool
    """Whether the training loss was no longer finite, so that all errors are NaN, or the error of
    an unseen image."""
    train_error: float
    """Mean error of the training images at their latents after the fit."""
    errors: Float[np.ndarray, " n"]
    """Error of each unseen image."""
    losses: Float[np.ndarray, " epochs"]
    """Mean training loss of each epoch."""
    seconds: float
    """Of training, without compilation."""
    place_seconds: float
    """To place the unseen images."""
    n_trained: int
    """Number of values that the fit moves."""
    n_kept: int
    """Number of values needed to place and decode unseen images."""
    memory: int
    """Bytes of images, weights, latents and moments during the fit."""
    measures: Mapping[str, float] = {}
    """Further measures by name."""

    @property
    def error(self) -> float:
        """Mean error of the unseen images."""
        return float(np.mean(self.errors, dtype=np.float64))


class Difference(NamedTuple):
    """How the errors of one row differ from those of another with the same seeds."""

    mean: float
    """Mean difference over the seeds; below 0 if the first row has the lower error."""
    share: float
    """The mean difference as a share of the second row's error; NaN if that is 0."""
    p_value: float
    """Of the paired t-test over the seeds, two-sided; NaN with fewer than two seeds."""
    won: float
    """Share of unseen images whose error, averaged over the seeds, is lower in the first row."""


@dataclass(frozen=True, eq=False)
class Row:
    """One method."""

    name: str
    title: str
    epochs: int
    """Epochs of each fit; 0 for principal components."""
    searched: Mapping[float, float]
    """Error on held-out training images for each learning rate that was tried."""
    scores: Sequence[Score]
    """One for each seed."""

    @property
    def rate(self) -> float | None:
        """The learning rate of the scores; `None` for principal components."""
        return self.scores[0].rate or None if self.scores else None

    @property
    def sound(self) -> list[Score]:
        """The scores of fits that did not diverge."""
        return [score for score in self.scores if not score.diverged]

    def mean(self, name: str) -> float:
        """Mean over the seeds of an attribute of the scores, or else of one of their measures."""
        return float(np.mean(self._values(name))) if self.sound else math.nan

    def spread(self, name: str) -> float:
        """Standard deviation over the seeds, see `mean`; NaN with fewer than two."""
        values = self._values(name)
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    def _values(self, name: str) -> list[float]:
        of_score = name in Score._fields or name == "error"
        return [
            float(getattr(score, name) if of_score else score.measures.get(name, math.nan))
            for score in self.sound
        ]


@dataclass(frozen=True, eq=False)
class Comparison:
    """The result of `compare_methods`."""

    rows: Sequence[Row]
    settings: Mapping[str, Any]
    """What all methods share, as plain values."""
    models: Mapping[str, Any] = field(default_factory=dict)
    """The `Model` of each method's first seed, if it was fitted now or kept in the folder."""

    def __getitem__(self, name: str) -> Row:
        """The row of a name; a `KeyError` if there is none."""
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def difference(self, name: str, other: str) -> Difference | None:
        """Compare two rows by the seeds with which both were fitted without divergence; `None` if
        there are none."""
        firsts = {score.seed: score for score in self[name].sound}
        seconds = {score.seed: score for score in self[other].sound}
        seeds = [seed for seed in firsts if seed in seconds]
        if not seeds:
            return None
        a, b = (np.stack([of[seed].errors for seed in seeds]) for of in (firsts, seconds))
        differences = a.mean(axis=1, dtype=np.float64) - b.mean(axis=1, dtype=np.float64)
        mean, of_second = float(differences.mean()), float(b.mean())
        won = float((a.mean(axis=0) < b.mean(axis=0)).mean())
        share = mean / of_second if of_second else math.nan
        return Difference(mean, share, _p_value(differences), won)


def _p_value(differences: Float[np.ndarray, " seeds"]) -> float:
    from scipy.stats import ttest_1samp

    if len(differences) < _LEAST_PAIRS or not differences.std():
        return math.nan
    return float(ttest_1samp(differences, 0)[1])  # pyright: ignore[reportArgumentType]


#: Titles of the columns of `tabulate`, by name.
TITLES = {
    "method": "method",
    "rate": "learning rate",
    "epochs": "epochs",
    "train_error": "error, training",
    "error": "error, unseen",
    "difference": "auto-decoder against it",
    "p_value": "p",
    "won": "images where it is better",
    "seconds": "seconds of training",
    "place_seconds": "seconds to place",
    "n_trained": "values trained",
    "n_kept": "values kept",
    "memory": "memory in MB",
}


def tabulate(compared: Comparison, ours: str | None = None) -> tuple[list[str], list[list[str]]]:
    """The comparison as text: a head, and a line for each row.

    Parameters
    ----------
    compared : Comparison
    ours : str, optional
        The row that the others are compared with, if there is one.
    """
    further = dict.fromkeys(
        name for row in compared.rows for score in row.scores for name in score.measures
    )
    names = [*TITLES, *further]
    lines = [_line(compared, row, ours, list(further)) for row in compared.rows]
    # Columns without any content are left out.
    kept = [k for k in range(len(names)) if any(line[k] for line in lines)]
    heads = [TITLES.get(name, name) for name in names]
    return [heads[k] for k in kept], [[line[k] for k in kept] for line in lines]


def _line(compared: Comparison, row: Row, ours: str | None, further: Sequence[str]) -> list[str]:
    rate = "" if row.rate is None else f"{row.rate:g}"
    if not row.sound:
        empty = [""] * (len(TITLES) + len(further) - 4)
        return [row.title, rate, _count(row.epochs), "diverged", *empty]
    against = _against(compared, row, ours)
    n_lost = len(row.scores) - len(row.sound)
    title = f"{row.title} ({n_lost} of {len(row.scores)} diverged)" if n_lost else row.title
    place = min(score.place_seconds for score in row.sound)
    return [
        title,
        rate,
        _count(row.epochs),
        _number(row, "train_error"),
        _number(row, "error"),
        "" if against is None or math.isnan(against.share) else f"{100 * against.share:+.1f} %",
        "" if against is None or math.isnan(against.p_value) else f"{against.p_value:.2g}",
        "" if against is None else f"{100 * against.won:.0f} %",
        f"{row.mean('seconds'):.3g}",
        f"{place:.2g}",
        f"{row.sound[0].n_trained:,}",
        f"{row.sound[0].n_kept:,}",
        f"{row.mean('memory') / 1e6:.3g}",
        *(_number(row, name) for name in further),
    ]


def _against(compared: Comparison, row: Row, ours: str | None) -> Difference | None:
    """How our row differs from another one."""
    return None if ours is None or row.name == ours else compared.difference(ours, row.name)


def _count(n: int) -> str:
    return f"{n:,}" if n else ""


def _number(row: Row, name: str) -> str:
    value, spread = row.mean(name), row.spread(name)
    if math.isnan(value):
        return ""
    shown = "{:.4f}".format if abs(value) < _LARGE else "{:.4g}".format
    return shown(value) if math.isnan(spread) or not spread else f"{shown(value)} ± {shown(spread)}"


def to_content(compared: Comparison, ours: str | None = None) -> dict[str, Any]:
    """The comparison as plain values: settings, and for each row its scores without the errors of
    single images."""
    rows = []
    for row in compared.rows:
        against = _against(compared, row, ours)
        scores = [
            {
                **{k: v for k, v in score._asdict().items() if k not in ("errors", "losses")},
                "error": score.error,
            }
            for score in row.scores
        ]
        rows.append(
            {
                "name": row.name,
                "title": row.title,
                "epochs": row.epochs,
                "rate": row.rate,
                "searched": {f"{rate:g}": error for rate, error in row.searched.items()},
                "error": row.mean("error"),
                "ours_against_it": None if against is None else against._asdict(),
                "scores": scores,
            }
        )
    return finite({"settings": dict(compared.settings), "rows": rows})


def explain(compared: Comparison, ours: str | None = None) -> list[str]:
    """Notes below the table."""
    settings = compared.settings
    scaling, n_seeds = settings["scaler"], len(settings["seeds"])
    over = f", mean ± standard deviation over {n_seeds} seeds" if n_seeds > 1 else ""
    found = [f"Errors: mean squared errors in the scaling {scaling}{over}."]
    if any(row.searched for row in compared.rows):
        held = count(settings["n_held"], "held-out training image")
        mean = f", mean over {settings['n_splits']} splits" if settings["n_splits"] > 1 else ""
        found.append(f"Learning rates: those with the lowest error on {held}{mean}.")
    if ours is not None and len(compared.rows) > 1:
        found.append(
            "Auto-decoder against it: error of the auto-decoder relative to this method; negative "
            "if the auto-decoder has the lower error. p: paired t-test over the seeds. Images "
            "where it is better: share of unseen images with a lower error of the auto-decoder."
        )
    for row in compared.rows:
        if row.searched and all(math.isnan(error) for error in row.searched.values()):
            found.append(f"{row.title}: every learning rate diverged.")
        elif row.searched and row.rate != (best := best_rate(row.searched)):
            words = f"a fit collapsed at the learning rate {best:g}; a lower one is used."
            found.append(f"{row.title}: {words}")
        elif row.searched and row.rate in (min(row.searched), max(row.searched)):
            found.append(
                f"{row.title}: the best learning rate is at the edge of the searched range."
            )
    return found
