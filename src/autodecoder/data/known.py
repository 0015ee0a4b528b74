"""Which data sets this account has trained on: of those that files name, only these are opened.

The settings of a study or a model name its images by a path or by a name on the Hub. Who was given
the folder has not chosen them: they might be a pipe, a whole disk, or a page that counts visitors.
So a study notes in the user's cache what it was run on, and what no note vouches for is opened only
where the user names it. The published data sets need none: where they lie the user says.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import fields
from pathlib import Path

from autodecoder.config import DataConfig, split_source, to_dict
from autodecoder.data.download import cache_dir
from autodecoder.errors import ConfigError
from autodecoder.paths import user_path

#: Settings that have no influence on which images are read.
_INDIFFERENT = ("scaler", "strict")


def remember(data: DataConfig, seed: int, fingerprint: str) -> None:
    """Note that these images were trained on; without a cache that can be written nothing is."""
    with contextlib.suppress(OSError, ConfigError):
        note = _note(data, seed, fingerprint)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()


def is_known(data: DataConfig, seed: int, fingerprint: object) -> bool:
    """Whether this account has trained on images by the same settings, and they were these."""
    try:
        return isinstance(fingerprint, str) and _note(data, seed, fingerprint).is_file()
    except (OSError, ConfigError):
        return False


def _note(data: DataConfig, seed: int, fingerprint: str) -> Path:
    """Where the note lies: its name tells all, and tells nobody which images they are."""
    plain = to_dict(data)
    # Only those that differ, so that a setting that a later version adds changes nothing.
    values = {
        f.name: plain[f.name]
        for f in fields(data)
        if f.name not in _INDIFFERENT and getattr(data, f.name) != f.default
    }
    kind, place = split_source(data.dataset)
    if place and kind != "hf":
        values["dataset"] = f"{kind}:{user_path(place).absolute()}"
    for name in ("data_dir", "split_by", "mask"):
        path = getattr(data, name)
        if path is not None:
            values[name] = str(user_path(path).absolute())
    text = json.dumps([values, seed, fingerprint], sort_keys=True)
    return cache_dir() / "sources" / hashlib.sha256(os.fsencode(text)).hexdigest()
