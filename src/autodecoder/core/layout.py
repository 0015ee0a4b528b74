"""Where arrays lie: runs of a population over devices, rows of images and latents over devices.

Images lie with their latents and the moments of those, cut into as many parts as there are devices
for rows; decoders are everywhere. A batch takes equally many images from each part (see `order`),
so that a step moves no images and no latents from device to device: what travels is the sum of the
decoder's gradient, and the sums that batch normalisation and metrics take over the whole batch.
Rows are taken and put back by the device that has them (`shard_map`, local indices); the arithmetic
of a batch is left to XLA's partitioner.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Int

#: Axes of the mesh: the runs of a population, the rows of a set of images.
RUNS, DATA = "runs", "data"


@dataclass(frozen=True)
class RowLayout:
    """Where the rows of a set lie: in order, in parts of equal size to within one. Shorter parts
    are filled up, so that all have the size of the longest.

    Parameters
    ----------
    n : int
        Rows of the set.
    n_parts : int
        One for each device that has some of them; 1: all of them lie together.
    """

    n: int
    n_parts: int = 1

    @property
    def size(self) -> int:
        """Rows of each part, those that fill it up included."""
        return -(-self.n // self.n_parts)

    @property
    def total(self) -> int:
        """Rows of all parts."""
        return self.size * self.n_parts

    def firsts(self) -> Int[np.ndarray, " parts"]:
        """The first row of each part."""
        return np.arange(self.n_parts) * self.n // self.n_parts

    def places(self) -> Int[np.ndarray, " n"]:
        """Where each row lies in the parts, one part after the other."""
        rows = np.arange(self.n)
        part = np.searchsorted(self.firsts(), rows, side="right") - 1
        return part * self.size + rows - self.firsts()[part]

    def parts(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """The parts that lie between two places: the first row of each, the one after its last, and
        where that first row lies, counted from `start`."""
        for p in range(start // self.size, stop // self.size):
            first, end = p * self.n // self.n_parts, (p + 1) * self.n // self.n_parts
            yield first, end, p * self.size - start

    def is_row(self) -> Bool[np.ndarray, " total"] | None:
        """False for what fills up a part; nothing where nothing does."""
        if self.total == self.n:
            return None
        real = np.zeros(self.total, bool)
        real[self.places()] = True
        return real

    def cut(self, rows: Any) -> np.ndarray:
        """Rows, on the last axis but one, as they lie in the parts; what fills up is 0."""
        rows = np.asarray(rows)
        if self.total == self.n:
            return rows
        shape = (*rows.shape[:-2], self.total, rows.shape[-1])
        cut = np.zeros(shape, rows.dtype)
        cut[..., self.places(), :] = rows
        return cut

    def join(self, cut: Any) -> np.ndarray:
        """The inverse of `cut`."""
        cut = fetch(cut)
        return cut if self.total == self.n else cut[..., self.places(), :]

    def local(self, function: Callable[..., Any], axes: Sequence[int], out: int) -> Any:
        """Call a function for each part by itself, on its device.

        Parameters
        ----------
        function : callable
        axes : sequence of int
            Axis of each argument, or of the arrays in it, along which the parts lie.
        out : int
            That of the results.
        """
        if self.n_parts == 1:
            return function

        def spec(axis: int) -> P:
            return P(*[None] * axis, DATA)

        return jax.shard_map(
            function,
            in_specs=tuple(map(spec, axes)),
            out_specs=spec(out),
            axis_names={DATA},
        )

    def take(self, rows: Array, indices: Int[np.ndarray | Array, " k"]) -> Array:
        """Some rows, by their numbers in the set, wherever they lie."""
        if self.n_parts == 1:
            return rows[indices]
        places = jnp.asarray(self.places())[indices]

        def own(part: Array, places: Array) -> Array:
            local = places - jax.lax.axis_index(DATA) * self.size
            has = (local >= 0) & (local < self.size)
            taken = part[jnp.clip(local, 0, self.size - 1)]
            return jax.lax.psum(jnp.where(has[:, None], taken, 0), DATA)

        return jax.shard_map(own, in_specs=(P(DATA), P()), out_specs=P(), axis_names={DATA})(
            rows, places
        )


@dataclass(frozen=True)
class Layout:
    """A table of devices, `(runs, data)`: those in a row of it share the images of some runs.

    Parameters
    ----------
    mesh : Mesh
        Its axes are `RUNS` and `DATA`.
    train, val : RowLayout
        Of training and validation images. A set that cannot be cut lies whole on every device.
    """

    mesh: Mesh
    train: RowLayout
    val: RowLayout

    @property
    def n_runs(self) -> int:
        """Parts that the runs are cut into."""
        return self.mesh.shape[RUNS]

    def sharding(self, *axes: str | None) -> NamedSharding:
        """Of an array whose axes lie over those of the table."""
        return NamedSharding(self.mesh, P(*axes))

    def over_runs(self, function: Callable[..., Any], n_shared: int) -> Callable[..., Any]:
        """Call a function for the runs of each row of the table by themselves.

        Its first argument is stacked over runs, as is its result; `n_shared` more are the same
        for all.
        """
        return jax.shard_map(
            function,
            mesh=self.mesh,
            in_specs=(P(RUNS), *[P()] * n_shared),
            out_specs=P(RUNS),
            axis_names={RUNS},
        )


def put_rows(
    rows: RowLayout,
    shape: tuple[int, ...],
    dtype: Any,
    sharding: NamedSharding,
    read: Callable[[tuple[slice, ...], int, int], np.ndarray],
) -> Array:
    """An array whose last axis but one has the rows of a set, laid out; each process reads those of
    its own devices.

    Parameters
    ----------
    rows : RowLayout
    shape : tuple of int
        Of the whole, with `rows.total` for the rows.
    dtype, sharding
        Of the whole.
    read : callable
        Given a range on each axis before that of the rows, and a range of rows of the set: those.
    """

    def part(index: Any) -> np.ndarray:
        ranges = [axis.indices(length) for axis, length in zip(index, shape, strict=True)]
        start, stop, _ = ranges[-2]
        out = np.zeros([b - a for a, b, _ in ranges], dtype)
        for first, end, place in rows.parts(start, stop):
            out[..., place : place + end - first, :] = read(index[:-2], first, end)
        return out

    return jax.make_array_from_callback(shape, sharding, part)


def put(array: Any, sharding: NamedSharding) -> Array:
    """An array that this process has whole, laid out; other processes do the same for theirs."""
    if sharding.is_fully_addressable:
        return jax.device_put(array, sharding)
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(put(jax.random.key_data(array), sharding))
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def fetch(array: Any) -> np.ndarray:
    """An array as it lies, whole; all processes that have some of it must call this."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        assert isinstance(array.sharding, NamedSharding)  # as `put` made it
        everywhere = NamedSharding(array.sharding.mesh, P())
        array = _replicate(array, everywhere).addressable_data(0)
    return np.asarray(array)


