"""A study runs, repeats, ends early without a scratch, and no diverging run harms another."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from tests.study.builders import (
    CONFIG,
    EPOCHS,
    FRAIL,
    RATES,
    all_runs,
    assert_finished_files,
    assert_same_history,
    assert_same_study,
    assert_same_trial,
    by_rate,
    searching,
    stop_when,
)
from tests.study.recorder import Recorder

from autodecoder import load_model
from autodecoder.config import (
    METRICS,
    EarlyStoppingConfig,
    FitConfig,
    LogConfig,
    SearchConfig,
)
from autodecoder.core.decoder import decode
from autodecoder.core.population import advance, init_population
from autodecoder.data import Dataset
from autodecoder.errors import ConfigError, MemoryLimitError, SearchError
from autodecoder.study import Progress, Study, load_study, load_study_data, run_study

N_RUNS = 4


# A study that runs to its end


def test_every_execution_has_its_whole_history(whole: Study) -> None:
    assert {trial.learning_rate for trial in whole.trials} == set(RATES)
    statistics = ["latent_mean", "latent_variance", "val_latent_mean", "val_latent_variance"]
    for execution in all_runs(whole).values():
        assert list(execution.history) == [*METRICS, *statistics]
        assert execution.status == "finished"
        assert execution.seconds > 0
        for name, values in execution.history.items():
            assert values.shape == (EPOCHS,)
            expected = np.ones(EPOCHS, bool)
            if name.startswith("fresh_"):
                expected[:-1] = False
            np.testing.assert_array_equal(np.isfinite(values), expected)
        assert execution.history["loss"][-1] < execution.history["loss"][0]


def test_trials_are_ranked_and_named(whole: Study) -> None:
    assert whole.metric == "val_loss"
    assert [trial.state for trial in whole.trials] == ["complete"] * 2
    assert whole.trials[0].score <= whole.trials[1].score
    assert whole.best_trial is whole.trials[0]
    assert all(re.fullmatch("[0-9a-f]{8}", trial.trial_id) for trial in whole.trials)
    assert len({trial.trial_id for trial in whole.trials}) == 2


def test_a_score_is_the_mean_of_the_best_epochs(whole: Study) -> None:
    for trial in whole.trials:
        bests = [execution.history["val_loss"].min() for execution in trial.executions]
        assert trial.score == pytest.approx(np.mean(bests))
        assert trial.spread == pytest.approx(np.std(bests))
        for execution in trial.executions:
            assert execution.best_epoch == 1 + execution.history["val_loss"].argmin()


def test_what_pictures_need_is_kept_of_the_best_execution_of_the_best_trial(
    whole: Study, digits: Dataset
) -> None:
    shown_run = whole.shown_run()
    assert shown_run is not None
    trial, k, outcome = shown_run
    assert trial is whole.trials[0]
    assert trial.executions[k].best == min(e.best for e in trial.executions)
    assert_same_history(outcome.history, trial.executions[k].history)
    assert outcome.protocol == "fresh"
    shown = outcome.shown
    assert shown is not None
    assert shown.train_latents.shape == (len(digits.train), 2)
    assert shown.val_latents.shape == (len(digits.val), 2)
    assert shown.train_reconstructions.shape == (20, digits.n_pixels)
    assert set(digits.train.labels[shown.train_shown]) == set(range(10))
    assert set(digits.val.labels[shown.val_shown]) == set(range(10))


def test_nothing_but_results_is_left(whole: Study) -> None:
    assert_finished_files(whole.folder)


def test_all_histories_are_one_table(whole: Study) -> None:
    table = whole.histories
    metrics = list(whole.trials[0].executions[0].history)
    assert list(table) == ["trial", "execution", "learning_rate", "epoch", *metrics]
    assert len(table) == N_RUNS * EPOCHS
    for trial in whole.trials:
        for k, execution in enumerate(trial.executions):
            rows = table[(table["trial"] == trial.trial_id) & (table["execution"] == k)]
            assert set(rows["learning_rate"]) == {trial.learning_rate}
            assert list(rows["epoch"]) == [*range(1, EPOCHS + 1)]
            for name, values in execution.history.items():
                np.testing.assert_array_equal(np.asarray(rows[name]), values, strict=True)


def test_the_table_on_disk_holds_the_same_numbers(whole: Study) -> None:
    table = whole.histories
    types = {name: kind for name, kind in table.dtypes.items() if name != "trial"}
    read = pd.read_csv(whole.folder / "histories.csv", dtype={**types, "trial": str})
    pd.testing.assert_frame_equal(read, table, check_exact=True)


def test_progress_grows_to_the_total(undisturbed: tuple[Study, list[Progress]]) -> None:
    reports = undisturbed[1]
    assert [*dict.fromkeys(r.stage for r in reports)] == ["compile", "fit", "fresh validation"]
    fit = [report for report in reports if report.stage == "fit"]
    done = [report.done for report in fit]
    assert done == sorted(set(done)), "strictly growing"
    assert done[-1] == EPOCHS * N_RUNS
    assert all(report.total == EPOCHS * N_RUNS for report in fit)
    assert fit[-1].epoch == EPOCHS
    assert np.isfinite([fit[-1].loss, fit[-1].val_loss]).all()
    fresh = [report for report in reports if report.stage == "fresh validation"]
    assert [(report.done, report.total) for report in fresh] == [(i, N_RUNS) for i in range(N_RUNS)]


def test_the_same_seed_repeats_every_bit(whole: Study, digits: Dataset, tmp_path: Path) -> None:
    again = run_study(CONFIG, digits, tmp_path)
    assert_same_study(again, whole)
    assert not {t.trial_id for t in again.trials} & {t.trial_id for t in whole.trials}
    one, other = whole.shown_run(), again.shown_run()
    assert one is not None
    assert other is not None
    assert one[2].shown is not None
    assert other[2].shown is not None
    for name, values in vars(one[2].shown).items():
        np.testing.assert_array_equal(values, getattr(other[2].shown, name), strict=True)


def test_another_seed_gives_other_runs(whole: Study, digits: Dataset, tmp_path: Path) -> None:
    other = run_study(replace(CONFIG, seed=6), digits, tmp_path)
    losses = [by_rate(s, 1e-3).executions[0].history["loss"] for s in (whole, other)]
    assert (losses[0] != losses[1]).all()


def test_a_grid_cell_equals_its_solo_study(whole: Study, digits: Dataset, tmp_path: Path) -> None:
    """More executions too: each has a key of its own."""
    solo = run_study(searching(replace(CONFIG, executions_per_trial=4), 1e-2), digits, tmp_path)
    for one, other in zip(
        by_rate(whole, 1e-2).executions, solo.trials[0].executions[:2], strict=True
    ):
        assert_same_history(one.history, other.history)


def test_the_order_of_trials_has_no_influence(
    whole: Study, digits: Dataset, tmp_path: Path
) -> None:
    assert_same_study(run_study(searching(CONFIG, *RATES[::-1]), digits, tmp_path), whole)


def test_a_finished_study_is_left_as_it_is(whole: Study, digits: Dataset) -> None:
    def times() -> dict[Path, int]:
        paths = [p for p in whole.folder.glob("trials/**/*") if p.is_file()]
        return {path: path.stat().st_mtime_ns for path in paths}

    before = times()
    reports: list[Progress] = []
    again = run_study(CONFIG, digits, whole.folder, report=reports.append)
    assert reports == [], "nothing was run"
    assert times() == before
    assert [t.trial_id for t in again.trials] == [t.trial_id for t in whole.trials]
    assert_same_study(again, whole)
    assert_same_study(load_study(whole.folder), whole)


def n_programs(function: Any) -> int:
    """How often a function was traced and compiled."""
    return function._cache_size()


def test_twelve_runs_of_one_shape_compile_once(
    whole: Study, digits: Dataset, tmp_path: Path
) -> None:
    """They are traced once, and what is traced for the second study is nothing."""
    config = searching(replace(CONFIG, executions_per_trial=4), 1e-3, 3e-3, 1e-2)
    for folder, expected in ((tmp_path / "one", 1), (tmp_path / "two", 0)):
        before = n_programs(advance), n_programs(init_population)
        twelve = run_study(replace(config, seed=expected), digits, folder)
        assert {e.status for e in all_runs(twelve).values()} == {"finished"}
        assert len(all_runs(twelve)) == 12
        after = n_programs(advance), n_programs(init_population)
        assert [b - a for a, b in zip(before, after, strict=True)] == [expected] * 2


def test_each_shape_is_one_group(whole: Study, digits: Dataset, tmp_path: Path) -> None:
    space = {"learning_rate": RATES, "latent_dims": (2, 4)}
    before = n_programs(advance)
    both = run_study(replace(CONFIG, search=SearchConfig(space)), digits, tmp_path)
    assert n_programs(advance) - before == 1, "two dimensions were compiled already"
    assert [t.state for t in both.trials] == ["complete"] * 4
    assert list(both.histories)[:5] == [
        "trial",
        "execution",
        "learning_rate",
        "latent_dims",
        "epoch",
    ]
    for rate in RATES:
        (flat,) = (t for t in both.trials if t.values == {"learning_rate": rate, "latent_dims": 2})
        for one, other in zip(flat.executions, by_rate(whole, rate).executions, strict=True):
            assert_same_history(one.history, other.history)


def test_a_fresh_objective_is_scored_by_its_one_value(digits: Dataset, tmp_path: Path) -> None:
    result = run_study(replace(CONFIG, objective="fresh_val_loss"), digits, tmp_path)
    assert result.best_trial is not None
    assert np.isfinite([trial.score for trial in result.trials]).all()
    assert {e.best_epoch for e in all_runs(result).values()} == {EPOCHS}


@pytest.mark.parametrize(("alias", "metric"), [("error", "loss"), ("val_error", "val_loss")])
def test_other_names_of_metrics(alias: str, metric: str) -> None:
    assert replace(CONFIG, objective=alias).metric == metric


def test_without_optimisations_the_numbers_are_nearly_the_same(
    whole: Study, digits: Dataset, tmp_path: Path
) -> None:
    before = n_programs(advance)
    plain = run_study(replace(CONFIG, use_xla=False), digits, tmp_path)
    assert n_programs(advance) == before, "another program was run"
    for name, execution in all_runs(plain).items():
        assert execution.status == "finished"
        for metric, values in all_runs(whole)[name].history.items():
            np.testing.assert_allclose(execution.history[metric], values, rtol=1e-3, atol=1e-4)


def test_a_batch_larger_than_the_data_is_refused() -> None:
    config = replace(CONFIG, fit=FitConfig(batch_size=5000))
    with pytest.raises(ConfigError, match=r"431.*digits.*0\.3.*5000"):
        load_study_data(config)
    space = {"learning_rate": (1e-3,), "batch_size": (100, 432)}
    with pytest.raises(ConfigError, match=r"431.*432"):
        load_study_data(replace(CONFIG, search=SearchConfig(space)))


# The best model


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture(scope="module")
def keeping(digits: Dataset, recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Of a maximised objective, with everything that can be watched."""
    log = LogConfig(
        trackers=("gradients",), histogram_freq=1, visualize_freq=0, save_best_model=True
    )
    config = replace(CONFIG, objective="val_psnr", log=log)
    folder = tmp_path_factory.mktemp("keeping")
    return run_study(config, digits, folder, observers=[recorder])


