"""What a study tells whoever watches it, while it runs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from numpy import ndarray

from autodecoder.config import RunConfig, StudyConfig
from autodecoder.core.fit import Snapshot
from autodecoder.data import Dataset
from autodecoder.study.results import Execution, Trial

#: Frames of a film of the latents, about.
_FRAMES = 25


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
    study: str
    """Name of the study, which no other has."""


@runtime_checkable
class Observer(Protocol):
    """Told of every run. Subclass it and define the methods that you need; the others do nothing.

    All methods are called from the thread that runs the study. An observer that raises an exception
    is named in a warning and told nothing more, and the study goes on. An `OutputError` ends the
    study instead: raise it if the study is worth nothing without what the observer writes.
    """

    def begin_study(self, config: StudyConfig, dataset: Dataset) -> None:
        """Called once, before the first run.

        Parameters
        ----------
        config : StudyConfig
        dataset : Dataset
            Of more than 100,000 training images it has 100,000, spread evenly; snapshots have the
            latents of the same ones.
        """

    def begin_run(self, run: RunInfo, epoch: int) -> None:
        """Called when a run starts, or goes on from a checkpoint.

        Parameters
        ----------
        run : RunInfo
        epoch : int
            Epochs done so far. A run that was killed repeats what came after its last checkpoint,
            so an observer may be told the same epochs again.
        """

    def record(self, run: RunInfo, epoch: int, metrics: Mapping[str, Float[ndarray, " k"]]) -> None:
        """Called about twice a second with the metrics of the epochs done since the last call.

        Parameters
        ----------
        run : RunInfo
        epoch : int
            The first of them.
        metrics : dict of (k,) arrays
            One value an epoch. Metrics of the fresh protocol come in calls of their own, with one
            value for the epoch after which they were measured.
        """

    def snapshot(self, run: RunInfo, snapshot: Snapshot, last: bool) -> None:
        """Called before the first epoch, every `histogram_freq`, `visualize_freq` and
        `frame_period` epochs, and after the last one.

        Parameters
        ----------
        run : RunInfo
        snapshot : Snapshot
            Decoder and latents after the epoch `snapshot.epoch`, which is 0 before the first.
        last : bool
            Whether that is the last epoch of the run.
        """

    def end_run(self, run: RunInfo, execution: Execution | None) -> None:
        """Called once after each `begin_run`, also where the study ends with an error.

        Parameters
        ----------
        run : RunInfo
        execution : Execution or None
            Its histories, and how it ended; `None` if it has not, and may go on later.
        """

    def end_trial(self, trial: Trial, folder: Path) -> None:
        """Called when all executions of a trial have ended and its files are written.

        Parameters
        ----------
        trial : Trial
            With its score and the histories of its executions.
        folder : Path
            Of its files.
        """


def frame_period(config: StudyConfig) -> int:
    """Epochs between two frames of a film of the latents, so that there are about 25; 0 for no
    film, where a study draws no pictures either."""
    return math.ceil(config.fit.num_epochs / _FRAMES) if config.log.visualize_freq else 0
