"""Rows that rest between their steps end where Adam on all rows at every step takes them."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from autodecoder.core.adam import Rest, plan_rest, rest_rows, start_rows, step_rows

N_ROWS, DIMS = 6, 3


def plan(done: jax.Array, first: int, length: int, rates: jax.Array) -> Rest:
    return plan_rest(done, jnp.asarray(first), jnp.asarray(length), rates)


@pytest.mark.parametrize(
    "n_steps",
    [6, 50, pytest.param(400, marks=pytest.mark.thorough)],
)
@pytest.mark.parametrize(("scale", "error"), [(1e-6, 1e-2), (1e-2, 2e-4)])  # near Adam's epsilon
def test_resting_rows_move_as_under_dense_adam(n_steps: int, scale: float, error: float) -> None:
    """Three epochs, in each of which every row has one gradient, at a step of its own."""
    rng = np.random.default_rng(0)
    values = jnp.asarray(rng.normal(size=(N_ROWS, DIMS)), jnp.float32)
    rates = jnp.linspace(0.1, 0.01, n_steps)
    adam = optax.scale_by_adam(eps=1e-7)
    dense, state, rows = values, adam.init(values), start_rows(values)
    move = jax.jit(adam.update)
    for epoch in range(3):
        done = jnp.asarray(epoch * n_steps)
        visits = rng.choice(n_steps, N_ROWS, replace=False)
        gradients = scale * rng.normal(size=(N_ROWS, DIMS)).astype(np.float32)
        for k in range(n_steps):
            gradient = np.where((visits == k)[:, None], gradients, 0)
            direction, state = move(jnp.asarray(gradient), state)
            dense = dense - rates[k] * direction
        moved = []
        for i, k in enumerate(visits.tolist()):
            row = jax.tree.map(lambda a, i=i: a[i : i + 1], rows)
            row = rest_rows(row, plan(done, 0, k, rates))
            row = step_rows(row, jnp.asarray(gradients[i : i + 1]), done + k, rates[k])
            moved.append(rest_rows(row, plan(done, k + 1, n_steps - 1 - k, rates)))
        rows = jax.tree.map(lambda *parts: jnp.concatenate(parts), *moved)
    shift = float(jnp.abs(dense - values).mean())
    np.testing.assert_allclose(rows.values, dense, atol=error * shift)
    assert isinstance(state, optax.ScaleByAdamState)
    assert isinstance(state.mu, jax.Array)
    assert isinstance(state.nu, jax.Array)
    np.testing.assert_allclose(rows.mean, state.mu, rtol=1e-4, atol=1e-6 * scale)
    np.testing.assert_allclose(rows.square, state.nu, rtol=1e-4)


def test_a_row_that_was_never_seen_stays() -> None:
    rows = start_rows(jnp.ones((2, DIMS)))
    rested = rest_rows(rows, plan(jnp.asarray(0), 0, 0, jnp.ones(5)))
    rested = rest_rows(rested, plan(jnp.asarray(0), 0, 5, jnp.ones(5)))
    np.testing.assert_array_equal(rested.values, rows.values)
    far = rest_rows(rows, plan(jnp.asarray(0), 0, 5, jnp.full(5, 1e36)))
    np.testing.assert_array_equal(far.values, rows.values)
