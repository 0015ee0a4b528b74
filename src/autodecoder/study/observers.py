"""Calling the observers of a study, and continuing without those that fail."""

import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from autodecoder.errors import OutputError
from autodecoder.study.events import Began, Left, Recorded, Snapped
from autodecoder.study.observer import Observer, RunInfo
from autodecoder.study.results import Execution

_log = logging.getLogger(__name__)


class Observers:
    """The observers of a study. Observers that fail are no longer called.

    Parameters
    ----------
    observers : sequence of Observer
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = list(observers)
        self._under_way: dict[Path, RunInfo] = {}

    def __bool__(self) -> bool:
        return bool(self._observers)

    def take(self, told: Began | Recorded | Snapped | Left) -> None:
        """Pass on an event of a group."""
        match told:
            case Began(info, epoch):
                self._begin_run(info, epoch)
            case Recorded(info, epoch, metrics):
                self.tell(lambda one: one.record(info, epoch, metrics))
            case Snapped(info, snapshot, last):
                self.tell(lambda one: one.snapshot(info, snapshot, last))
            case Left(info):
                self.end_run(info, None)

    def _begin_run(self, run: RunInfo, epoch: int) -> None:
        """Report the start of a run. It may start again if the process that ran it is gone."""
        if run.folder in self._under_way:
            self.end_run(run, None)
        self._under_way[run.folder] = run
        self.tell(lambda one: one.begin_run(run, epoch))

    def end_run(self, run: RunInfo, execution: Execution | None) -> None:
        """Report the end of a run in this study."""
        self._under_way.pop(run.folder, None)
        self.tell(lambda one: one.end_run(run, execution))

    def close(self) -> None:
        """Report the end of all unfinished runs, when the study ends with an error."""
        for run in tuple(self._under_way.values()):
            with contextlib.suppress(OutputError):  # the first error is the one to report
                self.end_run(run, None)

    def tell(self, call: Callable[[Observer], object]) -> None:
        """Call each observer.

        Raises
        ------
        OutputError
            If an observer raises it. Other exceptions are logged in a sentence.
        """
        for observer in tuple(self._observers):
            try:
                call(observer)
            except OutputError:
                raise
            except Exception as error:
                self._observers = [other for other in self._observers if other is not observer]
                _log.warning(
                    "the observer %s failed with %s; it is no longer called, and the study goes on",
                    type(observer).__name__,
                    _describe(error),
                )
                _log.debug("traceback:", exc_info=error)


def _describe(error: Exception) -> str:
    """Type and message of an error in one line."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
