"""Rows that rest between their steps end where Adam on all rows at every step takes them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from autodecoder.core.adam import Rest, Rows, plan_rest, rest_rows, start_rows, step_rows

N_ROWS, DIMS = 6, 3


planned, rest, step = jax.jit(plan_rest), jax.jit(rest_rows), jax.jit(step_rows)


def plan(done: Any, first: int, length: int, rates: Any) -> Rest:
    return planned(done, np.int32(first), np.int32(length), rates)


class DenseAdam:
    """Adam on all rows at every step, in double precision; row-wise with one second moment each."""

    def __init__(self, values: Any, second_moment: str) -> None:
        self.values = np.asarray(values, np.float64)
        self.mean = np.zeros_like(self.values)
        self.by_row = second_moment == "row"
        self.square = np.zeros((N_ROWS, 1 if self.by_row else DIMS))
        self.count = 0

    def step(self, gradient: np.ndarray, rate: float) -> None:
        squared = gradient.astype(np.float64) ** 2
        if self.by_row:
            squared = squared.mean(axis=1, keepdims=True)
        self.count += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * squared
        root = np.sqrt(self.square / (1 - 0.999**self.count))
        self.values = self.values - rate * self.mean / (1 - 0.9**self.count) / (root + 1e-7)


def both(
    rows: Rows, second_moment: str, n_steps: int, scale: float
) -> tuple[Rows, DenseAdam, float]:
    """Three epochs, in each of which every row has one gradient, at a step of its own: of rows that
    rest, and of Adam on all of them; and the mean length of their ways."""
    rng = np.random.default_rng(0)
    rates = np.linspace(0.1, 0.01, n_steps, dtype=np.float32)
    before = np.asarray(rows.values)
    dense = DenseAdam(before, second_moment)
    for epoch in range(3):
        rows, done = jax.tree.map(np.asarray, rows), np.int32(epoch * n_steps)
        visits = rng.choice(n_steps, N_ROWS, replace=False)
        gradients = scale * rng.normal(size=(N_ROWS, DIMS)).astype(np.float32)
        for k in range(n_steps):
            dense.step(np.where((visits == k)[:, None], gradients, 0), float(rates[k]))
        moved = []
        for i, k in enumerate(visits.tolist()):
            row = jax.tree.map(lambda a, i=i: a[i : i + 1], rows)
            row = rest(row, plan(done, 0, k, rates))
            row = step(row, gradients[i : i + 1], np.int32(done + k), rates[k])
            moved.append(rest(row, plan(done, k + 1, n_steps - 1 - k, rates)))
        rows = jax.tree.map(lambda *parts: np.concatenate(parts), *moved)
    return rows, dense, float(np.abs(dense.values - before).mean())


def values_before() -> jax.Array:
    return jnp.asarray(np.random.default_rng(1).normal(size=(N_ROWS, DIMS)), jnp.float32)


@pytest.mark.parametrize("second_moment", ["coordinate", "row"])
@pytest.mark.parametrize(
    "n_steps",
    [6, 50, pytest.param(400, marks=pytest.mark.thorough)],
)
@pytest.mark.parametrize(("scale", "error"), [(1e-6, 1e-2), (1e-2, 2e-5)])  # near Adam's epsilon
def test_resting_rows_move_as_under_dense_adam(
    n_steps: int, scale: float, error: float, second_moment: str
) -> None:
    begun = start_rows(values_before(), second_moment)
    rows, dense, way = both(begun, second_moment, n_steps, scale)
    np.testing.assert_allclose(rows.values, dense.values, atol=error * way)
    np.testing.assert_allclose(rows.mean, dense.mean, rtol=1e-4, atol=1e-6 * scale)
    np.testing.assert_allclose(rows.square, dense.square, rtol=1e-4)


@pytest.mark.parametrize("second_moment", ["coordinate", "row"])
def test_a_first_moment_in_bfloat16_costs_its_rounding_only(second_moment: str) -> None:
    begun = start_rows(values_before(), second_moment, "bfloat16")
    rows, dense, way = both(begun, second_moment, 50, 1e-2)
    assert rows.mean.dtype == jnp.bfloat16
    assert rows.square.dtype == rows.values.dtype == jnp.float32
    np.testing.assert_allclose(rows.values, dense.values, atol=1e-2 * way)
    np.testing.assert_allclose(rows.square, dense.square, rtol=1e-4)


def test_a_step_is_that_of_optax_to_the_last_bit() -> None:
    adam: Any = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-7)
    rng = np.random.default_rng(2)
    rows, rate = start_rows(values_before()), jnp.float32(0.05)
    values, state = rows.values, adam.init(rows.values)
    update = jax.jit(adam.update)
    for k in range(5):
        gradient = jnp.asarray(rng.normal(size=(N_ROWS, DIMS)), jnp.float32)
        rows = step(rows, gradient, jnp.asarray(k), rate)
        direction, state = update(gradient, state)
        values = values - rate * direction
    for ours, theirs in zip(rows, (values, state.mu, state.nu), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_step_size_of_a_row_is_the_root_mean_square_of_its_first_step() -> None:
    gradient = np.array([[3.0, -4.0, 0.0], [1e-3, 1e-3, 1e-3]], np.float32)
    begun = start_rows(jnp.zeros((2, DIMS)), "row")
    moved = np.asarray(step(begun, gradient, np.int32(0), np.float32(0.1)).values)
    size = np.sqrt(np.mean(np.square(moved), axis=1))
    np.testing.assert_allclose(size, [0.1, 0.1], rtol=1e-3)
    np.testing.assert_allclose(moved[0] / moved[0, 0], [1, -4 / 3, 0], rtol=1e-5)


@pytest.mark.parametrize(
    ("second_moment", "dtype"), [("coordinate", "float32"), ("row", "bfloat16")]
)
def test_a_row_that_was_never_seen_stays(second_moment: str, dtype: str) -> None:
    rows = start_rows(jnp.ones((2, DIMS)), second_moment, dtype)
    rates = np.ones(6, np.float32)
    rested = rest(rows, plan(np.int32(0), 0, 0, rates))
    rested = rest(rested, plan(np.int32(0), 0, 5, rates))
    np.testing.assert_array_equal(rested.values, rows.values)
    far = rest(rows, plan(np.int32(0), 0, 5, np.float32(1e36) * rates))
    np.testing.assert_array_equal(far.values, rows.values)


def test_rows_of_one_coordinate_are_alike_by_row_and_by_coordinate() -> None:
    values, gradient = jnp.ones((N_ROWS, 1)), jnp.linspace(-1, 1, N_ROWS)[:, None]
    one, other = (
        step_rows(start_rows(values, kept), gradient, jnp.asarray(0), jnp.float32(0.1))
        for kept in ("coordinate", "row")
    )
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)