@partial(jax.jit, static_argnums=1)
def _replicate(array: Array, everywhere: NamedSharding) -> Array:
    return jax.lax.with_sharding_constraint(array, everywhere)


def fetch_leaf(leaf: Any) -> Any:
    """Likewise, a random key as a key."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(fetch(jax.random.key_data(leaf))))
    return fetch(leaf)


def sums_are_right(devices: Sequence[Any]) -> bool:
    """Whether the sum over devices gives what it must, for short and for long arrays.

    Some releases of collectives for CPUs have given wrong sums without an error, for arrays of some
    lengths.
    """
    mesh = Mesh(np.asarray(devices), (DATA,), axis_types=(AxisType.Auto,))
    n = len(devices)
    for size in (8, 2**20):
        rows = np.arange(n * size, dtype=np.float32).reshape(n, size) % 1021
        add = jax.shard_map(
            lambda part: jax.lax.psum(part[0], DATA), mesh=mesh, in_specs=P(DATA), out_specs=P()
        )
        found = jax.jit(add)(put(rows, NamedSharding(mesh, P(DATA))))
        if not np.array_equal(fetch(found), rows.sum(axis=0)):
            return False
    return True


def lay_out(
    devices: Sequence[Any],
    n_runs: int,
    sizes: tuple[int, int],
    shards: tuple[int, int],
    shape: tuple[int, int] | None = None,
) -> Layout | None:
    """Where a population lies; nothing where one device has it all.

    By default as many runs as there are move at once, each on devices of its own, since they have
    nothing to tell each other; what is left of the devices shares the images of a run, as far as
    batches can be cut.

    Parameters
    ----------
    devices : sequence of Device
    n_runs : int
    sizes : (n_train, n_val)
    shards : (train, val)
        Of both sets, see `order.count_shards`.
    shape : (runs, data), optional
        Of the table, instead.
    """
    n = len(devices)
    if shape is None:
        over_runs = max(d for d in _divisors(n) if d <= n_runs)
        over_data = max(d for d in _divisors(n // over_runs) if shards[0] % d == 0)
        shape = over_runs, over_data
    if shape == (1, 1):
        return None
    n_parts = shape[1]
    train, val = (
        RowLayout(size, n_parts if n_shards % n_parts == 0 else 1)
        for size, n_shards in zip(sizes, shards, strict=True)
    )
    table = np.asarray(devices[: shape[0] * shape[1]]).reshape(shape)
    return Layout(Mesh(table, (RUNS, DATA), axis_types=(AxisType.Auto, AxisType.Auto)), train, val)


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
