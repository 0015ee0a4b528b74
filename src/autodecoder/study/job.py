"""The job of a group: runs of one shape, and the data that they need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jaxtyping import Float
from numpy import ndarray

from autodecoder.config import RunConfig, StudyConfig
from autodecoder.study.ledger import Claim
from autodecoder.study.observer import RunInfo
from autodecoder.study.records import execution_folder, read_trials
from autodecoder.study.results import UNFINISHED


@dataclass(frozen=True)
class Job:
    """A group to run."""

    config: StudyConfig
    infos: tuple[RunInfo, ...]
    """They share one `RunConfig`."""
    is_observed: bool
    """Whether observers receive snapshots."""
    known: Mapping[tuple[str, int], Float[ndarray, " _"]] = field(default_factory=dict)
    """Learning curves of ended executions of the group's trials, by trial and number, for pruning.
    """


def run_infos(
    folder: Path, study: str, claims: Sequence[Claim], config: RunConfig, n: int
) -> list[RunInfo]:
    """The runs of claimed trials, in order of trials, then of executions."""
    return [
        RunInfo(c.trial_id, k, c.values, config, execution_folder(folder, c.trial_id, k), study)
        for c in claims
        for k in range(n)
    ]


def known_curves(
    folder: Path, config: StudyConfig, trial_ids: Sequence[str]
) -> dict[tuple[str, int], Float[ndarray, " _"]]:
    """Learning curves of the ended executions of these trials, from their files."""
    return {
        (trial_id, k): execution.history[config.epoch_metric]
        for trial_id in trial_ids
        for trial in read_trials(folder, config, trial_id)
        for k, execution in enumerate(trial.executions)
        if execution.status != UNFINISHED
    }
