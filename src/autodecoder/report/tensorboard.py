"""TensorBoard files, written while a study runs: scalars, histograms, pictures and HParams."""

# The classes of protocol buffers are made at run time.
# pyright: reportAttributeAccessIssue=false

import contextlib
import io
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
from PIL import Image, ImageDraw, ImageFont
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.record_writer import masked_crc32c
from tensorboardX.summary import Summary, histogram

from autodecoder.config import StudyConfig
from autodecoder.core.decoders import Decoder, part_names
from autodecoder.core.fit import Snapshot
from autodecoder.core.tree import name_leaves
from autodecoder.data import Dataset, ImageSet
from autodecoder.errors import OutputError
from autodecoder.report.classes import class_colours
from autodecoder.report.hparams import describe_trial
from autodecoder.report.thumbnails import show_known, shrink
from autodecoder.report.view import Bounds, view_bounds
from autodecoder.study.observer import RunInfo
from autodecoder.study.results import Trial
from autodecoder.study.validate import reconstruct_some
from autodecoder.text import legible

#: Dimensions up to which each has a histogram of its own.
_MOST_DIMENSIONS = 8
#: Larger arrays are represented by as many of their values, drawn at random.
_HISTOGRAM_SAMPLE = 100_000
_N_BINS = 64
#: Images side by side in a grid of reconstructions.
_PER_ROW = 10
#: Longest side of an image in it, in pixels.
_LARGEST = 128
#: Side length of the plane of latents in pixels, and the width of a legend of at most ten names.
_SIDE, _LEGEND, _MOST_NAMES = 512, 104, 10
#: Palette of the pictures of latents: the paper, the training cloud behind the validation latents,
#: then the classes.
_WHITE, _GREY, _FIRST_CLASS = 0, 1, 2
_MOST_COLOURS = 256 - _FIRST_CLASS


class TensorBoardWriter:
    """An `Observer` that writes what TensorBoard shows: one event file a run and one a trial.

    Nothing is buffered and no file stays open between two calls, so that open files do not bound
    the number of runs at once, and a failure is known at the call that met it.

    Raises
    ------
    OutputError
        From every method that writes, if the file cannot be written.
    """

    _config: StudyConfig
    _dataset: Dataset
    _clouds: tuple["_Cloud", "_Cloud"]
    _palette: "_Palette"

    def __init__(self) -> None:
        self._files: dict[Path, _EventFile] = {}

    def begin_study(self, config: StudyConfig, dataset: Dataset) -> None:
        """Prepare what all pictures share."""
        self._config = config.with_objective(len(dataset.val))
        self._dataset = dataset
        self._clouds = (_Cloud(dataset.train), _Cloud(dataset.val))
        self._palette = _Palette(dataset.class_names)

    def begin_run(self, run: RunInfo, epoch: int) -> None:
        """Start a file; what an earlier process wrote of later epochs is declared void."""
        self._files[run.folder] = _EventFile(run.folder, first_step=epoch + 1)

    def record(
        self, run: RunInfo, epoch: int, metrics: Mapping[str, Float[np.ndarray, " k"]]
    ) -> None:
        """Write the metrics of some epochs as scalars."""
        tags = {_scalar_tag(name): name.startswith("fresh_") for name in metrics}
        events = []
        for k, row in enumerate(zip(*metrics.values(), strict=True)):
            # Fresh metrics are blank where not evaluated; others that are no number are a finding.
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

    def end_run(self, run: RunInfo) -> None:
        """Forget the file, which is complete."""
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
        _EventFile(folder, first_step=0).append(events)

    def _latent_spaces(
        self, train: Float[np.ndarray, "n_train 2"], val: Float[np.ndarray, "n_val 2"]
    ) -> Iterator[Any]:
        train_set, val_set = self._clouds
        train_points, val_points = train[train_set.order], val[val_set.order]
        paper = np.full((_SIDE, _SIDE), _WHITE, np.uint8)
        canvas = _draw_points(paper, train_points, train_set.colours, view_bounds(train))
        yield _picture("latent_space/train", self._palette.image(canvas))
        if not len(val):
            return
        frame = view_bounds(np.concatenate([train, val]))
        cloud = np.full(len(train), _GREY, np.uint8)
        canvas = _draw_points(paper, train_points, cloud, frame)
        canvas = _draw_points(canvas, val_points, val_set.colours, frame)
        yield _picture("latent_space/validation", self._palette.image(canvas))

    def _reconstructions(self, snapshot: Snapshot) -> Iterator[Any]:
        dataset = self._dataset
        sets = [("train", dataset.train, snapshot.train_latents)]
        sets += [("validation", dataset.val, snapshot.val_latents)] if len(dataset.val) else []
        for tag, images, latents in sets:
            scaler = self._config.data.scaler
            indices, pixels = reconstruct_some(snapshot.decoder, latents, images.labels, scaler)
            originals = images.images[indices]
            mask = None if images.mask is None else images.mask[indices]
            grid = _mosaic(originals, pixels.reshape(originals.shape), mask)
            yield _picture(f"reconstructions/{tag}", Image.fromarray(grid))


