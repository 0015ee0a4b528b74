"""How runs of a population, and rows of images and latents, are divided among devices.

Each device holds one part of the images with their latents and moments, and a copy of the decoder.
A batch takes equally many images from each part (see `order`), so that images and latents never
move between devices. Devices exchange only sums over the batch: the decoder's gradient, statistics
of batch normalisation, and metrics. Each device reads and writes its own rows (`shard_map`, local
indices); XLA's partitioner divides the arithmetic of a batch.
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
    """The rows of a set, cut in order into parts of equal length to within one.

    Shorter parts are padded to the length of the longest.

    Parameters
    ----------
    n : int
        Number of rows in the set.
    n_parts : int
        Number of parts, one per device; 1 if the set is not divided.
    """

    n: int
    n_parts: int = 1

    @property
    def size(self) -> int:
        """Number of rows in each part, padding included."""
        return -(-self.n // self.n_parts)

    @property
    def total(self) -> int:
        """Number of rows in all parts, padding included."""
        return self.size * self.n_parts

    def firsts(self) -> Int[np.ndarray, " parts"]:
        """Index in the set of each part's first row."""
        return np.arange(self.n_parts) * self.n // self.n_parts

    def places(self) -> Int[np.ndarray, " n"]:
        """Place of each row of the set in the padded array, in which parts are concatenated."""
        rows = np.arange(self.n)
        part = np.searchsorted(self.firsts(), rows, side="right") - 1
        return part * self.size + rows - self.firsts()[part]

    def parts(self, start: int, stop: int) -> Iterator[tuple[int, int, int]]:
        """Yield `(first, end, place)` for each part between two places of the padded array.

        `first` to `end - 1` are the part's rows in the set; `place` is that of its first row,
        counted from `start`.
        """
        for p in range(start // self.size, stop // self.size):
            first, end = p * self.n // self.n_parts, (p + 1) * self.n // self.n_parts
            yield first, end, p * self.size - start

    def is_row(self) -> Bool[np.ndarray, " total"] | None:
        """Mask of the padded array: False for padding. `None` if there is no padding."""
        if self.total == self.n:
            return None
        real = np.zeros(self.total, bool)
        real[self.places()] = True
        return real

    def cut(self, rows: Any) -> np.ndarray:
        """The padded array of some rows. Rows are on the last axis but one; padding is 0."""
        rows = np.asarray(rows)
        if self.total == self.n:
            return rows
        shape = (*rows.shape[:-2], self.total, rows.shape[-1])
        cut = np.zeros(shape, rows.dtype)
        cut[..., self.places(), :] = rows
        return cut

    def join(self, cut: Any) -> np.ndarray:
        """The rows of a padded array: the inverse of `cut`."""
        cut = fetch(cut)
        return cut if self.total == self.n else cut[..., self.places(), :]

    def local(self, function: Callable[..., Any], axes: Sequence[int], out: int) -> Any:
        """A function that applies `function` to each part separately, on the part's device.

        Parameters
        ----------
        function : callable
        axes : sequence of int
            For each argument, the axis of its arrays along which it is divided into parts.
        out : int
            The axis of the results along which they are divided.
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
        """Some rows, by their indices in the set, from whichever devices hold them."""
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
    """A table of devices, `(runs, data)`. Devices in one row share the images of the same runs.

    Parameters
    ----------
    mesh : Mesh
        Mesh with the axes `RUNS` and `DATA`.
    train, val : RowLayout
        Layouts of training and validation images. A set that cannot be cut is copied to every
        device.
    """

    mesh: Mesh
    train: RowLayout
    val: RowLayout

    @property
    def n_runs(self) -> int:
        """Number of parts into which the runs are divided."""
        return self.mesh.shape[RUNS]

    def sharding(self, *axes: str | None) -> NamedSharding:
        """The sharding of an array; `axes` names for each of its axes one of the table, or
        `None`."""
        return NamedSharding(self.mesh, P(*axes))

    def over_runs(self, function: Callable[..., Any], n_shared: int) -> Callable[..., Any]:
        """A function that applies `function` separately to the runs of each row of the table.

        The first argument and the result are stacked over runs. `n_shared` further arguments are
        the same for all runs.
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
    """Create a sharded array whose last axis but one has the rows of a set.

    Each process reads only the rows of its own devices.

    Parameters
    ----------
    rows : RowLayout
    shape : tuple of int
        Shape of the whole array, with `rows.total` rows.
    dtype, sharding
        Dtype and sharding of the whole array.
    read : callable
        `read(slices, first, end)` returns rows `first` to `end - 1` of the set, for a slice of each
        axis before that of the rows.
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
    """Shard an array that every process holds as a whole; all processes must call this."""
    if sharding.is_fully_addressable:
        return jax.device_put(array, sharding)
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(put(jax.random.key_data(array), sharding))
    array = np.asarray(array)
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def fetch(array: Any) -> np.ndarray:
    """Gather a whole array on the host; all processes that hold parts of it must call this."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        assert isinstance(array.sharding, NamedSharding)  # as `put` made it
        everywhere = NamedSharding(array.sharding.mesh, P())
        array = _replicate(array, everywhere).addressable_data(0)
    return np.asarray(array)


@partial(jax.jit, static_argnums=1)
def _replicate(array: Array, everywhere: NamedSharding) -> Array:
    return jax.lax.with_sharding_constraint(array, everywhere)


def fetch_leaf(leaf: Any) -> Any:
    """Like `fetch`, also for random keys, which stay keys."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.asarray(fetch(jax.random.key_data(leaf))))
    return fetch(leaf)


def sums_are_right(devices: Sequence[Any]) -> bool:
    """Whether sums over devices are correct, for short and for long arrays.

    Some releases of the CPU collectives return wrong sums without an error, for some array lengths.
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
    """Choose a layout for a population; `None` if a single device holds all of it.

    By default runs are divided among devices first, since runs do not communicate. Remaining
    devices share the images of each run, as far as batches can be divided.

    Parameters
    ----------
    devices : sequence of Device
    n_runs : int
    sizes : (n_train, n_val)
    shards : (train, val)
        Numbers of shards of both sets, see `order.count_shards`.
    shape : (runs, data), optional
        Shape of the table of devices, to override the default.
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
