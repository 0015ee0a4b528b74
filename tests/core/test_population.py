"""A population: every cell equals its solo run, one shape compiles once, no run harms another."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.core.builders import (
    KEY,
    SMALL_MOMENTS,
    WATCHED,
    assert_same_bits,
    move_all,
    populate,
    run_arrays,
)

from autodecoder.core.fit import FRESH_METRICS
from autodecoder.core.population import (
    Population,
    advance,
    execution_key,
    select_runs,
    take_run,
)

#: For programs that are compared with another one bit for bit.
between_programs = pytest.mark.usefixtures("as_users_compile")

RATES = (1e-3, 1e-2)


def train(rates: tuple[float, ...], until: int = 6, *, side_by_side: bool = False) -> Population:
    """Two executions of each rate."""
    return move_all(populate(rates, WATCHED, 2), until, WATCHED, side_by_side=side_by_side)


@between_programs
@pytest.mark.thorough
def test_a_cell_equals_its_solo_run() -> None:
    grid, solo = train(RATES), train(RATES[1:])
    for k in range(2):
        assert_same_bits(run_arrays(grid, 2 + k), run_arrays(solo, k))


@pytest.mark.thorough
@between_programs
def test_a_cell_with_small_moments_equals_its_solo_run() -> None:
    config = replace(WATCHED, fit=replace(WATCHED.fit, **SMALL_MOMENTS))
    grid, solo = (move_all(populate(some, config), 3, config) for some in (RATES, RATES[1:]))
    ours = run_arrays(grid, 1)
    assert_same_bits(ours, run_arrays(solo, 0))
    for part, n in (("train", 450), ("val", 130)):
        assert ours[f"state/{part}/rows/square"].shape == (n, 1)
        assert ours[f"state/{part}/rows/mean"].dtype == jnp.bfloat16


def test_an_executions_key_depends_on_its_number_alone() -> None:
    keys = [jax.random.key_data(execution_key(KEY, k)) for k in range(3)]
    assert len({np.asarray(key).tobytes() for key in keys}) == 3
    np.testing.assert_array_equal(jax.random.key_data(execution_key(KEY, 1)), keys[1])
    other = execution_key(jax.random.key(1), 1)
    assert (jax.random.key_data(other) != keys[1]).any()


def test_executions_differ_and_are_paired_across_trials() -> None:
    population = populate(RATES, WATCHED, 2)
    np.testing.assert_allclose(population.rates.decoder, [1e-3, 1e-3, 1e-2, 1e-2])
    before = [run_arrays(population, i) for i in range(4)]
    assert_same_bits(before[0], before[2])
    assert_same_bits(before[1], before[3])
    assert (before[0]["state/key"] != before[1]["state/key"]).any()
    losses = move_all(population, 1, WATCHED).runs.history["loss"][:, 0]
    assert len(set(losses.tolist())) == 4


def test_portions_of_runs_and_epochs_do_not_matter() -> None:
    whole, portioned = train(RATES), populate(RATES, WATCHED, 2)
    for first, count, until in ((0, 1, 1), (1, 3, 1), (0, 4, 3), (0, 4, 2), (2, 2, 6), (0, 2, 6)):
        portioned = move_all(portioned, until, WATCHED, first=first, count=count)
    for i in range(4):
        assert_same_bits(run_arrays(whole, i), run_arrays(portioned, i))


def test_only_the_runs_named_are_moved() -> None:
    before = [run_arrays(populate(RATES, WATCHED, 2), i) for i in range(4)]
    population = move_all(populate(RATES, WATCHED, 2), 2, WATCHED, first=1, count=2)
    assert population.runs.state.epoch.tolist() == [0, 2, 2, 0]
    for i in (0, 3):
        assert_same_bits(before[i], run_arrays(population, i))


@between_programs
@pytest.mark.thorough
def test_side_by_side_equals_one_after_another() -> None:
    # At small steps: rounding differs between the two programs, and training amplifies it.
    looped, vmapped = (
        train((1e-4, 1e-3), 12, side_by_side=side).runs.history for side in (False, True)
    )
    for name, values in looped.items():
        assert np.isfinite(values).all() or name in FRESH_METRICS
        np.testing.assert_allclose(values, vmapped[name], rtol=1e-3, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("side_by_side", [False, True])
def test_a_diverged_run_leaves_its_neighbours_alone(side_by_side: bool) -> None:
    calm = train((1e-3, 1e-2), side_by_side=side_by_side)
    wild = train((1e-3, float("nan")), side_by_side=side_by_side)
    for i in (0, 1):
        assert_same_bits(run_arrays(calm, i), run_arrays(wild, i))
    assert np.isnan(wild.runs.history["loss"][2:, -1]).all()
    assert np.isfinite(calm.runs.history["loss"][2:, 5]).all()


@pytest.mark.parametrize("side_by_side", [False, True])
def test_one_shape_compiles_once(side_by_side: bool) -> None:
    population = train((1e-4, 1e-3), 1, side_by_side=side_by_side)
    before = advance._cache_size()  # pyright: ignore[reportAttributeAccessIssue]
    for first, count, until in ((0, 4, 2), (1, 2, 3), (2, 1, 3)):
        population = move_all(
            population, until, WATCHED, first=first, count=count, side_by_side=side_by_side
        )
    train((1e-2, 1e-1), 2, side_by_side=side_by_side)
    assert advance._cache_size() == before  # pyright: ignore[reportAttributeAccessIssue]


@between_programs
@pytest.mark.thorough
def test_compaction_leaves_the_further_course_as_it_is() -> None:
    whole, compact = train(RATES, 9), train(RATES, 4)
    compact = move_all(select_runs(compact, jnp.array([0, 3])), 9, WATCHED)
    assert len(compact) == 2
    for i, kept in enumerate((0, 3)):
        assert_same_bits(run_arrays(whole, kept), run_arrays(compact, i))
        assert compact.rates.decoder[i] == whole.rates.decoder[kept]


def test_a_run_taken_out_is_that_of_its_number() -> None:
    population = train(RATES, 2)
    taken = take_run(population.runs, 2)
    np.testing.assert_array_equal(taken.history["loss"], population.runs.history["loss"][2])
    np.testing.assert_array_equal(taken.state.train.values, population.runs.state.train.values[2])
