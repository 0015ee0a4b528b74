"""An observer that keeps everything it is told, for tests to look at."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from autodecoder.config import StudyConfig
from autodecoder.core.runs import Snapshot
from autodecoder.data import Dataset
from autodecoder.study import Execution, RunInfo, Trial


class Recorder:
    """An observer that keeps everything it is told."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, int, int]] = []
        self.ended: list[tuple[str, int]] = []
        self.metrics: dict[tuple[str, int], dict[str, list[float]]] = {}
        self.snapshots: dict[tuple[str, int, int], Snapshot] = {}
        self.last: dict[tuple[str, int], bool] = {}
        self.trials: list[Trial] = []

    def begin_study(self, config: StudyConfig, dataset: Dataset) -> None:
        assert not self.begun

    def begin_run(self, run: RunInfo, epoch: int) -> None:
        self.begun.append((run.trial_id, run.execution, epoch))

    def record(self, run: RunInfo, epoch: int, metrics: Mapping[str, np.ndarray]) -> None:
        history = self.metrics.setdefault((run.trial_id, run.execution), {})
        for name, values in metrics.items():
            recorded = history.setdefault(name, [])
            recorded.extend(values)

    def snapshot(self, run: RunInfo, snapshot: Snapshot, last: bool) -> None:
        self.last[run.trial_id, run.execution] = last
        self.snapshots[run.trial_id, run.execution, int(snapshot.epoch)] = snapshot

    def end_run(self, run: RunInfo, execution: Execution | None) -> None:
        self.ended.append((run.trial_id, run.execution))

    def end_trial(self, trial: Trial, folder: Path) -> None:
        assert (folder / "trial.json").exists()
        self.trials.append(trial)
