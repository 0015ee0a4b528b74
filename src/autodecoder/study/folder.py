"""The folder of a study: its content, and how it is read."""

import contextlib
import platform
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from autodecoder._version import __version__
from autodecoder.config import (
    FREE_SETTINGS,
    SCHEMA,
    TUNABLE_ALIASES,
    StudyConfig,
    complete_settings,
    differences,
    format_value,
    list_settings,
    study_config,
    to_dict,
)
from autodecoder.data import Dataset
from autodecoder.data.known import remember
from autodecoder.data.names import FILE as NAMES
from autodecoder.data.names import Named, format_names
from autodecoder.errors import ConfigError, DataError, OutputError
from autodecoder.files import read_json, readable, write_file, write_json
from autodecoder.study.database import describe
from autodecoder.study.records import (
    read_trial_files,
)
from autodecoder.study.results import UNFINISHED
from autodecoder.text import legible, shorten, told

#: Earliest layout of a study that can be read.
_EARLIEST = 2


def read_about(folder: Path) -> dict[str, Any] | None:
    """Read `config.json`, with its settings completed; `None` if there is no such file.

    If an earlier version began the study, `began` is the layout of that version.

    Raises
    ------
    DataError
        If it is damaged, or its layout cannot be read.
    """
    path = folder / "config.json"
    if not path.exists():
        return None
    about = read_json(path)
    schema, versions = about.get("schema"), about.get("versions")
    if not isinstance(schema, int):
        raise DataError(f"{path} is not of a study; name another folder.")
    if "study" not in about and "decoder" in about:
        raise DataError(f"{folder} is the folder of a model, not of a study.")
    if not _EARLIEST <= schema <= SCHEMA:
        written = versions.get("autodecoder") if isinstance(versions, dict) else "unknown"
        newer = schema > SCHEMA
        advice = "update autodecoder to continue it" if newer else "name another folder"
        raise DataError(
            f"{folder} was written by a{' newer' if newer else 'n earlier'} version of autodecoder "
            f"({written}, layout {schema}; this one is {__version__}, layout {SCHEMA}): {advice}."
        )
    for name in ("study", "data_fingerprint", "storage"):
        if not isinstance(about.get(name), str):
            raise DataError(f"{path} is damaged: it has no {name}.")
    try:
        about["settings"] = complete_settings(about.get("settings"), schema, whole=True)
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}.") from error
    return about if schema == SCHEMA else {"began": schema, **about, "schema": SCHEMA}


