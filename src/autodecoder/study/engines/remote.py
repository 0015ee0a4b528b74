"""The common part of engines whose groups run elsewhere: messages in both directions.

A worker holds the images. It receives one group at a time, with the newest checkpoint of each run,
and sends the group's events. The process that owns the study reads all events from one queue.
"""

import contextlib
import logging
import queue
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from autodecoder._version import __version__
from autodecoder.core.runs import Snapshot
from autodecoder.core.switches import own_switches
from autodecoder.errors import AutodecoderError, is_out_of_memory
from autodecoder.model.devices import Devices, choose_devices
from autodecoder.model.programs import limit_programs
from autodecoder.study.engines.contract import Assignment, Checkpoints, Failed, Finished, Lost, Told
from autodecoder.study.events import BestSoFar, Ended, Snapped
from autodecoder.study.group import Group
from autodecoder.study.images import HostImages
from autodecoder.study.job import Job

#: Time that `events` waits for the first event.
_SECONDS_TO_WAIT = 0.5
#: Most unread messages. Workers then wait, so that memory does not grow.
_MOST_WAITING = 64
#: Message that requests a worker's group to stop.
STOP = "stop"


@dataclass(frozen=True)
class Setup:
    """Data that a worker needs before its first group."""

    images: HostImages
    devices: int | str | None
    mesh: str | None
    """Devices and mesh of each group, as in `run_study`."""


@dataclass(frozen=True)
class Logged:
    """A log record of a worker."""

    record: logging.LogRecord


class RemoteEngine(ABC):
    """Groups that run elsewhere.

    Parameters
    ----------
    should_stop : callable
        As in `run_study`.
    """

    def __init__(self, should_stop: Callable[[], bool]) -> None:
        self._should_stop = should_stop
        self._told: queue.Queue[tuple[int, Any]] = queue.Queue(_MOST_WAITING)
        self._is_closed = False
        self._running: set[int] = set()
        self._is_stopped = False

    @property
    @abstractmethod
    def most(self) -> int:
        """See `Engine`."""

    @property
    def running(self) -> frozenset[int]:
        """See `Engine`."""
        return frozenset(self._running)

    def start(self, group: int, job: Job, checkpoints: Checkpoints) -> None:
        """See `Engine`."""
        self._running.add(group)
        self._assign(group, Assignment.of(job, checkpoints))

    def events(self) -> Iterator[tuple[int, Told]]:
        """See `Engine`."""
        if self._should_stop() and not self._is_stopped:
            self._stop()
            self._is_stopped = True
        try:
            group, message = self._told.get(timeout=_SECONDS_TO_WAIT)
        except queue.Empty:
            return
        while True:
            if group in self._running:  # otherwise the group has already ended
                if isinstance(message, Logged):
                    logging.getLogger(message.record.name).handle(message.record)
                else:
                    if isinstance(message, Finished | Failed | Lost):
                        self._running.discard(group)
                    yield group, _map_snapshots(message, jnp.asarray)
            try:
                group, message = self._told.get_nowait()
            except queue.Empty:
                return

    def _put(self, group: int, message: Any) -> None:
        """Pass on a message, from any thread; waits if too many are unread."""
        while not self._is_closed:
            with contextlib.suppress(queue.Full):
                self._told.put((group, message), timeout=_SECONDS_TO_WAIT)
                return

    @abstractmethod
    def close(self) -> None:
        """See `Engine`."""

    @abstractmethod
    def _assign(self, group: int, assignment: Assignment) -> None:
        """Give a group to a free worker."""

    @abstractmethod
    def _stop(self) -> None:
        """Request the running groups to stop."""


class Workplace:
    """The worker's side: it runs groups on images that it received once."""

    def __init__(self, setup: Setup) -> None:
        with own_switches():
            self._devices: Devices = choose_devices(setup.devices, setup.mesh)
            self._images = setup.images.give_to(self._devices)

    def run(self, assignment: Assignment, should_stop: Callable[[], bool]) -> Iterator[Any]:
        """Run a group; yields messages with NumPy arrays, the last `Finished` or `Failed`."""
        try:
            with own_switches():
                limit_programs()
                group = Group(
                    assignment.job,
                    self._images,
                    devices=self._devices,
                    checkpoints=assignment.checkpoints,
                    should_stop=should_stop,
                )
                for event in group.run():
                    yield _map_snapshots(event, np.asarray)
        except Exception as error:
            yield Failed(portable_error(error))
        else:
            yield Finished()


class LogForwarder(logging.Handler):
    """Sends log records of this package to the process that owns the study."""

    def __init__(self, send: Callable[[Logged], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record with its text formatted."""
        record.msg, record.args = record.getMessage(), None
        record.exc_info = record.exc_text = None
        self._send(Logged(record))


def portable_error(error: Exception) -> Exception:
    """Convert an error so that it can be unpickled; errors of this package keep their type."""
    if isinstance(error, AutodecoderError):
        return type(error)(str(error))
    if is_out_of_memory(error):
        return MemoryError(str(error))
    return RuntimeError("".join(traceback.format_exception(error)))


def versions() -> dict[str, str]:
    """Versions that must be equal in both processes."""
    return {"autodecoder": __version__, "jax": jax.__version__}


def _map_snapshots(event: Any, convert: Callable[[Any], Any]) -> Any:
    """Convert the arrays of an event's snapshots."""

    def mapped(snapshot: Snapshot | None) -> Snapshot | None:
        return jax.tree.map(convert, snapshot)

    if isinstance(event, Snapped | BestSoFar):
        return replace(event, snapshot=mapped(event.snapshot))
    if isinstance(event, Ended):
        return replace(event, snapshot=mapped(event.snapshot), best=mapped(event.best))
    return event
