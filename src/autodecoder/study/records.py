"""Files of trials and executions: `trial.json` and `history.csv`."""

import csv
import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from autodecoder.config import METRICS, SCHEMA, StudyConfig
from autodecoder.encoding import read_limited
from autodecoder.errors import ConfigError, DataError
from autodecoder.files import (
    read_json,
    refuse_special,
    sync_folder,
    write_file,
    write_json,
    writing,
)
from autodecoder.study.results import COMPLETE, STATES, UNFINISHED, Execution, Trial, check_run
from autodecoder.study.space import to_parameter, to_values
from autodecoder.text import count, told

#: Largest `history.csv` that is read, in bytes: a row of an epoch has about 200.
_LARGEST = 2**28
#: Required fields of every `trial.json`.
_FIELDS = {
    "id": str,
    "number": int,
    "state": str,
    "error": str | None,
    "values": dict,
    "executions": list,
}


def execution_folder(folder: Path, trial_id: str, execution: int) -> Path:
    """The folder of an execution."""
    return folder / "trials" / trial_id / f"execution-{execution}"


def write_trial(folder: Path, trial: Trial) -> None:
    """Write `trial.json` and every execution's `history.csv`.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    for k, execution in enumerate(trial.executions):
        if execution.epochs:
            write_history(execution_folder(folder, trial.trial_id, k), execution)
    content = {
        "schema": SCHEMA,
        "id": trial.trial_id,
        "number": trial.number,
        "state": trial.state,
        "error": trial.error,
        "values": {name: to_parameter(value) for name, value in trial.values.items()},
        "score": _finite(trial.score),
        "spread": _finite(trial.spread),
        "executions": [_describe_execution(execution) for execution in trial.executions],
    }
    path = folder / "trials" / trial.trial_id / "trial.json"
    write_json(path, content)
    with writing(path):
        sync_folder(path.parent)  # what it sums up is removed afterwards


def _describe_execution(execution: Execution) -> dict[str, Any]:
    return {
        "status": execution.status,
        "epochs": execution.epochs,
        "best": _finite(execution.best),
        "best_epoch": execution.best_epoch,
        "seconds": round(execution.seconds, 3),
        "last": {name: _finite(execution.last(name)) for name in execution.history},
    }


def read_trial_files(folder: Path, trial_id: str = "*") -> Iterator[tuple[Path, dict[str, Any]]]:
    """The path and content of every `trial.json`, or of that of one trial.

    Raises
    ------
    DataError
        If a file is damaged.
    """
    for path in sorted((folder / "trials").glob(f"{trial_id}/trial.json")):
        content = read_json(path)
        for name, kind in _FIELDS.items():
            if name not in content or not isinstance(content[name], kind):
                raise DataError(f"{path} is damaged: it has no {name}.")
        if content["id"] != path.parent.name:
            raise DataError(f"{path} is damaged: it belongs to the trial {content['id']}.")
        if content["state"] not in STATES:
            raise DataError(f"{path} is damaged: {told(content['state'])} is no state of a trial.")
        score = content.get("score")
        if not (_is_finite(score) or (score is None and content["state"] != COMPLETE)):
            raise DataError(
                f"{path} is damaged: {told(score)} is no score of a trial that is "
                f"{content['state']}."
            )
        try:
            to_values(content["values"])
        except ConfigError as error:
            raise DataError(f"{path} is damaged: {error}") from error
        yield path, content


def read_trials(folder: Path, config: StudyConfig, trial_id: str = "*") -> Iterator[Trial]:
    """All trials that have a `trial.json`, or one of them.

    Raises
    ------
    DataError
        If a file is damaged, or the history of an ended execution is incomplete.
    """
    for path, content in read_trial_files(folder, trial_id):
        try:
            executions = []
            for k, about in enumerate(content["executions"]):
                history = read_history(execution_folder(folder, content["id"], k), config)
                if not {*METRICS, config.metric} <= set(history):
                    where = execution_folder(folder, content["id"], k) / "history.csv"
                    raise DataError(f"{where} is damaged: it lacks metrics.")
                check_run(about["status"], about["seconds"])
                execution = Execution(history, config.metric, about["status"], about["seconds"])
                if execution.status != UNFINISHED and execution.epochs != about["epochs"]:
                    where = execution_folder(folder, content["id"], k) / "history.csv"
                    raise DataError(
                        f"{where} is damaged: it has {count(execution.epochs, 'epoch')} instead of "
                        f"{about['epochs']}."
                    )
                executions.append(execution)
            if set(content["values"]) != set(config.search.space):
                raise ValueError("its values are not those of the search space")
            if len(executions) != config.executions_per_trial:
                raise ValueError(f"it has {count(len(executions), 'execution')}")
            yield Trial(
                content["id"],
                content["number"],
                to_values(content["values"]),
                tuple(executions),
                content["state"],
                content["error"],
            )
        except DataError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else error
            raise DataError(f"{path} is damaged: {reason}.") from error


def write_history(folder: Path, execution: Execution) -> None:
    """Write `history.csv`: one row per epoch, one column per metric; blank for missing values."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["epoch", *execution.history])
    for epoch, row in enumerate(zip(*execution.history.values(), strict=True), start=1):
        writer.writerow([epoch, *(_csv_number(value) for value in row)])
    write_file(folder / "history.csv", buffer.getvalue().encode())


def read_history(folder: Path, config: StudyConfig) -> dict[str, np.ndarray]:
    """Read `history.csv` to the same float32 numbers; empty if there is no file yet.

    Raises
    ------
    DataError
        If it is damaged, or larger than 256 MiB.
    """
    path = folder / "history.csv"
    try:
        refuse_special(path)
        header, *rows = csv.reader(io.StringIO(read_limited(path, _LARGEST).decode()))
        columns = list(zip(*rows, strict=True)) or [()] * len(header)
        return {
            name: np.array([float(text) if text else math.nan for text in column], np.float32)
            for name, column in zip(header, columns, strict=True)
            if name != "epoch"
        }
    except FileNotFoundError:
        return {name: np.zeros(0, np.float32) for name in (*METRICS, config.metric)}
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged: {error}.") from error


def _csv_number(value: np.float32) -> str:
    """The shortest text that reads back to the same number; empty for NaN."""
    return "" if np.isnan(value) else str(value)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _is_finite(value: Any) -> bool:
    """Whether a value of JSON is a number that a float can hold."""
    return type(value) in (int, float) and abs(value) <= sys.float_info.max
