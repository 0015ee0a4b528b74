"""TensorBoard files, written while a study runs: scalars, histograms, pictures and HParams."""

# The classes of protocol buffers are made at run time.
# pyright: reportAttributeAccessIssue=false

import contextlib
import math
import os
import re
import socket
import struct
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import Summary, histogram, image

from autodecoder.config import StudyConfig
from autodecoder.core.decoders import Decoder, part_names
from autodecoder.core.runs import Snapshot
from autodecoder.core.tree import name_leaves
from autodecoder.data import Dataset, ImageSet
from autodecoder.errors import OutputError
from autodecoder.report.classes import class_colours
from autodecoder.report.hparams import describe_trial
from autodecoder.report.run_names import event_folder, is_of_earlier_version, run_name
from autodecoder.report.thumbnails import enlarge, sheet, show_known, shrink
from autodecoder.report.view import view_bounds
from autodecoder.study.observer import Observer, RunInfo
from autodecoder.study.results import Execution, Trial
from autodecoder.study.validate import reconstruct_some
from autodecoder.text import legible

#: Most dimensions of latents that have a histogram each.
_MOST_DIMENSIONS = 8
#: Larger arrays are represented by this number of their values, drawn at random.
_HISTOGRAM_SAMPLE = 100_000
_N_BINS = 64
#: Images side by side in a grid of reconstructions.
_PER_ROW = 10
#: Longest side of an image in such a grid, and that of enlarged small images, in pixels.
_LARGEST, _ENLARGED = 128, 64
#: Side of the picture of latents, and width of its legend, in pixels; most names in the legend.
_SIDE, _LEGEND, _MOST_NAMES = 512, 104, 10
#: With more points, each takes 2 × 2 pixels instead of 4 × 4.
_MANY_POINTS = 10_000
#: Colour of the training latents behind those of validation images.
_GREY = np.full(3, 200, np.uint8)


