"""Data sets of Hugging Face's hub, or of a folder that its library reads; an extra."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np

from autodecoder.config import DataConfig
from autodecoder.data.dataset import Dataset
from autodecoder.data.download import bars_may_be_text
from autodecoder.data.pictures import Pictures, read_pictures
from autodecoder.errors import ConfigError, DataError

#: Names of the split to validate with, in the order of their rank.
_VALIDATION = ("validation", "val", "valid", "dev", "test")
_IMAGES = ("image", "img", "images")
_LABELS = ("label", "labels", "fine_label", "class", "category")


def read_hub(place: str, config: DataConfig, *, seed: int, progress: bool) -> Dataset:
    """Read the configured share of a data set that `datasets.load_dataset` loads.

    Its column of images is found by its type, and its labels by type and name. It trains on the
    split `train`, or the only one, and validates with one of its other splits if it has one.

    Raises
    ------
    ConfigError
        If the library is not installed.
    DataError
        If it cannot be loaded, or has no column of images or split to train on.
    """
    try:
        with bars_may_be_text():
            import datasets  # pyright: ignore[reportMissingImports]  (an extra)
    except ImportError as error:
        raise ConfigError(
            "datasets of Hugging Face is not installed; pip install 'autodecoder[hf]' brings it."
        ) from error
    before = datasets.is_progress_bar_enabled()
    (datasets.enable_progress_bars if progress else datasets.disable_progress_bars)()
    try:
        loaded = datasets.load_dataset(place)
    except Exception as error:  # of many libraries: of the network, of files, of formats
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise DataError(f"hf:{place} cannot be loaded: {reason.rstrip('.')}.") from error
    finally:
        (datasets.enable_progress_bars if before else datasets.disable_progress_bars)()
    splits = dict(loaded.items())
    train_name = "train" if "train" in splits else next(iter(splits))
    if train_name != "train" and len(splits) > 1:
        raise DataError(
            f"hf:{place} must have a split named train, or one alone, got {', '.join(splits)}."
        )
    val_name = next((name for name in _VALIDATION if name in splits and name != train_name), None)
    names = [train_name] if val_name is None else [train_name, val_name]
    columns = splits[train_name].features
    images = _column(columns, _IMAGES, (datasets.Image,))
    if images is None:
        raise DataError(f"hf:{place} must have a column of images, got {', '.join(columns)}.")
    labels = _column(columns, _LABELS, (datasets.ClassLabel,)) or next(
        (name for name in _LABELS if name in columns), None
    )
    rows = [splits[name].cast_column(images, datasets.Image(decode=False)) for name in names]
    numbers, class_names = _labels([_values(part, labels) for part in rows], columns, labels)
    parts = [
        _pictures(part, images, of, name)
        for part, of, name in zip(rows, numbers, names, strict=True)
    ]
    return read_pictures(
        parts[0],
        parts[1] if val_name else None,
        class_names,
        config,
        name=Path(place).name or "images",
        seed=seed,
        progress=progress,
    )


def _column(columns: Any, preferred: tuple[str, ...], kinds: tuple[type, ...]) -> str | None:
    """The column of a type: one of the usual names, else the first."""
    found = [name for name, kind in columns.items() if isinstance(kind, kinds)]
    return next((name for name in preferred if name in found), found[0] if found else None)


def _values(rows: Any, column: str | None) -> list[Any]:
    return [None] * len(rows) if column is None else rows.select_columns([column])[:][column]


def _labels(
    parts: list[list[Any]], columns: Any, column: str | None
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Labels counted from 0; what has none, or a negative one, is of a last class of its own."""
    if column is None:
        return [np.zeros(len(part), np.int32) for part in parts], ("images",)
    known = getattr(columns[column], "names", None)
    values = (
        list(range(len(known)))
        if known
        else sorted({value for part in parts for value in part if value is not None}, key=repr)
    )
    numbers = {value: k for k, value in enumerate(values)}
    names = [str(name) for name in known or values]
    found = [
        np.array([numbers.get(value, len(values)) for value in part], np.int32) for part in parts
    ]
    if any((part == len(values)).any() for part in found):
        names.append("unlabelled")
    return found, tuple(names)


def _pictures(rows: Any, column: str, labels: np.ndarray, split: str) -> Pictures:
    def source(i: int) -> Path | io.BytesIO:
        image = rows[i][column] or {}
        if image.get("bytes") is not None:
            return io.BytesIO(image["bytes"])
        return Path(image["path"]) if image.get("path") else io.BytesIO()

    return Pictures(labels, lambda i: os.fspath(f"{split}[{i}]"), source)
