"""Notes of the data sets that this user has trained on; files may refer to no others.

The settings of a study or a model name its images by a path or by a name on the Hub. If the folder
comes from somebody else, the path may be a pipe, a whole disk, or a page that counts visitors. A
study therefore notes its data set in the user's cache. A data set without such a note is opened
only if the user names it. Published data sets need no note: the user says where they lie.
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

#: Settings that do not change which images are read.
_INDIFFERENT = ("scaler", "strict", "columns")


def remember(data: DataConfig, seed: int, fingerprint: str) -> None:
    """Note that these images were trained on; does nothing if the cache cannot be written."""
    with contextlib.suppress(OSError, ConfigError):
        note = _note(data, seed, fingerprint)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.touch()


def is_known(data: DataConfig, seed: int, fingerprint: object) -> bool:
    """Whether this user has trained on images with these settings and this fingerprint."""
    try:
        return isinstance(fingerprint, str) and _note(data, seed, fingerprint).is_file()
    except (OSError, ConfigError):
        return False


def _note(data: DataConfig, seed: int, fingerprint: str) -> Path:
    """Path of the note; its name is a hash, so that it does not reveal the images' path."""
    plain = to_dict(data)
    # Only values that are not the default, so that settings of later versions change no hash.
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
