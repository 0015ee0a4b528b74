"""The base of observers for experiment trackers: one run per execution, each epoch logged once."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autodecoder.config import StudyConfig, to_dict
from autodecoder.core.fit import FRESH_METRICS
from autodecoder.data import Dataset
from autodecoder.errors import DataError
from autodecoder.report.run_names import run_name
from autodecoder.study import Observer, RunInfo, Trial, read_about
from autodecoder.study.records import execution_folder, read_history, read_trial_files
from autodecoder.study.results import COMPLETE, Execution, sign
from autodecoder.study.space import to_parameter

#: The last epoch that is logged, for each of two kinds of metrics: those of every epoch, and those
#: of the fresh protocol, which are recorded separately.
Logged = dict[str, int]
EPOCHS, FRESH = "epochs", "fresh"


class Key(NamedTuple):
    """Identifies an execution."""

    study: str
    trial_id: str
    execution: int
    folder: Path

    @classmethod
    def of(cls, run: RunInfo) -> "Key":
        """The key of a run in progress."""
        return cls(run.study, run.trial_id, run.execution, run.folder)

    @property
    def text(self) -> str:
        """A unique text of digits, letters and hyphens; no run of any other study has the same."""
        return f"{self.study.rpartition('-')[2]}-{self.trial_id}-{self.execution}"


class Tracker(Observer):
    """An observer that logs executions as runs of an experiment tracker.

    A run that resumes after a restart is found again. Epochs that it already has are not logged
    again. Epochs that it lacks are read from the history of the execution.
    """

    _config: StudyConfig

    def __init__(self) -> None:
        self._logged: dict[Path, Logged] = {}

    @abstractmethod
    def _open(self, run: RunInfo) -> Logged:
        """Start or resume a run; returns its last logged epochs."""

    @abstractmethod
    def _log(self, run: RunInfo, kind: str, rows: Mapping[int, Mapping[str, float]]) -> None:
        """Log metrics of one kind, by epoch in rising order."""

    @abstractmethod
    def _close(self, run: RunInfo, execution: Execution | None, results: Mapping[str, Any]) -> None:
        """Close a run.

        Parameters
        ----------
        run : RunInfo
        execution : Execution or None
            `None` if it may resume later.
        results : dict
            How it ended, and its best value of the objective.
        """

    @abstractmethod
    def _keep_model(self, run: Key, folder: Path) -> None:
        """Add the folder of a model to a closed run."""

    def begin_study(self, config: StudyConfig, dataset: Dataset) -> None:
        """Store the settings."""
        self._config = config

    def begin_run(self, run: RunInfo, epoch: int) -> None:
        """Open the run, and log the epochs that it lacks."""
        self._logged[run.folder] = self._open(run)
        history = read_history(run.folder, self._config)
        fresh = {name: history[name][:epoch] for name in FRESH_METRICS if name in history}
        others = {name: values[:epoch] for name, values in history.items() if name not in fresh}
        for metrics in (others, fresh):
            self.record(run, 1, metrics)

    def record(self, run: RunInfo, epoch: int, metrics: Mapping[str, np.ndarray]) -> None:
        """Log the metrics of epochs that are not logged yet."""
        logged = self._logged[run.folder]
        kind = FRESH if set(metrics) <= set(FRESH_METRICS) else EPOCHS
        rows: dict[int, dict[str, float]] = {}
        for k, values in enumerate(zip(*metrics.values(), strict=True), start=epoch):
            row = {name: float(v) for name, v in zip(metrics, values, strict=True)}
            if kind == FRESH:  # NaN where they were not measured
                row = {name: value for name, value in row.items() if not np.isnan(value)}
            if row and k > logged[kind]:
                rows[k] = row
        if rows:
            self._log(run, kind, rows)
            logged[kind] = max(rows)

    def end_run(self, run: RunInfo, execution: Execution | None) -> None:
        """Close the run, with its results if it has ended."""
        results: dict[str, Any] = {}
        if execution is not None:
            results = {"ended": execution.status}
            if execution.best_epoch is not None:
                results[f"best_{execution.metric}"] = execution.best
        self._close(run, execution, results)
        del self._logged[run.folder]

    def end_trial(self, trial: Trial, folder: Path) -> None:
        """Keep the model of the trial if it is the best so far."""
        study, k = folder.parent.parent, trial.best_execution
        if k is None or not _is_best(trial, study, self._config.metric):
            return
        execution = execution_folder(study, trial.trial_id, k)
        if (execution / "model").is_dir():
            about = read_about(study) or {}
            self._keep_model(Key(about["study"], trial.trial_id, k, execution), execution / "model")

    def _settings(self, run: RunInfo) -> dict[str, Any]:
        """The searched values and all settings of a run, by their paths."""
        decoder, fit = self._config.parts(run.values)
        flat: dict[str, Any] = {}
        for part, content in to_dict(replace(self._config, decoder=decoder, fit=fit)).items():
            items = content.items() if isinstance(content, dict) else [("", content)]
            flat |= {f"{part}.{name}".rstrip("."): value for name, value in items}
        del flat["search.space"]  # the values of the trial stand for it
        values = {name: to_parameter(value) for name, value in run.values.items()}
        return {**values, "execution": run.execution, **flat}

    def _name(self, run: RunInfo) -> str:
        """Name of a run, the same as in TensorBoard."""
        return f"{run_name(self._config, run.trial_id, run.values)}/execution-{run.execution}"


def _is_best(trial: Trial, folder: Path, metric: str) -> bool:
    """Whether no other trial of the study has a better score so far."""
    if trial.state != COMPLETE:
        return False
    try:
        others = [
            content for _, content in read_trial_files(folder) if content["score"] is not None
        ]
    except (DataError, KeyError):
        return False
    scores = [sign(metric) * c["score"] for c in others if c["state"] == COMPLETE]
    return sign(metric) * trial.score <= min(scores, default=np.inf)
