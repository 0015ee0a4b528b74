"""Fits over images that come window by window: the bits of one in memory, wherever it is cut."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodecoder import load_dataset
from autodecoder.config import DecoderConfig, RunConfig, WatchConfig, fit_config
from autodecoder.core import latent_starts, latents
from autodecoder.core.epoch import LearningRates
from autodecoder.core.latent_starts import find_starts
from autodecoder.core.population import init_population
from autodecoder.core.runs import Images
from autodecoder.core.tree import tree_to_arrays
from autodecoder.data.pack_writer import PackWriter
from autodecoder.errors import ConfigError, DataError, OutputError
from autodecoder.model.disk_rows import DiskRows
from autodecoder.model.driver import Driver
from autodecoder.model.row_stores import DeviceRows, HostRows, RowStore, row_types
from autodecoder.model.stream import StreamDriver

DIGITS = load_dataset("digits")
N = 600
TRAIN, VAL = DIGITS.train.flat[:N], DIGITS.val.flat[:50]
KEY, RATES = jax.random.key(3), LearningRates(jnp.full(2, 5e-3), jnp.array([0.05, 0.02]))
NUMBERS = np.arange(2, dtype=np.uint32)
OPEN: list[StreamDriver] = []
#: Sums over all latents are rounded otherwise, and those of another scale may be.
STATISTICS = ("history/latent_mean", "history/latent_variance", "history/psnr")
#: The quick tests compile with few optimisations, which round otherwise from program to program.
IS_EXACT = os.environ.get("JAX_DISABLE_MOST_OPTIMIZATIONS") == "0"


def run_config(dims: int = 2, **changes: Any) -> RunConfig:
    norm = changes.pop("norm", "none")
    fit = fit_config(
        "fast",
        **{
            "num_epochs": 3,
            "batch_size": 32,
            "latent_learning_rate": None,
            "shuffle_buffer": 150,
            **changes,
        },
    )
    decoder = DecoderConfig((16,), dims, norm=norm)
    watch = WatchConfig("val_loss", keep_best=True)
    return RunConfig(decoder, fit, "standard", (8, 8, 1), watch=watch)


def images_of(mask: np.ndarray | None = None) -> Images:
    train: Any = TRAIN
    known: Any = mask
    return Images(train, jnp.asarray(VAL), known, None)


def in_memory(config: RunConfig, mask: np.ndarray | None = None) -> Driver:
    known = None if mask is None else jnp.asarray(mask)
    images = Images(jnp.asarray(TRAIN), jnp.asarray(VAL), known, None)
    starts = find_starts(images, config)
    return Driver(init_population(KEY, NUMBERS, RATES, images, starts, config), images, config)


def streamed(
    config: RunConfig, kind: str, folder: Path, images: Images | None = None
) -> StreamDriver:
    types = row_types(config.fit, config.decoder.latent_dims)
    stores: list[RowStore] = [
        DiskRows(folder / f"{i}", N, types)
        if kind == "disk"
        else (HostRows if kind == "host" else DeviceRows)(N, types)
        for i in range(2)
    ]
    driver = StreamDriver(KEY, NUMBERS, RATES, images or images_of(), config, stores)
    OPEN.append(driver)
    return driver


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def finish(driver: Any, epoch: int = 3) -> list[dict[str, np.ndarray]]:
    while (driver.epochs < epoch).any():
        driver.move(lambda _: epoch)
    return [{k: np.array(v) for k, v in tree_to_arrays(driver.take(i)).items()} for i in range(2)]


def assert_alike(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Runs in memory and streamed ones, which are other programs."""
    if IS_EXACT:
        assert_same_runs(found, expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        pairs = {
            name: (np.asarray(ours[name], float), np.asarray(theirs[name], float))
            for name in theirs
        }
        for name, pair in pairs.items():
            np.testing.assert_allclose(*pair, rtol=1e-2, atol=0.1, err_msg=name)
        # Where a gradient is near zero, Adam enlarges what is rounded otherwise, up to whole steps.
        close = [np.isclose(*pair, rtol=1e-3, atol=1e-3).ravel() for pair in pairs.values()]
        assert np.concatenate(close).mean() > 0.99


def assert_same_runs(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for name in theirs:
            if name in STATISTICS:
                np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-5)
            else:
                np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


CASES: dict[str, dict[str, Any]] = {
    "a map": {},
    "components, the last batch filled up": {"dims": 3, "drop_last": False},
    "draws": {"latent_start": "normal", "dims": 3},
    "zeros, small moments": {
        "latent_start": "zeros",
        "latent_second_moment": "row",
        "latent_first_moment_dtype": "bfloat16",
        "schedule": "cosine",
    },
    "batch normalisation": {"norm": "batch", "drop_last": False},
    "one shard": {"shards": 1},
    "one window": {"shuffle_buffer": 0},
    "a prior": {"prior": "mixture", "n_components": 3, "prior_weight": 5.0, "dims": 3},
    "Gaussian codes": {"prior": "mixture", "n_components": 3, "codes": "gaussian", "dims": 3},
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=[pytest.mark.slow] if k > 1 else []) for k, c in enumerate(CASES)],
)
def test_a_run_in_memory_and_one_that_is_streamed(case: str, tmp_path: Path) -> None:
    config = run_config(**CASES[case])
    expected = finish(in_memory(config))
    for kind in ("host", "device", "disk") if case == "a map" else ("disk",):
        assert_alike(finish(streamed(config, kind, tmp_path)), expected)


