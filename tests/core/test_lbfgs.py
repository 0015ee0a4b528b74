"""The limited-memory state finds the minima that an independent one finds, row by row."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from tests.core.test_solvers import TOLERANCE, N, end_solver, make_problem, objective

from autodecoder.core import lbfgs
from autodecoder.core.lbfgs import LbfgsState
from autodecoder.core.solvers import Problem

begin_lbfgs, advance_lbfgs = jax.jit(lbfgs.begin_lbfgs), jax.jit(lbfgs.advance_lbfgs)


def solve(problem: Problem, start: jax.Array, n_steps: int) -> LbfgsState:
    return go_on(problem, begin_lbfgs(problem, start, TOLERANCE), n_steps)


def go_on(problem: Problem, state: LbfgsState, until: Any) -> LbfgsState:
    return advance_lbfgs(problem, state, until, TOLERANCE)


@pytest.mark.parametrize(
    ("dims", "prior"),
    [
        pytest.param(1, 0.0, marks=pytest.mark.slow),
        (6, 0.0),
        pytest.param(20, 1e-3, marks=pytest.mark.slow),
    ],
)
def test_minima_are_those_of_scipy(dims: int, prior: float) -> None:
    problem = make_problem(dims, prior=prior)
    start = 0.1 * jax.random.normal(jax.random.key(3), (N, dims))
    found = solve(problem, start, 500)
    assert found.converged.all()

    @jax.jit
    def of_one(z: jax.Array, row: int) -> tuple[jax.Array, jax.Array]:
        alone = replace(
            problem, targets=problem.targets[row][None], weights=problem.weights[row][None]
        )
        return jax.value_and_grad(lambda z: objective(alone, z[None])[0])(z)

    def theirs(row: int, begin: jax.Array) -> float:
        result = scipy.optimize.minimize(
            lambda z: [np.asarray(part, float) for part in of_one(z.astype(np.float32), row)],
            begin,
            jac=True,
            method="L-BFGS-B",
        )
        return float(result.fun)

    # A minimum of ours is one of theirs; and from the same start theirs is not better, but for
    # another valley now and then.
    rows = range(12)
    at_ours = [theirs(row, found.latents[row]) for row in rows]
    np.testing.assert_allclose(found.value[:12], at_ours, rtol=2e-3)
    from_start = np.array([theirs(row, start[row]) for row in rows])
    assert np.mean(np.asarray(found.value[:12]) <= 1.002 * from_start) >= 0.75


@pytest.mark.thorough
def test_what_is_exact_is_found() -> None:
    problem = make_problem(30, noise=0.0)
    truth = jax.random.normal(jax.random.split(jax.random.key(2), 3)[0], (N, 30))
    found = solve(problem, truth + 0.1, 500)
    assert (found.value < 1e-4 * objective(problem, truth + 0.1)).all()


def test_values_fall_and_are_those_of_the_latents() -> None:
    problem = make_problem(6, prior=0.01)
    start = jax.random.normal(jax.random.key(5), (N, 6))
    last = objective(problem, start)
    for n in (1, 5, 20, 60):
        found = solve(problem, start, n)
        assert (found.value <= last + 1e-7).all()
        np.testing.assert_allclose(found.value, objective(problem, found.latents), rtol=1e-5)
        assert (found.steps <= n).all()
        last = found.value


@pytest.mark.parametrize("unit", [1e-4, 1e4])
def test_the_unit_of_the_latents_is_no_matter(unit: float) -> None:
    problem = make_problem(6)
    start = jax.random.normal(jax.random.key(5), (N, 6))
    first, *others = problem.decoder.trainable()
    rescaled = problem.decoder.with_trainable((first._replace(weight=first.weight / unit), *others))
    found = solve(problem, start, 200)
    same = solve(replace(problem, decoder=rescaled), unit * start, 200)
    assert same.converged.all()
    np.testing.assert_allclose(np.median(same.value), np.median(found.value), rtol=1e-2)


@pytest.mark.thorough
def test_going_on_equals_going_through() -> None:
    problem = make_problem(8)
    start = jax.random.normal(jax.random.key(6), (N, 8))
    through = solve(problem, start, 30)
    whole = go_on(problem, solve(problem, start, 7), 30)
    np.testing.assert_allclose(whole.value, through.value, rtol=1e-4)
    np.testing.assert_array_equal(whole.steps, through.steps)


@pytest.mark.thorough
def test_each_row_goes_as_far_as_it_may_and_then_rests() -> None:
    problem = make_problem(8)
    start = jax.random.normal(jax.random.key(6), (N, 8))
    until = jnp.arange(N) % 4
    found = go_on(problem, begin_lbfgs(problem, start, TOLERANCE), until)
    np.testing.assert_array_equal(found.steps, until)
    np.testing.assert_array_equal(found.latents[::4], start[::4])
    further = go_on(problem, found, jnp.where(until == 3, 9, 0))
    for rows in (0, 1, 2):
        for a, b in zip(further, found, strict=True):
            np.testing.assert_array_equal(a[rows::4], b[rows::4])
    assert (further.value[3::4] < found.value[3::4]).all()


def test_the_last_step_is_taken_only_where_it_helps() -> None:
    problem = make_problem(6)
    start = jax.random.normal(jax.random.key(6), (N, 6))
    found = solve(problem, start, 500)
    ended = end_solver(problem, found)
    assert (ended.value <= found.value).all()
    np.testing.assert_allclose(ended.value, objective(problem, ended.latents), rtol=1e-5)


def test_what_is_not_finite_stays_where_it_is() -> None:
    problem = make_problem(6)
    start = jax.random.normal(jax.random.key(6), (N, 6)).at[3].set(jnp.nan)
    found = solve(problem, start, 30)
    assert found.steps[3] == 0
    assert not found.converged[3]
    assert np.isfinite(np.delete(np.asarray(found.value), 3)).all()


def test_a_flat_objective_ends_the_search() -> None:
    problem = make_problem(6)
    flat = replace(problem, weights=jnp.zeros_like(problem.weights))
    found = solve(flat, jnp.zeros((N, 6)), 30)
    assert found.converged.all()
    np.testing.assert_array_equal(found.steps, 0)
