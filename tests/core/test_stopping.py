"""Runs that end early, by the rule or by divergence: when, and what becomes of them and others."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.core import builders
from tests.core.builders import (
    assert_same_bits,
    keras_stop,
    move_all,
    populate,
    run_arrays,
)

from autodecoder.core.fit import FRESH_METRICS
from autodecoder.core.population import Population, take_run
from autodecoder.core.runs import take_snapshot
from autodecoder.core.tree import tree_to_arrays
from autodecoder.core.watch import DIVERGED, RUNNING, STOPPED

#: A program of its own: that of the tests of populations is compiled as users' is, as they compare
#: it with another; here each is compared with itself.
WATCHED = replace(builders.WATCHED, track_gradients=True)
N_EPOCHS = WATCHED.fit.num_epochs
STEADY, SLOW, WILD, BROKEN = range(4)
#: One run that never stops, one that stops for want of progress, one that stops after its best
#: epoch, and one that is not finite from its first epoch on.
RATES = (1e-3, 1e-5, 2e-1, float("nan"))


@pytest.fixture(
    scope="module",
    params=[False, pytest.param(True, marks=pytest.mark.thorough)],
    ids=["loop", "side by side"],
)
def side_by_side(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture(scope="module")
def ended(side_by_side: bool) -> Population:
    """All runs at their ends; not to be moved on, which would consume it."""
    return move_all(populate(RATES, WATCHED), N_EPOCHS, WATCHED, side_by_side=side_by_side)


def rule_stop(val_losses: np.ndarray) -> int | None:
    watch = WATCHED.watch
    assert watch.patience is not None
    values = [float(value) for value in val_losses]
    return keras_stop(values, "min", watch.patience, watch.min_delta, watch.start_epoch)


def test_a_run_stops_when_its_own_history_says_so(ended: Population) -> None:
    val_losses = np.asarray(ended.runs.history["val_loss"])
    epochs, statuses = ended.runs.state.epoch.tolist(), ended.runs.watch.status.tolist()
    assert statuses == [RUNNING, STOPPED, STOPPED, DIVERGED]
    assert rule_stop(val_losses[STEADY]) is None
    assert epochs[STEADY] == N_EPOCHS
    for run in (SLOW, WILD):
        assert rule_stop(val_losses[run, : epochs[run]]) == epochs[run] < N_EPOCHS
    assert len(set(epochs)) == 4
    assert epochs[BROKEN] == 1


def test_history_is_blank_after_the_end(ended: Population) -> None:
    for name, values in ended.runs.history.items():
        for run in (STEADY, SLOW, WILD):
            n = 0 if name in FRESH_METRICS else int(ended.runs.state.epoch[run])
            assert np.isfinite(values[run]).tolist() == [True] * n + [False] * (N_EPOCHS - n)


def test_an_ended_run_is_frozen(ended: Population, side_by_side: bool) -> None:
    population = populate(RATES, WATCHED)
    for until in (N_EPOCHS, N_EPOCHS, 3, N_EPOCHS):
        population = move_all(population, until, WATCHED, side_by_side=side_by_side)
    for run in range(4):
        assert_same_bits(run_arrays(ended, run), run_arrays(population, run))


def test_its_state_is_that_of_the_epoch_at_which_it_ended(
    ended: Population, side_by_side: bool
) -> None:
    for run in (SLOW, WILD, BROKEN):
        until = int(ended.runs.state.epoch[run])
        only = move_all(populate(RATES, WATCHED), until, WATCHED, side_by_side=side_by_side)
        assert_same_bits(run_arrays(ended, run), run_arrays(only, run))


def test_portions_do_not_move_the_end(ended: Population, side_by_side: bool) -> None:
    population = populate(RATES, WATCHED)
    for until in (1, 2, 3, 4, 5, 6, 8, 12):
        population = move_all(population, until, WATCHED, side_by_side=side_by_side)
    for run in range(4):
        assert_same_bits(run_arrays(ended, run), run_arrays(population, run))


def test_neighbours_do_not_notice(ended: Population, side_by_side: bool) -> None:
    calmer = tuple(RATES[run] if run in (STEADY, WILD) else 2e-3 for run in range(4))
    others = move_all(populate(calmer, WATCHED), N_EPOCHS, WATCHED, side_by_side=side_by_side)
    assert others.runs.state.epoch[SLOW] == others.runs.state.epoch[BROKEN] == N_EPOCHS
    for run in (STEADY, WILD):
        assert_same_bits(run_arrays(ended, run), run_arrays(others, run))


def test_a_run_that_diverges_on_its_way_ends_there(side_by_side: bool) -> None:
    calm = move_all(populate((1e-3,) * 4, WATCHED), 3, WATCHED, side_by_side=side_by_side)
    losses = np.asarray(calm.runs.history["loss"])
    poisoned = calm.rates._replace(decoder=calm.rates.decoder.at[2].set(jnp.nan))
    population = Population(calm.runs, poisoned)
    population = move_all(population, N_EPOCHS, WATCHED, side_by_side=side_by_side)
    assert population.runs.state.epoch.tolist() == [12, 12, 4, 12]
    assert population.runs.watch.status.tolist() == [RUNNING, RUNNING, DIVERGED, RUNNING]
    np.testing.assert_array_equal(population.runs.history["loss"][2, :3], losses[2, :3])
    assert np.isnan(population.runs.history["val_loss"][2, 3:]).all()
    assert population.runs.best is not None
    assert int(population.runs.best.epoch[2]) == 3


def test_the_best_epoch_is_kept(ended: Population, side_by_side: bool) -> None:
    val_losses = np.asarray(ended.runs.history["val_loss"])
    best = ended.runs.best
    assert best is not None
    for run in (STEADY, SLOW, WILD):
        epoch = int(best.epoch[run])
        assert epoch == 1 + np.nanargmin(val_losses[run])
        only = move_all(populate(RATES, WATCHED), epoch, WATCHED, side_by_side=side_by_side)
        there = take_snapshot(take_run(only.runs, run).state)
        assert_same_bits(tree_to_arrays(take_run(best, run)), tree_to_arrays(there))
    assert best.epoch[WILD] < ended.runs.state.epoch[WILD]


def test_a_run_that_was_never_finite_keeps_its_start(ended: Population) -> None:
    best = ended.runs.best
    assert best is not None
    assert best.epoch[BROKEN] == 0
    start = take_snapshot(take_run(populate(RATES, WATCHED).runs, BROKEN).state)
    assert_same_bits(tree_to_arrays(take_run(best, BROKEN)), tree_to_arrays(start))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(start))
