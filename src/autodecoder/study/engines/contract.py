"""What every engine does: run groups of runs somewhere, and tell what comes of them."""

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
    """A group for a worker that does not see the study's folder."""

    job: Job
    newest: tuple[Saved | None, ...]
    """The newest checkpoint of each run."""

    @classmethod
    def of(cls, job: Job, checkpoints: Checkpoints) -> "Assignment":
        """With the checkpoints read."""
        return cls(job, tuple(next(iter(checkpoints(info)), None) for info in job.infos))

    def checkpoints(self, info: RunInfo) -> list[Saved]:
        """Those of a run."""
        folders = [run.folder for run in self.job.infos]
        saved = self.newest[folders.index(info.folder)]
        return [] if saved is None else [saved]


@dataclass(frozen=True)
class Finished:
    """Nothing more comes of a group: its runs have ended, or it was told to stop."""


@dataclass(frozen=True)
class Failed:
    """A group ended with an error."""

    error: Exception


@dataclass(frozen=True)
class Lost:
    """The worker of a group is gone, whatever ended it."""

    reason: str


Told = Event | Finished | Failed | Lost


@runtime_checkable
class Engine(Protocol):
    """Where groups run. Its methods are called from one thread.

    A group that it has started runs until `Finished`, `Failed` or `Lost` is told of it.
    """

    @property
    def most(self) -> int:
        """Groups that can run at once."""
        ...

    @property
    def running(self) -> frozenset[int]:
        """The numbers of the groups under way."""
        ...

    def start(self, group: int, job: Job, checkpoints: Checkpoints) -> None:
        """Begin with a group, from the checkpoints of its runs."""

    def events(self) -> Iterator[tuple[int, Told]]:
        """What groups have told since the last call, and of which; waits for up to half a second.

        Where nothing else runs meanwhile, it may be the whole of a group.
        """
        ...

    def close(self) -> None:
        """End all groups, wherever they are."""
