"""Packed images as a data set: `packed:FOLDER`."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from autodecoder.config import DataConfig
from autodecoder.data.columns import Columns, describe_columns, take_columns
from autodecoder.data.dataset import ImageSet
from autodecoder.data.notes import describe_use
from autodecoder.data.packed import PackedPart, open_packed, read_further
from autodecoder.data.plan import PartPlan, Plan
from autodecoder.data.split_file import read_split
from autodecoder.data.splits import choose, note_own_validation
from autodecoder.data.storage import MOST_IN_MEMORY
from autodecoder.data.walk import shown


def plan_packed(
    folder: Path, config: DataConfig, *, seed: int, most_in_memory: int | None = None
) -> Plan:
    """Plan to read the configured share of packed images.

    Up to `most_in_memory` bytes of images, by default 1 GiB, are read into memory; larger sets stay
    on the disk, as `PackedImages`.

    Raises
    ------
    DataError
        See `open_packed`; also if a split does not fit, or a column of `config.columns` does not
        exist.
    """
    packed = open_packed(folder)
    manifest = packed.manifest
    name, class_names = shown(folder.resolve().name) or "images", manifest.head.class_names
    val = packed.val if len(packed.val.labels) else None
    if val is not None:
        val = note_own_validation(val, config, name)
    split = None
    if config.split_by is not None:
        names = packed.train.names
        split = read_split(
            config.split_by, np.arange(len(packed.train.labels)) if names is None else names
        )
    rows, val_rows = choose(
        packed.train.labels,
        None if val is None else val.labels,
        val_fraction=config.val_fraction,
        examples_frac=config.examples_frac,
        seed=seed,
        class_names=class_names,
        given=split,
    )
    train = _select(packed.train, rows)
    chosen = _select(packed.train if val is None else val, val_rows)
    further, val_further = read_further(packed, config.columns)
    columns = take_columns(further, rows)
    val_columns = take_columns(further if val is None else val_further, val_rows)
    most = MOST_IN_MEMORY if most_in_memory is None else most_in_memory
    is_small = train.images.nbytes + chosen.images.nbytes <= most
    is_whole = len(train.labels) == len(packed.train.labels) and len(chosen.labels) == len(
        packed.val.labels
    )
    labels = [packed.train.labels] if val is None else [packed.train.labels, val.labels]
    return Plan(
        name,
        manifest.head.image_shape,
        class_names,
        _part(train, columns, is_small),
        _part(chosen, val_columns, is_small),
        (
            *describe_use(labels, class_names, config.examples_frac),
            *describe_columns(further),
        ),
        # Otherwise it is computed from the images.
        fingerprint=manifest.fingerprint if is_whole and not is_small else None,
    )


def _select(part: PackedPart, rows: Int[np.ndarray, " k"]) -> PackedPart:
    if len(rows) == len(part.labels):
        return part
    names = None if part.names is None else part.names[rows]
    return PackedPart(part.images.select(rows), part.labels[rows], names)


def _part(part: PackedPart, columns: Columns, is_small: bool) -> PartPlan:
    def read(places: Int[np.ndarray, " k"]) -> ImageSet:
        chosen = _select(part, places)
        images: Any = np.asarray(chosen.images) if is_small else chosen.images
        further = take_columns(columns, places)
        return ImageSet(images, chosen.labels, chosen.names, columns=further)

    return PartPlan(part.labels, part.names, read, columns)
