"""Results of a study: executions, trials, and their ranking."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from autodecoder.brief import brief
from autodecoder.config import OBJECTIVES
from autodecoder.text import told

#: States of executions, and states of trials.
FINISHED, STOPPED, DIVERGED, UNFINISHED = "finished", "stopped early", "diverged", "unfinished"
COMPLETE, FAILED = "complete", "failed"
#: State of both: ended early because other trials were better.
PRUNED = "pruned"
STATUSES = (FINISHED, STOPPED, DIVERGED, UNFINISHED, PRUNED)
STATES = (COMPLETE, UNFINISHED, PRUNED, FAILED)

#: Longest time that a file can tell, in seconds.
_LONGEST = 1e15


def check_run(status: Any, seconds: Any) -> None:
    """Check what a file tells of an execution.

    Raises
    ------
    ValueError
        If `status` is no state of an execution, or `seconds` is no time.
    """
    if status not in STATUSES:
        raise ValueError(f"{told(status)} is no state of an execution")
    if type(seconds) not in (int, float) or not 0 <= seconds < _LONGEST:
        raise ValueError(f"{told(seconds)} is no number of seconds")


@brief
@dataclass(frozen=True, eq=False)
class Execution:
    """One run: its history, its status, and the best value of its objective.

    Parameters
    ----------
    history : dict of (epochs,) arrays
        One value per epoch for each recorded metric, up to the last epoch. Metrics of the fresh
        protocol are NaN in epochs without fresh validation.
    metric : str
        The recorded metric that is the objective.
    status : str
        `finished`, `stopped early`, `diverged` (a loss was no finite number), `pruned` (the trial
        was worse than others, see `SearchConfig.prune`) or `unfinished`.
    seconds : float
        Time spent on its epochs.
    """

    history: dict[str, Float[np.ndarray, " epochs"]]
    metric: str
    status: str
    seconds: float = 0.0

    @property
    def epochs(self) -> int:
        """Number of epochs done."""
        return len(self.history["loss"])

    @cached_property
    def best_epoch(self) -> int | None:
        """The epoch, counted from 1, of the objective's best value; `None` if it has none."""
        badness = sign(self.metric) * self.history[self.metric]
        badness = np.where(np.isfinite(badness), badness, np.inf)
        if not np.isfinite(badness).any():
            return None
        return int(np.argmin(badness)) + 1

    @property
    def best(self) -> float:
        """The objective's best value over the epochs; NaN if it has none."""
        if self.best_epoch is None:
            return math.nan
        return float(self.history[self.metric][self.best_epoch - 1])

    def last(self, metric: str) -> float:
        """A metric after the last epoch; NaN if it has no value."""
        values = self.history.get(metric)
        return float(values[-1]) if values is not None and len(values) else math.nan


@brief
@dataclass(frozen=True, eq=False)
class Trial:
    """One hyperparameter configuration, run once or several times."""

    trial_id: str
    """Random identifier, unique across studies."""
    number: int
    """Place in the order in which the study chose its trials, from 0."""
    values: Mapping[str, Any]
    """Values of the searched settings."""
    executions: tuple[Execution, ...]
    state: str
    """`complete`; `pruned`, ended early because others were better; `failed`, without a finite
    score; or `unfinished`."""
    error: str | None = None
    """Reason of a failure other than divergence."""

    @property
    def learning_rate(self) -> float:
        """The decoder's learning rate."""
        return self.values["learning_rate"]

    @property
    def score(self) -> float:
        """Mean over the executions of the objective at each one's best epoch; NaN if one has none.

        For an unfinished trial, executions that have begun count; for a pruned one, epochs done.
        """
        return float(np.mean(self._bests)) if self._bests else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation of those values over the executions; 0 for a single one."""
        return float(np.std(self._bests)) if self._bests else math.nan

    def last(self, metric: str) -> float:
        """A metric after the last epoch, mean over the executions begun; NaN if none has."""
        values = [execution.last(metric) for execution in self.executions if execution.epochs]
        return sum(values) / len(values) if values else math.nan

    @property
    def best_execution(self) -> int | None:
        """Number of the execution with the best value among those that did not diverge."""
        candidates = [
            (sign(e.metric) * e.best, k)
            for k, e in enumerate(self.executions)
            if e.status != DIVERGED and math.isfinite(e.best)
        ]
        return min(candidates)[1] if candidates else None

    @property
    def _bests(self) -> list[float]:
        return [
            execution.best
            for execution in self.executions
            if execution.epochs or execution.status != UNFINISHED
        ]


@brief
@dataclass(frozen=True, eq=False)
class Shown:
    """Data of a run for its pictures and its page."""

    decoder: Mapping[str, np.ndarray]
    """Its arrays by name, as `core.tree` names them."""
    train_latents: Float[np.ndarray, "n_train dims"]
    val_latents: Float[np.ndarray, "n_val dims"]
    train_labels: Int[np.ndarray, " n_train"]
    val_labels: Int[np.ndarray, " n_val"]
    val_loss: Float[np.ndarray, " n_val"]
    """Loss of each validation image; NaN if it was not measured."""


def format_score(trial: Trial) -> str:
    """The score for people, with its spread if there are several executions."""
    if not math.isfinite(trial.score):
        return "none"
    spread = f" ± {trial.spread:.4f}" if len(trial.executions) > 1 else ""
    return f"{trial.score:.4f}{spread}"


def sign(metric: str) -> int:
    """1 if less of a metric is better, -1 if more is."""
    return 1 if OBJECTIVES[metric] == "min" else -1


def rank(trials: Iterable[Trial], metric: str) -> tuple[Trial, ...]:
    """Sort by state (complete, unfinished, pruned, failed), then by score, best first."""

    def place(trial: Trial) -> tuple[int, float, int]:
        badness = sign(metric) * trial.score if math.isfinite(trial.score) else math.inf
        return STATES.index(trial.state), badness, trial.number

    return tuple(sorted(trials, key=place))
