"""Scores: each execution's best value, their mean a trial, and the order of the trials."""

import math
import warnings

import numpy as np
import pytest

from autodecoder.config import METRICS
from autodecoder.study.results import Execution, Trial, rank, sign

NAN, INF = math.nan, math.inf


def execution(*values: float, metric: str = "val_loss", num_epochs: int | None = None, loss=None):
    """An execution with the given objective, and a constant in every other metric."""
    history = {name: np.ones(len(values), np.float32) for name in METRICS}
    history[metric] = np.array(values, np.float32)
    if loss is not None:
        history["loss"] = np.array(loss, np.float32)
    return Execution(history, metric, len(values) if num_epochs is None else num_epochs)


def trial(*executions: Execution, rate: float = 1e-3) -> Trial:
    return Trial(f"lr-{rate:g}", rate, executions)


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


def test_a_status_tells_how_a_run_ended() -> None:
    assert execution(3, 2, 1).status == "finished"
    assert execution(3, 2, num_epochs=3).status == "interrupted"
    assert execution(num_epochs=3).status == "interrupted"
    assert execution(3, 2, loss=(1, NAN)).status == "diverged"
    assert execution(3, 2, loss=(1, INF), num_epochs=9).status == "diverged"
    assert execution(3, NAN).status == "diverged", "in validation too"


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
    begun = execution(1)
    idle = Execution({name: values[:0] for name, values in begun.history.items()}, begun.metric, 1)
    assert trial(begun, idle).score == trial(begun).score
    assert math.isnan(trial(idle).score)
    assert math.isnan(trial(idle).spread)


@pytest.mark.parametrize(
    ("metric", "expected"), [("val_loss", [1, 2, 3, NAN]), ("val_psnr", [3, 2, 1, NAN])]
)
def test_trials_are_ranked_best_first_and_those_without_a_score_last(metric, expected) -> None:
    trials = [trial(execution(value, metric=metric)) for value in (2, NAN, 3, 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ranked = rank(trials, metric)
    np.testing.assert_array_equal([t.score for t in ranked], expected)


def test_trials_without_a_score_keep_their_order() -> None:
    trials = [trial(execution(NAN), rate=rate) for rate in (3e-1, 1e-1, 2e-1)]
    assert [t.learning_rate for t in rank(trials, "val_loss")] == [3e-1, 1e-1, 2e-1]
