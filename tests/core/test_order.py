"""Each image comes once an epoch, and each batch takes equally many of each shard."""

from functools import partial

import jax
import numpy as np
import pytest

from autodecoder.core import order as orders

KEY = jax.random.key(3)


@partial(jax.jit, static_argnums=(1, 2, 3), static_argnames="drop_last")
def draw_order(
    key: jax.Array, n: int, batch_size: int, n_shards: int, *, drop_last: bool
) -> orders.Order:
    windows = orders.plan_windows(n, batch_size, n_shards, drop_last=drop_last)
    return orders.draw_order(key, windows)


@pytest.mark.parametrize("n_shards", [1, 64])
@pytest.mark.parametrize("n", [1, 5, 191, 1500])
@pytest.mark.parametrize("drop_last", [True, False])
def test_every_image_comes_once(n: int, n_shards: int, drop_last: bool) -> None:
    size = min(128, n)
    images, are_counted = map(np.asarray, draw_order(KEY, n, 128, n_shards, drop_last=drop_last))
    n_batches = n // size if drop_last else -(-n // size)
    assert images.shape == are_counted.shape == (n_batches, size)
    counted = images[are_counted]
    assert len(set(counted.tolist())) == len(counted) == (n_batches * size if drop_last else n)
    assert set(counted.tolist()) <= set(range(n))
    assert are_counted[:-1].all()
    # What fills up the last batch is of the batch before.
    fillers = images[-1][~are_counted[-1]]
    assert drop_last <= (len(fillers) == 0)
    assert len(fillers) == 0 or set(fillers.tolist()) <= set(images[-2].tolist())


@pytest.mark.parametrize(
    ("n", "n_shards", "made"), [(1000, 4, 4), (1000, 64, 4), (96, 64, 4), (20, 64, 1)]
)
def test_a_batch_takes_equally_many_of_each_shard(n: int, n_shards: int, made: int) -> None:
    order = draw_order(KEY, n, 100, n_shards, drop_last=True)
    ends = np.arange(1, made + 1) * n // made
    for batch in np.asarray(order.images):
        shard = np.searchsorted(ends, batch, side="right")
        assert np.bincount(shard).tolist() == [len(batch) // made] * made


def test_the_order_is_random_and_repeats() -> None:
    one, again = (np.asarray(draw_order(KEY, 640, 64, 4, drop_last=True).images) for _ in "ab")
    np.testing.assert_array_equal(one, again)
    other = np.asarray(draw_order(jax.random.key(4), 640, 64, 4, drop_last=True).images)
    assert (one != other).mean() > 0.9
    # Within a shard, what comes when is not what lies where.
    ranks = np.argsort(one.reshape(10, 4, 16)[:, 0].ravel())
    assert abs(np.corrcoef(ranks, np.arange(160))[0, 1]) < 0.3


def test_one_shard_is_a_shuffle_of_all() -> None:
    order = draw_order(KEY, 300, 100, 1, drop_last=True)
    np.testing.assert_array_equal(
        np.asarray(order.images).ravel(), np.argsort(jax.random.bits(KEY, (300,)), kind="stable")
    )
