"""The interface of engines: they run groups, and return their events."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from autodecoder.study.checkpoint import Saved
from autodecoder.study.drivers import Checkpoints
from autodecoder.study.events import Event
from autodecoder.study.job import Job
from autodecoder.study.observer import RunInfo


@dataclass(frozen=True)
class Assignment:
    """A group for a worker without access to the study's folder."""

    job: Job
    newest: tuple[Saved | None, ...]
    """The newest checkpoint of each run."""

    @classmethod
    def of(cls, job: Job, checkpoints: Checkpoints) -> "Assignment":
        """The assignment of a job, with its newest checkpoints read."""
        return cls(job, tuple(next(iter(checkpoints(info)), None) for info in job.infos))

    def checkpoints(self, info: RunInfo) -> list[Saved]:
        """The newest checkpoint of a run, if any."""
        folders = [run.folder for run in self.job.infos]
        saved = self.newest[folders.index(info.folder)]
        return [] if saved is None else [saved]


@dataclass(frozen=True)
class Finished:
    """The end of a group: its runs have ended, or it was told to stop."""


@dataclass(frozen=True)
class Failed:
    """The end of a group with an error."""

    error: Exception


@dataclass(frozen=True)
class Lost:
    """The loss of a group's worker, for whatever reason."""

    reason: str


Told = Event | Finished | Failed | Lost


@runtime_checkable
class Engine(Protocol):
    """A place where groups run. Its methods are called from one thread.

    A started group runs until `events` yields its `Finished`, `Failed` or `Lost`.
    """

    @property
    def most(self) -> int:
        """Number of groups that can run at once."""
        ...

    @property
    def running(self) -> frozenset[int]:
        """Numbers of the running groups."""
        ...

    def start(self, group: int, job: Job, checkpoints: Checkpoints) -> None:
        """Start a group from the checkpoints of its runs."""

    def events(self) -> Iterator[tuple[int, Told]]:
        """Events since the last call, with their groups; waits up to half a second for the first.

        An engine that runs one group at a time may yield all events of a group in one call.
        """
        ...

    def close(self) -> None:
        """End all groups."""
