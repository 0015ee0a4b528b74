"""Files of runs: checkpoints of unfinished runs, and outcomes of ended runs."""

import contextlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from autodecoder.brief import brief
from autodecoder.core.runs import Run
from autodecoder.core.tree import arrays_to_tree
from autodecoder.errors import DataError
from autodecoder.files import UnreadableError, sync_folder, writing
from autodecoder.model.disk_rows import drop_rows
from autodecoder.model.hollow import ROW_PATHS, check_place, fit_to_settings, streamed_kind
from autodecoder.study.results import UNFINISHED, Shown, check_run
from autodecoder.tensors import (
    misplaced,
    read_about,
    read_checksum,
    read_tensor_rows,
    read_tensors,
    write_tensors,
)

_log = logging.getLogger(__name__)

#: Checkpoints kept per run; the older one replaces a damaged newest one.
_N_KEPT = 2
_INSTEAD = "the previous one is used, or the run starts over"
_OUTCOME = "outcome.safetensors"
_HISTORY, _SHOWN, _DECODER = "history/", "shown/", "shown/decoder/"


@dataclass(frozen=True)
class Saved:
    """A saved run, from which it resumes bit for bit."""

    epoch: int
    seconds: float
    """Time spent on its epochs."""
    arrays: Mapping[str, np.ndarray]
    """Arrays of the `Run`, by name."""
    shards: tuple["Shard", ...] = ()
    """Files of its rows, if the rows are not among the arrays."""


@dataclass(frozen=True)
class Shard:
    """A file with the rows of one part of the training images of a run."""

    path: Path
    first: int
    stop: int
    crc32: str
    """Checksum of its content (see `files.write_tensors`)."""


def save_checkpoint(folder: Path, saved: Saved) -> None:
    """Write a checkpoint of a run, and remove its oldest one.

    Raises
    ------
    OutputError
        If it cannot be written; earlier checkpoints are kept.
    """
    path = folder / f"checkpoint-{saved.epoch:07d}.safetensors"
    shards = [[s.path.name, s.first, s.stop, s.crc32] for s in saved.shards]
    about = {"epoch": saved.epoch, "seconds": saved.seconds, "shards": shards}
    write_tensors(path, saved.arrays, about)
    with writing(folder):
        sync_folder(folder)  # before earlier ones are removed
        found = _checkpoints(folder)
        # Checkpoints of later epochs belong to a run that has since started over.
        for other in (*found[: found.index(path)], *found[found.index(path) + _N_KEPT :]):
            other.unlink(missing_ok=True)
        kept = {path.stem.partition("-")[2] for path in _checkpoints(folder)}
        for path in folder.glob("part-*"):
            if path.name.split("-")[1] not in kept:
                path.unlink(missing_ok=True)


def write_shard(folder: Path, epoch: int, first: int, rows: Mapping[str, np.ndarray]) -> Shard:
    """Write the rows of one part, in the form of `population.own_rows`.

    The file counts once a checkpoint names it.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    path = folder / f"part-{epoch:07d}-{first:012d}.safetensors"
    stop = first + len(rows["values"])
    crc32 = write_tensors(path, rows, {"epoch": epoch, "first": first, "stop": stop})
    return Shard(path, first, stop, crc32)


def read_rows(saved: Saved, name: str, first: int, stop: int) -> np.ndarray:
    """Read rows of a checkpoint: `values`, `mean`, `square` or `best`.

    Raises
    ------
    DataError
        If this process cannot read their files.
    """
    if not saved.shards:
        return np.asarray(saved.arrays[ROW_PATHS[name]][first:stop])
    parts = []
    for shard in sorted(saved.shards, key=lambda shard: shard.first):
        low, high = max(first, shard.first), min(stop, shard.stop)
        if low < high:
            parts.append(read_tensor_rows(shard.path, name, low - shard.first, high - shard.first))
    return np.concatenate(parts)


def joined(saved: Saved) -> Saved:
    """A checkpoint with its rows merged into its arrays.

    Raises
    ------
    DataError
        If one of its files is damaged.
    """
    if not saved.shards:
        return saved
    parts: dict[str, list[np.ndarray]] = {}
    for shard in sorted(saved.shards, key=lambda shard: shard.first):
        tensors, _ = read_tensors(shard.path, crc32=shard.crc32)
        for name, some in tensors.items():
            parts.setdefault(name, []).append(some)
    rows = {ROW_PATHS[name]: np.concatenate(some) for name, some in parts.items()}
    return Saved(saved.epoch, saved.seconds, {**saved.arrays, **rows})


def read_checkpoints(folder: Path) -> Iterator[Saved]:
    """The intact checkpoints of a run, newest first.

    A damaged checkpoint is logged and removed.

    Raises
    ------
    UnreadableError
        If a checkpoint cannot be read, but may be intact.
    """
    for path in _checkpoints(folder):
        try:
            tensors, about = read_tensors(path)
            shards = tuple(
                Shard(folder / name, first, stop, crc32)
                for name, first, stop, crc32 in about.get("shards", ())
            )
            for shard in shards:
                _check_shard(shard)
            yield Saved(int(about["epoch"]), float(about["seconds"]), tensors, shards)
        except UnreadableError:
            raise
        except (DataError, KeyError, TypeError, ValueError, OverflowError) as error:
            _log.warning(f"the checkpoint %s cannot be used (%s); {_INSTEAD}", path, error)
            path.unlink(missing_ok=True)


def _check_shard(shard: Shard) -> None:
    """Check that a file exists and is the one that the checkpoint names."""
    if read_checksum(shard.path) != shard.crc32:
        raise misplaced(shard.path)


def restore_run(like: Run, checkpoints: Iterable[Saved]) -> tuple[Run, float] | None:
    """Restore the run from the first checkpoint that fits; also returns the seconds spent so far.

    Parameters
    ----------
    like : Run
        The expected structure of the run, of arrays or of their shapes.
    checkpoints : iterable of Saved
        Newest first.

    Raises
    ------
    UnreadableError
        If a file of a checkpoint cannot be read, but may be intact.
    """
    for saved in checkpoints:
        if not saved.shards:
            check_place(saved.arrays)
        try:
            arrays = fit_to_settings(like, joined(saved).arrays)
            return arrays_to_tree(like, arrays), saved.seconds
        except (DataError, KeyError, TypeError, ValueError) as error:
            tell_misfit(saved, error)
    return None


def tell_misfit(saved: Saved, error: Exception) -> None:
    """Log that a checkpoint cannot be used; an `UnreadableError` is raised again instead, since the
    checkpoint may be intact."""
    if isinstance(error, UnreadableError):
        raise error
    _log.warning(f"the checkpoint of epoch %d does not fit (%s); {_INSTEAD}", saved.epoch, error)


def rows_folder(folder: Path) -> Path:
    """The folder of a run's latents if they are on disk (see `model.disk_rows.DiskRows`)."""
    return folder / "rows"


