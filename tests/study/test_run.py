"""A study runs, repeats, ends early without a scratch, and no diverging run harms another."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autodecoder.config import (
    METRICS,
    DataConfig,
    DecoderConfig,
    FitConfig,
    InferConfig,
    StudyConfig,
)
from autodecoder.data import Dataset
from autodecoder.errors import ConfigError
from autodecoder.report import write_pictures
from autodecoder.study import (
    Progress,
    StudyResult,
    Trial,
    load_study_data,
    run_study,
    write_study,
)

CONFIG = StudyConfig(
    data=DataConfig(examples_frac=0.3),
    decoder=DecoderConfig(arch=(16,)),
    fit=FitConfig(num_epochs=4, batch_size=100),
    infer=InferConfig(n_candidates=100, n_steps=5),
    learning_rates=(1e-3, 1e-2),
    executions_per_trial=2,
    seed=5,
)
N_RUNS = 4
TINY = replace(
    CONFIG,
    data=DataConfig(examples_frac=0.1),
    decoder=DecoderConfig(arch=(4,)),
    fit=FitConfig(num_epochs=1, batch_size=32, latent_start="pca"),
    infer=InferConfig(n_candidates=32, n_steps=2),
    learning_rates=(1e-2,),
    executions_per_trial=1,
)
#: Without batch normalisation or a bounded output, a step size can be too large to survive.
FRAIL = replace(
    CONFIG,
    data=DataConfig(examples_frac=0.3, scaler="identity"),
    decoder=DecoderConfig(arch=(16,), batch_norm=False),
    fit=FitConfig(num_epochs=3, batch_size=431, latent_start="normal"),
    executions_per_trial=1,
)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_study_data(CONFIG)


@pytest.fixture(scope="module")
def finished(digits: Dataset) -> tuple[StudyResult, list[Progress]]:
    reports: list[Progress] = []
    return run_study(CONFIG, digits, report=reports.append), reports


@pytest.fixture(scope="module")
def study(finished: tuple[StudyResult, list[Progress]]) -> StudyResult:
    return finished[0]


def by_rate(result: StudyResult, rate: float) -> Trial:
    (trial,) = [trial for trial in result.trials if trial.learning_rate == rate]
    return trial


def assert_same(one: Trial, other: Trial) -> None:
    for left, right in zip(one.executions, other.executions, strict=True):
        for name in METRICS:
            np.testing.assert_array_equal(left.history[name], right.history[name])


def stop_when(reached):
    """`report` and `should_stop` that end a study as soon as a report meets a condition."""
    reports: list[Progress] = []
    return {"report": reports.append, "should_stop": lambda: reached(reports[-1])}


def write_all(result: StudyResult, folder: Path) -> list[Path]:
    """Write everything that a study leaves; returns the pictures."""
    write_study(result, folder)
    json.loads((folder / "summary.json").read_text())
    return write_pictures(result, folder)


# A study that runs to its end


def test_every_execution_has_its_whole_history(study: StudyResult) -> None:
    assert len(study.trials) == 2
    for execution in (e for trial in study.trials for e in trial.executions):
        assert list(execution.history) == list(METRICS)
        assert execution.status == "finished"
        for name, values in execution.history.items():
            assert values.shape == (4,)
            fresh = name.startswith("fresh_")
            expected = [False, False, False, True] if fresh else [True] * 4
            np.testing.assert_array_equal(np.isfinite(values), expected)
        assert execution.history["loss"][-1] < execution.history["loss"][0]


def test_the_best_run_is_the_best_execution_of_the_best_trial(study: StudyResult) -> None:
    assert not study.interrupted
    assert set(study.seconds) == {"compile", "fit", "fresh_validation"}
    assert all(seconds >= 0 for seconds in study.seconds.values())
    assert study.trials[0].score <= study.trials[1].score
    best, trial = study.best_run, study.trials[0]
    assert best is not None
    assert best.trial_id == trial.trial_id
    assert trial.executions[best.execution].best == min(e.best for e in trial.executions)
    assert best.val_protocol == "fresh"
    dataset = study.dataset
    assert best.train_latents.shape == (len(dataset.train), 2)
    assert best.val_latents.shape == (len(dataset.val), 2)
    assert best.train_reconstructions.shape == (20, dataset.n_pixels)
    assert set(dataset.train.labels[best.train_shown]) == set(range(10))
    assert set(dataset.val.labels[best.val_shown]) == set(range(10))


def test_the_same_seed_repeats_every_bit(study: StudyResult, digits: Dataset) -> None:
    again = run_study(CONFIG, digits)
    for one, other in zip(study.trials, again.trials, strict=True):
        assert_same(one, other)
    assert study.best_run is not None
    assert again.best_run is not None
    np.testing.assert_array_equal(study.best_run.train_latents, again.best_run.train_latents)
    np.testing.assert_array_equal(study.best_run.val_latents, again.best_run.val_latents)


def test_another_seed_gives_other_runs(study: StudyResult, digits: Dataset) -> None:
    other = run_study(replace(CONFIG, seed=6), digits)
    losses = [by_rate(s, 1e-3).executions[0].history["loss"] for s in (study, other)]
    assert (losses[0] != losses[1]).all()


def test_a_grid_cell_equals_its_solo_study(study: StudyResult, digits: Dataset) -> None:
    solo = run_study(replace(CONFIG, learning_rates=(1e-2,)), digits)
    assert_same(by_rate(study, 1e-2), solo.trials[0])


def test_progress_grows_to_the_total(finished: tuple[StudyResult, list[Progress]]) -> None:
    reports = finished[1]
    assert [*dict.fromkeys(r.stage for r in reports)] == ["compile", "fit", "fresh validation"]
    fit = [report for report in reports if report.stage == "fit"]
    done = [report.done for report in fit]
    assert done == sorted(set(done)), "strictly growing"
    assert done[-1] == 4 * N_RUNS
    assert all(report.total == 4 * N_RUNS for report in fit)
    assert fit[-1].epoch == 4
    assert np.isfinite([fit[-1].loss, fit[-1].val_loss]).all()
    fresh = [report for report in reports if report.stage == "fresh validation"]
    assert [(report.done, report.total) for report in fresh] == [(i, N_RUNS) for i in range(N_RUNS)]


def test_a_maximised_objective_puts_the_highest_first(digits: Dataset) -> None:
    result = run_study(replace(CONFIG, objective="val_psnr"), digits)
    assert result.trials[0].score >= result.trials[1].score
    best, trial = result.best_run, result.trials[0]
    assert best is not None
    assert trial.executions[best.execution].best == max(e.best for e in trial.executions)


def test_a_fresh_objective_is_scored_by_its_one_value(digits: Dataset) -> None:
    result = run_study(replace(CONFIG, objective="fresh_val_loss"), digits)
    assert np.isfinite([trial.score for trial in result.trials]).all()
    assert {e.best_epoch for trial in result.trials for e in trial.executions} == {4}


@pytest.mark.slow  # half a minute: every operation is compiled by itself
def test_without_xla_the_numbers_are_the_same() -> None:
    """From principal components, so that this start is run as well.

    Both sets and the batch are of one size: without XLA's program, each operation is compiled for
    each shape.
    """
    whole = load_study_data(TINY)
    few = np.arange(32)
    tiny = Dataset("digits", whole.train.take(few), whole.val.take(few), whole.class_names)
    compiled, eager = (run_study(replace(TINY, use_xla=use), tiny) for use in (True, False))
    assert compiled.trials[0].executions[0].status == "finished"
    for name, values in compiled.trials[0].executions[0].history.items():
        other = eager.trials[0].executions[0].history[name]
        np.testing.assert_allclose(other, values, rtol=1e-3)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    config = replace(CONFIG, fit=FitConfig(batch_size=5000))
    with pytest.raises(ConfigError, match=r"431.*digits.*0\.3.*5000"):
        load_study_data(config)


# A study that is told to stop


def test_interrupted_it_keeps_the_epochs_done(
    study: StudyResult, digits: Dataset, tmp_path: Path
) -> None:
    result = run_study(CONFIG, digits, **stop_when(lambda report: report.epoch >= 1))
    assert result.interrupted
    for trial in result.trials:
        whole = by_rate(study, trial.learning_rate)
        for execution, full in zip(trial.executions, whole.executions, strict=True):
            assert execution.status == "interrupted"
            assert 1 <= execution.epochs < 4
            assert np.isnan(execution.history["fresh_val_loss"]).all()
            np.testing.assert_array_equal(
                execution.history["val_loss"], full.history["val_loss"][: execution.epochs]
            )
    assert result.best_run is not None
    assert result.best_run.val_protocol == "co-trained"
    assert result.best_run.val_latents.shape == (len(digits.val), 2)
    assert len(write_all(result, tmp_path)) == 6


def test_interrupted_before_fresh_validation_trials_are_ranked_by_the_co_trained_one(
    digits: Dataset, tmp_path: Path
) -> None:
    config = replace(CONFIG, objective="fresh_val_loss")
    result = run_study(config, digits, **stop_when(lambda report: report.epoch >= 1))
    assert result.metric == "val_loss"
    scores = [trial.score for trial in result.trials]
    assert np.isfinite(scores).all()
    assert scores == sorted(scores)
    assert len(write_all(result, tmp_path)) == 6


def test_interrupted_in_the_first_epoch_the_runs_differ_in_length(
    digits: Dataset, tmp_path: Path
) -> None:
    result = run_study(CONFIG, digits, **stop_when(lambda report: report.done >= 1))
    assert result.interrupted
    assert sum(e.epochs for trial in result.trials for e in trial.executions) < N_RUNS
    write_all(result, tmp_path)


def test_interrupted_before_the_first_epoch_there_is_nothing_to_show(
    digits: Dataset, tmp_path: Path
) -> None:
    result = run_study(CONFIG, digits, should_stop=lambda: True)
    assert result.interrupted
    assert result.best_run is None
    assert {e.epochs for trial in result.trials for e in trial.executions} == {0}
    assert {e.status for trial in result.trials for e in trial.executions} == {"interrupted"}
    assert write_all(result, tmp_path) == []


def test_interrupted_while_validating_the_fit_is_whole(digits: Dataset) -> None:
    stop = stop_when(lambda report: report.stage == "fresh validation")
    result = run_study(CONFIG, digits, **stop)
    assert result.interrupted
    executions = [e for trial in result.trials for e in trial.executions]
    assert {execution.epochs for execution in executions} == {4}
    assert sum(np.isfinite(e.history["fresh_val_loss"]).any() for e in executions) == 1
    assert result.best_run is not None


# A study with a run that goes astray


def test_a_diverging_trial_comes_last_and_harms_no_other(digits: Dataset, tmp_path: Path) -> None:
    calm = run_study(replace(FRAIL, learning_rates=(1e-3, 1e-2)), digits)
    assert {e.status for trial in calm.trials for e in trial.executions} == {"finished"}
    result = run_study(replace(FRAIL, learning_rates=(1e30, 1e-3)), digits)
    assert_same(by_rate(calm, 1e-3), by_rate(result, 1e-3))
    wild = result.trials[-1]
    assert wild.learning_rate == 1e30
    assert wild.executions[0].status == "diverged"
    assert result.best_run is not None
    assert result.best_run.trial_id == "lr-0.001"
    write_study(result, tmp_path)


def test_a_study_of_diverging_trials_only_has_nothing_to_show(
    digits: Dataset, tmp_path: Path
) -> None:
    result = run_study(replace(FRAIL, learning_rates=(1e30, 2e30)), digits)
    assert {e.status for trial in result.trials for e in trial.executions} == {"diverged"}
    assert result.best_run is None
    assert {path.stem for path in write_all(result, tmp_path)} == {"loss_curves", "learning_rates"}


def test_a_run_that_diverges_after_a_good_epoch_has_a_score_but_no_decoder(
    digits: Dataset, tmp_path: Path
) -> None:
    """One batch an epoch: the first epoch's loss is measured before the step that ruins it."""
    config = replace(FRAIL, learning_rates=(1e30, 2e30), objective="loss")
    result = run_study(config, digits)
    assert np.isfinite(result.trials[0].score)
    assert result.trials[0].executions[0].status == "diverged"
    assert result.best_run is None
    write_all(result, tmp_path)
