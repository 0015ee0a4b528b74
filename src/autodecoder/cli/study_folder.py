"""The folder of a study before it runs: its name, and the settings that an earlier start fixed."""

import hashlib
import json
import re
import secrets
from pathlib import Path
from typing import Any

from autodecoder.config import (
    FREE_SETTINGS,
    SCHEMA,
    StudyConfig,
    format_arch,
    kept_settings,
    to_dict,
)


def name_folder(study: StudyConfig, seed_given: bool) -> str:
    """The name of a study's folder, which depends only on the settings."""
    settings = to_dict(study)
    for path in (*FREE_SETTINGS, *(() if seed_given else ("seed",))):
        *tables, name = path.split(".")
        table = settings
        for part in tables:
            table = table[part]
        del table[name]
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    name = Path(study.data.dataset.partition(":")[2] or study.data.dataset).name
    name = re.sub(r"[^\w.]+", "-", name).strip("-.")[:40] or "images"
    return f"{name}-{format_arch(study.decoder.arch)}-{digest[:8]}"


def kept_defaults(folder: Path) -> dict[str, Any]:
    """The settings of a study from an earlier version whose defaults have changed since."""
    settings, began = _recorded(folder)
    return kept_settings(settings, began)


def recorded_seed(folder: Path, reset: bool) -> int:
    """The seed of the study in the folder, or a new one."""
    seed = None if reset else _recorded(folder)[0].get("seed")
    return seed if isinstance(seed, int) else secrets.randbits(32)


def _recorded(folder: Path) -> tuple[dict[str, Any], int]:
    """The settings of the study in a folder, and the layout of the version that began it."""
    if not (folder / "config.json").exists():
        return {}, SCHEMA
    from autodecoder.study import read_about

    about = read_about(folder) or {}
    settings = about.get("settings")
    return settings if isinstance(settings, dict) else {}, about.get("began", SCHEMA)
