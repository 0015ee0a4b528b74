"""TensorBoard's own reader and server find in the files what the study told the writer."""

# The classes of protocol buffers are made at run time.
# pyright: reportAttributeAccessIssue=false

import contextlib
import io
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from autodecoder.config import Range, SearchConfig, StudyConfig, read_arch, study_config
from autodecoder.core.decoders import decode, init_decoder
from autodecoder.core.epoch import LearningRates
from autodecoder.core.fit import FRESH_METRICS, advance_run, init_run
from autodecoder.core.runs import Images, Run, Snapshot, take_snapshot
from autodecoder.core.scaling import to_unit
from autodecoder.data import Dataset, ImageSet, load_dataset, subset
from autodecoder.errors import OutputError
from autodecoder.report.classes import class_colours
from autodecoder.report.tensorboard import TensorBoardWriter
from autodecoder.study.observer import RunInfo
from autodecoder.study.results import Execution, Trial

NAN = math.nan
N_EPOCHS = 6
CONFIG = study_config(
    {
        "decoder": {"arch": "12-16"},
        "recipe": "original",
        "fit": {"num_epochs": N_EPOCHS, "batch_size": 32},
        "log": {"trackers": ["gradients"], "histogram_freq": 2, "visualize_freq": 3},
    }
)
ALL = dict.fromkeys(("scalars", "images", "histograms", "tensors"), 0)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return subset(load_dataset("digits"), 0.2, seed=0)


@pytest.fixture(scope="module")
def fitted(dataset: Dataset) -> Run:
    """A run that has come to its end."""
    images = Images(jnp.asarray(dataset.train.flat), jnp.asarray(dataset.val.flat))
    config = CONFIG.run_config({"learning_rate": 1e-2}, dataset.image_shape)
    rates = LearningRates(jnp.float32(1e-2), jnp.float32(1e-2))
    start = init_run(jax.random.key(0), images, None, config)
    step = jax.jit(advance_run, static_argnames="config")
    return step(start, rates, images, N_EPOCHS, config=config)


@pytest.fixture
def run(tmp_path: Path, dataset: Dataset) -> RunInfo:
    return run_info(CONFIG, dataset, tmp_path / "trials" / "a" / "execution-0")


def place(run: RunInfo) -> Path:
    """Where its event files lie."""
    return run.folder.parents[2] / "tensorboard" / "lr=0.01" / run.folder.name


def fresh_snapshot(config: StudyConfig, dataset: Dataset, train: Any, val: Any) -> Snapshot:
    """An untrained decoder with latents made up, after epoch 6."""
    decoder = init_decoder(jax.random.key(0), config.decoder, dataset.image_shape, "tanh")
    train, val = jnp.asarray(train, jnp.float32), jnp.asarray(val, jnp.float32)
    return Snapshot(decoder, train, val, jnp.asarray(N_EPOCHS))


def run_info(config: StudyConfig, dataset: Dataset, folder: Path) -> RunInfo:
    values = {"learning_rate": 1e-2}
    return RunInfo("a", 0, values, config.run_config(values, dataset.image_shape), folder, "x")


def writer_of(dataset: Dataset, config: StudyConfig = CONFIG) -> TensorBoardWriter:
    writer = TensorBoardWriter()
    writer.begin_study(config, dataset)
    return writer


def logging(**values: Any) -> StudyConfig:
    return replace(CONFIG, log=replace(CONFIG.log, **values))


def history(run: Run) -> dict[str, np.ndarray]:
    """What is recorded every epoch."""
    names = [name for name in run.history if name not in FRESH_METRICS]
    return {name: np.asarray(run.history[name]) for name in names}


def portion(metrics: Mapping[str, np.ndarray], first: int, last: int) -> dict[str, np.ndarray]:
    """Of epochs `first` to `last`."""
    return {name: values[first - 1 : last] for name, values in metrics.items()}


def at_epoch(run: Run, epoch: int) -> Snapshot:
    return take_snapshot(run.state)._replace(epoch=jnp.asarray(epoch))


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance=ALL).Reload()