class TensorBoardWriter(Observer):
    """An observer that writes TensorBoard files: one event file per run and one per trial.

    They lie in the folder `tensorboard` of the study, in folders named after the searched values,
    such as `lr=0.01/execution-0`; those of a study of an earlier version, which began elsewhere,
    beside the files of each trial.

    Nothing is buffered and no file stays open between two calls. The limit of open files therefore
    does not limit the number of runs, and an error is raised by the call that causes it.

    Raises
    ------
    OutputError
        From every method that writes, if the file cannot be written.
    """

    _config: StudyConfig
    _dataset: Dataset
    _colours: UInt8[np.ndarray, "classes 3"]
    _legend: UInt8[np.ndarray, "side width 3"]

    def __init__(self) -> None:
        self._files: dict[Path, _EventFile] = {}
        self._is_earlier: dict[Path, bool] = {}
        """Studies, and whether an earlier version began their files."""

    def begin_study(self, config: StudyConfig, dataset: Dataset) -> None:
        """Prepare the colours and the legend, which all pictures share."""
        self._config = config.with_objective(len(dataset.val))
        self._dataset = dataset
        colours = class_colours(len(dataset.class_names))[:, :3]
        self._colours = np.rint(colours * 255).astype(np.uint8)
        self._legend = _draw_legend(dataset.class_names, self._colours)

    def begin_run(self, run: RunInfo, epoch: int) -> None:
        """Start a file; later epochs that an earlier process wrote are declared void."""
        folder = self._place(run.folder.parent, run.trial_id, run.values)
        self._files[run.folder] = _EventFile(folder / run.folder.name, first_step=epoch + 1)

    def record(
        self, run: RunInfo, epoch: int, metrics: Mapping[str, Float[np.ndarray, " k"]]
    ) -> None:
        """Write the metrics of some epochs as scalars."""
        tags = {_scalar_tag(name): name.startswith("fresh_") for name in metrics}
        events = []
        for k, row in enumerate(zip(*metrics.values(), strict=True)):
            # Fresh metrics are NaN where they are not evaluated; NaN of others is written.
            scalars = [
                Summary.Value(tag=tag, simple_value=float(value))
                for (tag, fresh), value in zip(tags.items(), row, strict=True)
                if not (fresh and np.isnan(value))
            ]
            events.append(_event(epoch + k, scalars))
        self._files[run.folder].append(events)

    def snapshot(self, run: RunInfo, snapshot: Snapshot, last: bool) -> None:
        """Write the histograms and pictures that are due."""
        epoch = int(snapshot.epoch)
        if not epoch:
            return
        log = self._config.log
        train, val = np.asarray(snapshot.train_latents), np.asarray(snapshot.val_latents)
        values = []
        if log.histogram_freq and (last or epoch % log.histogram_freq == 0):
            values += _decoder_histograms(snapshot.decoder)
            values += _latent_histograms("latents/train", train)
            values += _latent_histograms("latents/validation", val)
        if log.visualize_freq and (last or epoch % log.visualize_freq == 0):
            if train.shape[1] == 2:
                values += self._latent_spaces(train, val)
            values += self._reconstructions(snapshot)
        if values:
            self._files[run.folder].append([_event(epoch, values)])

    def end_run(self, run: RunInfo, execution: Execution | None) -> None:
        """Drop the file, which is complete."""
        self._files.pop(run.folder, None)

    def end_trial(self, trial: Trial, folder: Path) -> None:
        """Write a row of the HParams table: the trial's settings, its score and last losses."""
        metrics = {f"score/{self._config.metric}": trial.score}
        for name in ("loss", "val_loss") if len(self._dataset.val) else ("loss",):
            last = [execution.last(name) for execution in trial.executions]
            metrics[f"last/{name}"] = float(np.mean(last or [math.nan]))
        failed = not math.isfinite(trial.score)
        experiment, start, end = describe_trial(self._config, trial.values, metrics, failed=failed)
        epochs = max((execution.epochs for execution in trial.executions), default=0)
        scalars = [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value in metrics.items()
            if math.isfinite(value)
        ]
        parts = (experiment, start, scalars, end)
        events = [_event(epochs, part) for part in parts]
        place = self._place(folder, trial.trial_id, trial.values)
        _EventFile(place, first_step=0).append(events)

    def _place(self, folder: Path, trial_id: str, values: Mapping[str, Any]) -> Path:
        """Where the files of a trial go; `folder` is that of its other files."""
        study = folder.parent.parent
        if study not in self._is_earlier:
            self._is_earlier[study] = is_of_earlier_version(study)
        if self._is_earlier[study]:
            return folder
        return event_folder(study, run_name(self._config, trial_id, values))

    def _latent_spaces(
        self, train: Float[np.ndarray, "n_train 2"], val: Float[np.ndarray, "n_val 2"]
    ) -> Iterator[Any]:
        fitted = self._cloud(train, self._dataset.train)
        yield from self._latent_space("train", [fitted])
        if len(val):
            behind = (fitted[0], np.broadcast_to(_GREY, fitted[1].shape))
            clouds = [behind, self._cloud(val, self._dataset.val)]
            yield from self._latent_space("validation", clouds)

    def _cloud(self, latents: Float[np.ndarray, "n 2"], images: ImageSet) -> "_Cloud":
        # In random order, so that no class always covers the others.
        order = np.random.default_rng(0).permutation(len(images))
        return latents[order], self._colours[images.labels[order]]

    def _latent_space(self, name: str, clouds: Sequence["_Cloud"]) -> Sequence[Any]:
        pixels = np.concatenate([_draw_points(clouds), self._legend], axis=1)
        return _picture(f"latent_space/{name}", pixels)

    def _reconstructions(self, snapshot: Snapshot) -> Iterator[Any]:
        dataset, scaler = self._dataset, self._config.data.scaler
        for name, images, latents in (
            ("train", dataset.train, snapshot.train_latents),
            ("validation", dataset.val, snapshot.val_latents),
        ):
            if len(images):
                chosen, made = reconstruct_some(snapshot.decoder, latents, images.labels, scaler)
                originals = images.images[chosen]
                mask = None if images.mask is None else images.mask[chosen]
                pixels = _pair(originals, made.reshape(originals.shape), mask)
                yield from _picture(f"reconstructions/{name}", pixels)


#: Points and their colours.
_Cloud = tuple[Float[np.ndarray, "_ 2"], UInt8[np.ndarray, "_ 3"]]


def _picture(tag: str, pixels: UInt8[np.ndarray, "height width 3"]) -> Sequence[Any]:
    return image(tag, pixels, dataformats="HWC").value