def test_images_with_missing_pixels(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).random(TRAIN.shape) < 0.6
    config = run_config(**CASES["components, the last batch filled up"])
    expected = finish(in_memory(config, mask))
    assert_alike(finish(streamed(config, "host", tmp_path, images_of(mask))), expected)


def test_packed_images_are_read_from_their_shards(tmp_path: Path) -> None:
    with PackWriter(tmp_path / "packed", (8, 8, 1), DIGITS.class_names, {"made": "here"}) as writer:
        for number, first in enumerate(range(0, N, 250)):
            some = slice(first, min(first + 250, N))
            writer.write("train", number, DIGITS.train.images[some], DIGITS.train.labels[some])
        writer.write("val", 0, DIGITS.val.images[:50], DIGITS.val.labels[:50])
        packed = writer.finish()
    train: Any = packed.train.images.reshape(N, 64)
    images = Images(train, jnp.asarray(VAL))
    config = run_config()
    found = finish(streamed(config, "host", tmp_path, images))
    assert_same_runs(found, finish(streamed(config, "host", tmp_path)))


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("host", marks=pytest.mark.thorough),
        "disk",
        pytest.param("device", marks=pytest.mark.thorough),
    ],
)
def test_a_run_that_is_cut_within_an_epoch_is_the_same(kind: str, tmp_path: Path) -> None:
    config = run_config()
    expected = finish(streamed(config, kind, tmp_path / "whole"))
    driver = streamed(config, kind, tmp_path / "cut")
    n_windows = len(driver._windows)
    assert n_windows > 3
    saved: list[dict[str, np.ndarray]] = []
    for k in range(3 * n_windows):
        course = driver._courses[k % 2]
        assert course.window < n_windows
        driver._step(k % 2)
        saved = [{n: np.array(a) for n, a in driver.save(i).items()} for i in range(2)]
        if k % 2:
            driver._step(k % 2)  # what comes behind the checkpoint is lost
        driver.close()
        driver = streamed(config, kind, tmp_path / "cut")
        for i in range(2):
            driver.restore(i, saved[i])
    assert 0 < driver.progress.min() < driver.progress.max()
    assert_same_runs(finish(driver), expected)


@pytest.mark.parametrize("kind", ["host", "disk"])
def test_runs_go_on_from_memory_to_files_and_back(kind: str, tmp_path: Path) -> None:
    config = run_config()
    expected = finish(in_memory(config))
    first = in_memory(config)
    finish(first, 1)
    then = streamed(config, kind, tmp_path)
    for i in range(2):
        then.restore(i, first.save(i))
    assert_alike(finish(then), expected)
    again = streamed(config, "host", tmp_path)
    for i in range(2):
        again.restore(i, tree_to_arrays(then.take(i)))
    assert_alike(finish(again), expected)


def test_checkpoints_that_do_not_fit(tmp_path: Path) -> None:
    config = run_config()
    driver = streamed(config, "disk", tmp_path)
    finish(driver, 1)
    driver._step(0)
    within = driver.save(0)
    other = streamed(config, "host", tmp_path)
    with pytest.raises(ConfigError, match=r"latents in files: rows must be disk as before"):
        other.restore(0, within)
    host = streamed(config, "host", tmp_path)
    host._step(0)
    with pytest.raises(ConfigError, match=r"left within an epoch: rows must be host as before"):
        streamed(config, "disk", tmp_path).restore(0, host.save(0))
    longer = streamed(run_config(**CASES["components, the last batch filled up"]), "host", tmp_path)
    finish(longer, 1)
    with pytest.raises(ValueError, match="must be"):
        other.restore(0, {**longer.save(0), **{k: v for k, v in within.items() if "rows" not in k}})
    next((tmp_path / "0").glob("rows-*/values")).unlink()
    with pytest.raises(ValueError, match="files of its latents are missing"):
        streamed(config, "disk", tmp_path).restore(0, within)


