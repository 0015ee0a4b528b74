"""The engine of a study by default: this process, one group after the other."""

from collections.abc import Callable, Iterator

from autodecoder.model.devices import Devices
from autodecoder.model.programs import limit_programs
from autodecoder.model.team import ALONE, Team
from autodecoder.study.engines.contract import Assignment, Checkpoints, Failed, Finished, Told
from autodecoder.study.group import Group, Job
from autodecoder.study.images import HostImages


class LocalEngine:
    """Groups in this process.

    Parameters
    ----------
    images : HostImages
    devices : Devices
    should_stop : callable
    team : Team, optional
        The processes whose devices these are; the others run the same groups (`follow`).
    """

    most = 1

    def __init__(
        self,
        images: HostImages,
        devices: Devices,
        should_stop: Callable[[], bool],
        team: Team = ALONE,
    ) -> None:
        self._images = images.give_to(devices)
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
            checkpoints = assignment.checkpoints  # those that the others start from, too
        self._waiting[group] = Group(
            job,
            self._images,
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
                raise  # the others are in the midst of the group: all end
            yield number, Failed(error)
        else:
            yield number, Finished()

    def close(self) -> None:
        """See `Engine`."""
