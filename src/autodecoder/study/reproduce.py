"""Repeating a study, and comparing the repetition with it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from autodecoder.config import StudyConfig
from autodecoder.errors import ConfigError, DataError
from autodecoder.paths import user_path
from autodecoder.study.events import Progress
from autodecoder.study.folder import describe_machine
from autodecoder.study.images import load_study_data
from autodecoder.study.results import Execution, Trial
from autodecoder.study.run import run_study
from autodecoder.study.saved import Study, load_study


@dataclass(frozen=True)
class RepeatedRun:
    """A run beside its repetition."""

    values: Mapping[str, Any]
    """Values of the searched settings."""
    execution: int
    before: float
    """Best value of the objective over the epochs that both have; NaN if there is none."""
    now: float
    differs_from: int | None
    """First epoch, from 1, in which any metric differs in any bit; `None` if there is none."""

    @property
    def difference(self) -> float:
        """Relative difference of the objective, 0 for equal values; NaN if only one has a value."""
        if self.before == self.now or (math.isnan(self.before) and math.isnan(self.now)):
            return 0.0
        return abs(self.now - self.before) / abs(self.before) if self.before else math.inf


@dataclass(frozen=True)
class Reproduction:
    """A study beside its repetition."""

    study: Study
    runs: tuple[RepeatedRun, ...]
    changed: Mapping[str, tuple[Any, Any]]
    """What is not as it was: versions and device, before and now."""

    @cached_property
    def is_exact(self) -> bool:
        """Whether all bits of all metrics are the same."""
        return all(run.differs_from is None for run in self.runs)

    @cached_property
    def difference(self) -> float:
        """Largest relative difference of the objective; infinite where only one has a value."""
        found = [math.inf if math.isnan(run.difference) else run.difference for run in self.runs]
        return max(found)


def reproduce_study(
    folder: Path | str,
    out: Path | str,
    *,
    every: bool = False,
    data_dir: Path | str | None = None,
    devices: int | str | None = None,
    report: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Reproduction:
    """Repeat a study from its settings, and compare all metrics of all epochs.

    On the same machine, with the same versions and devices, the bits are the same (tested on CPUs).
    Elsewhere sums round otherwise; training makes such differences grow, up to about those between
    two seeds.

    Parameters
    ----------
    folder : path
        The study.
    out : path
        Folder of the repetition; an interrupted one goes on.
    every : bool
        Repeat all trials that have ended, instead of the best one alone.
    data_dir : path, optional
        Where the data are now, if not where they were.
    devices : int or "all", optional
        As in `run_study`.
    report, should_stop : callable
        As in `run_study`.

    Raises
    ------
    ConfigError
        If `out` is the study itself or holds something else, or if no trial has ended.
    DataError
        If there is no study in the folder, or its images are not those of today.
    """
    folder, out = user_path(folder, "folder"), user_path(out, "out")
    study = load_study(folder)
    if out.resolve() == folder.resolve():
        raise ConfigError("out must be another folder than that of the study.")
    chosen = [trial for trial in study.trials if trial.executions and trial.error is None]
    if not every:
        chosen = [trial for trial in chosen if trial is study.best_trial]
    if not chosen:
        raise ConfigError(f"{folder} has no trial that has ended, so there is nothing to repeat.")
    config = _repeated(study.config, data_dir)
    dataset = load_study_data(config)
    if dataset.fingerprint != study.about["data_fingerprint"]:
        raise DataError(
            f"the images are not those of the study in {folder}: their fingerprint is "
            f"{dataset.fingerprint[:12]}, and was {study.about['data_fingerprint'][:12]}."
        )
    again: list[Trial] = []
    for k, (part, place) in enumerate(_parts(config, chosen, out, every=every)):
        if k and should_stop():
            break
        done = run_study(
            part, dataset, place, devices=devices, report=report, should_stop=should_stop
        )
        again += done.trials
    found = [pair for trial in chosen for pair in _pairs(trial, again, study.metric)]
    return Reproduction(study, tuple(found), _changes(study))


def _repeated(config: StudyConfig, data_dir: Path | str | None) -> StudyConfig:
    """The settings, without trackers, which have the study already, and with another folder."""
    log = replace(config.log, trackers=())
    data = config.data if data_dir is None else replace(config.data, data_dir=str(data_dir))
    return replace(config, log=log, data=data)


def _parts(
    config: StudyConfig, trials: list[Trial], out: Path, *, every: bool
) -> list[tuple[StudyConfig, Path]]:
    """The studies that repeat some trials, and their folders."""
    if every and config.search.sampler == "grid":
        return [(config, out)]
    parts = []
    for trial in trials:
        space = {name: (value,) for name, value in trial.values.items()}
        search = replace(config.search, space=space, sampler="grid", max_trials=None, prune=None)
        place = out if len(trials) == 1 else out / f"trial-{trial.number}"
        parts.append((replace(config, search=search), place))
    return parts


def _pairs(trial: Trial, again: list[Trial], metric: str) -> list[RepeatedRun]:
    """The runs of a trial beside those of its repetition; without one, beside nothing."""
    same = [other for other in again if other.values == trial.values]
    found = []
    for k, before in enumerate(trial.executions):
        now = same[0].executions[k] if same and k < len(same[0].executions) else None
        found.append(_pair(trial.values, k, before, now, metric))
    return found


def _pair(
    values: Mapping[str, Any], k: int, before: Execution, now: Execution | None, metric: str
) -> RepeatedRun:
    n = 0 if now is None else min(before.epochs, now.epochs)
    if now is None or n == 0:
        return RepeatedRun(values, k, before.best, math.nan, 1)
    differ = np.zeros(n, bool)
    for name, numbers in before.history.items():
        others = now.history.get(name, np.full(n, np.nan))[:n]
        differ |= ~((numbers[:n] == others) | (np.isnan(numbers[:n]) & np.isnan(others)))
    first = int(np.argmax(differ)) + 1 if differ.any() else None
    then, today = (replace(run, history=_first(run, n)).best for run in (before, now))
    return RepeatedRun(values, k, then, today, first)


def _first(run: Execution, n: int) -> dict[str, np.ndarray]:
    return {name: numbers[:n] for name, numbers in run.history.items()}


def _changes(study: Study) -> dict[str, tuple[Any, Any]]:
    then, today = study.about, describe_machine()
    before = {**then.get("versions", {}), "device": then.get("device")}
    now = {**today["versions"], "device": today["device"]}
    return {name: (before.get(name), now[name]) for name in now if before.get(name) != now[name]}
