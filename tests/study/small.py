"""A study that was never run, only written, and what tests do to it."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.study.builders import execution, trial

from autodecoder.config import DataConfig, DecoderConfig, SearchConfig, StudyConfig
from autodecoder.data import Dataset, ImageSet
from autodecoder.study import Execution, Study, run_study
from autodecoder.study.folder import open_folder
from autodecoder.study.records import write_trial
from autodecoder.study.results import DIVERGED, FAILED, UNFINISHED, Trial

SPACE = {"learning_rate": (1e-3, 1e-2), "arch": ((16, 8), (4,)), "batch_norm": (True,)}
SETTINGS = StudyConfig(
    data=DataConfig(data_dir=Path("some/where")),
    decoder=DecoderConfig(arch=(16, 8), batch_norm=True),
    search=SearchConfig(SPACE),
    executions_per_trial=2,
    seed=7,
)
#: The name of the database in the folder.
WHERE = "study.db"
VALUES = {"learning_rate": 1e-2, "arch": (16, 8), "batch_norm": True}


def dots() -> Dataset:
    """A few images of two classes."""
    images = np.arange(6 * 2 * 3, dtype=np.uint8).reshape(6, 2, 3, 1)
    labels = np.arange(6) % 2
    return Dataset(
        "dots", ImageSet(images, labels), ImageSet(images[:2], labels[:2]), ("even", "odd")
    )


def wild_execution() -> Execution:
    """Of all magnitudes, not finite in the end."""
    wild = execution(0.5, math.nan, math.inf, status=DIVERGED, seed=0)
    wild.history["loss"][1:] = np.nan, np.inf
    wild.history["psnr"][:] = -np.inf, -0.0, 1e-45
    return wild


def write_small_study(folder: Path) -> list[Trial]:
    """A good trial, one that failed and one that has not come far."""
    open_folder(folder, SETTINGS, dots(), WHERE)
    good = (execution(3, 1, 2, seed=1), execution(6, 5, 4, seed=2))
    bad = (wild_execution(), execution(math.nan, status=DIVERGED))
    begun = (execution(9, 8, status=UNFINISHED), execution(status=UNFINISHED))
    trials = [
        trial(*good, number=1, **VALUES),
        trial(*bad, number=2, state=FAILED, **{**VALUES, "learning_rate": 1e-3}),
        trial(*begun, number=0, state=UNFINISHED, **{**VALUES, "arch": (4,)}),
    ]
    for each in trials:
        write_trial(folder, each)
    return trials


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def content_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def idle_study(settings: StudyConfig, dataset: Dataset, folder: Path, **kwargs: Any) -> Study:
    """All of a study but its runs."""
    return run_study(settings, dataset, folder, should_stop=lambda: True, **kwargs)
