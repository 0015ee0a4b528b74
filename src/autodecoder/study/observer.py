"""What a study tells whoever watches it, while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from numpy import ndarray

from autodecoder.config import RunConfig, StudyConfig
from autodecoder.core.fit import Snapshot
from autodecoder.data import Dataset
from autodecoder.study.results import Trial


@dataclass(frozen=True)
class RunInfo:
    """Which run it is: an execution of a trial."""

    trial_id: str
    execution: int
    """Counted from 0."""
    values: Mapping[str, Any]
    """The trial's values of the searched settings."""
    config: RunConfig
    folder: Path
    """Where its files lie."""


@runtime_checkable
class Observer(Protocol):
    """Told of every run; its methods are called from the thread that runs the study."""

    def begin_study(self, config: StudyConfig, dataset: Dataset) -> None:
        """Before the first run. Of more than 100,000 training images the data set has so many,
        spread evenly; snapshots have their latents."""

    def begin_run(self, run: RunInfo, epoch: int) -> None:
        """A run starts, or goes on behind this epoch after a restart."""

    def record(self, run: RunInfo, epoch: int, metrics: Mapping[str, Float[ndarray, " k"]]) -> None:
        """Metrics of `k` epochs, of which `epoch` is the first."""

    def snapshot(self, run: RunInfo, snapshot: Snapshot, last: bool) -> None:
        """The state after an epoch at which histograms or pictures are due, and after the last."""

    def end_run(self, run: RunInfo) -> None:
        """Nothing more will come of this run in this process."""

    def end_trial(self, trial: Trial, folder: Path) -> None:
        """A trial has its score; `folder` is that of its files."""
