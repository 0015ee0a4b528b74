"""The host's notes on one run of a population."""

from dataclasses import dataclass

from autodecoder.core.watch import RUNNING
from autodecoder.study.observer import RunInfo


@dataclass(eq=False)
class Slot:
    """How far a run has come, and what has been told of it."""

    info: RunInfo
    epoch: int = 0
    status: int = RUNNING
    seconds: float = 0.0
    recorded: int = 0
    """Last epoch that has been told."""
    shown: int = 0
    """Last epoch whose snapshot has been told."""
    validated: int = 0
    """Last epoch whose fresh validation is noted."""
    saved: float = 0
    """Epochs done at the last checkpoint, with the share of the one then under way."""
    settled: bool = False
    """Whether its end has been told, and nothing is left to do."""

    @property
    def ended(self) -> bool:
        """Whether no epoch is left to do."""
        return self.status != RUNNING or self.epoch == self.info.config.fit.num_epochs
