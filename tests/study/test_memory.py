"""Trials that need more memory than is available: together, or one alone with its batch."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
from tests.study.builders import (
    CONFIG,
    assert_finished_files,
    assert_same_trial,
    by_rate,
    searching,
)

from autodecoder.config import SearchConfig
from autodecoder.core.decoders import count_activations, count_weights, shape_decoder
from autodecoder.data import Dataset
from autodecoder.errors import ConfigError, MemoryLimitError
from autodecoder.model import memory
from autodecoder.study import load_study, run_study

_RATES = (1e-3, 2e-3, 3e-3, 4e-3)
_SMALL = replace(CONFIG, executions_per_trial=1)


def _bytes(n_runs: int, batch: int) -> int:
    """The memory that runs of `_SMALL` need."""
    decoder = shape_decoder(_SMALL.decoder, (8, 8, 1), "sigmoid")
    activations = count_activations(decoder, _SMALL.decoder.latent_dims)
    return 16 * n_runs * count_weights(decoder) + 4 * batch * activations


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> "_Room":
    """Sets the free memory."""
    return _Room(monkeypatch)


class _Room:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def __call__(self, free: int) -> None:
        self._patch.setattr(memory, "free_memory", lambda: free)


def test_trials_that_do_not_fit_together_run_fewer_at_once(
    digits: Dataset, tmp_path: Path, room: _Room, caplog: pytest.LogCaptureFixture
) -> None:
    config = searching(_SMALL, *_RATES)
    whole = run_study(config, digits, tmp_path / "whole")
    room(_bytes(2, _SMALL.fit.batch_size))
    divided = run_study(config, digits, tmp_path / "divided")
    assert "4 trials need more memory together than is available; now at most 2" in caplog.text
    for rate in _RATES:
        one, other = (by_rate(study, rate) for study in (whole, divided))
        assert other.score == pytest.approx(one.score, rel=1e-5)  # up to the order of sums
    assert_finished_files(tmp_path / "divided", 1)


def test_without_room_for_one_trial_the_error_names_settings(
    digits: Dataset, tmp_path: Path, room: _Room
) -> None:
    room(_bytes(1, 50) - 1)
    config = replace(_SMALL, fit=replace(_SMALL.fit, batch_size=50))
    with pytest.raises(
        MemoryLimitError, match=r"1 run of .* 50 images, .* lower batch_size, arch or"
    ):
        run_study(searching(config, 1e-3), digits, tmp_path / "study")
    assert not (tmp_path / "study").exists()
    several = replace(config, executions_per_trial=2)
    with pytest.raises(MemoryLimitError, match="lower executions_per_trial, batch_size, arch"):
        run_study(searching(several, 1e-3), digits, tmp_path / "study")


def test_auto_batch_halves_the_batch_until_it_fits_and_records_it(
    digits: Dataset, tmp_path: Path, room: _Room, caplog: pytest.LogCaptureFixture
) -> None:
    most, one_trial = CONFIG.fit.batch_size, searching(CONFIG, 1e-3)
    config = replace(one_trial, fit=replace(CONFIG.fit, batch_size=4 * most))
    room(_bytes(CONFIG.executions_per_trial, most))
    study = run_study(config, digits, tmp_path / "auto", auto_batch=True)
    assert study.config.fit.batch_size == most
    assert f"batch_size is now {2 * most}" in caplog.text
    assert f"batch_size is now {most}" in caplog.text
    given = run_study(one_trial, digits, tmp_path / "given")
    assert_same_trial(study.trials[0], given.trials[0])
    # The same command again finds the study, whatever the memory is now.
    room(2**40)
    again = run_study(config, digits, tmp_path / "auto", auto_batch=True)
    assert_same_trial(study.trials[0], again.trials[0])
    with pytest.raises(ConfigError, match="batch_size"):
        run_study(config, digits, tmp_path / "auto")


def test_auto_batch_ends_at_the_smallest_batch(
    digits: Dataset, tmp_path: Path, room: _Room, caplog: pytest.LogCaptureFixture
) -> None:
    room(10)
    config = replace(searching(_SMALL, 1e-3), fit=replace(_SMALL.fit, batch_size=6))
    with caplog.at_level(logging.WARNING), pytest.raises(MemoryLimitError, match="lower arch or"):
        run_study(config, digits, tmp_path / "study", auto_batch=True)
    assert "batch_size is now 3\n" in caplog.text
    assert not (tmp_path / "study").exists()


def test_auto_batch_refuses_a_searched_batch_size(digits: Dataset, tmp_path: Path) -> None:
    space = {"learning_rate": (1e-3,), "batch_size": (10, 20)}
    config = replace(_SMALL, search=SearchConfig(space))
    with pytest.raises(ConfigError, match="batch_size is searched"):
        run_study(config, digits, tmp_path / "study", auto_batch=True)


def test_a_study_with_results_keeps_its_batch_size(
    digits: Dataset, tmp_path: Path, room: _Room
) -> None:
    config = searching(CONFIG, 1e-3)
    run_study(config, digits, tmp_path / "study")
    before = load_study(tmp_path / "study")
    room(10)
    longer = searching(CONFIG, 1e-3, 2e-3)
    with pytest.raises((MemoryLimitError, ConfigError)):
        run_study(longer, digits, tmp_path / "study", auto_batch=True)
    assert_same_trial(before.trials[0], load_study(tmp_path / "study").trials[0])