def test_a_maximised_objective_puts_the_highest_first(keeping: Study) -> None:
    assert keeping.trials[0].score > keeping.trials[1].score
    shown = keeping.shown_run()
    assert shown is not None
    trial, k, _ = shown
    assert trial is keeping.trials[0]
    assert trial.executions[k].best == max(e.best for e in trial.executions)


def test_observers_and_keeping_models_have_no_influence(keeping: Study, whole: Study) -> None:
    norms = ["gradient_norm_layer_1", "gradient_norm_output", "gradient_norm_latents"]
    for name, execution in all_runs(whole).items():
        history = dict(all_runs(keeping)[name].history)
        assert list(history)[-3:] == norms
        assert all((history.pop(norm) > 0).all() for norm in norms)
        assert_same_history(history, execution.history)
    assert list(keeping.histories)[-3:] == norms


def test_observers_are_told_everything_once(keeping: Study, recorder: Recorder) -> None:
    runs = sorted((trial.trial_id, k) for trial in keeping.trials for k in range(2))
    assert sorted(recorder.begun) == [(*run, 0) for run in runs]
    assert sorted(recorder.ended) == runs
    assert recorder.last == dict.fromkeys(runs, True)
    assert sorted(recorder.snapshots) == [
        (*run, 1 + epoch) for run in runs for epoch in range(EPOCHS)
    ]
    for trial in keeping.trials:
        (told,) = (t for t in recorder.trials if t.trial_id == trial.trial_id)
        assert_same_trial(told, trial)
        for k, execution in enumerate(trial.executions):
            for name, values in recorder.metrics[trial.trial_id, k].items():
                expected = execution.history[name]
                expected = expected[-1:] if name.startswith("fresh_") else expected
                np.testing.assert_array_equal(np.array(values, np.float32), expected)