def test_the_disk_holds_two_generations_and_the_best(tmp_path: Path) -> None:
    config = run_config()
    driver = streamed(config, "disk", tmp_path)
    names: set[str] = set()
    while not driver.ended.all():
        driver.move(lambda epoch: epoch + 1)
        kept = [path.name for path in (tmp_path / "0").iterdir()]
        assert len([name for name in kept if name.startswith("rows-")]) <= 2
        names |= set(kept)
    assert {"rows-0000001", "rows-0000003", "best-0000003"} <= names
    assert driver.must_save(0)
    driver.save(0)
    assert not driver.must_save(0)


def test_a_disk_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "0").write_text("no folder")
    driver = streamed(run_config(), "disk", tmp_path)
    with pytest.raises(OutputError, match=f"the latents in {tmp_path / '0'} cannot be kept"):
        finish(driver, 1)


def test_an_error_of_the_images_is_told(tmp_path: Path) -> None:
    class Broken:
        shape, dtype, nbytes = TRAIN.shape, TRAIN.dtype, TRAIN.nbytes

        def __len__(self) -> int:
            return N

        def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
            return TRAIN

        def __getitem__(self, rows: Any) -> np.ndarray:
            if isinstance(rows, slice):
                return TRAIN[rows]
            raise OutputError("the shard is gone")

    broken: Any = Broken()
    driver = streamed(run_config(), "host", tmp_path, Images(broken, jnp.asarray(VAL)))
    with pytest.raises(OutputError, match="the shard is gone"):
        driver.move(lambda _: 1)
    driver.close()


def test_runs_that_are_left_go_on(tmp_path: Path) -> None:
    config = run_config()
    expected = finish(streamed(config, "host", tmp_path))
    driver = streamed(config, "host", tmp_path)
    driver._step(1)
    driver.select([1])
    while not driver.ended.all():
        driver.move(lambda _: 3)
    assert_same_runs([tree_to_arrays(driver.take(0))], expected[1:])


def test_what_is_half_written_is_not_taken_for_whole(tmp_path: Path) -> None:
    config = run_config()
    driver = streamed(config, "disk", tmp_path)
    finish(driver, 1)
    at_the_end = driver.save(0)
    driver._step(0)
    driver._step(0)
    within = driver.save(0)
    driver.close()
    # The next epoch's files are there, of full size, but not whole.
    later = {**at_the_end, "state/epoch": np.asarray(2, np.int32)}
    with pytest.raises(ValueError, match="files of its latents are missing"):
        streamed(config, "disk", tmp_path).restore(0, later)
    # An epoch may end behind its last checkpoint.
    again = streamed(config, "disk", tmp_path)
    again.restore(0, within)
    while again._courses[0].window:
        again._step(0)
    again.close()
    third = streamed(config, "disk", tmp_path)
    third.restore(0, within)
    assert third.progress[0] > 1


def test_the_best_latents_are_those_of_the_best_epoch(tmp_path: Path) -> None:
    types = row_types(run_config().fit, 2)
    rows = DiskRows(tmp_path, 10, types)
    moved = rows.read(np.arange(10))
    for epoch in range(1, 4):
        moved = rows.read(np.arange(10))
        rows.write(np.arange(10), moved._replace(values=np.full((10, 2), epoch, np.float32)))
        rows.end_epoch()
        if epoch < 3:
            rows.keep_best()
    for epoch in (1, 2):
        np.testing.assert_array_equal(rows.best(epoch), np.full((10, 2), epoch, np.float32))
    with pytest.raises(DataError, match="best-0000003 is gone or shortened"):
        rows.best(3)
    assert rows.best(0) is None
    rows.close()
    started_over = DiskRows(tmp_path, 10, types)
    started_over.write(np.arange(10), moved)
    started_over.close()
    assert [path.name for path in tmp_path.iterdir()] == ["rows-0000001.part"]


@pytest.mark.parametrize(
    "case",
    [
        pytest.param("draws", marks=pytest.mark.thorough),
        "components, the last batch filled up",
        pytest.param("a map", marks=pytest.mark.thorough),
    ],
)
def test_many_rows_start_near_where_few_do(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of so many, components are those of some images, and draws are made row by row.
    for module in (latents, latent_starts):
        monkeypatch.setattr(module, "MANY_ROWS", 400)
    monkeypatch.setattr(latents, "_FITTED_ROWS", 300)
    jax.clear_caches()
    config = run_config(**CASES[case])
    found, expected = finish(streamed(config, "host", tmp_path)), finish(in_memory(config))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours["history/loss"], theirs["history/loss"], rtol=1e-3)
    jax.clear_caches()
