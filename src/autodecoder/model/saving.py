"""Model directories: arrays and plain values, nothing that could be executed.

`config.json` describes the model, `decoder.safetensors` holds the weights, and
`latents.safetensors` the latents, labels and history. `README.md` is the model card. Optional files
are `images.csv` with names and further columns of the images, and `training.safetensors` with the
training state that a fit needs to continue. `config.json` records the checksums of these files, by
which files of different models are told apart.
"""

import contextlib
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from autodecoder.config import (
    SCHEMA,
    to_dict,
)
from autodecoder.core.switches import own_switches
from autodecoder.core.tree import tree_to_arrays
from autodecoder.data.columns import read_columns
from autodecoder.data.names import FILE as NAMES
from autodecoder.data.names import Named, format_names
from autodecoder.data.pixels import as_labels
from autodecoder.errors import DataError, OutputError
from autodecoder.files import (
    format_json,
    newest_file,
    replaced_files,
    settle,
    write_file,
    write_json,
)
from autodecoder.measures.evaluation import FILE as EVALUATION
from autodecoder.model.arrays import (
    DEVIATIONS,
    HISTORY,
    STANDARDIZATION,
    TRAINING,
    check_deviations,
)
from autodecoder.model.card import describe_model, library_versions
from autodecoder.model.metrics import model_metrics
from autodecoder.model.model import Model
from autodecoder.paths import user_path
from autodecoder.tensors import write_tensors
from autodecoder.text import count

#: Files of a model that others need.
FILES = ("config.json", "decoder.safetensors", "latents.safetensors", NAMES, "README.md")
#: Files that a saved model replaces, or removes because they belong to the former model.
_REPLACED = (*FILES, TRAINING, EVALUATION)


def model_file(folder: Path, name: str) -> Path:
    """The path of a file of a model, whether it exists or not.

    The files of a process that was killed while it saved a model are moved to their places; in a
    folder that cannot be written, they are read where they are.
    """
    with contextlib.suppress(OutputError):
        settle(folder, _REPLACED)
    return newest_file(folder, name)


def holds_model(folder: Path) -> bool:
    """Whether a folder holds a model."""
    return model_file(folder, "config.json").is_file()


def table_checksum(content: bytes) -> str:
    """The checksum of `images.csv`, whose line ends a version control may convert."""
    return str(zlib.crc32(content.replace(b"\r\n", b"\n")))


@own_switches()
def save_model(model: Model, folder: Path | str, *, training: bool = False) -> None:
    """Write a model directory.

    All files replace those of a former model together: after an error, or if the process is killed,
    the directory holds either the former model or the new one. Errors in the model are raised
    before anything is written.

    Parameters
    ----------
    model : Model
    folder : path
    training : bool
        Also write the training state, with which `fit_model(images, start=model)` continues bit for
        bit. It takes twice the size of the weights and latents, or less with
        `latent_second_moment="row"`.

    Raises
    ------
    DataError
        If `training` is True and the model has no training state; if `about` holds anything but
        plain values; if labels, names, columns or history have a wrong shape or dtype.
    OutputError
        If a file cannot be written.
    """
    folder = user_path(folder, "folder")
    weights = tree_to_arrays(model.decoder)
    if model.standardization is not None:
        by = model.standardization._asdict()
        weights |= {STANDARDIZATION + name: value for name, value in by.items()}
    found = {"train": model.latents, "val": model.val_latents}
    for name, labels, n in (
        ("train_labels", model.labels, len(model.latents)),
        ("val_labels", model.val_labels, len(model.val_latents)),
    ):
        if labels is not None:
            found[name] = as_labels(name, labels, n)
    for name, values in model.history.items():
        found[HISTORY + name] = np.atleast_1d(np.asarray(values, np.float32))
    if model.latent_deviations is not None:
        found[DEVIATIONS] = check_deviations(model.latent_deviations, model.latents.shape)
    names = _format_names(model, found)
    if training and model.training is None:
        raise DataError(
            "this model has no training state: it comes from a study or was saved without it."
        )
    content = {
        "schema": SCHEMA,
        "decoder": to_dict(model.decoder.config),
        "scaler": model.scaler,
        "loss": model.loss,
        "image_shape": list(model.image_shape),
        "pixel_range": None if model.pixel_range is None else list(model.pixel_range),
        "metrics": model_metrics(model),
        "versions": library_versions(),
        "names": names is not None,
        "training": training,
        "about": dict(model.about),
    }
    try:
        format_json(content["about"])
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"about of a model must hold plain values only ({error}).") from error
    card = describe_model(model).encode("utf-8", "replace")
    arrays = {"decoder.safetensors": weights, "latents.safetensors": found}
    if training:
        arrays[TRAINING] = tree_to_arrays(model.training)
    with replaced_files(folder, _REPLACED) as fresh:
        checksums = {name: write_tensors(fresh / name, part, {}) for name, part in arrays.items()}
        if names is not None:
            write_file(fresh / NAMES, names)
            checksums[NAMES] = table_checksum(names)
        write_file(fresh / "README.md", card)
        write_json(fresh / "config.json", {**content, "checksums": checksums})


def _format_names(model: Model, found: Mapping[str, np.ndarray]) -> bytes | None:
    """The table of names, class labels and further columns as CSV; `None` if the model has neither
    names nor columns."""
    told = model.about.get("class_names")
    class_names = list(map(str, told)) if isinstance(told, list | tuple) else []
    parts = []
    for part, names, columns in (
        ("train", model.names, model.columns),
        ("val", model.val_names, model.val_columns),
    ):
        n = len(found[part])
        if names is not None and len(names) != n:
            raise DataError(
                f"names must be one for each of {count(n, 'latent')}, got {len(names)}."
            )
        names = None if names is None else np.asarray(names)
        columns = read_columns("columns" if part == "train" else "val_columns", columns, n)
        parts.append(Named(names, found.get(f"{part}_labels"), columns))
    if all(part.names is None and not part.columns for part in parts):
        return None
    return format_names(parts[0], parts[1], class_names)
