"""Data sets of the Hugging Face Hub, or of a folder that its library reads; needs an extra."""

import io
import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autodecoder.config import DataConfig, split_hub
from autodecoder.data.columns import Columns, choose_columns, read_columns
from autodecoder.data.download import bars_may_be_text
from autodecoder.data.encoded import Pictures
from autodecoder.data.pictures import plan_pictures
from autodecoder.data.plan import Plan
from autodecoder.data.splits import note_own_validation
from autodecoder.data.words import HELD_OUT, TRAIN
from autodecoder.errors import ConfigError, DataError

_log = logging.getLogger(__name__)
_IMAGES = ("image", "img", "images", "pixel_values", "picture", "photo")
#: Names of a column of labels, the preferred ones first.
_LABELS = (
    *("label", "labels", "fine_label", "class", "category", "target", "targets", "y", "digit"),
    *("class_id", "class_name", "class_label", "label_id", "label_name", "label_text"),
    *("category_id", "category_name", "classes", "categories", "species", "breed"),
)
#: Files that mark a folder written by `save_to_disk`: of one data set, or of several splits.
_SAVED = ("state.json", "dataset_dict.json")


def plan_hub(place: str, config: DataConfig, *, seed: int, progress: bool) -> Plan:
    """Plan to read the configured share of a data set that Hugging Face's library loads.

    `place` is `NAME`, `NAME:CONFIG` or `NAME@REVISION` of the Hub, or a folder: one with files that
    `datasets.load_dataset` knows, or one that `save_to_disk` wrote. A script of a data set is not
    run. The column of images is found by type and name, as is that of labels. Further columns of
    texts, numbers, classes and times travel with the images as `config.columns` says. Training
    images are the split `train`, or the only one; validation images are one of the other splits, if
    there is one. A warning names splits that are not used, and further columns of images or labels.

    Raises
    ------
    ConfigError
        If the library is not installed.
    DataError
        If it cannot be loaded, or has no column of images, split to train on, or column of
        `config.columns`.
    """
    try:
        with bars_may_be_text():
            import datasets  # pyright: ignore[reportMissingImports]  (an extra)
    except ImportError as error:
        raise ConfigError(
            "datasets of Hugging Face is not installed; pip install 'autodecoder[hf]' brings it."
        ) from error
    splits = _load(datasets, place, progress)
    train_name, val_name = _choose_splits(splits, place)
    if val_name is not None:
        val_name = note_own_validation(val_name, config, f"hf:{place}")
    names = [train_name] if val_name is None else [train_name, val_name]
    columns = splits[train_name].features
    images = _image_column(datasets, columns, place)
    labels = _label_column(datasets, columns, images, place)
    rows = [splits[name].cast_column(images, datasets.Image(decode=False)) for name in names]
    numbers, class_names = _labels([_values(part, labels) for part in rows], columns, labels, place)
    further = _further(datasets, columns, (images, labels), config, sum(map(len, rows)), place)
    parts = [
        _pictures(part, images, of, name, _read_further(part, further))
        for part, of, name in zip(rows, numbers, names, strict=True)
    ]
    return plan_pictures(
        parts[0],
        parts[1] if val_name else None,
        class_names,
        config,
        name=Path(split_hub(place)[0]).name or "images",
        seed=seed,
        progress=progress,
    )


def _load(datasets: Any, place: str, progress: bool) -> dict[str, Any]:
    """The splits of a data set, by their names."""
    name, of_name, revision = split_hub(place)
    is_saved = _is_saved(place, name, of_name or revision)
    before = datasets.is_progress_bar_enabled()
    (datasets.enable_progress_bars if progress else datasets.disable_progress_bars)()
    try:
        if is_saved:
            loaded = datasets.load_from_disk(name)
        else:
            # Earlier releases run a script of a data set if a variable of the environment says so.
            runs_scripts = int(datasets.__version__.partition(".")[0]) < 4
            refused = {"trust_remote_code": False} if runs_scripts else {}
            loaded = datasets.load_dataset(name, of_name, revision=revision, **refused)
    except Exception as error:  # from many libraries: network, files, formats
        reason = (" ".join(str(error).split())[:300] or type(error).__name__).rstrip(".")
        hint = ""
        if "config" in reason.lower() and of_name is None:
            hint = f"; hf:{place}:CONFIG names one"
        raise DataError(f"hf:{place} cannot be loaded: {reason}{hint}.") from error
    finally:
        (datasets.enable_progress_bars if before else datasets.disable_progress_bars)()
    return dict(loaded.items()) if isinstance(loaded, Mapping) else {"train": loaded}


