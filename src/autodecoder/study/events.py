"""What runs tell the process that owns their study.

A group of runs computes and writes nothing. Its events carry everything that files, observers and
the ledger need, so that it may run in another process or on another machine, which need not see the
study's folder.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from autodecoder.core.fit import Snapshot
from autodecoder.core.infer import Inference
from autodecoder.study.checkpoint import Saved
from autodecoder.study.observer import RunInfo
from autodecoder.study.results import Execution


@dataclass(frozen=True)
class Progress:
    """How far a group of trials has come."""

    stage: str
    """`compile`, `fit`, `fresh validation`, or `wait` for other processes; `end` when nothing more
    comes of the group."""
    done: int | float = 0
    total: int = 0
    """Epochs of all runs together while fitting, runs while validating."""
    epoch: int = 0
    """Epochs that every run under way has done."""
    num_epochs: int = 0
    loss: float = float("nan")
    """Training loss of the run that has the least of it."""
    val_loss: float = float("nan")
    """Co-trained validation loss, likewise."""
    group: int = 0
    """Which group, counted from 0; several run at once where the engine is not `local`."""


@dataclass(frozen=True)
class Began:
    """A run starts, or goes on behind an epoch."""

    info: RunInfo
    epoch: int


@dataclass(frozen=True)
class Recorded:
    """Metrics of epochs, of which `epoch` is the first."""

    info: RunInfo
    epoch: int
    metrics: Mapping[str, Float[np.ndarray, " k"]]


@dataclass(frozen=True)
class Snapped:
    """The state of a run at an epoch at which histograms or pictures are due, or after its last."""

    info: RunInfo
    snapshot: Snapshot
    last: bool


@dataclass(frozen=True)
class Checkpoint:
    """A run under way, to be kept so that it can go on from here."""

    info: RunInfo
    saved: Saved
    execution: Execution
    """What there is of it so far."""


@dataclass(frozen=True)
class BestSoFar:
    """The state of a run at its best epoch so far by a fresh objective."""

    info: RunInfo
    snapshot: Snapshot


@dataclass(frozen=True)
class Ended:
    """A run that has ended, and been validated; or, where its group was told to stop, the best one
    under way."""

    info: RunInfo
    execution: Execution
    """Unfinished where the group was told to stop."""
    snapshot: Snapshot | None
    """Its last state; none of a run that diverged."""
    inference: Inference | None
    """Of the validation images; none without any, or for a run that was not validated."""
    best: Snapshot | None
    """At its best epoch, where that is to be saved and `BestSoFar` has not told it."""


@dataclass(frozen=True)
class Left:
    """Nothing more comes of a run in this group, which was told to stop."""

    info: RunInfo


Event = Progress | Began | Recorded | Snapped | Checkpoint | BestSoFar | Ended | Left
