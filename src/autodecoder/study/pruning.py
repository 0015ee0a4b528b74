"""Pruning: Optuna's pruners choose the trials of a group that end early.

A rung is an epoch that all unfinished runs have reached. There, the trials of a group are compared
by their learning curves, and some of them end. The choice depends only on recorded values, so a
study that was interrupted makes the same choice.
"""

import logging
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import optuna
from jaxtyping import Float
from optuna.pruners import MedianPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, TrialState, create_trial

from autodecoder.config import OBJECTIVES
from autodecoder.quiet import quiet
from autodecoder.study.curves import mean_curve
from autodecoder.study.results import sign
from autodecoder.study.slot import Slot

#: Successive halving keeps the better half at 1/8, 1/4 and 1/2 of the epochs.
_KEPT, _SHARES = 2, (2, 4, 8)
#: The median rule compares after each sixteenth of the epochs.
_LOOKS = 16

#: Curves of ended executions, by trial and number.
Known = Mapping[tuple[str, int], Float[np.ndarray, " _"]]


class Pruning:
    """The rungs of a group, and the trials that end there.

    Parameters
    ----------
    rule : str
        `asha` or `median`.
    metric : str
        A metric that is recorded after every epoch.
    num_epochs : int
    known : mapping
        Executions of the group's trials that ended before.
    """

    def __init__(self, rule: str, metric: str, num_epochs: int, known: Known) -> None:
        self._rule, self._metric = rule, metric
        self._rungs = list_rungs(rule, num_epochs)
        self._known = dict(known)

    def next_rung(self, epoch: int) -> int | None:
        """The first rung after an epoch."""
        return next((rung for rung in self._rungs if rung > epoch), None)

    def keep(self, slots: Sequence[Slot], curves: Float[np.ndarray, "runs epochs"]) -> None:
        """Record ended runs before they leave the population."""
        for slot, curve in zip(slots, curves, strict=True):
            if slot.ended:
                self._known[slot.info.trial_id, slot.info.execution] = curve[: slot.epoch]

    def judge(self, slots: Sequence[Slot], curves: Float[np.ndarray, "runs epochs"]) -> set[str]:
        """The trials that end now.

        Parameters
        ----------
        slots : sequence of Slot
            All runs of the population.
        curves : (runs, epochs)
            The metric of each run after every epoch.
        """
        pruned: set[str] = set()
        while True:
            active = [s for s in slots if not s.ended and s.info.trial_id not in pruned]
            low = min((slot.epoch for slot in active), default=0)
            if not self._rungs or self._rungs[0] > low:
                return pruned
            rung = self._rungs.pop(0)
            losers = find_losers(self._rule, self._metric, rung, self._means(slots, curves))
            # Trials beyond this rung have passed it before, so they stay.
            passed = {slot.info.trial_id for slot in active if slot.epoch > rung}
            pruned |= (losers & {slot.info.trial_id for slot in active}) - passed

    def _means(
        self, slots: Sequence[Slot], curves: Float[np.ndarray, "runs epochs"]
    ) -> dict[str, Float[np.ndarray, " _"]]:
        """The curve of each trial of the group, in a fixed order."""
        executions = {key: (curve, True) for key, curve in self._known.items()}
        for slot, curve in zip(slots, curves, strict=True):
            key = slot.info.trial_id, slot.info.execution
            executions[key] = curve[: slot.epoch], slot.ended
        trials: dict[str, list[tuple[np.ndarray, bool]]] = {}
        for (trial_id, _), execution in sorted(executions.items(), key=lambda item: item[0]):
            trials.setdefault(trial_id, []).append(execution)
        return {i: mean_curve(*map(list, zip(*known, strict=True))) for i, known in trials.items()}


def list_rungs(rule: str, num_epochs: int) -> list[int]:
    """The epochs at which the trials of a group are compared."""
    if rule == "asha":
        rungs = [num_epochs // share for share in _SHARES]
    else:
        rungs = [num_epochs * k // _LOOKS for k in range(1, _LOOKS)]
    return sorted({rung for rung in rungs if rung > 0})


def find_losers(
    rule: str, metric: str, rung: int, curves: Mapping[str, Float[np.ndarray, " _"]]
) -> set[str]:
    """The trials that a rule ends at a rung.

    Parameters
    ----------
    rule : str
        `asha` compares the trials that have reached the rung. `median` compares all trials; ended
        ones count with their last values.
    metric : str
    rung : int
        The epoch.
    curves : mapping
        One value per epoch for each trial, as far as it has come.
    """
    there = [trial_id for trial_id, curve in curves.items() if len(curve) >= rung]
    values = {
        i: float(curve[min(rung, len(curve)) - 1]) for i, curve in curves.items() if len(curve)
    }
    finite = [i for i in there if np.isfinite(values[i])]
    if not finite:
        return set()
    diverged = set(there) - set(finite)
    if rule == "asha":
        # A trial that is better than a kept one is also kept, so bisection needs few calls.
        ranked = sorted(finite, key=lambda i: sign(metric) * values[i])
        n_kept = bisect_left(ranked, True, key=lambda i: _is_halved(metric, values, ranked, i))
        return diverged | set(ranked[n_kept:])
    trials = {
        i: create_trial(
            state=TrialState.COMPLETE,
            value=values[i],
            intermediate_values=dict(
                enumerate(np.pad(c, (0, rung), mode="edge")[:rung].tolist(), 1)
            ),
        )
        for i, c in curves.items()
        if np.isfinite(values.get(i, np.nan))
    }
    study, pruner = _study(metric, trials.values()), MedianPruner(n_startup_trials=0)
    return diverged | {i for i in finite if pruner.prune(study, trials[i])}


def _is_halved(
    metric: str, values: Mapping[str, float], there: Sequence[str], trial_id: str
) -> bool:
    """Whether successive halving ends a trial among those at the rung.

    Optuna compares a trial with those that reached the rung before it. Here all have reached it, so
    each is treated as the last one.
    """
    order = [*(other for other in there if other != trial_id), trial_id]
    trials = [
        create_trial(state=TrialState.RUNNING, intermediate_values={1: values[i]}) for i in order
    ]
    study = _study(metric, trials)
    pruner = SuccessiveHalvingPruner(min_resource=1, reduction_factor=_KEPT)
    # The call also records that a trial has reached the rung.
    return [pruner.prune(study, trial) for trial in study.get_trials(deepcopy=False)][-1]


def _study(metric: str, trials: Iterable[FrozenTrial]) -> optuna.Study:
    """A study in memory."""
    direction = "minimize" if OBJECTIVES[metric] == "min" else "maximize"
    with quiet(logging.getLogger("optuna"), logging.WARNING):
        study = optuna.create_study(direction=direction)
    study.add_trials(trials)
    return study
