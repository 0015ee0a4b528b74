"""The default engine: this process runs one group after another."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from autodecoder.core.runs import Images
from autodecoder.model.devices import Devices
from autodecoder.model.memory import AUTO, MemoryConfig, choose_rows, give_back_at_once
from autodecoder.model.programs import limit_programs
from autodecoder.model.team import ALONE, Team
from autodecoder.study.checkpoint import newest_kind
from autodecoder.study.engines.contract import Assignment, Checkpoints, Failed, Finished, Told
from autodecoder.study.group import Group
from autodecoder.study.images import HostImages
from autodecoder.study.job import Job


class LocalEngine:
    """Groups in this process.

    Parameters
    ----------
    images : HostImages
    devices : Devices
    should_stop : callable
    memory : MemoryConfig
    team : Team, optional
        The processes that own these devices. The others run the same groups (`follow`).
    """

    most = 1

    def __init__(
        self,
        images: HostImages,
        devices: Devices,
        should_stop: Callable[[], bool],
        memory: MemoryConfig = AUTO,
        team: Team = ALONE,
    ) -> None:
        self._memory = memory
        self._given = images
        self._lying: dict[bool, Images] = {}
        """Images on the devices, by whether they are streamed; then only validation images are."""
        self._devices = devices
        self._should_stop = should_stop
        self._team = team
        self._waiting: dict[int, Group] = {}

    @property
    def running(self) -> frozenset[int]:
        """See `Engine`."""
        return frozenset(self._waiting)

    def start(self, group: int, job: Job, checkpoints: Checkpoints) -> None:
        """See `Engine`."""
        limit_programs()
        if self._team is not ALONE:
            assignment = Assignment.of(job, checkpoints)
            self._team.send(assignment)
            checkpoints = assignment.checkpoints  # the same as in the other processes
        rows, streamed = None, False
        if self._team is ALONE and len(self._devices.chosen) == 1:
            config, (train, _, mask, _) = job.infos[0].config, self._given
            wanted = self._memory
            if wanted.rows == "auto":
                wanted = replace(wanted, rows=_kind_before(job))
            rows = choose_rows(wanted, train, mask, config, len(job.infos))
            streamed = rows is not None
            if streamed and self._memory.memory is not None:
                give_back_at_once()
        if streamed not in self._lying:
            self._lying = {streamed: self._given.give_to(self._devices, streamed=streamed)}
        self._waiting[group] = Group(
            job,
            self._lying[streamed],
            rows=rows,
            devices=self._devices,
            checkpoints=checkpoints,
            should_stop=self._should_stop,
            team=self._team,
        )

    def events(self) -> Iterator[tuple[int, Told]]:
        """See `Engine`."""
        number, group = self._waiting.popitem()
        try:
            for event in group.run():
                yield number, event
        except Exception as error:
            if self._team is not ALONE:
                raise  # the other processes are within the group, so all must end
            yield number, Failed(error)
        else:
            yield number, Finished()

    def close(self) -> None:
        """See `Engine`."""


def _kind_before(job: Job) -> str:
    """The row storage that resumed runs require, or `auto` if they can resume with any."""
    kinds = (newest_kind(info.folder) for info in job.infos)
    return next((kind for kind in kinds if kind is not None), "auto")
