"""A study runs to its end, repeats, and is the sum of its parts."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.study.builders import (
    CONFIG,
    EPOCHS,
    RATES,
    all_runs,
    assert_finished_files,
    assert_same_history,
    assert_same_shown,
    assert_same_study,
    by_rate,
    searching,
    stop_when,
)
from tests.study.recorder import Recorder

from autodecoder.config import (
    METRICS,
    SearchConfig,
)
from autodecoder.core.population import advance, init_quickly
from autodecoder.data import Dataset
from autodecoder.errors import ConfigError
from autodecoder.model import load_model, programs
from autodecoder.study import Progress, Study, load_study, load_study_data, run_study

N_RUNS = 4


@pytest.fixture(scope="module", autouse=True)
def _programs_kept() -> Iterator[None]:
    """Programs are counted here: none is let go on the way, to make room, as many tests may ask
    for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "_MOST_REGIONS", Path("not told"))
        yield


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
    np.testing.assert_array_equal(shown.val_labels, digits.val.labels)
    assert shown.val_loss.mean() == pytest.approx(outcome.history["fresh_val_loss"][-1], rel=1e-5)
    model = whole.shown_model()
    assert model is not None
    scaled = (model.decode(shown.val_latents) - digits.val.images / 255) * 2
    np.testing.assert_allclose((scaled**2).mean((1, 2, 3)), shown.val_loss, rtol=1e-3, atol=1e-6)
    assert (model.about["trial"], model.about["execution"]) == (trial.trial_id, k)


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
    stages = ["compile", "fit", "fresh validation", "end"]
    assert [*dict.fromkeys(r.stage for r in reports)] == stages
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
    assert_same_shown(one[2].shown, other[2].shown)


@pytest.mark.thorough
@pytest.mark.parametrize("mapped", [False, True], ids=["array", "map"])
def test_the_caller_may_change_the_images_meanwhile(
    whole: Study, digits: Dataset, tmp_path: Path, mapped: bool
) -> None:
    """On a CPU jax would share their memory, also that of a map that may be written."""

    def own(name: str, images: np.ndarray) -> np.ndarray:
        np.save(tmp_path / f"{name}.npy", images)
        return np.load(tmp_path / f"{name}.npy", mmap_mode="r+" if mapped else None)

    train = replace(digits.train, images=own("train", digits.train.images))
    val = replace(digits.val, images=own("val", digits.val.images))

    def change(_: Progress) -> None:
        train.images.fill(0)
        val.images.fill(0)

    dataset = replace(digits, train=train, val=val)
    assert_same_study(run_study(CONFIG, dataset, tmp_path / "study", report=change), whole)


@pytest.mark.thorough
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


@pytest.mark.thorough
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


@pytest.mark.slow
def test_twelve_runs_of_one_shape_compile_once(
    whole: Study, digits: Dataset, tmp_path: Path
) -> None:
    """They are traced once, and what is traced for the second study is nothing."""
    config = searching(replace(CONFIG, executions_per_trial=4), 1e-3, 3e-3, 1e-2)
    for folder, expected in ((tmp_path / "one", 1), (tmp_path / "two", 0)):
        before = n_programs(advance), n_programs(init_quickly)
        twelve = run_study(replace(config, seed=expected), digits, folder)
        assert {e.status for e in all_runs(twelve).values()} == {"finished"}
        assert len(all_runs(twelve)) == 12
        after = n_programs(advance), n_programs(init_quickly)
        assert [b - a for a, b in zip(before, after, strict=True)] == [expected] * 2


@pytest.mark.thorough
def test_each_shape_is_one_group(whole: Study, digits: Dataset, tmp_path: Path) -> None:
    space = {"learning_rate": RATES, "latent_dims": (2, 4)}
    run_study(CONFIG, digits, tmp_path / "two")
    before = n_programs(advance)
    both = run_study(replace(CONFIG, search=SearchConfig(space)), digits, tmp_path / "both")
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


@pytest.mark.thorough
def test_a_fresh_objective_is_scored_by_its_one_value(digits: Dataset, tmp_path: Path) -> None:
    result = run_study(replace(CONFIG, objective="fresh_val_loss"), digits, tmp_path)
    assert result.best_trial is not None
    assert np.isfinite([trial.score for trial in result.trials]).all()
    assert {e.best_epoch for e in all_runs(result).values()} == {EPOCHS}


@pytest.mark.parametrize(("alias", "metric"), [("error", "loss"), ("val_error", "val_loss")])
def test_other_names_of_metrics(alias: str, metric: str) -> None:
    assert replace(CONFIG, objective=alias).metric == metric


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_batch_larger_than_the_data_is_all_of_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone = {"learning_rate": (1e-2,)}
    scores = []
    for size in (431, 5000):
        fit = replace(CONFIG.fit, num_epochs=2, batch_size=size)
        config = replace(CONFIG, fit=fit, search=SearchConfig(alone), executions_per_trial=1)
        study = run_study(config, load_study_data(config), tmp_path / str(size))
        scores.append(study.trials[0].score)
    assert caplog.messages == [
        "batch_size 5000 exceeds the 431 training images: all form one batch."
    ]
    assert scores[0] == scores[1]
    caplog.clear()
    space = {"learning_rate": (1e-3,), "batch_size": (100, 432)}
    load_study_data(replace(CONFIG, search=SearchConfig(space)))
    assert "batch_size 432 exceeds" in caplog.text


@pytest.mark.slow
def test_fresh_validation_on_the_way_is_noted_and_changes_nothing(
    whole: Study, digits: Dataset, tmp_path: Path
) -> None:
    """Also where the study is interrupted in between."""
    config = replace(
        CONFIG,
        infer=replace(CONFIG.infer, fresh_every=5),
        log=replace(CONFIG.log, checkpoint_every=7, save_best_model=True),
        objective="fresh_val_loss",
    )
    run_study(config, digits, tmp_path / "cut", **stop_when(lambda report: report.epoch >= 8))
    recorder = Recorder()
    cut = run_study(config, digits, tmp_path / "cut")
    study = run_study(config, digits, tmp_path / "straight", observers=[recorder])
    assert_same_study(cut, study)
    for trial in study.trials:
        plain = by_rate(whole, trial.learning_rate)
        for k, execution in enumerate(trial.executions):
            fresh = execution.history["fresh_val_loss"]
            evaluated = np.flatnonzero(np.isfinite(fresh)) + 1
            np.testing.assert_array_equal(evaluated, [5, 10, 15, 20])
            assert execution.best == fresh[evaluated - 1].min()
            for name in ("loss", "val_loss"):
                before = plain.executions[k].history[name]
                # Nearly, since the two studies keep other things and so are other programs.
                np.testing.assert_allclose(execution.history[name], before, rtol=1e-6)
            told = recorder.metrics[trial.trial_id, k]["fresh_val_loss"]
            np.testing.assert_array_equal(told, fresh[evaluated - 1])
    best = study.best_trial
    assert best is not None
    assert best.best_execution is not None
    epoch = load_model(tmp_path / "straight" / "best").about["epoch"]
    assert epoch == best.executions[best.best_execution].best_epoch


def test_too_many_candidates_are_told_before_the_first_epoch(
    digits: Dataset, tmp_path: Path
) -> None:
    config = replace(CONFIG, infer=replace(CONFIG.infer, n_candidates=10**6))
    with pytest.raises(ConfigError, match="n_candidates"):
        run_study(config, digits, tmp_path / "study")
    assert not (tmp_path / "study").exists()
