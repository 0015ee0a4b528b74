"""Scores: each execution's best value, their mean a trial, and the order of the trials."""

import math
import warnings

import numpy as np
import pytest
from tests.study.builders import execution, trial

from autodecoder.study.results import rank, sign

NAN, INF = math.nan, math.inf


def test_the_best_epoch_is_counted_from_one() -> None:
    assert execution(3, 1, 2).best_epoch == 2
    assert execution(1, 3, 2).best_epoch == 1
    assert execution(3, 1, 2).best == 1
    assert execution(2, 1, 1).best_epoch == 2, "the first of equals"


def test_more_of_a_maximised_metric_is_better() -> None:
    run = execution(10, 30, 20, metric="val_psnr")
    assert (run.best, run.best_epoch) == (30, 2)
    assert sign("val_psnr") == -1
    assert sign("val_loss") == 1


@pytest.mark.parametrize("metric", ["val_loss", "val_psnr"])
@pytest.mark.parametrize("gap", [NAN, INF, -INF])
def test_only_finite_values_count(metric: str, gap: float) -> None:
    run = execution(gap, 5, gap, metric=metric)
    assert (run.best, run.best_epoch) == (5, 2)


@pytest.mark.parametrize("values", [(), (NAN,), (NAN, INF)])
def test_without_a_finite_value_there_is_no_best(values: tuple[float, ...]) -> None:
    run = execution(*values)
    assert run.best_epoch is None
    assert math.isnan(run.best)


def test_the_last_value_of_a_metric() -> None:
    run = execution(3, 1, 2)
    assert (run.epochs, run.last("val_loss"), run.last("loss")) == (3, 2, 1)
    assert math.isnan(run.last("gradient_norm_output")), "not recorded"
    assert math.isnan(execution().last("val_loss"))


def test_a_score_is_the_mean_of_each_executions_best() -> None:
    both = trial(execution(9, 1, 9), execution(3, 9, 9))
    assert both.score == 2, "not the best epoch of the mean curve, which would be 5"
    assert both.spread == 1
    assert trial(execution(4)).spread == 0
    assert trial(execution(5, NAN), execution(7, 8)).score == 6


def test_a_trial_with_an_execution_without_value_has_no_score() -> None:
    half = trial(execution(1), execution(NAN))
    assert math.isnan(half.score)
    assert math.isnan(half.spread)


def test_executions_that_have_not_begun_do_not_count() -> None:
    begun, idle = execution(1), execution(status="unfinished")
    assert trial(begun, idle).score == trial(begun).score
    assert math.isnan(trial(idle).score)
    assert math.isnan(trial(idle).spread)


def test_the_best_execution_did_not_diverge() -> None:
    wild = execution(1, NAN, status="diverged")
    assert trial(wild, execution(4), execution(2, 3)).best_execution == 2
    assert trial(wild).best_execution is None
    assert trial(execution(NAN)).best_execution is None
    runs = [execution(value, metric="val_psnr") for value in (1, 3, 2)]
    assert trial(*runs).best_execution == 1


@pytest.mark.parametrize(
    ("metric", "expected"), [("val_loss", [1, 2, 3, NAN]), ("val_psnr", [3, 2, 1, NAN])]
)
def test_trials_are_ranked_best_first_and_those_without_a_score_last(metric, expected) -> None:
    trials = [trial(execution(value, metric=metric)) for value in (2, NAN, 3, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ranked = rank(trials, metric)
    np.testing.assert_array_equal([t.score for t in ranked], expected)


def test_complete_trials_come_before_unfinished_and_failed_ones() -> None:
    states = ("failed", "unfinished", "complete", "unfinished", "complete")
    trials = [
        trial(execution(value), state=state, number=value) for value, state in enumerate(states)
    ]
    assert [t.number for t in rank(trials, "val_loss")] == [2, 4, 1, 3, 0]


def test_equal_trials_keep_the_order_in_which_they_were_chosen() -> None:
    for value in (NAN, 1.0):
        trials = [trial(execution(value), number=number) for number in (2, 0, 1)]
        assert [t.number for t in rank(trials, "val_loss")] == [0, 1, 2]
