"""What fits where."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from autodecoder.config import DecoderConfig, RunConfig, WatchConfig, fit_config
from autodecoder.data.packed import PackedImages, ShardFile
from autodecoder.errors import ConfigError, MemoryLimitError
from autodecoder.machine import free_memory
from autodecoder.model import fit_model, memory
from autodecoder.model.memory import MemoryConfig, choose_rows, parse_bytes
from autodecoder.model.row_stores import count_row_bytes


@pytest.mark.parametrize(
    ("given", "n"),
    [
        (5, 5),
        ("7", 7),
        ("2GB", 2 * 10**9),
        ("1.5 gib", 3 * 2**29),
        ("10k", 10_000),
        ("1TB", 10**12),
    ],
)
def test_bytes(given: Any, n: int) -> None:
    assert parse_bytes("memory", given) == n


@pytest.mark.parametrize("given", ["", "much", "2XB", "-1GB", 0, True, "1e9", "GB"])
def test_what_is_no_number_of_bytes(given: Any) -> None:
    with pytest.raises(ConfigError, match="memory must be a number of bytes such as 2GB, got"):
        MemoryConfig(memory=given)


def test_what_is_no_place() -> None:
    with pytest.raises(ConfigError, match="rows must be one of auto, device, host, disk"):
        MemoryConfig("tape")


def run_config(dims: int = 16, **changes: Any) -> RunConfig:
    fit = fit_config("fast", num_epochs=1, latent_learning_rate=None, **changes)
    return RunConfig(
        DecoderConfig((16,), dims), fit, "standard", (28, 28, 1), watch=WatchConfig("loss")
    )


def packed(n: int) -> PackedImages:
    """Of shards that nobody reads."""
    return PackedImages((ShardFile(Path("nowhere"), 0, n),), (784,))


def test_bytes_of_a_row() -> None:
    assert count_row_bytes(fit_config("fast"), 16) == 3 * 16 * 4
    small = fit_config("fast", latent_second_moment="row", latent_first_moment_dtype="bfloat16")
    assert count_row_bytes(small, 16) == 16 * 4 + 16 * 2 + 4


@pytest.mark.parametrize(
    ("wanted", "given", "n", "n_runs", "place"),
    [
        ("auto", "20GB", 1_000_000, 1, None),
        ("device", "20GB", 1_000_000, 1, None),
        ("host", "20GB", 1_000_000, 1, "host"),
        ("device", "5GB", 10_000_000, 1, "device"),
        ("auto", "4GB", 5_000_000, 1, "host"),
        ("auto", "4GB", 5_000_000, 3, "disk"),
        ("auto", "2GB", 10_000_000, 1, "disk"),
        ("disk", None, 1000, 1, "disk"),
    ],
)
def test_where_rows_lie(
    wanted: str, given: str | None, n: int, n_runs: int, place: str | None
) -> None:
    chosen = choose_rows(MemoryConfig(wanted, given), packed(n), None, run_config(), n_runs)
    assert chosen == place


def test_images_in_memory_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 10)
    images = np.zeros((100, 784), np.uint8)
    assert choose_rows(MemoryConfig(), images, None, run_config(), 1) is None
    monkeypatch.undo()
    assert free_memory() > 2**28


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigError,
        match=r"at least 1\d\d\d MB for programs and .* images .* got 700 MB; a smaller",
    ):
        choose_rows(MemoryConfig(memory="700MB"), packed(10_000_000), None, run_config(), 1)
    with pytest.raises(ConfigError, match=r"MB with rows host, .* got 2000 MB; rows disk takes"):
        choose_rows(MemoryConfig("host", "2GB"), packed(10_000_000), None, run_config(), 1)
    small = run_config(shuffle_buffer=10_000)
    assert choose_rows(MemoryConfig(memory="700MB"), packed(10_000_000), None, small, 1) == "disk"
    monkeypatch.setattr(memory, "free_memory", lambda: 4 * 10**9)
    whole = run_config(shuffle_buffer=0)
    with pytest.raises(ConfigError, match="shuffle_buffer 0 shuffles all 10000000 images together"):
        choose_rows(MemoryConfig(), packed(10_000_000), None, whole, 1)


def test_on_an_accelerator_rows_lie_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(memory, "_device_memory", lambda: 80e9)
    chosen = choose_rows(MemoryConfig(memory="4GB"), packed(10_000_000), None, run_config(), 1)
    assert chosen == "device"


def test_weights_that_do_not_fit_are_refused_before_they_end_the_process() -> None:
    images = np.zeros((4, 8, 8), np.uint8)
    huge = DecoderConfig(arch=(400_000, 400_000))
    with pytest.raises(
        MemoryLimitError, match=r"2560\.4 GB of memory .* 1 run of 160,\S+ weights .* lower arch or"
    ):
        fit_model(images, decoder=huge, learning_rate=1e-3)