class _EventFile:
    """An event file, opened for each call that adds to it.

    Its records have the form of TFRecord: length, checksum of the length, content, checksum.
    """

    def __init__(self, folder: Path, first_step: int) -> None:
        self._size = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            others = [
                int(found[1])
                for path in folder.iterdir()
                if (found := re.match(r"events\.out\.tfevents\.(\d{10})\.", path.name))
            ]
        except OSError as error:
            raise OutputError(f"{folder} cannot be written: {error.strerror}.") from error
        # TensorBoard reads the files of a folder in order of their names, so this one must come
        # last, whatever the clocks of the machines that have written here.
        seconds = max((int(time.time()), *(other + 1 for other in others)))
        name = f"events.out.tfevents.{seconds:010d}.{socket.gethostname()}.{os.getpid()}"
        self._path = folder / name
        version = Event(wall_time=time.time(), file_version="brain.Event:2")
        log = SessionLog(status=SessionLog.START)
        self.append([version, Event(wall_time=time.time(), step=first_step, session_log=log)])

    def append(self, events: Iterable[Any]) -> None:
        """Add events; all of them or none, since a torn record would hide all that follow."""
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
    """Of the finite values; nothing if there are none."""
    values = values.ravel()
    if len(values) > _HISTOGRAM_SAMPLE:
        values = values[np.random.default_rng(0).integers(len(values), size=_HISTOGRAM_SAMPLE)]
    values = values[np.isfinite(values)].astype(np.float64)
    if len(values) == 0:
        return
    low, high = values.min(), values.max()
    # Around a single value NumPy makes bins that are too small for a large one.
    margin = max(0.5, 1e-3 * abs(low))
    bins = _N_BINS if high > low else [low - margin, high + margin]
    yield from histogram(tag, values, bins=bins).value


# Pictures


class _Cloud:
    """In which order and colours the latents of a set are drawn."""

    def __init__(self, images: ImageSet) -> None:
        # At random, so that no class covers the others by its number.
        self.order = np.random.default_rng(0).permutation(len(images))
        labels = images.labels[self.order]
        self.colours = (labels % _MOST_COLOURS + _FIRST_CLASS).astype(np.uint8)


class _Palette:
    """The colours of the pictures of latents, and the legend beside them; one byte a pixel, which
    is quicker to encode than three."""

    def __init__(self, class_names: Sequence[str]) -> None:
        colours = np.rint(class_colours(len(class_names))[:_MOST_COLOURS, :3] * 255)
        self._colours = [255, 255, 255, 200, 200, 200, *colours.astype(int).ravel().tolist()]
        width = _LEGEND if len(class_names) <= _MOST_NAMES else 0
        legend = Image.new("L", (width, _SIDE), _WHITE)
        draw, font = ImageDraw.Draw(legend), ImageFont.load_default()
        draw.fontmode = "1"  # numbers of colours cannot be blended
        for k, name in enumerate(class_names if width else ()):
            draw.rectangle((4, 12 + 20 * k, 13, 21 + 20 * k), fill=_FIRST_CLASS + k)
            draw.text((20, 11 + 20 * k), legible(name), fill=_FIRST_CLASS + k, font=font)
        self._legend = np.asarray(legend)

    def image(self, canvas: UInt8[np.ndarray, "side side"]) -> Image.Image:
        image = Image.fromarray(np.concatenate([canvas, self._legend], axis=1))
        image.putpalette(self._colours)
        return image


def _draw_points(
    canvas: UInt8[np.ndarray, "side side"],
    points: Float[np.ndarray, "n 2"],
    colours: UInt8[np.ndarray, " n"],
    frame: Bounds,
) -> UInt8[np.ndarray, "side side"]:
    """Draw a dot for each finite point inside the frame, in order: the last ones lie on top."""
    size = int(np.clip(np.sqrt(90_000 / len(points)), 2, 7))
    dot = np.arange(size) - (size - 1) / 2
    rows, columns = np.nonzero(dot[:, None] ** 2 + dot**2 < (size / 2) ** 2 + 0.1)
    low, high = frame
    scaled = (points - low) * (_SIDE / (high - low))
    inside = ((scaled >= 0) & (scaled < _SIDE)).all(axis=1)
    x, y = scaled[inside].astype(np.int64).T
    # The margin takes the dots that reach over the edge.
    width = _SIDE + size - 1
    padded = np.pad(canvas, ((size // 2, size - 1 - size // 2),) * 2)
    pixels = ((_SIDE - 1 - y) * width + x)[:, None] + (rows * width + columns)
    padded.ravel()[pixels] = colours[inside][:, None]
    return padded[size // 2 :, size // 2 :][:_SIDE, :_SIDE]


def _mosaic(
    originals: UInt8[np.ndarray, "n height width channels"],
    reconstructions: UInt8[np.ndarray, "n height width channels"],
    mask: Bool[np.ndarray, "n height width channels"] | None = None,
) -> UInt8[np.ndarray, "..."]:
    """Originals, as far as they are known, and below each its reconstruction, on white.

    Small images are enlarged, large ones made smaller."""
    reconstructions = shrink(reconstructions, _LARGEST)
    if mask is None:
        originals = shrink(originals, _LARGEST)
    else:
        originals = show_known(originals, mask, _LARGEST)
        reconstructions = np.broadcast_to(reconstructions, originals.shape)
    n, height, width, channels = originals.shape
    factor = max(1, round(64 / max(height, width)))
    pairs = np.stack([originals, reconstructions], axis=1).repeat(factor, 2).repeat(factor, 3)
    per_row = min(_PER_ROW, n)
    margins = ((0, -n % per_row), (0, 0), (2, 2), (2, 2), (0, 0))
    pairs = np.pad(pairs, margins, constant_values=255)
    tiles = pairs.reshape(-1, per_row, *pairs.shape[1:]).transpose(0, 2, 3, 1, 4, 5)
    grid = tiles.reshape(-1, per_row * pairs.shape[3], channels)
    return grid if channels == 3 else np.ascontiguousarray(grid[..., 0])


def _picture(tag: str, image: Image.Image) -> Any:
    buffer = io.BytesIO()
    image.save(buffer, format="png", compress_level=1)
    picture = Summary.Image(
        height=image.height,
        width=image.width,
        colorspace=1 if image.mode == "L" else 3,
        encoded_image_string=buffer.getvalue(),
    )
    return Summary.Value(tag=tag, image=picture)
