"""A process that runs a study, for tests that kill it; it says in a line each what it does.

    python -m tests.study.worker IMAGES SETTINGS FOLDER [STORAGE]

It waits for a line of input before it begins.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from autodecoder.config import StudyConfig, study_config, to_dict
from autodecoder.core.runs import Snapshot
from autodecoder.data import Dataset, ImageSet
from autodecoder.study import Execution, Progress, RunInfo, Trial, run_study

ROOT = Path(__file__).parents[2]


def save_images(dataset: Dataset, path: Path) -> Path:
    """Write a data set so that a worker has it at once."""
    sets = {"train": dataset.train, "val": dataset.val}
    arrays = {f"{name}_{k}": v for name, s in sets.items() for k, v in vars(s).items()}
    np.savez(path, name=dataset.name, class_names=dataset.class_names, **arrays)
    return path


def load_images(path: Path) -> Dataset:
    with np.load(path) as arrays:
        train, val = (
            ImageSet(arrays[f"{name}_images"], arrays[f"{name}_labels"])
            for name in ("train", "val")
        )
        return Dataset(str(arrays["name"]), train, val, tuple(map(str, arrays["class_names"])))


class Worker:
    """Such a process, seen from the test."""

    def __init__(
        self, images: Path, config: StudyConfig, folder: Path, storage: str | None = None
    ) -> None:
        command = [sys.executable, "-m", "tests.study.worker", images, json.dumps(to_dict(config))]
        command += [folder] if storage is None else [folder, storage]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.lines: list[str] = []

    def begin(self) -> None:
        """Let it begin as soon as it can."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def follow(self, n: int = sys.maxsize, until: str = "\n") -> bool:
        """Read so many lines at most, or up to one that begins so; says whether there were more."""
        assert self.process.stdout is not None
        for _ in range(n):
            line = self.process.stdout.readline()
            if not line:
                return False
            self.lines.append(line.rstrip())
            if line.startswith(until):
                break
        return True

    def kill(self) -> None:
        """End it as a loss of power would; what it said before is read."""
        self.process.kill()
        self.follow()
        self.process.communicate()

    def end(self) -> None:
        """Wait for its end."""
        self.follow()
        self.process.communicate()
        assert self.process.returncode == 0

    def begun(self) -> dict[tuple[str, int], int]:
        """The runs that it began, and the epoch behind which each went on."""
        words = [line.split() for line in self.lines if line.startswith("run ")]
        return {(trial, int(k)): int(epoch) for _, trial, k, epoch in words}


class _Speaker:
    """An observer that says what it is told."""

    def begin_study(self, config: StudyConfig, dataset: Dataset) -> None:
        _say("study")

    def begin_run(self, run: RunInfo, epoch: int) -> None:
        _say("run", run.trial_id, run.execution, epoch)

    def record(self, run: RunInfo, epoch: int, metrics: Mapping[str, np.ndarray]) -> None: ...

    def snapshot(self, run: RunInfo, snapshot: Snapshot, last: bool) -> None: ...

    def end_run(self, run: RunInfo, execution: Execution | None) -> None:
        _say("ended", run.trial_id, run.execution)

    def end_trial(self, trial: Trial, folder: Path) -> None:
        _say("trial", trial.trial_id)


def _report(progress: Progress) -> None:
    _say(progress.stage, progress.done)


def _say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201


def _main(images: str, settings: str, folder: str, storage: str | None = None) -> None:
    dataset, config = load_images(Path(images)), study_config(json.loads(settings))
    sys.stdin.readline()
    _say("begin", os.getpid())
    run_study(config, dataset, folder, storage=storage, observers=[_Speaker()], report=_report)


if __name__ == "__main__":
    _main(*sys.argv[1:])
