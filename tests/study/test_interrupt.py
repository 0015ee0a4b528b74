"""A study that is told to stop keeps the epochs done, and goes on to the same end."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.study.builders import (
    CONFIG,
    EPOCHS,
    all_runs,
    assert_finished_files,
    assert_same_study,
    by_rate,
    stop_when,
)
from tests.study.recorder import Recorder

from autodecoder.data import Dataset
from autodecoder.study import Progress, Study, run_study

N_RUNS = 4


def test_interrupted_it_keeps_the_epochs_done_and_goes_on_to_the_same_end(
    whole: Study, digits: Dataset, tmp_path: Path
) -> None:
    part = run_study(CONFIG, digits, tmp_path, **stop_when(lambda report: report.epoch >= 1))
    assert part.best_trial is None
    assert [trial.state for trial in part.trials] == ["unfinished"] * 2
    for trial in part.trials:
        full_trial = by_rate(whole, trial.learning_rate)
        for k, execution in enumerate(trial.executions):
            full = full_trial.executions[k]
            assert execution.status == "unfinished"
            assert 1 <= execution.epochs < EPOCHS
            assert execution.seconds > 0
            assert np.isnan(execution.history["fresh_val_loss"]).all()
            for name in ("loss", "val_loss", "latent_variance"):
                np.testing.assert_array_equal(
                    execution.history[name], full.history[name][: execution.epochs]
                )
            folder = tmp_path / "trials" / trial.trial_id / f"execution-{k}"
            assert [path.name for path in folder.glob("checkpoint*")] == [
                f"checkpoint-{execution.epochs:07d}.safetensors"
            ]
    assert len(part.histories) == sum(e.epochs for e in all_runs(part).values())
    shown = part.shown_run()
    assert shown is not None
    assert shown[2].protocol == "co-trained"
    assert shown[2].shown is not None
    assert shown[2].shown.val_latents.shape == (len(digits.val), 2)

    result = run_study(CONFIG, digits, tmp_path)
    assert_same_study(result, whole)
    assert {t.trial_id for t in result.trials} == {t.trial_id for t in part.trials}
    assert_finished_files(tmp_path)


@pytest.mark.thorough
def test_interrupted_again_and_again_it_ends_the_same(
    whole: Study, digits: Dataset, tmp_path: Path
) -> None:
    """Also where the runs have come to different epochs, and while they are validated."""
    n_stops = 0
    while True:
        reports: list[Progress] = []
        part = run_study(
            CONFIG,
            digits,
            tmp_path,
            report=reports.append,
            should_stop=lambda reports=reports, n_stops=n_stops: len(reports) > 2 + n_stops,
        )
        if [trial.state for trial in part.trials] == ["complete"] * 2:
            break
        n_stops += 1
    assert n_stops >= 3
    assert_same_study(part, whole)
    assert_finished_files(tmp_path)


def test_interrupted_with_a_fresh_objective_trials_have_no_score_yet(
    digits: Dataset, tmp_path: Path
) -> None:
    config = replace(CONFIG, objective="fresh_val_psnr")
    part = run_study(config, digits, tmp_path, **stop_when(lambda report: report.epoch >= 1))
    assert [trial.state for trial in part.trials] == ["unfinished"] * 2
    assert np.isnan([trial.score for trial in part.trials]).all()
    shown = part.shown_run()
    assert shown is not None
    assert shown[2].protocol == "co-trained"


@pytest.mark.thorough
def test_interrupted_before_the_first_epoch_there_is_nothing_to_show(
    whole: Study, digits: Dataset, tmp_path: Path
) -> None:
    part = run_study(CONFIG, digits, tmp_path, should_stop=lambda: True)
    assert part.shown_run() is None
    assert part.trials == ()
    assert part.histories.empty
    part = run_study(CONFIG, digits, tmp_path, **stop_when(lambda report: True))
    assert part.shown_run() is None
    assert {e.epochs for e in all_runs(part).values()} == {0}
    assert part.histories.empty
    assert_same_study(run_study(CONFIG, digits, tmp_path), whole)


@pytest.mark.thorough
def test_interrupted_while_validating_the_fit_is_whole(
    whole: Study, digits: Dataset, tmp_path: Path
) -> None:
    stop = stop_when(lambda report: report.stage == "fresh validation")
    recorder = Recorder()
    part = run_study(CONFIG, digits, tmp_path, observers=[recorder], **stop)
    assert sorted(recorder.ended) == sorted((run, k) for run, k, _ in recorder.begun), "once each"
    executions = all_runs(part).values()
    assert {execution.epochs for execution in executions} == {EPOCHS}
    assert sum(np.isfinite(e.history["fresh_val_loss"]).any() for e in executions) == 1
    assert sorted(e.status for e in executions) == ["finished", *["unfinished"] * 3]
    assert part.shown_run() is not None
    assert_same_study(run_study(CONFIG, digits, tmp_path), whole)
