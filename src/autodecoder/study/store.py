"""The project folder of a study: what is written, and how it survives a crash half-way."""

import contextlib
import csv
import io
import json
import math
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from autodecoder._version import __version__
from autodecoder.config import StudyConfig, to_dict
from autodecoder.data import Dataset
from autodecoder.errors import OutputError
from autodecoder.study.results import Execution, StudyResult, Trial

#: Version of the files' layout.
SCHEMA = 1


def create_folder(folder: Path, config: StudyConfig, dataset: Dataset) -> None:
    """Make the project folder and write `config.json` into it: all that is needed to repeat it.

    Raises
    ------
    OutputError
        If the folder holds something already, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
    except OSError as error:
        raise OutputError(
            f"out must be a folder that can be written, got {folder}: {error.strerror}."
        ) from error
    if taken:
        raise OutputError(
            f"out must be a new or an empty folder, but {folder} holds files; name another one."
        )
    _write_json(
        folder / "config.json",
        {
            "schema": SCHEMA,
            **to_dict(config),
            "data_fingerprint": dataset.fingerprint,
            "n_train": len(dataset.train),
            "n_val": len(dataset.val),
            "image_shape": list(dataset.image_shape),
            "versions": {
                "autodecoder": __version__,
                "python": platform.python_version(),
                **{name: version(name) for name in ("jax", "jaxlib", "numpy", "optax")},
            },
            "device": jax.devices()[0].device_kind,
        },
    )


def discard_folder(folder: Path) -> None:
    """Take back what `create_folder` made, if nothing has come of it."""
    with contextlib.suppress(OSError):
        (folder / "config.json").unlink()
        folder.rmdir()


def write_study(result: StudyResult, folder: Path) -> None:
    """Write every execution's `history.csv`, and `summary.json`.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    for trial in result.trials:
        for k, execution in enumerate(trial.executions):
            path = folder / "trials" / trial.trial_id / f"execution-{k}" / "history.csv"
            write_file(path, _history_csv(execution).encode())
    _write_json(folder / "summary.json", summarise(result))


def write_file(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: under a temporary name, then renamed.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from error


def summarise(result: StudyResult) -> dict[str, Any]:
    """The result as plain values: trials best first, each with its executions."""
    return {
        "schema": SCHEMA,
        "objective": result.config.objective,
        "ranked_by": result.metric,
        "interrupted": result.interrupted,
        "seconds": {stage: round(value, 3) for stage, value in result.seconds.items()},
        "best_trial": result.trials[0].trial_id if result.best_run else None,
        "trials": [_summarise_trial(trial) for trial in result.trials],
    }


def _summarise_trial(trial: Trial) -> dict[str, Any]:
    return {
        "id": trial.trial_id,
        "learning_rate": trial.learning_rate,
        "score": _finite(trial.score),
        "spread": _finite(trial.spread),
        "executions": [
            {
                "best": _finite(execution.best),
                "best_epoch": execution.best_epoch,
                "epochs": execution.epochs,
                "status": execution.status,
                "last": {
                    name: _finite(float(values[-1])) if len(values) else None
                    for name, values in execution.history.items()
                },
            }
            for execution in trial.executions
        ],
    }


def _history_csv(execution: Execution) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["epoch", *execution.history])
    for epoch, row in enumerate(zip(*execution.history.values(), strict=True), start=1):
        writer.writerow([epoch, *(_csv_number(value) for value in row)])
    return buffer.getvalue()


def _csv_number(value: np.float32) -> str:
    """The shortest text that reads back to the same number; nothing where there is none."""
    return "" if np.isnan(value) else str(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_file(path, text.encode())
