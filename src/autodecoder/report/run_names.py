"""Names of runs in TensorBoard, which names them by the folders of their files, and in trackers."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autodecoder.config import TUNABLE_ALIASES, StudyConfig, format_value

_FOLDER = "tensorboard"
_EVENTS = "events.out.tfevents.*"
_SHORT = {name: alias for alias, name in TUNABLE_ALIASES.items()}
#: Characters of a name; file systems take 255 bytes.
_LONGEST = 120
_DIGITS = 4


def run_name(config: StudyConfig, trial_id: str, values: Mapping[str, Any]) -> str:
    """The name of a trial: its values of the searched settings.

    A sampler that draws may draw equal values: then, and where names would be long, the trial's id
    follows.

    Examples
    --------
    >>> run_name(StudyConfig(), "3a4b65d7", {"learning_rate": 0.01})
    'lr=0.01'
    """
    is_grid = config.search.sampler == "grid"
    parts = (f"{_SHORT.get(n, n)}={_tell(values[n], is_grid)}" for n in config.searched)
    name = ",".join(parts)
    if is_grid and len(name) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{trial_id}"


def _tell(value: Any, is_exact: bool) -> str:
    if isinstance(value, float):
        return repr(value) if is_exact else f"{value:.{_DIGITS}g}"
    # A colon and a slash stand in architectures alone, which have neither of these.
    text = format_value(value).replace(":", ".").replace("/", "_")
    return re.sub(r"[^\w.+-]", "-", text)


def event_folder(study: Path, name: str) -> Path:
    """Where the files of a trial go."""
    return study / _FOLDER / name


def is_of_earlier_version(study: Path) -> bool:
    """Whether a study has its files beside those of its trials, as earlier versions put them."""
    trials = study / "trials"
    return any(any(trials.glob(f"{depth}{_EVENTS}")) for depth in ("*/", "*/execution-*/"))
