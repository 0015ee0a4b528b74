"""The project folder of a study: what it holds, and how it is read back."""

import contextlib
import platform
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from autodecoder._version import __version__
from autodecoder.config import (
    FREE_SETTINGS,
    StudyConfig,
    differences,
    study_config,
    to_dict,
)
from autodecoder.data import Dataset
from autodecoder.errors import ConfigError, DataError, OutputError
from autodecoder.files import read_json, readable, write_file, write_json
from autodecoder.model import Model, load_model
from autodecoder.study.checkpoint import Outcome, load_outcome
from autodecoder.study.database import describe
from autodecoder.study.models import shown_model
from autodecoder.study.records import (
    SCHEMA,
    execution_folder,
    read_trial_files,
    read_trials,
)
from autodecoder.study.results import COMPLETE, UNFINISHED, Trial, rank
from autodecoder.study.space import to_parameter

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Study:
    """A study as its folder tells it: finished, interrupted or still running."""

    folder: Path
    config: StudyConfig
    about: Mapping[str, Any]
    """The whole of `config.json`: also the study's name, versions, device and data."""
    trials: tuple[Trial, ...]
    """Complete ones first, best first; then unfinished and failed ones."""

    @property
    def metric(self) -> str:
        """What ranks the trials."""
        return self.config.metric

    @property
    def best_trial(self) -> Trial | None:
        """The complete trial with the best score; `None` if there is none."""
        if self.trials and self.trials[0].state == COMPLETE:
            return self.trials[0]
        return None

    @cached_property
    def histories(self) -> "pd.DataFrame":
        """All histories: a row for each epoch of each execution of each trial.

        Columns are `trial`, `execution`, the searched settings, `epoch`, and every metric.
        """
        import pandas as pd

        parts = []
        for trial in sorted(self.trials, key=lambda trial: trial.number):
            for k, execution in enumerate(trial.executions):
                values = {name: to_parameter(value) for name, value in trial.values.items()}
                frame = pd.DataFrame(execution.history)
                head = {"trial": trial.trial_id, "execution": k, **values}
                for place, (name, value) in enumerate(head.items()):
                    frame.insert(place, name, value)
                frame.insert(len(head), "epoch", np.arange(1, len(frame) + 1))
                if len(frame):
                    parts.append(frame)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    def shown_run(self) -> tuple[Trial, int, Outcome] | None:
        """The run that pictures show, with what they need: the best execution of the best trial,
        or the best one so far of a study without a complete trial; `None` if none is kept."""
        for trial in self.trials:
            for k in range(len(trial.executions)):
                outcome = load_outcome(execution_folder(self.folder, trial.trial_id, k))
                if outcome is not None and outcome.shown is not None:
                    return trial, k, outcome
        return None

    @property
    def shown_by_earlier(self) -> bool:
        """Whether an earlier version has kept the best run, in a layout that is not read."""
        folders = (
            execution_folder(self.folder, trial.trial_id, k)
            for trial in self.trials[:1]
            for k in range(len(trial.executions))
        )
        return any(found is not None and found.earlier for found in map(load_outcome, folders))

    def best_model(self) -> Model | None:
        """The model in `best`, of the objective's best epoch, or else `shown_model`.

        Raises
        ------
        DataError
            If what is kept of it is damaged.
        """
        best = self.folder / "best"
        return load_model(best) if (best / "config.json").is_file() else self.shown_model()

    def shown_model(self) -> Model | None:
        """The model of the run that pictures show, after its last epoch; `None` if none is kept.

        Its validation latents are fresh, or co-trained if the run has not ended.

        Raises
        ------
        DataError
            If what is kept of the run is damaged.
        """
        found = self.shown_run()
        if found is None:
            return None
        trial, k, outcome = found
        try:
            height, width, channels = self.about["image_shape"]
            return shown_model(
                outcome,
                self.config.parts(trial.values)[0],
                self.config.data.scaler,
                (height, width, channels),
                {
                    "dataset": self.config.data.dataset,
                    "class_names": self.about["class_names"],
                    "trial": trial.trial_id,
                    "execution": k,
                    "epoch": len(outcome.history["loss"]),
                    "values": {n: to_parameter(value) for n, value in trial.values.items()},
                    "settings": to_dict(self.config),
                    "data_fingerprint": self.about["data_fingerprint"],
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            folder = execution_folder(self.folder, trial.trial_id, k)
            raise DataError(f"what is kept in {folder} is damaged: {error}.") from error


def load_study(folder: Path | str) -> Study:
    """Read a study from its folder.

    Raises
    ------
    DataError
        If the folder holds no study, one of a newer version, or a damaged one.
    """
    folder = Path(folder)
    about = read_about(folder)
    if about is None:
        raise DataError(f"{folder} holds no study (there is no config.json in it).")
    config = _config(about, folder)
    trials = rank(read_trials(folder, config), config.metric)
    return Study(folder, config, about, trials)


def read_about(folder: Path) -> dict[str, Any] | None:
    """The content of `config.json`; `None` where there is no such file.

    Raises
    ------
    DataError
        If it is damaged, or of another version of the layout.
    """
    path = folder / "config.json"
    if not path.exists():
        return None
    about = read_json(path)
    schema, versions = about.get("schema"), about.get("versions")
    if not isinstance(schema, int):
        raise DataError(f"{path} is no study's; name another folder.")
    if schema != SCHEMA:
        written = versions.get("autodecoder") if isinstance(versions, dict) else "unknown"
        newer = schema > SCHEMA
        advice = "update autodecoder to go on with it" if newer else "name another folder"
        raise DataError(
            f"{folder} was written by a{' newer' if newer else 'n earlier'} version of autodecoder "
            f"({written}, layout {schema}; this one is {__version__}, layout {SCHEMA}): {advice}."
        )
    for name in ("study", "data_fingerprint", "storage"):
        if not isinstance(about.get(name), str):
            raise DataError(f"{path} is damaged: it has no {name}.")
    return about


def refuse_foreign(folder: Path) -> None:
    """Check that a study may live in a folder, before anything is written to it.

    Raises
    ------
    OutputError
        If it cannot, or holds other files.
    DataError
        If its `config.json` is damaged, of another version, or no study's.
    """
    try:
        foreign = folder.exists() and not (folder / "config.json").exists()
        names = [path.name for path in folder.iterdir()] if foreign else []
    except OSError as error:
        raise OutputError(
            f"out must be a folder that can be written, got {folder}: {error.strerror}."
        ) from error
    if any(not _SURELY_OURS.fullmatch(name) for name in names):
        raise OutputError(
            f"out must be a new or an empty folder, or that of the same study, but {folder} "
            "holds other files; name another one."
        )
    read_about(folder)


#: Names of files and folders in the folder of a study that it writes, temporary ones included;
#: and those among them that no one else writes, which may lie there before `config.json` does.
_OURS = re.compile(
    r"config\.json|study\.db(-\w+)?|histories\.csv|trials|best|report"
    r"|\.lock|\.worker-[\w.-]+\.lock|\.(config\.json|histories\.csv)\.\w+\.tmp"
)
_SURELY_OURS = re.compile(r"\.lock|\.worker-[\w.-]+\.lock|\.config\.json\.\w+\.tmp")


def open_folder(
    folder: Path, config: StudyConfig, dataset: Dataset, storage: str
) -> dict[str, Any]:
    """Make the project folder, or check that the study in it is the same one.

    Returns
    -------
    dict
        The content of `config.json`: all that is needed to repeat the study.

    Raises
    ------
    ConfigError
        If the study in the folder has other settings or other images.
    OutputError
        If the folder cannot be written.
    """
    about = read_about(folder)
    if about is None:
        about = {**_describe(folder, config, dataset), "storage": storage}
    else:
        _check_same(about, config, dataset, folder)
        check_storage(about, storage, folder)
        # Settings that may change, and the storage as this version writes it.
        about = {**about, "settings": to_dict(config), "storage": storage}
    write_json(folder / "config.json", about)
    return about


def check_storage(about: Mapping[str, Any], storage: str, folder: Path) -> None:
    """Check that the trials of the study in a folder are kept where they are looked for now.

    Raises
    ------
    ConfigError
        If they are not.
    """
    before = about["storage"]
    # Earlier versions kept it as it was given.
    if storage not in (before, describe("study.db", before)):
        raise ConfigError(
            f"the trials of the study in {folder} are kept in {before}, not in {storage}: give "
            "the same --storage as before."
        )


def _describe(folder: Path, config: StudyConfig, dataset: Dataset) -> dict[str, Any]:
    packages = ("jax", "jaxlib", "numpy", "optax", "optuna")
    return {
        "schema": SCHEMA,
        "study": f"{readable(folder.resolve().name)}-{secrets.token_hex(4)}",
        "settings": to_dict(config),
        "data_fingerprint": dataset.fingerprint,
        "n_train": len(dataset.train),
        "n_val": len(dataset.val),
        "image_shape": list(dataset.image_shape),
        "class_names": list(dataset.class_names),
        "versions": {
            "autodecoder": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "device": jax.devices()[0].device_kind,
    }


def _check_same(
    about: Mapping[str, Any], config: StudyConfig, dataset: Dataset, folder: Path
) -> None:
    before = _config(about, folder)
    changed = differences(to_dict(before), to_dict(config))
    if before.metric == config.metric:
        changed.pop("objective", None)
    changed = {path: pair for path, pair in changed.items() if path not in FREE_SETTINGS}
    if config.search.n_trials < before.search.n_trials and not changed:
        changed["search.max_trials"] = (before.search.max_trials, config.search.max_trials)
    if about["data_fingerprint"] != dataset.fingerprint:
        changed["the images"] = (
            f"fingerprint {about['data_fingerprint'][:8]}",
            dataset.fingerprint[:8],
        )
    if changed:
        shown = "; ".join(
            f"{name} was {old!r}, now {new!r}" for name, (old, new) in changed.items()
        )
        raise ConfigError(
            f"{folder} holds a study of other settings: {shown}. Name another folder with --out, "
            "or start over with --reset_training."
        )


def _config(about: Mapping[str, Any], folder: Path) -> StudyConfig:
    try:
        return study_config(about["settings"])
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise DataError(f"{folder / 'config.json'} is damaged: {error}") from error


def clear_folder(folder: Path) -> None:
    """Remove a study's files, and its folders `trials`, `best` and `report` with all that is in
    them, but nothing else.

    Raises
    ------
    OutputError
        If it cannot be cleared.
    """
    try:
        ours = (path for path in folder.iterdir() if _OURS.fullmatch(path.name))
        paths = [path for path in ours if path.name != ".lock"]
        # `config.json` goes last: with it, what is left is known to be ours.
        for path in sorted(paths, key=lambda path: path.name == "config.json"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be cleared: {error.strerror}.") from error


def write_histories(study: Study) -> None:
    """Write `histories.csv`: the tidy table of all histories."""
    write_file(study.folder / "histories.csv", study.histories.to_csv(index=False).encode())


def is_worth_keeping(folder: Path) -> bool:
    """Whether anything has come of a study."""
    with contextlib.suppress(DataError):
        if any(c.get("state") != UNFINISHED for _, c in read_trial_files(folder)):
            return True
    return any((folder / "trials").glob("*/execution-*/*.safetensors"))


def sweep_folder(folder: Path) -> None:
    """Remove what processes left that were killed while they wrote; under the study's lock."""
    for pattern in (".config.json.*.tmp", ".histories.csv.*.tmp", "best/.*.tmp"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def discard_folder(folder: Path) -> None:
    """Remove the files of a study of which nothing has come, and the folder if it is empty."""
    with contextlib.suppress(OSError, OutputError):
        clear_folder(folder)
        (folder / ".lock").unlink(missing_ok=True)
        folder.rmdir()