def newest_kind(folder: Path) -> str | None:
    """The kind of row storage that the newest checkpoint of a run requires: `host`, `disk`, or
    `None` if the run can resume with any. Only the header of the file is read."""
    for path in _checkpoints(folder)[:1]:
        try:
            shapes, about = read_about(path)
            if not about.get("shards"):
                return streamed_kind({k: np.broadcast_to(0, shape) for k, shape in shapes.items()})
        except UnreadableError:
            raise
        except (DataError, ValueError):  # also of impossible shapes
            return None
    return None


def drop_checkpoints(folder: Path) -> None:
    """Remove all checkpoints of an ended run."""
    for path in (*_checkpoints(folder), *folder.glob("part-*")):
        path.unlink(missing_ok=True)
    drop_rows(rows_folder(folder))


def _checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, newest first."""
    found = [p for p in folder.glob("checkpoint-*") if re.search(r"-\d+\.safetensors$", p.name)]
    return sorted(found, reverse=True)


@brief
@dataclass(frozen=True, eq=False)
class Outcome:
    """The result of an ended execution, kept until its trial ends. Then the trial's files hold the
    history, and only the best execution keeps its outcome, for the pictures."""

    history: dict[str, np.ndarray]
    status: str
    seconds: float
    shown: Shown | None
    """`None` for a run that diverged."""
    protocol: str
    """Source of the validation latents: `fresh`, or `co-trained` for an unfinished run."""

    @property
    def ended(self) -> bool:
        """Whether the outcome is final."""
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
    with writing(folder):
        sync_folder(folder)  # since the checkpoints are removed next


def load_outcome(folder: Path) -> Outcome | None:
    """Read an outcome; `None` if it is missing, or damaged, which is logged.

    Raises
    ------
    UnreadableError
        If it cannot be read, but may be intact.
    """
    if not (folder / _OUTCOME).exists():
        return None
    try:
        tensors, about = read_tensors(folder / _OUTCOME)
        history = {name: tensors[_HISTORY + name] for name in about["order"]}
        if {values.shape for values in history.values()} != {(len(history["loss"]),)}:
            raise ValueError("its history has columns of different lengths")
        if not isinstance(about["protocol"], str):
            raise ValueError("its protocol is no word")
        check_run(about["status"], about["seconds"])
        return Outcome(
            history=history,
            status=about["status"],
            seconds=about["seconds"],
            shown=_shown(tensors),
            protocol=about["protocol"],
        )
    except UnreadableError:
        raise
    except DataError as error:
        _log.warning("%s", error)
    except (KeyError, TypeError, ValueError) as error:
        _log.warning("%s is damaged (%s).", folder / _OUTCOME, error)
    return None


def _shown(tensors: Mapping[str, np.ndarray]) -> Shown | None:
    """The data for pictures, or `None` if part of it is missing."""
    names = [field.name for field in fields(Shown) if field.name != "decoder"]
    if any(_SHOWN + name not in tensors for name in names):
        return None
    decoder = {k.removeprefix(_DECODER): v for k, v in tensors.items() if k.startswith(_DECODER)}
    return Shown(decoder, **{name: tensors[_SHOWN + name] for name in names})


def drop_outcome(folder: Path) -> None:
    """Remove an outcome."""
    with contextlib.suppress(FileNotFoundError):
        (folder / _OUTCOME).unlink()
