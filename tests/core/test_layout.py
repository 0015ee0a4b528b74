"""Rows lie in parts, and come back in order; a step sees the same images however they lie."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodecoder.core.layout import RowLayout, lay_out
from autodecoder.core.order import count_shards, draw_order, plan_windows

KEY = jax.random.key(3)


@pytest.mark.parametrize(("dims", "dtype"), [(3, np.float32), (1, np.float32), (3, jnp.bfloat16)])
@pytest.mark.parametrize(("n", "n_parts"), [(12, 4), (13, 4), (15, 4), (5, 1), (3, 2)])
def test_rows_are_cut_and_joined(n: int, n_parts: int, dims: int, dtype: Any) -> None:
    rows = (np.arange(2 * n * dims).reshape(2, n, dims) + 1).astype(dtype)
    layout = RowLayout(n, n_parts)
    cut = layout.cut(rows)
    assert cut.shape == (2, layout.size * n_parts, dims)
    np.testing.assert_array_equal(layout.join(cut), rows, strict=True)
    is_row = layout.is_row()
    assert (is_row is None) == (n % n_parts == 0)
    if is_row is not None:
        assert is_row.sum() == n
        assert (cut[:, ~is_row] == 0).all()


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize(("n", "n_parts"), [(640, 4), (643, 4), (643, 8), (643, 1)])
def test_batches_are_the_same_in_any_number_of_parts(n: int, n_parts: int, drop_last: bool) -> None:
    together = draw_order(KEY, plan_windows(n, 64, 16, drop_last=drop_last))
    apart = draw_order(KEY, plan_windows(n, 64, 16, drop_last=drop_last), n_parts=n_parts)
    layout = RowLayout(n, n_parts)
    part = np.repeat(np.arange(n_parts), 64 // n_parts)
    np.testing.assert_array_equal(layout.firsts()[part] + apart.images, together.images)
    np.testing.assert_array_equal(apart.counted, together.counted)
    assert (np.asarray(apart.images) < layout.size).all()


@pytest.mark.parametrize(
    ("n_devices", "n_runs", "shards", "table"),
    [
        (1, 5, 64, None),
        (8, 12, 64, (8, 1)),
        (8, 3, 64, (2, 4)),
        (8, 1, 64, (1, 8)),
        (6, 1, 64, (1, 2)),  # batches cannot be cut into thirds
        (6, 2, 48, (2, 3)),
        (4, 1, 1, None),
    ],
)
def test_runs_come_first(
    n_devices: int, n_runs: int, shards: int, table: tuple[int, int] | None
) -> None:
    devices = jax.devices() * n_devices
    layout = lay_out(devices, n_runs, (1000, 100), (shards, 4))
    assert (None if layout is None else tuple(layout.mesh.shape.values())) == table
    if layout is not None:
        n_parts = layout.mesh.shape["data"]
        assert layout.train == RowLayout(1000, n_parts)
        assert layout.val == RowLayout(100, n_parts if n_parts in (1, 2, 4) else 1)


def test_shards_divide_a_batch() -> None:
    assert count_shards(60_000, 128, 64) == 64
    assert count_shards(60_000, 100, 64) == 4
    assert count_shards(100, 128, 64) == 4
    assert count_shards(10, 128, 64) == 1
