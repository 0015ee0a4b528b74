"""Which images each step of an epoch sees."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, PRNGKeyArray

#: Images of a shard, at least: of shorter ones some would be left out in many epochs, others never.
_LEAST = 16


class Order(NamedTuple):
    """The images of each batch."""

    images: Int[Array, "steps b"]
    """Counted within the part of the set where they lie (see `layout`)."""
    counted: Bool[np.ndarray, "steps b"]
    """False for images of the batch before that fill up the last one: they weigh 0."""


def draw_order(
    key: PRNGKeyArray,
    n: int,
    batch_size: int,
    n_shards: int,
    *,
    drop_last: bool,
    n_parts: int = 1,
) -> Order:
    """A random order of `n` images, each of which comes once.

    Images are cut, in the order in which they are stored, into shards of equal size (to within
    one). A batch takes equally many of each, in a random order of the shard's own. The order
    follows from the arguments alone: not from where the shards lie, nor from how many devices
    there are.

    Parameters
    ----------
    key : key
    n : int
    batch_size : int
        With fewer images than that all of them are one batch.
    n_shards : int
        Wanted, see `count_shards`. 1: a plain shuffle.
    drop_last : bool
        Leave out the images that do not fill a batch.
    n_parts : int
        Parts, of equally many shards each, in which the images lie: a divisor of the number of
        shards. The images of a batch come part by part.

    References
    ----------
    Meng et al. 2019, "Convergence analysis of distributed stochastic gradient descent with
    shuffling".
    """
    size = min(batch_size, n)
    n_shards = count_shards(n, batch_size, n_shards)
    share = size // n_shards
    n_batches = n // size if drop_last else -(-n // size)
    first, last = np.arange(n_shards) * n // n_shards, np.arange(1, n_shards + 1) * n // n_shards
    lengths = (last - first)[:, None]
    within = np.arange(-(-n // n_shards))
    bits = jax.random.bits(key, (n_shards, len(within)))
    # Shorter shards are padded; the padding comes last, as the sort is stable.
    shuffled = jnp.argsort(jnp.where(within < lengths, bits, np.uint32(2**32 - 1)), axis=1)
    position = np.arange(n_batches * share)
    counted = position < lengths
    taken = np.where(counted, position, position - share)
    # From the first image of the part that the shard lies in.
    within_part = first - np.repeat(first[:: n_shards // n_parts], n_shards // n_parts)
    images = jnp.take_along_axis(shuffled + within_part[:, None], taken, axis=1)
    return Order(_by_batches(images, share), _by_batches(counted, share))


def count_shards(n: int, batch_size: int, n_shards: int) -> int:
    """How many shards `n` images are cut into.

    The greatest common divisor of the number wanted and the batch size, or a divisor of that where
    a shard would have fewer than 16 images.
    """
    common = math.gcd(n_shards, min(batch_size, n))
    return max(d for d in range(1, common + 1) if common % d == 0 and d <= max(1, n // _LEAST))


def _by_batches(of_shards: Any, share: int) -> Any:
    """From a row for each shard to one for each batch, shard after shard."""
    n_shards = len(of_shards)
    return of_shards.reshape(n_shards, -1, share).swapaxes(0, 1).reshape(-1, n_shards * share)