def _is_saved(place: str, name: str, part: str | None) -> bool:
    """Whether `name` is a folder that `save_to_disk` wrote, which has no configurations."""
    folder = Path(name)
    # Ignore a file that has the same name as a data set of the Hub.
    if folder.is_file() and (folder.suffix or len(folder.parts) > 1):
        raise DataError(f"hf:{place} is a file; hf:{folder.parent} loads those of its folder.")
    if not any((folder / saved).is_file() for saved in _SAVED):
        return False
    if part:
        raise DataError(
            f"hf:{place} must be hf:{name}: what save_to_disk wrote has neither configurations nor "
            "revisions."
        )
    return True


def _choose_splits(splits: Mapping[str, Any], place: str) -> tuple[str, str | None]:
    """Names of the training split and of the validation split, if there is one."""
    known = {str(name).casefold(): name for name in splits}
    alone = next(iter(splits)) if len(splits) == 1 else None
    train = next((known[name] for name in TRAIN if name in known), alone)
    if train is None:
        raise DataError(
            f"hf:{place} must have a split named train, or one alone, got {', '.join(splits)}."
        )
    val = next((known[name] for name in HELD_OUT if known.get(name, train) != train), None)
    others = [name for name in splits if name not in (train, val)]
    if others:
        used = f"{train} to train on" + (f" and {val} to validate with" if val else "")
        _log.warning("hf:%s: used %s; not used %s.", place, used, ", ".join(others))
    return train, val


def _image_column(datasets: Any, columns: Mapping[str, Any], place: str) -> str:
    """The column of images, found by type, then by name; columns of bytes by name only."""
    found = [name for name, kind in columns.items() if isinstance(kind, datasets.Image)]
    named = _named(columns, _IMAGES)
    if not found:
        found = [name for name in named if _holds_files(datasets, columns[name])]
    if found:
        column = next((name for name in named if name in found), found[0])
        _tell_others(place, "column of images", column, found)
        return column
    if named:
        raise DataError(
            f"hf:{place}: its column {named[0]} holds {columns[named[0]]} where images are needed; "
            f"dataset.cast_column('{named[0]}', datasets.Image()) converts encoded files; save "
            "arrays as an .npz file."
        )
    raise DataError(f"hf:{place} must have a column of images, got {', '.join(columns)}.")


def _holds_files(datasets: Any, kind: Any) -> bool:
    """Whether a column holds encoded images as bytes, without the type of an image."""
    if isinstance(kind, datasets.Value):
        return kind.dtype in ("binary", "large_binary")
    return isinstance(kind, dict) and set(kind) == {"bytes", "path"}


def _label_column(datasets: Any, columns: Mapping[str, Any], images: str, place: str) -> str | None:
    """The column of labels: by its type, then by its name."""
    found = [name for name, kind in columns.items() if _class_names(kind) is not None]
    named = [name for name in _named(columns, _LABELS) if name != images]
    if found:
        column = next((name for name in named if name in found), found[0])
    else:
        column = named[0] if named else None
    if column is not None:
        _tell_others(place, "column of labels", column, [*found, *named])
        return column
    others = [
        name
        for name, kind in columns.items()
        if name != images and not isinstance(kind, datasets.Image)
    ]
    if others:
        _log.warning(
            "hf:%s: no column of labels found in %s; rename_column(…, 'label') names one.",
            *(place, ", ".join(others)),
        )
    return None


def _named(columns: Iterable[str], preferred: tuple[str, ...]) -> list[str]:
    """The columns with one of the preferred names, in the order of preference."""
    known = {name.casefold(): name for name in columns}
    return [known[name] for name in preferred if name in known]


