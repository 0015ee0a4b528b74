"""What a study tells whoever watches it, while it runs."""

import contextlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from numpy import ndarray

from autodecoder.config import RunConfig, StudyConfig
from autodecoder.core.fit import Snapshot
from autodecoder.data import Dataset
from autodecoder.errors import OutputError
from autodecoder.study.results import Execution, Trial

_log = logging.getLogger(__name__)
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


class Observers:
    """The observers of a study; those that fail are left out from then on.

    Parameters
    ----------
    observers : sequence of Observer
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = list(observers)
        self._under_way: dict[Path, RunInfo] = {}

    def __bool__(self) -> bool:
        return bool(self._observers)

    def begin_run(self, run: RunInfo, epoch: int) -> None:
        """Tell that a run starts, perhaps again, as the process that ran it is gone."""
        if run.folder in self._under_way:
            self.end_run(run, None)
        self._under_way[run.folder] = run
        self.tell(lambda one: one.begin_run(run, epoch))

    def end_run(self, run: RunInfo, execution: Execution | None) -> None:
        """Tell that nothing more comes of a run."""
        self._under_way.pop(run.folder, None)
        self.tell(lambda one: one.end_run(run, execution))

    def close(self) -> None:
        """Tell so of all runs under way, where an error ends the study."""
        for run in tuple(self._under_way.values()):
            with contextlib.suppress(OutputError):  # the error under way is the one to tell
                self.end_run(run, None)

    def tell(self, call: Callable[[Observer], object]) -> None:
        """Call each of them.

        Raises
        ------
        OutputError
            If one raises it. Other exceptions are logged in a sentence.
        """
        for observer in tuple(self._observers):
            try:
                call(observer)
            except OutputError:
                raise
            except Exception as error:
                self._observers = [other for other in self._observers if other is not observer]
                _log.warning(
                    "the observer %s failed with %s; it is told nothing more, and the study goes "
                    "on",
                    type(observer).__name__,
                    _describe(error),
                )
                _log.debug("where it failed:", exc_info=error)


def _describe(error: Exception) -> str:
    """Type and message of an error in one line."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
