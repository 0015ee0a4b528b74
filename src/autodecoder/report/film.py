"""Films of a run: some of its latents, saved in its folder at regular epochs."""

import contextlib
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from autodecoder.brief import brief
from autodecoder.config import StudyConfig
from autodecoder.core.runs import Snapshot
from autodecoder.data import Dataset
from autodecoder.errors import DataError, OutputError
from autodecoder.study import Observer, RunInfo, Trial
from autodecoder.study.observer import frame_period
from autodecoder.study.records import execution_folder
from autodecoder.tensors import read_tensors, write_tensors

#: Most latents of each set in a frame, and most numbers in them.
_MOST = {"train": 6000, "val": 2000}
_MOST_NUMBERS = 60_000
_FOLDER = "film"


@brief
class Frame(NamedTuple):
    """Some latents after an epoch: in every frame those of the rows of `choose_rows`."""

    epoch: int
    train: Float[np.ndarray, "k dims"]
    val: Float[np.ndarray, "m dims"]


def choose_rows(name: str, n: int, dims: int) -> Int[np.ndarray, " k"]:
    """Rows of the latents of a set, `train` or `val`, that a film shows, of `n`."""
    most = min(_MOST[name], _MOST_NUMBERS // dims)
    return np.sort(np.random.default_rng(0).permutation(n)[:most])


class FilmWriter(Observer):
    """An observer that saves the latents of a trial's best execution at about 25 epochs.

    Raises
    ------
    OutputError
        If a file cannot be written or removed.
    """

    def __init__(self) -> None:
        self.every: int = 0
        """Epochs between two frames; 0 for no film."""

    def begin_study(self, config: StudyConfig, dataset: Dataset) -> None:
        """Store the number of epochs between frames."""
        self.every = frame_period(config)

    def begin_run(self, run: RunInfo, epoch: int) -> None:
        """Remove frames of later epochs that an earlier process saved."""
        for at, path in _frames(run.folder):
            if at > epoch:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()

    def snapshot(self, run: RunInfo, snapshot: Snapshot, last: bool) -> None:
        """Save the latents if a frame is due."""
        epoch = int(snapshot.epoch)
        if not self.every or not (last or epoch % self.every == 0):
            return
        tensors = {}
        for name, latents in (("train", snapshot.train_latents), ("val", snapshot.val_latents)):
            rows = choose_rows(name, *latents.shape)
            tensors[name] = np.asarray(latents)[rows]
        write_tensors(run.folder / _FOLDER / f"epoch-{epoch:07d}.safetensors", tensors, {})

    def end_trial(self, trial: Trial, folder: Path) -> None:
        """Remove the films of all but the best execution."""
        for k in range(len(trial.executions)):
            film = execution_folder(folder.parent.parent, trial.trial_id, k) / _FOLDER
            if k != trial.best_execution and film.is_dir():
                try:
                    shutil.rmtree(film)
                except OSError as error:
                    raise OutputError(f"{film} cannot be removed: {error.strerror}.") from error


def read_film(folder: Path) -> list[Frame]:
    """Read the frames in the folder of an execution; damaged ones are left out.

    All have the shapes of the first one.
    """
    found = []
    for epoch, path in _frames(folder):
        with contextlib.suppress(DataError, KeyError):
            tensors: Any = read_tensors(path)[0]
            frame = Frame(epoch, tensors["train"], tensors["val"])
            if frame.train.ndim == frame.val.ndim == 2 and _is_like(
                frame, found[0] if found else frame
            ):
                found.append(frame)
    return found


def _is_like(frame: Frame, other: Frame) -> bool:
    """Whether two frames show as many latents."""
    return (frame.train.shape, frame.val.shape) == (other.train.shape, other.val.shape)


def _frames(folder: Path) -> list[tuple[int, Path]]:
    """Epochs, and the files of their frames, in order."""
    paths = (folder / _FOLDER).glob("epoch-*.safetensors")
    found = ((re.fullmatch(r"epoch-(\d+)\.safetensors", path.name), path) for path in paths)
    return sorted((int(match[1]), path) for match, path in found if match)