def refuse_foreign(folder: Path) -> None:
    """Check that a folder can hold a study, before anything is written to it.

    Raises
    ------
    OutputError
        If it cannot be written, or holds other files.
    DataError
        If its `config.json` is damaged, of another version, or not of a study.
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
            f"out must be a new or empty folder, or the folder of the same study, but {folder} "
            "holds other files; name another one."
        )
    read_about(folder)


#: Names of a study's files and folders in its folder, including temporary ones. The second pattern
#: matches names that only a study uses, and that may exist before `config.json`.
_OURS = re.compile(
    r"(config|yardstick)\.json|study\.db(-\w+)?|(histories|images)\.csv|trials|best|report"
    r"|tensorboard|\.lock|\.worker-[\w.-]+\.lock"
    r"|\.((config|yardstick)\.json|(histories|images)\.csv)\.\w+\.tmp"
)
_SURELY_OURS = re.compile(r"\.lock|\.worker-[\w.-]+\.lock|\.config\.json\.\w+\.tmp")


def open_folder(
    folder: Path, config: StudyConfig, dataset: Dataset, storage: str
) -> dict[str, Any]:
    """Create the study's folder, or check that it holds the same study.

    Returns
    -------
    dict
        The content of `config.json`: everything needed to repeat the study.

    Raises
    ------
    ConfigError
        If the study in the folder has other settings or images.
    OutputError
        If the folder cannot be written.
    """
    about = read_about(folder)
    if about is None:
        about = {**_describe(folder, config, dataset), "storage": storage}
    else:
        _check_same(about, config, dataset, folder)
        check_storage(about, storage, folder)
        # Update the settings that may change, and the storage in today's notation.
        about = {**about, "settings": to_dict(config), "storage": storage}
    write_json(folder / "config.json", about)
    remember(config.data, config.seed, dataset.fingerprint)
    train, val = (Named(p.names, p.labels, p.columns) for p in (dataset.train, dataset.val))
    if any(part.names is not None or part.columns for part in (train, val)):
        write_file(folder / NAMES, format_names(train, val, dataset.class_names))
    return about


def check_storage(about: Mapping[str, Any], storage: str, folder: Path) -> None:
    """Check that the storage of the study in a folder is the given one.

    Raises
    ------
    ConfigError
        If it is another one.
    """
    before = about["storage"]
    # Earlier versions recorded the storage as given.
    if storage not in (before, describe("study.db", before)):
        raise ConfigError(
            f"the trials of the study in {folder} are kept in {before}, not in {storage}: give "
            "the same --storage as before."
        )


def describe_machine() -> dict[str, Any]:
    """What else a result depends on: `versions` of the libraries, and the kind of `device`."""
    packages = ("jax", "jaxlib", "numpy", "optax", "optuna")
    return {
        "versions": {
            "autodecoder": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in packages},
        },
        "device": jax.devices()[0].device_kind,
    }


def _describe(folder: Path, config: StudyConfig, dataset: Dataset) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "study": f"{readable(folder.resolve().name)}-{secrets.token_hex(4)}",
        "settings": to_dict(config),
        "data_fingerprint": dataset.fingerprint,
        "n_train": len(dataset.train),
        "n_val": len(dataset.val),
        "image_shape": list(dataset.image_shape),
        "class_names": list(dataset.class_names),
        **describe_machine(),
    }


def _check_same(
    about: Mapping[str, Any], config: StudyConfig, dataset: Dataset, folder: Path
) -> None:
    before = config_of(about, folder)
    named = [replace(c, objective=c.objective or c.metric) for c in (before, config)]
    changed = differences(*map(to_dict, named))
    if before.metric == config.metric:
        changed.pop("objective", None)
    changed = {path: pair for path, pair in changed.items() if path not in FREE_SETTINGS}
    if config.search.n_trials < before.search.n_trials and not changed:
        changed["search.max_trials"] = (before.search.max_trials, config.search.max_trials)
    others = []
    if changed:
        listed = (
            f"{_name_setting(path)} was {_value(path, old)} and is now {_value(path, new)}"
            for path, (old, new) in changed.items()
        )
        others.append(f"other settings ({'; '.join(listed)})")
    if about["data_fingerprint"] != dataset.fingerprint:
        others.append("other images")
    if others:
        raise ConfigError(
            f"{folder} holds a study with {' and '.join(others)}. Name another folder with --out, "
            "or start over with --reset_training."
        )


def _name_setting(path: str) -> str:
    """The flag of a setting, or its path if it has none."""
    if path.startswith("search.space."):
        name, *rest = path.removeprefix("search.space.").split(".")
        short = {name: alias for alias, name in TUNABLE_ALIASES.items()}
        return " ".join((f"--{short.get(name, name)}", *rest))
    flags = {setting.path: setting.flag for setting in list_settings()}
    return path if flags.get(path) is None else f"--{flags[path]}"


def _value(path: str, value: Any) -> str:
    """A plain value as text, as flags take it."""
    if value is None:
        return "not set"
    if isinstance(value, list):
        is_searched = path.startswith("search.space.")
        between = ", " if is_searched else "-" if path.endswith("arch") else "x"
        parts = ["-".join(map(str, v)) if isinstance(v, list) else format_value(v) for v in value]
        return shorten(between.join(parts), 120)
    return told(value) if isinstance(value, dict) else legible(format_value(value))


def config_of(about: Mapping[str, Any], folder: Path) -> StudyConfig:
    """The settings in a `config.json`.

    Raises
    ------
    DataError
        If they are damaged.
    """
    try:
        return study_config(about["settings"])
    except (KeyError, TypeError, AttributeError, ConfigError) as error:
        raise DataError(f"{folder / 'config.json'} is damaged: {error}") from error


def clear_folder(folder: Path) -> None:
    """Remove a study's files, and the whole folders `trials`, `best`, `report` and `tensorboard`,
    but nothing else.

    Raises
    ------
    OutputError
        If it cannot be cleared.
    """
    try:
        ours = (path for path in folder.iterdir() if _OURS.fullmatch(path.name))
        paths = [path for path in ours if path.name != ".lock"]
        # `config.json` goes last, because it marks the other files as the study's.
        for path in sorted(paths, key=lambda path: path.name == "config.json"):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be cleared: {error.strerror}.") from error


def is_worth_keeping(folder: Path) -> bool:
    """Whether a study has any results."""
    with contextlib.suppress(DataError):
        if any(c.get("state") != UNFINISHED for _, c in read_trial_files(folder)):
            return True
    return any((folder / "trials").glob("*/execution-*/*.safetensors"))


def sweep_folder(folder: Path) -> None:
    """Remove temporary files of processes that were killed while writing. Hold the study's lock."""
    names = ("config.json", "yardstick.json", "histories.csv", "images.csv")
    for pattern in (*(f".{name}.*.tmp" for name in names), "best/.*.tmp"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def discard_folder(folder: Path) -> None:
    """Remove the files of a study without results, and the folder if it is then empty."""
    with contextlib.suppress(OSError, OutputError):
        clear_folder(folder)
        (folder / ".lock").unlink(missing_ok=True)
        folder.rmdir()
