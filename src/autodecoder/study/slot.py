"""The host's record of one run of a population."""

from dataclasses import dataclass

from autodecoder.core.watch import RUNNING
from autodecoder.study.observer import RunInfo


@dataclass(eq=False)
class Slot:
    """Progress of a run, and the events sent so far."""

    info: RunInfo
    epoch: int = 0
    status: int = RUNNING
    seconds: float = 0.0
    recorded: int = 0
    """Last epoch whose metrics have been sent."""
    shown: int = 0
    """Last epoch whose snapshot has been sent."""
    validated: int = 0
    """Last epoch whose fresh validation is recorded."""
    saved: float = 0
    """Epochs done at the last checkpoint, including the fraction of an epoch."""
    settled: bool = False
    """Whether its end has been sent."""

    @property
    def ended(self) -> bool:
        """Whether no epoch remains."""
        return self.status != RUNNING or self.epoch == self.info.config.fit.num_epochs