def picture(events: EventAccumulator, tag: str) -> np.ndarray:
    """The last picture of that name, as (height, width, 3)."""
    event = events.Images(tag)[-1]
    image = Image.open(io.BytesIO(event.encoded_image_string))
    assert image.size == (event.width, event.height)
    return np.asarray(image.convert("RGB"))


def colours_in(pixels: np.ndarray) -> set[tuple[int, ...]]:
    return set(map(tuple, np.unique(pixels.reshape(-1, 3), axis=0).tolist()))


def rgb(n_classes: int) -> list[tuple[int, ...]]:
    colours = np.rint(class_colours(n_classes)[:, :3] * 255).astype(int)
    return list(map(tuple, colours.tolist()))


# Scalars


def test_every_metric_is_a_curve_over_the_epochs(dataset, fitted, run) -> None:
    writer, metrics = writer_of(dataset), history(fitted)
    writer.begin_run(run, 0)
    writer.record(run, 1, portion(metrics, 1, 4))
    writer.record(run, 5, portion(metrics, 5, 6))
    writer.record(run, 6, {"fresh_val_loss": np.array([0.5], np.float32)})
    writer.end_run(run, None)

    events = read(place(run))
    expected = {
        "train/loss": "loss",
        "train/psnr": "psnr",
        "validation/mae": "val_mae",
        "train/latent_mean": "latent_mean",
        "validation/latent_variance": "val_latent_variance",
        "train/gradient_norm/layer_1": "gradient_norm_layer_1",
        "train/gradient_norm/layer_2": "gradient_norm_layer_2",
        "train/gradient_norm/output": "gradient_norm_output",
        "train/gradient_norm/latents": "gradient_norm_latents",
    }
    for tag, name in expected.items():
        curve = events.Scalars(tag)
        assert [event.step for event in curve] == [1, 2, 3, 4, 5, 6]
        np.testing.assert_array_equal([event.value for event in curve], metrics[name])
    fresh = events.Scalars("validation/fresh_loss")
    assert [(event.step, event.value) for event in fresh] == [(6, 0.5)]
    assert len(events.Tags()["scalars"]) == len(metrics) + 1
    assert len(list(place(run).iterdir())) == 1


def test_what_was_not_evaluated_is_left_out_and_a_diverged_loss_is_shown(dataset, run) -> None:
    writer = writer_of(dataset)
    writer.begin_run(run, 0)
    metrics = {"loss": [1, NAN], "val_loss": [2, math.inf], "fresh_val_loss": [NAN, 3]}
    writer.record(run, 1, {name: np.array(v, np.float32) for name, v in metrics.items()})
    events = read(place(run))
    assert math.isnan(events.Scalars("train/loss")[1].value)
    assert events.Scalars("validation/loss")[1].value == math.inf
    assert [event.step for event in events.Scalars("validation/fresh_loss")] == [2]


def test_a_resumed_run_takes_back_what_lies_beyond_its_checkpoint(dataset, fitted, run) -> None:
    metrics = history(fitted)
    first = writer_of(dataset)
    first.begin_run(run, 0)
    first.record(run, 1, portion(metrics, 1, 5))
    first.snapshot(run, at_epoch(fitted, 4), last=False)
    # A second process, within the same second, goes on behind epoch 3.
    second = writer_of(dataset)
    second.begin_run(run, 3)
    assert read(place(run)).Histograms("weights/output/kernel") == []
    second.record(run, 4, {name: values + 1 for name, values in portion(metrics, 4, 6).items()})
    second.snapshot(run, at_epoch(fitted, 4), last=False)
    second.end_run(run, None)

    events = read(place(run))
    curve = events.Scalars("train/loss")
    assert [event.step for event in curve] == [1, 2, 3, 4, 5, 6]
    expected = metrics["loss"] + np.array([0, 0, 0, 1, 1, 1], np.float32)
    np.testing.assert_array_equal([event.value for event in curve], expected)
    assert [event.step for event in events.Histograms("weights/output/kernel")] == [4]


def test_a_later_file_comes_last_whatever_the_clock_says(dataset, run) -> None:
    place(run).mkdir(parents=True)
    ahead = place(run) / f"events.out.tfevents.{int(time.time()) + 5000}.elsewhere.1"
    ahead.touch()
    writer_of(dataset).begin_run(run, 0)
    assert sorted(place(run).iterdir())[0] == ahead


