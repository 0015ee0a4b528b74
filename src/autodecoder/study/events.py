"""Events that runs send to the process that owns their study.

A group of runs computes, but writes nothing. Its events contain all that files, observers and the
ledger need. The group can therefore run in another process or on another machine, without access to
the study's folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from autodecoder.core.infer import Inference
from autodecoder.core.runs import Snapshot
from autodecoder.study.checkpoint import Saved
from autodecoder.study.observer import RunInfo
from autodecoder.study.results import Execution


@dataclass(frozen=True)
class Progress:
    """Progress of a group of trials."""

    stage: str
    """`compile`, `fit`, `fresh validation`; `wait` for other processes; or `end` of the group."""
    done: int | float = 0
    total: int = 0
    """Epochs of all runs together while fitting; runs while validating."""
    epoch: int = 0
    """Epochs that every unfinished run has done."""
    num_epochs: int = 0
    loss: float = float("nan")
    """Lowest training loss of the runs."""
    val_loss: float = float("nan")
    """Lowest co-trained validation loss of the runs."""
    group: int = 0
    """Number of the group, from 0. Engines other than `local` run several at once."""


@dataclass(frozen=True)
class Began:
    """The start of a run, or its resumption after an epoch."""

    info: RunInfo
    epoch: int


@dataclass(frozen=True)
class Recorded:
    """Metrics of consecutive epochs, starting at `epoch`."""

    info: RunInfo
    epoch: int
    metrics: Mapping[str, Float[np.ndarray, " k"]]


@dataclass(frozen=True)
class Snapped:
    """The state of a run after its last epoch, or at an epoch for histograms or pictures."""

    info: RunInfo
    snapshot: Snapshot
    last: bool


@dataclass(frozen=True)
class Checkpoint:
    """The state of an unfinished run, from which it can resume."""

    info: RunInfo
    saved: Saved
    execution: Execution
    """The execution so far."""


@dataclass(frozen=True)
class BestSoFar:
    """The state of a run at its best epoch so far by a fresh objective."""

    info: RunInfo
    snapshot: Snapshot


@dataclass(frozen=True)
class Ended:
    """An ended and validated run; or, if its group was told to stop, the best unfinished run."""

    info: RunInfo
    execution: Execution
    """Unfinished if the group was told to stop."""
    snapshot: Snapshot | None
    """Its last state; `None` for a diverged run."""
    inference: Inference | None
    """Inference of the validation images; `None` without any, or without validation."""
    best: Snapshot | None
    """The state at its best epoch, if it is to be saved and no `BestSoFar` has sent it."""


@dataclass(frozen=True)
class Left:
    """The end of an unfinished run in a group that was told to stop."""

    info: RunInfo


Event = Progress | Began | Recorded | Snapped | Checkpoint | BestSoFar | Ended | Left