class _EventFile:
    """An event file, opened for each call that adds to it.

    Its records have the form of TFRecord: length, checksum of the length, content, checksum.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._size = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            names = [path.name for path in folder.iterdir()]
        except OSError as error:
            raise OutputError(f"{folder} cannot be written: {error.strerror}.") from error
        # TensorBoard reads the files of a folder in the order of their names, so this one must be
        # the last, even if the clocks of machines that have written here differ.
        others = (re.match(r"events\.out\.tfevents\.(\d{10})\.", name) for name in names)
        seconds = max([int(time.time()), *(int(other[1]) + 1 for other in others if other)])
        name = f"events.out.tfevents.{seconds:010d}.{socket.gethostname()}.{os.getpid()}"
        self._path = folder / name
        version = Event(wall_time=time.time(), file_version="brain.Event:2")
        log = SessionLog(status=SessionLog.START)
        self.append([version, Event(wall_time=time.time(), step=first_step, session_log=log)])

    def append(self, events: Iterable[Any]) -> None:
        """Add all events or none, since an incomplete record would hide all that follow."""
        content = b"".join(_record(event.SerializeToString()) for event in events)
        try:
            with self._path.open("ab") as file:
                file.write(content)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.truncate(self._path, self._size)
            raise OutputError(f"{self._path} cannot be written: {error.strerror}.") from error
        self._size += len(content)


def _record(content: bytes) -> bytes:
    length = struct.pack("<Q", len(content))
    checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, content))
    return length + next(checksums) + content + next(checksums)


def _event(step: int, values: Sequence[Any]) -> Any:
    return Event(wall_time=time.time(), step=step, summary=Summary(value=values))


def _scalar_tag(metric: str) -> str:
    for prefix, replacement in (
        ("fresh_val_", "validation/fresh_"),
        ("val_", "validation/"),
        ("gradient_norm_", "train/gradient_norm/"),
    ):
        if metric.startswith(prefix):
            return replacement + metric.removeprefix(prefix)
    return f"train/{metric}"


# Histograms


def _decoder_histograms(decoder: Decoder) -> Iterator[Any]:
    names = part_names(decoder)
    for name, part in zip(names, decoder.trainable(), strict=True):
        for array, values in name_leaves(part).items():
            array = re.sub(r"\bweight$", "kernel", array)
            yield from _histogram(f"weights/{name}/{array}", np.asarray(values))


def _latent_histograms(tag: str, latents: Float[np.ndarray, "n dims"]) -> Iterator[Any]:
    if latents.shape[1] > _MOST_DIMENSIONS:
        yield from _histogram(f"{tag}/all_dimensions", latents)
        return
    for k, values in enumerate(latents.T, start=1):
        yield from _histogram(f"{tag}/dimension_{k}", values)


def _histogram(tag: str, values: Float[np.ndarray, "..."]) -> Iterator[Any]:
    """A histogram of the finite values; nothing if there are none."""
    values = values.ravel()
    if len(values) > _HISTOGRAM_SAMPLE:
        values = values[np.random.default_rng(0).integers(len(values), size=_HISTOGRAM_SAMPLE)]
    values = values[np.isfinite(values)].astype(np.float64)
    if len(values) == 0:
        return
    low, high = values.min(), values.max()
    # If all values are equal and large, NumPy's bins are too narrow.
    margin = max(0.5, 1e-3 * abs(low))
    bins = _N_BINS if high > low else [low - margin, high + margin]
    yield from histogram(tag, values, bins=bins).value


# Pictures


def _draw_legend(
    names: Sequence[str], colours: UInt8[np.ndarray, "classes 3"]
) -> UInt8[np.ndarray, "side width 3"]:
    """The names of classes beside their colours; of width 0 if there are more than ten."""
    width = _LEGEND if len(names) <= _MOST_NAMES else 0
    legend = Image.new("RGB", (width, _SIDE), "white")
    draw = ImageDraw.Draw(legend)
    draw.fontmode = "1"  # no colours but those of the classes
    for k, (name, colour) in enumerate(zip(names, colours.tolist(), strict=True) if width else ()):
        draw.rectangle((4, 12 + 20 * k, 13, 21 + 20 * k), fill=tuple(colour))
        draw.text((20, 11 + 20 * k), legible(name), fill=tuple(colour))
    return np.asarray(legend)


def _draw_points(clouds: Sequence[_Cloud]) -> UInt8[np.ndarray, "side side 3"]:
    """Draw points of two dimensions as squares, the last ones on top, without outliers.

    For 60,000 points, this takes 1/17 of the CPU time of a matplotlib figure.
    """
    low, high = view_bounds(np.concatenate([points for points, _ in clouds]))
    side = _SIDE // (2 if len(clouds[0][0]) > _MANY_POINTS else 4)
    canvas = np.full((side, side, 3), 255, np.uint8)
    for points, colours in clouds:
        pixels = (points - low) * (side / (high - low))
        inside = ((pixels >= 0) & (pixels < side)).all(axis=1)
        x, y = pixels[inside].astype(int).T
        canvas[side - 1 - y, x] = colours[inside]
    return enlarge(canvas[None], _SIDE)[0]


def _pair(
    originals: UInt8[np.ndarray, "n height width channels"],
    reconstructions: UInt8[np.ndarray, "n height width channels"],
    mask: Bool[np.ndarray, "n height width channels"] | None = None,
) -> UInt8[np.ndarray, "rows columns 3"]:
    """The known pixels of originals, and below each its reconstruction."""
    seen = (
        show_known(originals, mask, _LARGEST) if mask is not None else shrink(originals, _LARGEST)
    )
    stacks = [enlarge(part, _ENLARGED) for part in (seen, shrink(reconstructions, _LARGEST))]
    return sheet(stacks, min(_PER_ROW, len(originals)))