# Histograms


def test_histograms_count_every_weight_and_latent(dataset, fitted, run) -> None:
    writer = writer_of(dataset)
    writer.begin_run(run, 0)
    writer.snapshot(run, at_epoch(fitted, 2), last=False)
    events = read(place(run))
    weights = {
        f"weights/layer_{k}/{part}"
        for k in (1, 2)
        for part in ("kernel", "bias", "norm_scale", "norm_offset")
    } | {"weights/output/kernel", "weights/output/bias"}
    latents = {f"latents/{name}/dimension_{k}" for name in ("train", "validation") for k in (1, 2)}
    assert set(events.Tags()["histograms"]) == weights | latents
    state = fitted.state
    for tag, values in (
        ("weights/layer_2/kernel", state.decoder.trainable()[1].weight),
        ("weights/output/bias", state.decoder.trainable()[2].bias),
        ("latents/train/dimension_2", state.train.values[:, 1]),
        ("latents/validation/dimension_1", state.val.values[:, 0]),
    ):
        (event,) = events.Histograms(tag)
        assert event.step == 2
        found = event.histogram_value
        values = np.asarray(values, np.float64)
        assert found.num == sum(found.bucket) == values.size
        assert (found.min, found.max) == (values.min(), values.max())
        np.testing.assert_allclose(found.sum, values.sum(), rtol=1e-6, atol=1e-9)


def test_many_dimensions_share_one_histogram(dataset, tmp_path) -> None:
    config = replace(CONFIG, decoder=replace(CONFIG.decoder, latent_dims=9, batch_norm=False))
    run = run_info(config, dataset, tmp_path / "trials" / "a" / "execution-0")
    writer = writer_of(dataset, config)
    writer.begin_run(run, 0)
    latents = np.random.default_rng(0).normal(size=(len(dataset.train), 9))
    writer.snapshot(
        run, fresh_snapshot(config, dataset, latents, latents[: len(dataset.val)]), last=False
    )
    events = read(place(run))
    assert [tag for tag in events.Tags()["histograms"] if "latents" in tag] == [
        "latents/train/all_dimensions",
        "latents/validation/all_dimensions",
    ]
    (event,) = events.Histograms("latents/train/all_dimensions")
    assert event.histogram_value.num == 9 * len(dataset.train)
    assert events.Tags()["images"] == ["reconstructions/train", "reconstructions/validation"]


def test_a_large_array_is_represented_by_a_sample(dataset, fitted, run) -> None:
    layer = fitted.state.decoder.trainable()[0]
    large = np.random.default_rng(0).normal(size=(400, 600)).astype(np.float32)
    layers = (layer._replace(weight=jnp.asarray(large)), *fitted.state.decoder.trainable()[1:])
    writer = writer_of(dataset)
    writer.begin_run(run, 0)
    snapshot = at_epoch(fitted, 2)
    writer.snapshot(
        run, snapshot._replace(decoder=snapshot.decoder.with_trainable(layers)), last=False
    )
    found = read(place(run)).Histograms("weights/layer_1/kernel")[0].histogram_value
    assert found.num == 100_000
    assert found.sum / found.num == pytest.approx(0, abs=0.02)
    assert found.sum_squares / found.num == pytest.approx(1, abs=0.03)


# Pictures


def test_latent_spaces_have_the_colours_of_the_classes(dataset, fitted, run) -> None:
    writer = writer_of(dataset)
    writer.begin_run(run, 0)
    writer.snapshot(run, at_epoch(fitted, 3), last=False)
    events = read(place(run))
    train, val = (picture(events, f"latent_space/{name}") for name in ("train", "validation"))
    assert train.shape == val.shape == (512, 616, 3)
    white, grey = (255, 255, 255), (200, 200, 200)
    # Left of the legend, so that the dots are meant.
    assert colours_in(train[:, :512]) == {white, *rgb(10)}
    assert colours_in(val[:, :512]) == {white, grey, *rgb(10)}
    np.testing.assert_array_equal(train[:, 512:], val[:, 512:])
    assert colours_in(train[:, 512:]) == {white, *rgb(10)}