def test_every_execution_keeps_its_model_of_its_best_epoch(
    keeping: Study, recorder: Recorder
) -> None:
    for trial in keeping.trials:
        for k, execution in enumerate(trial.executions):
            folder = keeping.folder / "trials" / trial.trial_id / f"execution-{k}" / "model"
            model = load_model(folder)
            assert model.about["trial"] == trial.trial_id
            assert model.about["execution"] == k
            assert model.about["epoch"] == execution.best_epoch
            assert model.about["values"] == {"learning_rate": trial.learning_rate}
            snapshot = recorder.snapshots[trial.trial_id, k, execution.best_epoch or 0]
            for one, other in (
                (model.decoder, snapshot.decoder),
                (model.train_latents, snapshot.train_latents),
                (model.val_latents, snapshot.val_latents),
            ):
                jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_best_model_of_all_is_found_in_the_folder(keeping: Study, digits: Dataset) -> None:
    best = keeping.best_trial
    assert best is not None
    model = load_model(keeping.folder / "best")
    run = (best.trial_id, best.best_execution)
    assert (model.about["trial"], model.about["execution"]) == run
    assert (model.scaler, model.image_shape) == ("standard", (8, 8, 1))
    assert model.about["data_fingerprint"] == digits.fingerprint
    decoded = np.asarray(decode(model.decoder, jnp.asarray(model.train_latents)))
    error = np.mean(((decoded + 1) / 2 - digits.train.flat / 255) ** 2)
    # The loss in the history is measured in [-1, 1], before each batch's step.
    loss = best.executions[best.best_execution or 0].history["loss"][model.about["epoch"] - 1]
    assert error == pytest.approx(loss / 4, rel=0.2)


