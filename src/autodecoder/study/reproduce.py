"""Repeating a study, and comparing the repetition with it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from autodecoder.config import StudyConfig
from autodecoder.data.known import trusted_source
from autodecoder.errors import ConfigError, DataError
from autodecoder.paths import user_path
from autodecoder.study.checkpoint import load_outcome
from autodecoder.study.events import Progress
from autodecoder.study.folder import describe_machine
from autodecoder.study.images import load_study_data
from autodecoder.study.records import execution_folder
from autodecoder.study.results import DIVERGED, PRUNED, UNFINISHED, Execution, Trial
from autodecoder.study.run import run_study
from autodecoder.study.saved import Study, load_study

#: Name, type, shape and content of arrays.
_Bits = list[tuple[str, str, tuple[int, ...], bytes]]


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
    """First epoch, from 1, in which any metric differs in any bit, or that one run lacks; `None` if
    there is none."""
    differs_in: tuple[str, ...] = ()
    """What else differs: `status`, how the run ended; `model`, any bit of decoder or latents, where
    both are kept."""

    @property
    def is_exact(self) -> bool:
        """Whether nothing differs."""
        return self.differs_from is None and not self.differs_in

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
        """Whether all bits of all metrics, and of the models that are kept, are the same."""
        return all(run.is_exact for run in self.runs)

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
    dataset: str | None = None,
    data_dir: Path | str | None = None,
    split_by: Path | str | None = None,
    mask: Path | str | None = None,
    devices: int | str | None = None,
    report: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Reproduction:
    """Repeat a study from its settings, and compare all metrics of all epochs, and the best models.

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
    dataset : str, optional
        The images of the study, as in `load_dataset`. It is required for your own images if this
        account has not trained on them, since the study may come from a stranger.
    data_dir : path, optional
        Folder of published data sets.
    split_by, mask : path, optional
        The table of the split of these images, and their known pixels, as in `load_dataset`.
    devices : int or "all", optional
        As in `run_study`.
    report, should_stop : callable
        As in `run_study`.

    Raises
    ------
    ConfigError
        If `out` is the study itself or holds something else, or if no trial has ended.
    DataError
        If there is no study in the folder, its images are not those of today, or it names images
        of your own on which this account has not trained.
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
    fingerprint = study.about["data_fingerprint"]
    data = trusted_source(
        *(study.config.data, study.config.seed, fingerprint),
        dataset=dataset,
        data_dir=None if data_dir is None else user_path(data_dir, "data_dir"),
        split_by=None if split_by is None else user_path(split_by, "split_by"),
        mask=None if mask is None else user_path(mask, "mask"),
    )
    # The study has what the trackers would log.
    log = replace(study.config.log, trackers=())
    config = replace(study.config, data=data, log=log)
    images = load_study_data(config)
    if images.fingerprint != fingerprint:
        raise DataError(
            f"the images are not those of the study in {folder}: their fingerprint is "
            f"{images.fingerprint[:12]}, and was {fingerprint[:12]}."
        )
    again: list[tuple[Path, Trial]] = []
    for k, (part, place) in enumerate(_parts(config, chosen, out, every=every)):
        if k and should_stop():
            break
        done = run_study(
            part, images, place, devices=devices, report=report, should_stop=should_stop
        )
        again += [(done.folder, trial) for trial in done.trials]
    found = [pair for trial in chosen for pair in _pairs(folder, trial, again)]
    return Reproduction(study, tuple(found), _changes(study))


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


def _pairs(folder: Path, trial: Trial, again: list[tuple[Path, Trial]]) -> list[RepeatedRun]:
    """The runs of a trial beside those of its repetition; without one, beside nothing."""
    same = [(place, other) for place, other in again if other.values == trial.values]
    if not same:
        bests = [execution.best for execution in trial.executions]
        return [RepeatedRun(trial.values, k, best, math.nan, 1) for k, best in enumerate(bests)]
    place, other = same[0]
    pairs = zip(trial.executions, other.executions, strict=True)
    both = (folder, trial.trial_id), (place, other.trial_id)
    return [
        _pair(trial.values, k, before, now, *(_model_of(execution_folder(*one, k)) for one in both))
        for k, (before, now) in enumerate(pairs)
    ]


def _model_of(folder: Path) -> _Bits | None:
    """The decoder and the latents of a run, to compare bit for bit; `None` if they are not kept."""
    outcome = load_outcome(folder)
    if outcome is None or outcome.shown is None:
        return None
    shown = outcome.shown
    latents = {"train latents": shown.train_latents, "val latents": shown.val_latents}
    arrays = sorted({**shown.decoder, **latents}.items())
    return [(name, str(array.dtype), array.shape, array.tobytes()) for name, array in arrays]


def _pair(
    values: Mapping[str, Any],
    k: int,
    before: Execution,
    now: Execution,
    model: _Bits | None,
    model_now: _Bits | None,
) -> RepeatedRun:
    n = min(before.epochs, now.epochs)
    if n == 0:
        return RepeatedRun(values, k, before.best, math.nan, 1)
    differ = np.zeros(n, bool)
    for name, numbers in before.history.items():
        others = now.history.get(name, np.full(n, np.nan))[:n]
        differ |= ~((numbers[:n] == others) | (np.isnan(numbers[:n]) & np.isnan(others)))
    first = int(np.argmax(differ)) + 1 if differ.any() else None
    then, today = (replace(run, history=_first(run, n)).best for run in (before, now))
    # A run that was interrupted or pruned may go on further when it is repeated.
    has_ended = before.status not in (UNFINISHED, PRUNED)
    if first is None and (now.epochs < before.epochs or (has_ended and now.epochs != n)):
        first = n + 1
    unlike = {
        "status": has_ended and now.status != before.status,
        "model": has_ended and None not in (model, model_now) and model != model_now,
    }
    if unlike["status"] and DIVERGED in (now.status, before.status):
        then, today = (math.nan if run.status == DIVERGED else run.best for run in (before, now))
    return RepeatedRun(values, k, then, today, first, tuple(n for n in unlike if unlike[n]))


def _first(run: Execution, n: int) -> dict[str, np.ndarray]:
    return {name: numbers[:n] for name, numbers in run.history.items()}


def _changes(study: Study) -> dict[str, tuple[Any, Any]]:
    then, today = study.about, describe_machine()
    before = {**then.get("versions", {}), "device": then.get("device")}
    now = {**today["versions"], "device": today["device"]}
    return {name: (before.get(name), now[name]) for name in now if before.get(name) != now[name]}