def latent_pictures(train: np.ndarray, val: np.ndarray, folder: Path, n_classes: int = 2):
    """Both pictures of latents whose classes are 0, 1, 2, … in turn."""
    train_set, val_set = (
        ImageSet(np.zeros((len(latents), 2, 2, 1), np.uint8), np.arange(len(latents)) % n_classes)
        for latents in (train, val)
    )
    names = tuple(f"class {k}" for k in range(n_classes))
    dataset = Dataset("made", train_set, val_set, names)
    config = logging(histogram_freq=0)
    run = run_info(config, dataset, folder / "trials" / "a" / "execution-0")
    writer = writer_of(dataset, config)
    writer.begin_run(run, 0)
    writer.snapshot(run, fresh_snapshot(config, dataset, train, val), last=False)
    events = read(place(run))
    return picture(events, "latent_space/train"), picture(events, "latent_space/validation")


@pytest.mark.thorough
def test_the_second_dimension_points_upward_and_validation_lies_over_grey(tmp_path) -> None:
    corners = np.array([[-1, -1], [1, 1]])
    train, val = latent_pictures(corners, corners[:1] / 2, tmp_path)
    first, second = rgb(2)

    def place(pixels: np.ndarray, colour: tuple[int, ...]) -> np.ndarray:
        rows, columns = np.nonzero((pixels[:, :512] == colour).all(axis=-1))
        return np.array([columns.mean(), rows.mean()]) / 512

    low, high = 0.5 - 0.5 / 1.12, 0.5 + 0.5 / 1.12
    np.testing.assert_allclose(place(train, first), (low, high), atol=0.01)
    np.testing.assert_allclose(place(train, second), (high, low), atol=0.01)
    middle = low + (high - low) / 4
    np.testing.assert_allclose(place(val, first), (middle, 1 - middle), atol=0.01)
    np.testing.assert_allclose(place(val, (200, 200, 200)), (0.5, 0.5), atol=0.01)


@pytest.mark.thorough
def test_a_stray_does_not_shrink_the_latent_space(tmp_path) -> None:
    latents = np.random.default_rng(0).uniform(-1, 1, size=(5000, 2))
    latents[0] = 1e6
    train, _ = latent_pictures(latents, latents[:9], tmp_path)
    rows, columns = np.nonzero((train[:, :512] != 255).any(axis=-1))
    assert min(np.ptp(rows), np.ptp(columns)) > 400


@pytest.mark.thorough
@pytest.mark.parametrize("n_classes", [1, 2, 11, 100, 300])
def test_any_number_of_classes_has_colours(tmp_path, n_classes: int) -> None:
    latents = np.random.default_rng(0).normal(size=(900, 2))
    train, _ = latent_pictures(latents, latents[:40], tmp_path, n_classes)
    assert train.shape == (512, 616 if n_classes < 11 else 512, 3)
    assert len(colours_in(train)) > min(n_classes, 200)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "latents",
    [
        np.zeros((9, 2)),
        np.full((9, 2), NAN),
        np.full((9, 2), 3e38),
        np.array([[0, 1], [NAN, 1], [math.inf, 0], [1, -math.inf], [3e38, -3e38], [1e-45, 0]]),
    ],
    ids=["collapsed", "nan", "huge", "mixed"],
)
def test_latents_astray_can_be_drawn(tmp_path, latents: np.ndarray) -> None:
    for pixels in latent_pictures(latents, latents[:4], tmp_path):
        assert pixels.shape == (512, 616, 3)


