"""Runs that diverge, stop early or are too large, and the others, which they leave unharmed."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.study.builders import (
    CONFIG,
    EPOCHS,
    FRAIL,
    all_runs,
    assert_finished_files,
    assert_same_trial,
    by_rate,
    searching,
)

from autodecoder.config import (
    EarlyStoppingConfig,
    LogConfig,
    SearchConfig,
    fit_config,
)
from autodecoder.data import Dataset
from autodecoder.errors import MemoryLimitError, SearchError
from autodecoder.study import load_study, run_study

N_RUNS = 4


@pytest.mark.slow
@pytest.mark.parametrize("checkpoint_every", [1, 5])
def test_diverging_trials_come_last_and_harm_no_other(
    digits: Dataset,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    checkpoint_every: int,
) -> None:
    """Three of four runs end at once. The fourth goes on without them, or, if nothing is due before
    its end, has come to it as well when the host looks up."""
    rates = (1e30, 2e30, 1e-3, 3e30)
    config = replace(FRAIL, log=LogConfig(checkpoint_every=checkpoint_every))
    with caplog.at_level(logging.INFO):
        mixed = run_study(searching(config, *rates), digits, tmp_path / "mixed")
    assert ("3 of 4 runs have ended; the others continue" in caplog.text) or checkpoint_every == 5
    calm = run_study(searching(config, 1e-3), digits, tmp_path / "calm")
    assert calm.trials[0].executions[0].status == "finished"
    assert_same_trial(mixed.trials[0], calm.trials[0])
    for wild in mixed.trials[1:]:
        assert wild.state == "failed"
        assert wild.executions[0].status == "diverged"
        assert wild.executions[0].epochs == 1
        assert not np.isfinite(wild.executions[0].history["val_loss"]).any()
    assert [t.learning_rate for t in mixed.trials[1:]] == [1e30, 2e30, 3e30]
    assert len(mixed.histories) == 3 + 3
    shown = mixed.shown_run()
    assert shown is not None
    assert shown[0] is mixed.trials[0]
    assert_finished_files(tmp_path / "mixed", n_executions=1)


@pytest.mark.thorough
def test_a_study_of_diverging_trials_only_has_nothing_to_show(
    digits: Dataset, tmp_path: Path
) -> None:
    result = run_study(searching(FRAIL, 1e30, 2e30, 3e30, 4e30), digits, tmp_path)
    assert {e.status for e in all_runs(result).values()} == {"diverged"}
    assert {trial.state for trial in result.trials} == {"failed"}
    assert result.best_trial is None
    assert result.shown_run() is None
    assert len(result.histories) == 4


def test_a_run_that_diverges_after_a_good_epoch_has_a_score_but_no_decoder(
    digits: Dataset, tmp_path: Path
) -> None:
    """One batch an epoch: the first epoch's loss is measured before the step that ruins it."""
    config = replace(searching(FRAIL, 1e30), objective="loss")
    result = run_study(config, digits, tmp_path)
    assert np.isfinite(result.trials[0].score)
    assert result.trials[0].executions[0].status == "diverged"
    assert result.shown_run() is None


@pytest.mark.thorough
def test_after_ten_failures_in_a_row_the_search_is_given_up(
    digits: Dataset, tmp_path: Path
) -> None:
    """It keeps what it has."""
    config = searching(FRAIL, *(k * 1e29 for k in range(1, 14)), runs_at_once=4)
    with pytest.raises(SearchError, match=r"10 trials failed.*aborted"):
        run_study(config, digits, tmp_path)
    given_up = load_study(tmp_path)
    assert [trial.state for trial in given_up.trials] == ["failed"] * 12
    assert len(given_up.histories) == 12
    with pytest.raises(SearchError, match="aborted"):
        run_study(config, digits, tmp_path)


@pytest.mark.slow
def test_a_trial_too_large_for_memory_fails_and_the_others_go_on(
    digits: Dataset, tmp_path: Path
) -> None:
    huge = (999_999, 999_999)
    space = {"learning_rate": (1e-3,), "arch": (huge, (16,))}
    config = replace(
        CONFIG, search=SearchConfig(space, runs_at_once=N_RUNS), executions_per_trial=N_RUNS
    )
    result = run_study(config, digits, tmp_path / "both")
    assert [trial.state for trial in result.trials] == ["complete", "failed"]
    failed = result.trials[1]
    assert (failed.values["arch"], failed.error) == (huge, "out of memory")
    assert len(result.histories) == N_RUNS * EPOCHS
    space = {"learning_rate": (1e-3,), "arch": (huge,)}
    with pytest.raises(MemoryLimitError, match=r"GB are free: lower executions_per_trial, arch or"):
        run_study(replace(config, search=SearchConfig(space)), digits, tmp_path / "huge")


@pytest.mark.slow
@pytest.mark.usefixtures("as_users_compile")
def test_runs_that_stop_early_are_left_behind(
    digits: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Three of four, which learn nothing; the last goes on alone as in a study of its own."""
    patience = 4
    rule = EarlyStoppingConfig(enabled=True, patience=patience / EPOCHS, start_epoch=3)
    config = replace(
        CONFIG,
        fit=fit_config("original", num_epochs=EPOCHS, batch_size=100, latent_start="pca"),
        early_stopping=rule,
        executions_per_trial=1,
    )
    with caplog.at_level(logging.INFO):
        mixed = run_study(searching(config, 1e-9, 1e-2, 2e-9, 3e-9), digits, tmp_path / "mixed")
    assert "3 of 4 runs have ended; the others continue" in caplog.text
    solo = run_study(searching(config, 1e-2), digits, tmp_path / "solo")
    assert solo.trials[0].executions[0].status == "finished"
    assert_same_trial(mixed.trials[0], solo.trials[0])
    for idle in mixed.trials[1:]:
        assert idle.state == "complete"
        assert idle.executions[0].status == "stopped early"
        # The first epoch that counts, 4, is the reference.
        assert idle.executions[0].epochs == 4 + patience
        fresh = np.isfinite(idle.executions[0].history["fresh_val_loss"])
        assert [*fresh] == [False] * 7 + [True]
    idle_alone = run_study(searching(config, 2e-9), digits, tmp_path / "idle")
    assert_same_trial(by_rate(mixed, 2e-9), idle_alone.trials[0])
    assert_finished_files(tmp_path / "mixed", n_executions=1)
