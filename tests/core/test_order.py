"""Each image comes once an epoch, and each batch takes equally many of each shard."""

import jax
import numpy as np
import pytest

from autodecoder.core import order as orders

KEY = jax.random.key(3)
#: Programs for an order, for one window other than the last, and for the last one.
draw_all = jax.jit(orders.draw_order, static_argnums=1)
draw_one = jax.jit(orders.draw_window, static_argnums=1)
draw_last = jax.jit(orders.draw_window, static_argnums=(1, 2))


def draw_order(
    key: jax.Array, n: int, batch_size: int, n_shards: int, *, drop_last: bool
) -> orders.Order:
    return draw_all(key, orders.plan_windows(n, batch_size, n_shards, drop_last=drop_last))


def draw_window(windows: orders.Windows, window: int) -> orders.Window:
    draw = draw_last if window == len(windows) - 1 else draw_one
    return draw(KEY, windows, window)


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


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize(
    ("n", "batch_size", "n_shards", "together"),
    [
        pytest.param(1500, 64, 4, 256, marks=pytest.mark.thorough),
        (1503, 100, 4, 300),
        (777, 32, 1, 128),
        (5000, 96, 32, 1024),
        (90, 8, 2, 1),
    ],
)
def test_windows_hold_every_image_once(
    n: int, batch_size: int, n_shards: int, together: int, drop_last: bool
) -> None:
    windows = orders.plan_windows(n, batch_size, n_shards, drop_last=drop_last, together=together)
    assert len(windows) > 2
    images, counted = map(np.asarray, draw_all(KEY, windows))
    assert images.shape == (windows.n_steps, batch_size)
    seen = images[counted]
    assert len(set(seen.tolist())) == len(seen)
    assert len(seen) == (windows.n_steps * batch_size if drop_last else n)
    # Images that fill up the last batch are of the one before.
    assert set(images[-1][~counted[-1]].tolist()) <= set(images[-2].tolist())
    ends = np.arange(1, windows.n_shards + 1) * n // windows.n_shards
    for batch in images:
        shard = np.searchsorted(ends, batch, side="right")
        assert (np.bincount(shard) == windows.share).all()


def test_a_window_is_a_part_of_the_order() -> None:
    windows = orders.plan_windows(5003, 64, 16, drop_last=False, together=1024)
    whole, counted = map(np.asarray, draw_all(KEY, windows))
    came = np.zeros(5003, int)
    for window in range(len(windows)):
        rows, chosen, is_counted = map(np.asarray, draw_window(windows, window))
        own = rows < windows.lengths
        numbers = rows + windows.firsts[:, None]
        came[numbers[own]] += 1
        first, last = windows.steps(window)
        part = orders.by_batches(np.take_along_axis(numbers, chosen, axis=1), windows.share)
        np.testing.assert_array_equal(part, whole[first:last])
        np.testing.assert_array_equal(
            orders.by_batches(is_counted, windows.share), counted[first:last]
        )
        # Read in blocks: few of the images of a shard do not lie behind the one before.
        assert (np.diff(rows, axis=1) != 1).mean() < 2 / windows.block
    assert (came == 1).all()
    other = np.asarray(draw_all(jax.random.key(9), windows).images)
    assert len(set(other[0].tolist()) & set(whole[0].tolist())) < 10


def test_a_set_that_is_not_much_larger_than_a_window_is_one() -> None:
    whole = orders.plan_windows(1500, 64, 4, drop_last=True)
    for together, n_windows in ((1500, 1), (1024, 1), (900, 2), (512, 3)):
        windows = orders.plan_windows(1500, 64, 4, drop_last=True, together=together)
        assert len(windows) == n_windows
        same = np.array_equal(draw_all(KEY, windows).images, draw_all(KEY, whole).images)
        assert same == (n_windows == 1)