def test_reconstructions_stand_below_their_originals(dataset, fitted, run) -> None:
    writer = writer_of(dataset)
    writer.begin_run(run, 0)
    writer.snapshot(run, at_epoch(fitted, 3), last=False)
    events, state = read(place(run)), fitted.state
    for tag, images, latents in (
        ("train", dataset.train, state.train.values),
        ("validation", dataset.val, state.val.values),
    ):
        # Two rows of ten, each of originals and reconstructions, of 64 pixels and gaps of 5.
        pixels = picture(events, f"reconstructions/{tag}")
        assert pixels.shape == (2 * (2 * 69 + 5) - 2 * 5, 10 * 69 - 5, 3)
        padded = np.pad(pixels[..., 0], ((0, 2 * 5), (0, 5)), constant_values=255)
        columns = padded.reshape(2, 143, 10, 69).swapaxes(1, 2).reshape(20, 143, 69)
        assert (columns[:, 64:69] == 255).all()
        tiles = columns[:, :138].reshape(20, 2, 69, 69)[..., :64:8, :64:8]
        first = [np.flatnonzero(images.labels == k)[:2] for k in range(10)]
        shown = np.concatenate([[one[turn] for one in first] for turn in (0, 1)])
        np.testing.assert_array_equal(tiles[:, 0], images.images[shown, ..., 0])
        outputs = np.asarray(to_unit(decode(state.decoder, latents), "standard"))[shown]
        decoded = tiles[:, 1].reshape(20, 64).astype(float)
        np.testing.assert_allclose(decoded, outputs * 255, atol=0.51)


def test_reconstructions_keep_their_colours(tmp_path) -> None:
    rng = np.random.default_rng(0)
    images = ImageSet(rng.integers(256, size=(7, 32, 32, 3), dtype=np.uint8), np.arange(7))
    dataset = Dataset("made", images, images, tuple("abcdefg"))
    run = run_info(CONFIG, dataset, tmp_path / "trials" / "a" / "execution-0")
    writer = writer_of(dataset)
    writer.begin_run(run, 0)
    latents = np.random.default_rng(0).normal(size=(7, 2))
    writer.snapshot(run, fresh_snapshot(CONFIG, dataset, latents, latents), last=False)
    pixels = picture(read(place(run)), "reconstructions/train")
    assert pixels.shape == (2 * 69 - 5, 7 * 69 - 5, 3)
    np.testing.assert_array_equal(pixels[:64:2, 69:133:2], images.images[1])


# Which epochs


@pytest.mark.parametrize(
    ("epoch", "last", "histogram_freq", "visualize_freq", "histograms", "images"),
    [
        (4, False, 2, 3, True, False),
        (3, False, 2, 3, False, True),
        (6, True, 4, 3, True, True),  # the last epoch of all
        (6, True, 4, 0, True, False),
        (6, True, 0, 4, False, True),
        (6, True, 0, 0, False, False),
        (4, True, 2, 3, True, True),  # a run that stopped early, where one of them is due
        (5, True, 2, 3, True, True),
    ],
)
def test_snapshots_are_written_when_due(
    dataset, fitted, run, epoch, last, histogram_freq, visualize_freq, histograms, images
) -> None:
    config = logging(histogram_freq=histogram_freq, visualize_freq=visualize_freq)
    writer = writer_of(dataset, config)
    writer.begin_run(run, 0)
    writer.snapshot(run, at_epoch(fitted, epoch), last)
    tags = read(place(run)).Tags()
    assert (bool(tags["histograms"]), bool(tags["images"])) == (histograms, images)


def test_a_diverged_run_is_logged_to_its_end(dataset, fitted, run) -> None:
    writer = writer_of(dataset)
    writer.begin_run(run, 0)
    broken = jax.tree.map(
        lambda a: a * jnp.nan if a.dtype == jnp.float32 else a, at_epoch(fitted, 6)
    )
    writer.snapshot(run, broken, last=False)
    events = read(place(run))
    assert events.Tags()["histograms"] == []
    assert (picture(events, "latent_space/train")[:, :512] == 255).all()
    reconstructed = picture(events, "reconstructions/train")[69:133, :64]
    assert (reconstructed == 0).all()


# Failures


