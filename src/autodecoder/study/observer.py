"""The interface of observers, which follow a study while it runs."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from numpy import ndarray

from autodecoder.config import RunConfig, StudyConfig
from autodecoder.core.runs import Snapshot
from autodecoder.data import Dataset
from autodecoder.study.results import Execution, Trial

#: Approximate number of frames in the film of the latents.
_FRAMES = 25


@dataclass(frozen=True)
class RunInfo:
    """A run: one execution of a trial."""

    trial_id: str
    execution: int
    """Counted from 0."""
    values: Mapping[str, Any]
    """The trial's values of the searched settings."""
    config: RunConfig
    folder: Path
    """Folder of its files."""
    study: str
    """Unique name of the study."""


@runtime_checkable
class Observer(Protocol):
    """Receives the events of every run. Subclass it and define the methods that you need.

    All methods are called from the thread that runs the study. An observer that raises an exception
    is reported in a warning and no longer called, and the study continues. An `OutputError` ends
    the study instead: raise it if the study is useless without the observer's output.
    """

    def begin_study(self, config: StudyConfig, dataset: Dataset) -> None:
        """Called once, before the first run.

        Parameters
        ----------
        config : StudyConfig
        dataset : Dataset
            If it has more than 100,000 training images, it is reduced to 100,000, spread evenly.
            Snapshots have the latents of the same images.
        """

    def begin_run(self, run: RunInfo, epoch: int) -> None:
        """Called when a run starts, or resumes from a checkpoint.

        Parameters
        ----------
        run : RunInfo
        epoch : int
            Epochs done so far. A killed run repeats the epochs after its last checkpoint, so an
            observer may receive the same epochs again.
        """

    def record(self, run: RunInfo, epoch: int, metrics: Mapping[str, Float[ndarray, " k"]]) -> None:
        """Called about twice a second with the metrics of the epochs done since the last call.

        Parameters
        ----------
        run : RunInfo
        epoch : int
            The first of these epochs.
        metrics : dict of (k,) arrays
            One value per epoch. Metrics of the fresh protocol come in separate calls, with one
            value for the epoch after which they were measured.
        """

    def snapshot(self, run: RunInfo, snapshot: Snapshot, last: bool) -> None:
        """Called before the first epoch, every `histogram_freq`, `visualize_freq` and
        `frame_period` epochs, and after the last one.

        Parameters
        ----------
        run : RunInfo
        snapshot : Snapshot
            Decoder and latents after epoch `snapshot.epoch`, which is 0 before the first.
        last : bool
            Whether this is the last epoch of the run.
        """

    def end_run(self, run: RunInfo, execution: Execution | None) -> None:
        """Called once after each `begin_run`, also if the study ends with an error.

        Parameters
        ----------
        run : RunInfo
        execution : Execution or None
            Its histories and status; `None` if it has not ended and may resume later.
        """

    def end_trial(self, trial: Trial, folder: Path) -> None:
        """Called when all executions of a trial have ended and its files are written.

        Parameters
        ----------
        trial : Trial
            With its score and the histories of its executions.
        folder : Path
            Folder of its files.
        """


def frame_period(config: StudyConfig) -> int:
    """Epochs between two frames of a film of about 25 frames; 0 for no film, if the study draws no
    pictures."""
    return math.ceil(config.fit.num_epochs / _FRAMES) if config.log.visualize_freq else 0
