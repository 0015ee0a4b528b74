"""Packing the images of any source into shards, with a bounded amount of memory."""

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from autodecoder.config import DataConfig, split_source, to_dict
from autodecoder.config.rules import check_positive_int
from autodecoder.data.load import plan_configured
from autodecoder.data.pack_writer import PackWriter, default_shard_images
from autodecoder.data.packed import Packed
from autodecoder.data.plan import PartPlan, Plan
from autodecoder.data.shards import MOST_SHARDS, PARTS, hash_lines
from autodecoder.errors import ConfigError, DataError
from autodecoder.paths import user_path

#: Settings of the images that do not affect packing, or that packed images do not support.
_NOT_USED = ("dataset", "data_dir", "examples_frac", "mask", "alpha", "strict", "scaler")


@dataclass(frozen=True)
class Packing:
    """Result of a packing."""

    packed: Packed
    n_written: int
    """Number of shards that were written; the others were already complete."""
    n_left_out: int
    """Number of images that could not be read."""
    seconds: float


def pack_images(
    config: DataConfig,
    out: Path | str,
    *,
    seed: int = 0,
    shard_images: int | None = None,
    progress: bool = False,
) -> Packing:
    """Pack the images of a source into shards of bytes, in the order of the training set.

    The same call resumes an interrupted packing and keeps the complete shards. One shard at a time
    is in memory, with the labels and names of all images. An .npz and a published data set are in
    memory whole.

    Parameters
    ----------
    config : DataConfig
        The source, `dataset`, and how its images are read. All images are packed; `examples_frac`
        is ignored.
    out : path
        A new or an empty folder, or one with a packing to resume.
    seed : int
        Seed for the choice of validation images.
    shard_images : int, optional
        Number of images per shard; by default as many as take about 128 MiB.
    progress : bool
        Draw a progress bar on standard error.

    Raises
    ------
    ConfigError
        If a setting breaks its rule or does not go with the source, or shards would be too many.
    DataError
        If the source cannot be read, or has missing pixels.
    OutputError
        If `out` holds other files or another packing, or cannot be written.
    """
    began = time.monotonic()
    if shard_images is not None:
        check_positive_int("shard_images", shard_images)
    for name in ("mask", "alpha"):
        if getattr(config, name) not in (None, "white"):
            raise ConfigError(f"{name} cannot be packed: packed images have no missing pixels.")
    plan = plan_configured(replace(config, examples_frac=1.0), seed=seed, progress=progress)
    plan.check()
    size = shard_images or default_shard_images(plan.image_shape)
    parts = {"train": plan.train, "val": plan.val}
    longest = max(map(len, parts.values()))
    if longest > size * MOST_SHARDS:
        raise ConfigError(
            f"shard_images must be at least {-(-longest // MOST_SHARDS)} for {longest:,} images, "
            f"got {size}."
        )
    source = _describe(config, plan, seed, size)
    n_written = 0
    with (
        PackWriter(out, plan.image_shape, plan.class_names, source) as writer,
        tqdm(
            total=sum(map(len, parts.values())), desc="packing", disable=not progress, leave=False
        ) as bar,
    ):
        for part, number, rows in _cut(parts, size):
            if not writer.has(part, number):
                _pack_shard(plan, parts[part], writer, part, number, rows)
                n_written += 1
            bar.update(len(rows))
        plan.tell()
        packed = writer.finish()
    n_left_out = sum(shard.left_out for shard in packed.manifest.shards)
    return Packing(packed, n_written, n_left_out, time.monotonic() - began)


def _cut(parts: dict[str, PartPlan], size: int) -> Iterator[tuple[str, int, np.ndarray]]:
    """The shards: part, number, and indices of their images in the part."""
    for part in PARTS:
        n = len(parts[part])
        for number, first in enumerate(range(0, n, size)):
            yield part, number, np.arange(first, min(first + size, n))


def _pack_shard(
    plan: Plan, part: PartPlan, writer: PackWriter, name: str, number: int, rows: np.ndarray
) -> None:
    """Read and write a shard."""
    found = part.read(rows)
    plan.check()
    if found.mask is not None:
        raise DataError(
            f"{plan.name} has missing pixels, which packed images cannot hold: train on the "
            "source itself, or fill them in."
        )
    images, n_left_out = np.asarray(found.images), len(rows) - len(found)
    writer.write(
        *(name, number, images, found.labels, found.names),
        left_out=n_left_out,
        columns=found.columns,
    )


def _describe(config: DataConfig, plan: Plan, seed: int, shard_images: int) -> dict[str, Any]:
    """Describe a source for the manifest; two runs of one command give the same description."""
    plain = to_dict(config)
    kind, place = split_source(config.dataset)
    about: dict[str, Any] = {"dataset": config.dataset}
    if place and kind != "hf":
        path = user_path(place).absolute()
        about["dataset"] = f"{kind}:{path}"
        if path.is_file():
            status = path.stat()
            about |= {"bytes": status.st_size, "modified": status.st_mtime_ns}
    about |= {f.name: plain[f.name] for f in fields(config) if f.name not in _NOT_USED}
    if config.split_by is not None:
        about["split_by"] = os.fspath(user_path(config.split_by).absolute())
    if about["columns"] == "all":  # as of folders of earlier versions
        del about["columns"]
    about |= {"seed": seed, "shard_images": shard_images}
    about["listing"] = hash_lines(
        plan.image_shape,
        plan.class_names,
        *(value for part in (plan.train, plan.val) for value in (part.labels, part.names)),
        *(one for part in (plan.train, plan.val) for pair in part.columns.items() for one in pair),
    )
    return about
