"""Notes of the data sets that this user has trained on; files may refer to no others.

The settings of a study or a model name its images by a path or by a name on the Hub. If the folder
comes from somebody else, the path may be a pipe, a whole disk, or a page that counts visitors. A
study therefore notes its data set in the user's cache. A data set without such a note is opened
only if the user names it. Published data sets need no note: the user says where they lie.
`trusted_source` is this rule, for all that open the images of a study or a model.
"""

import contextlib
import hashlib
import json
import os
from dataclasses import fields, replace
from pathlib import Path

from autodecoder.config import DATASETS, DataConfig, split_source, to_dict
from autodecoder.data.download import cache_dir
from autodecoder.errors import ConfigError, DataError
from autodecoder.paths import user_path
from autodecoder.text import legible

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


def trusted_source(
    data: DataConfig,
    seed: int,
    fingerprint: object,
    *,
    dataset: str | None = None,
    data_dir: Path | None = None,
    split_by: Path | None = None,
    mask: Path | None = None,
) -> DataConfig:
    """The images of a study or a model, as settings that the user has named or trained on.

    Parameters
    ----------
    data : DataConfig
        Settings in the file of the study or the model.
    seed, fingerprint
        What that file says of the seed and the images.
    dataset, data_dir, split_by, mask : optional
        What the user names now.

    Raises
    ------
    DataError
        If the file names images other than a published data set, on which this user has not
        trained.
    ConfigError
        If a table or a mask is named without the images.
    """
    if split_by is not None and dataset is None:
        raise ConfigError("split_by needs dataset, the images that it splits.")
    if mask is not None and dataset is None:
        raise ConfigError("mask needs dataset, the images whose pixels it hides.")
    known = is_known(data, seed, fingerprint)
    if known and dataset is None and data_dir is None:
        return data
    if not known and dataset is None and data.dataset not in DATASETS:
        raise DataError(
            f"the settings name {legible(data.dataset)}, which is opened only where this account "
            "has trained on it, or where you name it by --dataset."
        )
    return replace(
        data,
        dataset=data.dataset if dataset is None else dataset,
        data_dir=data_dir,
        split_by=data.split_by if known and split_by is None else split_by,
        # Another source may lack those that the settings name.
        columns=data.columns if dataset is None else "all",
        mask=data.mask if known and mask is None else mask,
    )


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
