"""Runs on disk: checkpoints of those under way, outcomes of those that have ended."""

import contextlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from autodecoder.brief import brief
from autodecoder.core.fit import Run
from autodecoder.core.tree import arrays_to_tree
from autodecoder.errors import ConfigError, DataError
from autodecoder.files import read_tensors, write_tensors
from autodecoder.model.hollow import is_streamed
from autodecoder.model.row_stores import drop_rows
from autodecoder.study.results import UNFINISHED, Shown

_log = logging.getLogger(__name__)

#: Checkpoints kept of each run; the older ones are for the case that the newest is damaged.
_N_KEPT = 2
_INSTEAD = "the one before it is taken, or the run starts over"
_OUTCOME = "outcome.safetensors"
_HISTORY, _SHOWN, _DECODER = "history/", "shown/", "shown/decoder/"


@dataclass(frozen=True)
class Saved:
    """A run as it is saved: it goes on from there bit for bit."""

    epoch: int
    seconds: float
    """Spent on its epochs."""
    arrays: Mapping[str, np.ndarray]
    """Of the `Run`, by name."""


def save_checkpoint(folder: Path, saved: Saved) -> None:
    """Write a run under way, and drop its oldest checkpoint.

    Raises
    ------
    OutputError
        If it cannot be written; earlier checkpoints survive.
    """
    path = folder / f"checkpoint-{saved.epoch:07d}.safetensors"
    write_tensors(path, saved.arrays, {"epoch": saved.epoch, "seconds": saved.seconds})
    for path in _checkpoints(folder)[_N_KEPT:]:
        path.unlink(missing_ok=True)


def read_checkpoints(folder: Path) -> Iterator[Saved]:
    """The sound checkpoints of a run, newest first.

    A damaged one is reported to the log, and removed.
    """
    for path in _checkpoints(folder):
        try:
            tensors, about = read_tensors(path)
            yield Saved(int(about["epoch"]), float(about["seconds"]), tensors)
        except (DataError, KeyError, TypeError, ValueError) as error:
            _log.warning(f"the checkpoint %s cannot be used (%s); {_INSTEAD}", path, error)
            path.unlink(missing_ok=True)


def restore_run(like: Run, checkpoints: Iterable[Saved]) -> tuple[Run, float] | None:
    """The run of the first checkpoint that fits, and the seconds spent until then.

    Parameters
    ----------
    like : Run
        Of arrays or of their shapes: what the run must look like.
    checkpoints : iterable of Saved
        Newest first.
    """
    for saved in checkpoints:
        if is_streamed(saved.arrays):
            raise ConfigError(
                f"the run was left within epoch {saved.epoch + 1}, or with its latents on the "
                "disk: it goes on with the same rows as before, host or disk."
            )
        try:
            return arrays_to_tree(like, saved.arrays), saved.seconds
        except ValueError as error:
            tell_misfit(saved, error)
    return None


def tell_misfit(saved: Saved, error: ValueError) -> None:
    """Log that a checkpoint cannot be used."""
    _log.warning(f"the checkpoint of epoch %d does not fit (%s); {_INSTEAD}", saved.epoch, error)


def rows_folder(folder: Path) -> Path:
    """Where a run has its latents, if those are on the disk, see `model.row_stores.DiskRows`."""
    return folder / "rows"


def drop_checkpoints(folder: Path) -> None:
    """Remove all checkpoints of a run that has ended."""
    for path in _checkpoints(folder):
        path.unlink(missing_ok=True)
    drop_rows(rows_folder(folder))


def _checkpoints(folder: Path) -> list[Path]:
    """Newest first."""
    found = [p for p in folder.glob("checkpoint-*") if re.search(r"-\d+\.safetensors$", p.name)]
    return sorted(found, reverse=True)


@brief
@dataclass(frozen=True, eq=False)
class Outcome:
    """What is kept of an execution that has ended, until its trial has: then its history stands
    in the trial's files, and of the best one what the pictures need."""

    history: dict[str, np.ndarray]
    status: str
    seconds: float
    shown: Shown | None
    """`None` for a run that diverged."""
    protocol: str
    """Where the validation latents come from: `fresh`, or `co-trained` if unfinished."""

    @property
    def ended(self) -> bool:
        """Whether it is final."""
        return self.status != UNFINISHED


def save_outcome(folder: Path, outcome: Outcome) -> None:
    """Write an outcome.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    tensors = {_HISTORY + name: values for name, values in outcome.history.items()}
    if outcome.shown is not None:
        parts = dict(vars(outcome.shown))
        tensors |= {_DECODER + name: values for name, values in parts.pop("decoder").items()}
        tensors |= {_SHOWN + name: values for name, values in parts.items()}
    about = {
        "status": outcome.status,
        "seconds": outcome.seconds,
        "protocol": outcome.protocol,
        "order": list(outcome.history),
    }
    write_tensors(folder / _OUTCOME, tensors, about)


def load_outcome(folder: Path) -> Outcome | None:
    """Read an outcome; `None` if there is none, or it is damaged, which the log says."""
    if not (folder / _OUTCOME).exists():
        return None
    try:
        tensors, about = read_tensors(folder / _OUTCOME)
        return Outcome(
            history={name: tensors[_HISTORY + name] for name in about["order"]},
            status=about["status"],
            seconds=about["seconds"],
            shown=_shown(tensors),
            protocol=about["protocol"],
        )
    except (DataError, KeyError, TypeError) as error:
        _log.warning("%s", error)
        return None


def _shown(tensors: Mapping[str, np.ndarray]) -> Shown | None:
    """`None` where not all of it is there."""
    names = [field.name for field in fields(Shown) if field.name != "decoder"]
    if any(_SHOWN + name not in tensors for name in names):
        return None
    decoder = {k.removeprefix(_DECODER): v for k, v in tensors.items() if k.startswith(_DECODER)}
    return Shown(decoder, **{name: tensors[_SHOWN + name] for name in names})


def drop_outcome(folder: Path) -> None:
    """Remove an outcome."""
    with contextlib.suppress(FileNotFoundError):
        (folder / _OUTCOME).unlink()
