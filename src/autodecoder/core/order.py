"""Which images each step of an epoch sees."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

#: Images of a shard, at least: of shorter ones some would be left out in many epochs, others never.
_LEAST = 16
#: Images of a shard that lie next to each other and are read together, at most, and how many of
#: such blocks a window has of each shard, about.
_BLOCK = 256
_BLOCKS = 16
_LAST = np.uint32(2**32 - 1)


class Order(NamedTuple):
    """The images of each batch."""

    images: Int[Array, "steps b"]
    """Counted within the part of the set where they lie (see `layout`)."""
    counted: Bool[Array | np.ndarray, "steps b"]
    """False for images of the batch before that fill up the last one: they weigh 0."""


@dataclass(frozen=True)
class Windows:
    """How an epoch goes through the shards of a set, window after window.

    The images are cut, in the order in which they are stored, into shards of equal size (to within
    one); a batch takes equally many of each. Where the shards are longer than a window, their
    blocks of neighbouring images come in random order, from a random image on, and are cut into
    windows, within each of which images are shuffled. So an epoch needs the images of a window at
    a time, which are read in blocks, and from epoch to epoch other images come together.

    Parameters
    ----------
    n : int
        Images of the set.
    batch_size : int
        At most `n`.
    n_shards : int
        See `count_shards`.
    drop_last : bool
        Leave out the images that do not fill a batch.
    together : int, optional
        Images that are shuffled together, in all shards; by default all.
    """

    n: int
    batch_size: int
    n_shards: int
    drop_last: bool
    together: int | None = None

    @property
    def share(self) -> int:
        """Images of a batch from each shard."""
        return self.batch_size // self.n_shards

    @property
    def n_steps(self) -> int:
        """Of an epoch."""
        n, size = self.n, self.batch_size
        return n // size if self.drop_last else -(-n // size)

    @property
    def leaves_out(self) -> bool:
        """Whether an epoch leaves out some of the images."""
        return self.n_steps * self.batch_size < self.n

    @property
    def block(self) -> int:
        """Images of a block."""
        of_shard = self.n if self.together is None else self.together // self.n_shards
        return self.share * max(1, min(_BLOCK, of_shard // _BLOCKS) // self.share)

    @property
    def bounds(self) -> Int[np.ndarray, " windows_and_1"]:
        """Positions in the shards' order at which windows begin, and the end.

        All windows have one size; the last has 0.5 to 1.5 times that.
        """
        longest = -(-self.n // self.n_shards)
        if self.together is None:
            return np.array([0, longest])
        # The last one has two steps at least, as images of the one before it may fill up a batch.
        least = -(-4 * self.share // self.block)
        size = self.block * max(least, self.together // self.n_shards // self.block)
        n_windows = max(1, round(longest / size))
        return np.array([*range(0, n_windows * size, size), longest])

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def firsts(self) -> Int[np.ndarray, " shards"]:
        """The first image of each shard."""
        return np.arange(self.n_shards) * self.n // self.n_shards

    @property
    def lengths(self) -> Int[np.ndarray, "shards 1"]:
        """Images of each shard."""
        ends = np.arange(1, self.n_shards + 1) * self.n // self.n_shards
        return (ends - self.firsts)[:, None]

    def steps(self, window: int) -> tuple[int, int]:
        """The first step of a window, and the one after its last."""
        first, stop = self.bounds[window] // self.share, self.bounds[window + 1] // self.share
        return int(first), self.n_steps if window == len(self) - 1 else int(stop)


class Window(NamedTuple):
    """The images of a window, and the order in which its steps see them."""

    rows: Int[Array, "shards length"]
    """Index of each image in its shard. Padding has an index at or beyond the shard's length."""
    chosen: Int[Array, "shards steps*share"]
    """By positions in `rows`, for each shard."""
    counted: Bool[Array | np.ndarray, "shards steps*share"]


def draw_window(key: PRNGKeyArray, windows: Windows, window: int | Int[Array, ""]) -> Window:
    """One window of an epoch's order.

    Parameters
    ----------
    key : key
        Of the epoch.
    windows : Windows
    window : int
        Traced, it must be one of those of equal size: not the last.
    """
    is_last = isinstance(window, int) and window == len(windows) - 1
    index = len(windows) - 1 if is_last else 0  # what is static is the same for all but the last
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
    # Shorter shards are padded; the padding comes last, as the sort is stable.
    shuffled = jnp.argsort(jnp.where(within < lengths, bits, _LAST), axis=1)
    ahead = np.arange((last - first) * share)
    counted = start + ahead < lengths
    chosen = jnp.take_along_axis(shuffled, jnp.where(counted, ahead, ahead - share), axis=1)
    return Window(rows, chosen, counted)


def _rows_at(
    key: PRNGKeyArray, windows: Windows, positions: Int[Array, " k"]
) -> Int[Array, "shards k"]:
    """The images of each shard at some positions, before windows are shuffled."""
    lengths, block = windows.lengths, windows.block
    n_blocks = lengths // block
    number = np.arange(-(-lengths.max() // block))
    order_key, turn_key = jax.random.split(jax.random.fold_in(key, 2**31 - 1))
    bits = jax.random.bits(order_key, (windows.n_shards, len(number)))
    # What is left over behind the whole blocks comes last.
    blocks = jnp.argsort(jnp.where(number < n_blocks, bits, _LAST), axis=1)
    turn = jax.random.randint(turn_key, (windows.n_shards, 1), 0, jnp.asarray(lengths))
    came = jnp.take_along_axis(blocks, (positions // block)[None], axis=1)
    rows = (came * block + positions % block + turn) % lengths
    return jnp.where(positions < lengths, rows, positions)


def draw_order(key: PRNGKeyArray, windows: Windows, *, n_parts: int = 1) -> Order:
    """A random order of images, each of which comes once.

    It follows from the arguments alone: not from where the shards lie, nor from how many devices
    there are.

    Parameters
    ----------
    key : key
    windows : Windows
    n_parts : int
        Parts, of equally many shards each, in which the images lie: a divisor of the number of
        shards. The images of a batch come part by part.

    References
    ----------
    Meng et al. 2019, "Convergence analysis of distributed stochastic gradient descent with
    shuffling".
    """
    firsts, n_shards = windows.firsts, windows.n_shards
    # From the first image of the part that the shard lies in.
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
    """How many shards `n` images are cut into.

    The greatest common divisor of the number wanted and the batch size, or a divisor of that where
    a shard would have fewer than 16 images.
    """
    common = math.gcd(n_shards, min(batch_size, n))
    return max(d for d in range(1, common + 1) if common % d == 0 and d <= max(1, n // _LEAST))


def plan_windows(
    n: int, batch_size: int, n_shards: int, *, drop_last: bool, together: int | None = None
) -> Windows:
    """How an epoch of `n` images goes, in shards of which `n_shards` are wanted.

    With fewer images than a batch all of them are one.
    """
    shards = count_shards(n, batch_size, n_shards)
    return Windows(n, min(batch_size, n), shards, drop_last, together)


def by_batches(of_shards: Any, share: int) -> Any:
    """From a row for each shard to one for each batch, shard after shard."""
    n_shards = len(of_shards)
    return of_shards.reshape(n_shards, -1, share).swapaxes(0, 1).reshape(-1, n_shards * share)