@contextlib.contextmanager
def no_file_larger_than(n_bytes: int) -> Iterator[None]:
    """A full disk, as far as a process can have one of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_an_error_and_leaves_no_torn_record(dataset, fitted, run) -> None:
    writer, metrics = writer_of(dataset), history(fitted)
    writer.begin_run(run, 0)
    writer.record(run, 1, portion(metrics, 1, 2))
    (path,) = place(run).iterdir()
    size = path.stat().st_size
    with (
        no_file_larger_than(size + 1000),
        pytest.raises(OutputError, match=r"tfevents.* cannot be written: File too large\.$"),
    ):
        writer.snapshot(run, at_epoch(fitted, 6), last=False)
    assert path.stat().st_size == size
    writer.record(run, 3, portion(metrics, 3, 4))
    assert [event.step for event in read(place(run)).Scalars("train/loss")] == [1, 2, 3, 4]


def test_a_blocked_folder_is_an_error(dataset, run, tmp_path) -> None:
    writer = writer_of(dataset)
    (tmp_path / "tensorboard").write_text("precious")
    with pytest.raises(OutputError, match=r"execution-0 cannot be written: Not a directory\.$"):
        writer.begin_run(run, 0)
    with pytest.raises(OutputError, match=r"lr=0.01 cannot be written: Not a directory\.$"):
        writer.end_trial(trial("a", 1e-2, [1]), tmp_path / "trials" / "a")
    assert (tmp_path / "tensorboard").read_text() == "precious"


def test_a_folder_that_vanished_is_an_error(dataset, fitted, run) -> None:
    writer = writer_of(dataset)
    writer.begin_run(run, 0)
    for path in place(run).iterdir():
        path.unlink()
    place(run).rmdir()
    with pytest.raises(OutputError, match="No such file or directory"):
        writer.record(run, 1, history(fitted))


def test_no_file_stays_open(dataset, fitted, tmp_path) -> None:
    writer = writer_of(dataset)
    before = len(list(Path("/dev/fd").iterdir()))
    for k in range(20):
        run = run_info(CONFIG, dataset, tmp_path / "trials" / "a" / f"execution-{k}")
        writer.begin_run(run, 0)
        writer.record(run, 1, history(fitted))
    assert len(list(Path("/dev/fd").iterdir())) <= before + 2


# HParams


def trial(trial_id: str, rate: float, *curves: list[float], **values: Any) -> Trial:
    executions = tuple(
        Execution(
            {name: np.array(curve, np.float32) for name in ("loss", "val_loss")},
            "val_loss",
            "finished",
        )
        for curve in curves
    )
    values = {"learning_rate": rate, **values}
    return Trial(trial_id, 0, values, executions, "complete")


@contextlib.contextmanager
def tensorboard(logdir: Path, log: Path) -> Iterator[str]:
    """TensorBoard over these files; yields its address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", "0"],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 120
        while not (found := re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield found[0]
    finally:
        # With it goes the data server that it starts.
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def ask(url: str, question: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        url, json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_a_trial_that_never_ran_is_a_failure_without_metrics(dataset, tmp_path) -> None:
    """As one that needs too much memory."""
    writer_of(dataset).end_trial(trial("a", 1e-2), tmp_path / "trials" / "a")
    events = read(tmp_path / "tensorboard" / "lr=0.01")
    assert events.Tags()["scalars"] == []
    content = events.PluginTagToContent("hparams")["_hparams_/session_end_info"]
    ended = HParamsPluginData.FromString(content).session_end_info
    assert ended.status == Status.Value("STATUS_FAILURE")


@pytest.mark.thorough
def test_the_hparams_tab_has_a_row_a_trial(dataset, fitted, tmp_path) -> None:
    archs = ((500, 1000), read_arch("conv:256/64-32"))
    space = {"learning_rate": (1e-1, 1e-2), "arch": archs, "use_bias": (True,)}
    config = replace(CONFIG, search=SearchConfig(space))
    writer, folder = writer_of(dataset, config), tmp_path / "trials"
    trials = [
        # The first to be found has no score, and must not take the others' columns away.
        trial("a", 1e-1, [NAN], [2, 1], arch=archs[0], use_bias=True),
        trial("b", 1e-2, [4, 3], [2, 5], arch=archs[1], use_bias=True),
        trial("c", 1e-1, [8, 7], [6, 5], arch=archs[1], use_bias=True),
    ]
    for each in trials:
        place = folder / each.trial_id / "execution-0"
        run = replace(run_info(CONFIG, dataset, place), trial_id=each.trial_id, values=each.values)
        writer.begin_run(run, 0)
        writer.record(run, 1, history(fitted))
        writer.end_run(run, None)
        writer.end_trial(each, folder / each.trial_id)
    writer.end_trial(trials[1], folder / "b")  # as after an interruption at the worst moment

    with tensorboard(tmp_path, tmp_path / "log.txt") as address:
        plugin = f"{address}data/plugin/hparams/"
        statuses = ["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"]
        question = {"allowedStatuses": statuses, "startIndex": 0, "sliceSize": 100}
        deadline = time.monotonic() + 60
        experiment: dict[str, Any] = {}
        groups: list[dict[str, Any]] = []
        # It reads the files while it answers already.
        while len(groups) < 3 and time.monotonic() < deadline:
            time.sleep(0.2)
            with contextlib.suppress(urllib.error.HTTPError):
                experiment = ask(f"{plugin}experiment", {})
                columns = [{"metric": info["name"]} for info in experiment["metricInfos"]]
                answer = ask(f"{plugin}session_groups", {**question, "colParams": columns})
                groups = answer["sessionGroups"]

    columns = {info["name"]: info["type"] for info in experiment["hparamInfos"]}
    assert columns == {"learning_rate": "DATA_TYPE_FLOAT64", "arch": "DATA_TYPE_STRING"}
    assert all(info["differs"] for info in experiment["hparamInfos"])
    metrics = ("score/val_loss", "last/loss", "last/val_loss")
    assert {info["name"]["tag"] for info in experiment["metricInfos"]} == set(metrics)
    rows = {group["name"].removeprefix("tensorboard/"): group for group in groups}
    failed, best, other = (
        "lr=0.1,arch=500-1000", "lr=0.01,arch=conv.256_64-32", "lr=0.1,arch=conv.256_64-32"
    )  # fmt: skip
    assert set(rows) == {failed, best, other}
    values = {
        name: {v["name"]["tag"]: v["value"] for v in row["metricValues"]}
        for name, row in rows.items()
    }
    assert values[best] == {"score/val_loss": 2.5, "last/loss": 4, "last/val_loss": 4}
    assert values[other] == {"score/val_loss": 6, "last/loss": 6, "last/val_loss": 6}
    assert values[failed] == {}
    assert {name: row["sessions"][0]["status"] for name, row in rows.items()} == {
        failed: "STATUS_FAILURE",
        best: "STATUS_SUCCESS",
        other: "STATUS_SUCCESS",
    }
    assert rows[best]["hparams"] == {"learning_rate": 1e-2, "arch": "conv:256/64-32"}
    assert rows[failed]["hparams"]["arch"] == "500-1000"


# Names


def test_runs_are_named_by_what_is_searched(dataset, run, tmp_path) -> None:
    """A sampler that draws may draw a value twice: its trials have their ids beside."""
    folder = tmp_path / "trials"
    drawn = SearchConfig({"learning_rate": Range(1e-4, 1e-1, log=True)}, "random", max_trials=2)
    for config, name in (
        (CONFIG, "lr=0.01"),
        (replace(CONFIG, search=drawn), "lr=0.01-a"),
    ):
        writer = writer_of(dataset, config)
        writer.begin_run(run, 0)
        writer.end_trial(trial("a", 1e-2, [1]), folder / "a")
        place = tmp_path / "tensorboard" / name
        assert read(place / "execution-0").Tags()["scalars"] == []
        assert "score/val_loss" in read(place).Tags()["scalars"]
    assert not folder.exists()


def test_a_study_of_an_earlier_version_goes_on_in_its_old_folders(dataset, run, tmp_path) -> None:
    run.folder.mkdir(parents=True)
    (run.folder / "events.out.tfevents.1700000000.elsewhere.1").touch()
    writer = writer_of(dataset)
    writer.begin_run(run, 2)
    other = replace(run, trial_id="b", folder=tmp_path / "trials" / "b" / "execution-0")
    writer.begin_run(other, 0)
    writer.record(other, 1, {"loss": np.array([1.0], np.float32)})
    writer.end_trial(trial("b", 1e-2, [1]), tmp_path / "trials" / "b")
    assert len(list(run.folder.iterdir())) == 2
    assert read(other.folder).Scalars("train/loss")[0].value == 1
    assert "score/val_loss" in read(tmp_path / "trials" / "b").Tags()["scalars"]
    assert not (tmp_path / "tensorboard").exists()
