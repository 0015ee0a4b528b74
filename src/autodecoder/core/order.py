"""The order of images: which images each step of an epoch sees."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

#: Least number of images in a shard. With shorter shards, some images would be left out in many
#: epochs and others never.
_LEAST = 16
#: Most neighbouring images of a shard that are read together as a block, and the approximate number
#: of blocks of each shard in a window.
_BLOCK = 256
_BLOCKS = 16
_LAST = np.uint32(2**32 - 1)


class Order(NamedTuple):
    """The images of each batch."""

    images: Int[Array, "steps b"]
    """Index of each image within its part of the set (see `layout`)."""
    counted: Bool[Array | np.ndarray, "steps b"]
    """False for images of the previous batch that fill up the last one, with weight 0."""


@dataclass(frozen=True)
class Windows:
    """How an epoch visits the shards of a set, window by window.

    The images are cut, in stored order, into shards of equal length (to within one). A batch takes
    equally many images from each shard. If shards are longer than a window, each epoch shifts a
    shard by a random offset, and puts its blocks of neighbouring images into random order. This
    order is cut into windows, and images are shuffled within each window. So an epoch needs one
    window of images at a time, reads images in blocks, and combines different images than the
    epochs before.

    Parameters
    ----------
    n : int
        Number of images in the set.
    batch_size : int
        At most `n`.
    n_shards : int
        See `count_shards`.
    drop_last : bool
        Leave out the last images if they do not fill a batch.
    together : int, optional
        Number of images, over all shards, that are shuffled together; by default all.
    """

    n: int
    batch_size: int
    n_shards: int
    drop_last: bool
    together: int | None = None

    @property
    def share(self) -> int:
        """Number of images that a batch takes from each shard."""
        return self.batch_size // self.n_shards

    @property
    def n_steps(self) -> int:
        """Number of steps in an epoch."""
        n, size = self.n, self.batch_size
        return n // size if self.drop_last else -(-n // size)

    @property
    def leaves_out(self) -> bool:
        """Whether an epoch leaves out some images."""
        return self.n_steps * self.batch_size < self.n

    @property
    def block(self) -> int:
        """Number of images in a block: neighbours in a shard that are read together."""
        of_shard = self.n if self.together is None else self.together // self.n_shards
        return self.share * max(1, min(_BLOCK, of_shard // _BLOCKS) // self.share)

    @property
    def bounds(self) -> Int[np.ndarray, " windows_and_1"]:
        """Positions in a shard at which windows begin, and the end.

        All windows have the same length, except the last, which has 0.5 to 1.5 times as much.
        """
        longest = -(-self.n // self.n_shards)
        if self.together is None:
            return np.array([0, longest])
        # The last window has at least two steps, since images of its second-last batch may fill up
        # the last one.
        least = -(-4 * self.share // self.block)
        size = self.block * max(least, self.together // self.n_shards // self.block)
        n_windows = max(1, round(longest / size))
        return np.array([*range(0, n_windows * size, size), longest])

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def firsts(self) -> Int[np.ndarray, " shards"]:
        """Index of each shard's first image."""
        return np.arange(self.n_shards) * self.n // self.n_shards

    @property
    def lengths(self) -> Int[np.ndarray, "shards 1"]:
        """Number of images in each shard."""
        ends = np.arange(1, self.n_shards + 1) * self.n // self.n_shards
        return (ends - self.firsts)[:, None]

    def steps(self, window: int) -> tuple[int, int]:
        """The first step of a window, and the step after its last one."""
        first, stop = self.bounds[window] // self.share, self.bounds[window + 1] // self.share
        return int(first), self.n_steps if window == len(self) - 1 else int(stop)


class Window(NamedTuple):
    """The images of a window, and the order in which its steps see them."""

    rows: Int[Array, "shards length"]
    """Index of each image in its shard. Padding has an index at or beyond the shard's length."""
    chosen: Int[Array, "shards steps*share"]
    """For each shard, the images that successive steps take, as positions in `rows`."""
    counted: Bool[Array | np.ndarray, "shards steps*share"]
    """False for images that only fill up the last batch, see `Order`."""