# A study that is told to stop


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
    assert n_stops >= 4
    assert_same_study(part, whole)
    assert_finished_files(tmp_path)


def test_interrupted_with_a_fresh_objective_trials_have_no_score_yet(
    digits: Dataset, tmp_path: Path
) -> None:
    config = replace(CONFIG, objective="fresh_val_loss")
    part = run_study(config, digits, tmp_path, **stop_when(lambda report: report.epoch >= 1))
    assert [trial.state for trial in part.trials] == ["unfinished"] * 2
    assert np.isnan([trial.score for trial in part.trials]).all()
    shown = part.shown_run()
    assert shown is not None
    assert shown[2].protocol == "co-trained"


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


def test_interrupted_while_validating_the_fit_is_whole(
    whole: Study, digits: Dataset, tmp_path: Path
) -> None:
    stop = stop_when(lambda report: report.stage == "fresh validation")
    part = run_study(CONFIG, digits, tmp_path, **stop)
    executions = all_runs(part).values()
    assert {execution.epochs for execution in executions} == {EPOCHS}
    assert sum(np.isfinite(e.history["fresh_val_loss"]).any() for e in executions) == 1
    assert sorted(e.status for e in executions) == ["finished", *["unfinished"] * 3]
    assert part.shown_run() is not None
    assert_same_study(run_study(CONFIG, digits, tmp_path), whole)


# Runs that end before their last epoch


def test_a_diverging_trial_comes_last_and_harms_no_other(digits: Dataset, tmp_path: Path) -> None:
    """Three of four runs end at once, and the fourth goes on without them."""
    rates = (1e30, 2e30, 1e-3, 3e30)
    mixed = run_study(searching(FRAIL, *rates), digits, tmp_path / "mixed")
    calm = run_study(searching(FRAIL, 1e-3), digits, tmp_path / "calm")
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


def test_after_ten_failures_in_a_row_the_search_is_given_up(
    digits: Dataset, tmp_path: Path
) -> None:
    """It keeps what it has."""
    config = searching(FRAIL, *(k * 1e29 for k in range(1, 14)), runs_at_once=4)
    with pytest.raises(SearchError, match=r"10 trials failed.*given up"):
        run_study(config, digits, tmp_path)
    given_up = load_study(tmp_path)
    assert [trial.state for trial in given_up.trials] == ["failed"] * 12
    assert len(given_up.histories) == 12
    with pytest.raises(SearchError, match="given up"):
        run_study(config, digits, tmp_path)


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
    with pytest.raises(MemoryLimitError, match="needs more memory than there is"):
        run_study(replace(config, search=SearchConfig(space)), digits, tmp_path / "huge")


def test_runs_that_stop_early_are_left_behind(digits: Dataset, tmp_path: Path) -> None:
    """Three of four, which learn nothing; the last goes on alone as in a study of its own."""
    rule = EarlyStoppingConfig(enabled=True, patience=0.2, start_epoch=3)
    config = replace(
        CONFIG,
        fit=replace(CONFIG.fit, latent_start="pca"),
        early_stopping=rule,
        executions_per_trial=1,
    )
    mixed = run_study(searching(config, 1e-9, 1e-2, 2e-9, 3e-9), digits, tmp_path / "mixed")
    solo = run_study(searching(config, 1e-2), digits, tmp_path / "solo")
    assert solo.trials[0].executions[0].status == "finished"
    assert_same_trial(mixed.trials[0], solo.trials[0])
    for idle in mixed.trials[1:]:
        assert idle.state == "complete"
        assert idle.executions[0].status == "stopped early"
        # The first epoch that counts, 4, is the reference; patience is 0.2 of 12 epochs.
        assert idle.executions[0].epochs == 4 + 2
        fresh = np.isfinite(idle.executions[0].history["fresh_val_loss"])
        assert [*fresh] == [False] * 5 + [True]
    idle_alone = run_study(searching(config, 2e-9), digits, tmp_path / "idle")
    assert_same_trial(by_rate(mixed, 2e-9), idle_alone.trials[0])
    assert_finished_files(tmp_path / "mixed", n_executions=1)
