"""Learning curves of trials: one value per epoch, the mean over the executions."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from autodecoder.study.events import Began, Recorded
from autodecoder.study.observer import RunInfo
from autodecoder.study.results import UNFINISHED, Execution

#: Values of a trial by epoch, counted from 1.
Curve = dict[int, float]


def mean_curve(
    curves: Sequence[Float[np.ndarray, " _"]], ended: Sequence[bool]
) -> Float[np.ndarray, " epochs"]:
    """The mean over the executions, up to the last epoch that all unfinished ones have reached.

    An ended execution continues with its last value.

    Parameters
    ----------
    curves : sequence of arrays
        One value per epoch for each execution.
    ended : sequence of bool
        Whether each of them has ended.
    """
    under_way = [len(c) for c, has_ended in zip(curves, ended, strict=True) if not has_ended]
    n = min(under_way) if under_way else max(map(len, curves), default=0)
    if not n:
        return np.zeros(0)
    whole = [np.asarray(c, float)[:n] for c in curves if len(c)]
    return np.mean([np.pad(c, (0, n - len(c)), mode="edge") for c in whole], axis=0)


class Curves:
    """The curves of the trials of this process, and how much of them is reported.

    Parameters
    ----------
    metric : str
        A metric that is recorded after every epoch.
    """

    def __init__(self, metric: str) -> None:
        self._metric = metric
        self._values: dict[str, list[list[float]]] = {}
        self._ended: dict[str, list[bool]] = {}
        self._reported: dict[str, int] = {}

    def begin_trial(self, trial_id: str, executions: Sequence[Execution], reported: int) -> None:
        """Add a trial with its executions so far, and the number of epochs already reported."""
        metric = self._metric
        self._values[trial_id] = [[float(v) for v in e.history[metric]] for e in executions]
        self._ended[trial_id] = [e.status != UNFINISHED for e in executions]
        self._reported[trial_id] = max(reported, self._reported.get(trial_id, 0))

    def take(self, told: object) -> None:
        """Record an event of a run."""
        if isinstance(told, Began):  # values after that epoch are dropped
            values = self._values[told.info.trial_id][told.info.execution]
            values += [np.nan] * (told.epoch - len(values))
            del values[told.epoch :]
        elif isinstance(told, Recorded) and self._metric in told.metrics:
            values = self._values[told.info.trial_id][told.info.execution]
            values += [float(value) for value in told.metrics[self._metric]]

    def end_run(self, run: RunInfo) -> None:
        """Record the end of an execution."""
        self._ended[run.trial_id][run.execution] = True

    def end_trial(self, trial_id: str) -> None:
        """Remove a trial."""
        for known in (self._values, self._ended, self._reported):
            known.pop(trial_id, None)

    def news(self, trial_id: str | None = None) -> dict[str, Curve]:
        """The values that are not reported yet, of all trials or of one."""
        found = {}
        for one in self._values if trial_id is None else (trial_id,):
            if one in self._values:
                curve = mean_curve([np.array(v) for v in self._values[one]], self._ended[one])
                first = self._reported[one]
                if len(curve) > first:
                    found[one] = dict(enumerate(map(float, curve[first:]), start=first + 1))
        return found

    def note_reported(self, news: Mapping[str, Curve]) -> None:
        """Mark these values as reported."""
        self._reported |= {trial_id: max(curve) for trial_id, curve in news.items()}