def draw_window(key: PRNGKeyArray, windows: Windows, window: int | Int[Array, ""]) -> Window:
    """Draw one window of an epoch's order.

    Parameters
    ----------
    key : key
        The key of the epoch's order.
    windows : Windows
    window : int
        Index of the window. A traced index must not be the last, whose size differs.
    """
    is_last = isinstance(window, int) and window == len(windows) - 1
    index = len(windows) - 1 if is_last else 0  # all but the last have the same static sizes
    bounds, share, lengths = windows.bounds, windows.share, windows.lengths
    size = int(bounds[index + 1] - bounds[index])
    first, last = windows.steps(index)
    start = int(bounds[index]) if is_last else window * size
    within = start + jnp.arange(size)
    if len(windows) == 1:
        rows = jnp.broadcast_to(within, (windows.n_shards, size))
    else:
        rows = _rows_at(key, windows, within)
        key = jax.random.fold_in(key, window)
    bits = jax.random.bits(key, (windows.n_shards, size))
    # Shorter shards are padded. Padding comes last, since the sort is stable.
    shuffled = jnp.argsort(jnp.where(within < lengths, bits, _LAST), axis=1)
    ahead = np.arange((last - first) * share)
    counted = start + ahead < lengths
    chosen = jnp.take_along_axis(shuffled, jnp.where(counted, ahead, ahead - share), axis=1)
    return Window(rows, chosen, counted)


def _rows_at(
    key: PRNGKeyArray, windows: Windows, positions: Int[Array, " k"]
) -> Int[Array, "shards k"]:
    """The images at some positions of each shard, before windows are shuffled."""
    lengths, block = windows.lengths, windows.block
    n_blocks = lengths // block
    number = np.arange(-(-lengths.max() // block))
    order_key, turn_key = jax.random.split(jax.random.fold_in(key, 2**31 - 1))
    bits = jax.random.bits(order_key, (windows.n_shards, len(number)))
    # Images beyond the last whole block come last.
    blocks = jnp.argsort(jnp.where(number < n_blocks, bits, _LAST), axis=1)
    turn = jax.random.randint(turn_key, (windows.n_shards, 1), 0, jnp.asarray(lengths))
    came = jnp.take_along_axis(blocks, (positions // block)[None], axis=1)
    rows = (came * block + positions % block + turn) % lengths
    return jnp.where(positions < lengths, rows, positions)


def draw_order(key: PRNGKeyArray, windows: Windows, *, n_parts: int = 1) -> Order:
    """Draw a random order in which each image comes once.

    Which images a step sees does not depend on the number of devices.

    Parameters
    ----------
    key : key
    windows : Windows
    n_parts : int
        Number of parts into which the images are divided (see `layout`): a divisor of the number of
        shards. Each batch lists its images part by part.

    References
    ----------
    Meng et al. 2019, "Convergence analysis of distributed stochastic gradient descent with
    shuffling".
    """
    firsts, n_shards = windows.firsts, windows.n_shards
    # Offset of each shard from the first image of its part.
    within_part = firsts - np.repeat(firsts[:: n_shards // n_parts], n_shards // n_parts)

    def draw(window: Any) -> tuple[Any, Any]:
        rows, chosen, counted = draw_window(key, windows, window)
        images = jnp.take_along_axis(rows, chosen, axis=1) + within_part[:, None]
        return by_batches(images, windows.share), by_batches(counted, windows.share)

    last = draw(len(windows) - 1)
    if len(windows) == 1:
        return Order(*last)
    before = jax.lax.map(draw, jnp.arange(len(windows) - 1))
    parts = [
        jnp.concatenate([first.reshape(-1, windows.batch_size), end])
        for first, end in zip(before, last, strict=True)
    ]
    return Order(*parts)


def count_shards(n: int, batch_size: int, n_shards: int) -> int:
    """The number of shards for `n` images, of which `n_shards` are requested.

    It is the greatest common divisor of `n_shards` and the batch size, or a divisor of it if shards
    would have fewer than 16 images.
    """
    common = math.gcd(n_shards, min(batch_size, n))
    return max(d for d in range(1, common + 1) if common % d == 0 and d <= max(1, n // _LEAST))


def plan_windows(
    n: int, batch_size: int, n_shards: int, *, drop_last: bool, together: int | None = None
) -> Windows:
    """Plan the windows of an epoch of `n` images, with `n_shards` requested shards.

    If there are fewer images than `batch_size`, all of them form one batch.
    """
    shards = count_shards(n, batch_size, n_shards)
    return Windows(n, min(batch_size, n), shards, drop_last, together)


def by_batches(of_shards: Any, share: int) -> Any:
    """Reorder an array with one row per shard into one with one row per batch, shard by shard."""
    n_shards = len(of_shards)
    return of_shards.reshape(n_shards, -1, share).swapaxes(0, 1).reshape(-1, n_shards * share)