def _tell_others(place: str, what: str, used: str, found: Iterable[str]) -> None:
    others = [name for name in dict.fromkeys(found) if name != used]
    if others:
        _log.warning("hf:%s: %s used as %s; not used %s.", place, used, what, ", ".join(others))


def _class_names(kind: Any) -> list[str] | None:
    """Class names of a column of labels or of lists of labels; `None` if it has none."""
    return getattr(getattr(kind, "feature", kind), "names", None)


def _further(
    datasets: Any,
    columns: Mapping[str, Any],
    used: tuple[str, str | None],
    config: DataConfig,
    n: int,
    place: str,
) -> dict[str, tuple[str, Any]]:
    """The further columns that travel: name and type in the data set, by the name they get."""
    found = [
        name
        for name, kind in columns.items()
        if name not in used
        and (
            isinstance(kind, datasets.ClassLabel)
            or (isinstance(kind, datasets.Value) and "binary" not in kind.dtype)
        )
    ]
    chosen = choose_columns(config.columns, found, n, f"hf:{place}")
    return {own: (found[k], columns[found[k]]) for own, k in chosen.items()}


def _read_further(rows: Any, further: Mapping[str, tuple[str, Any]]) -> Columns:
    given = {}
    for own, (name, kind) in further.items():
        if name not in rows.column_names:  # of another split
            continue
        values = _values(rows, name)
        words = _class_names(kind)
        if words is not None:  # a class that is not known is -1 or null
            values = [words[v] if v is not None and v >= 0 else None for v in values]
        given[own] = values
    return read_columns("columns", given, len(rows))


def _values(rows: Any, column: str | None) -> list[Any]:
    return [None] * len(rows) if column is None else rows.select_columns([column])[:][column]


def _labels(
    parts: list[list[Any]], columns: Any, column: str | None, place: str
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Labels counted from 0, and class names; rows without a class form a last class."""
    known = None if column is None else _class_names(columns[column])
    singles = [[_single(value) for value in part] for part in parts]
    if known is None and _are_one_hot([value for part in parts for value in part]):
        singles = [[value.index(1) for value in part] for part in parts]
    if any(value is _SEVERAL for part in singles for value in part):
        _log.warning("hf:%s: %s does not give one class per image and is not used.", place, column)
        column = None
    if column is None:
        return [np.zeros(len(part), np.int32) for part in parts], ("images",)
    values = (
        list(range(len(known)))
        if known
        else sorted({value for part in singles for value in part if value is not None}, key=repr)
    )
    numbers = {value: k for k, value in enumerate(values)}
    names = [str(name) for name in known or values]
    found = [
        np.array([numbers.get(value, len(values)) for value in part], np.int32) for part in singles
    ]
    if any((part == len(values)).any() for part in found):
        names.append("unlabelled")
    return found, tuple(names)


_SEVERAL = object()


def _single(value: Any) -> Any:
    """A label in comparable form: the only value of a list, an int for a whole float."""
    if isinstance(value, list | tuple):
        if len(value) > 1:
            return _SEVERAL
        return _single(value[0]) if value else None
    if isinstance(value, dict | np.ndarray):
        return _SEVERAL
    if isinstance(value, float):
        return int(value) if value.is_integer() else None if value != value else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _are_one_hot(values: list[Any]) -> bool:
    """Whether all values are one-hot rows of the same length."""
    rows = [value for value in values if isinstance(value, list) and len(value) > 1]
    if len(rows) < len(values) or len({len(row) for row in rows}) != 1:
        return False
    return all(row.count(1) == 1 and row.count(0) == len(row) - 1 for row in rows)


def _pictures(rows: Any, column: str, labels: np.ndarray, split: str, columns: Columns) -> Pictures:
    def source(i: int) -> Path | io.BytesIO:
        image = rows[i][column] or {}
        if image.get("bytes") is not None:
            return io.BytesIO(image["bytes"])
        return Path(image["path"]) if image.get("path") else io.BytesIO()

    numbers = np.arange(len(rows))
    return Pictures(labels, lambda i: os.fspath(f"{split}[{i}]"), source, numbers, columns)
