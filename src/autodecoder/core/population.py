"""Many runs of one shape as one compiled program.

Learning rates and keys are traced, so any number of trials and executions share a compilation. On
an accelerator all runs move together (`vmap`). On a CPU, where that gains nothing, they move one
after another in a loop inside the program.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, PRNGKeyArray, UInt32

from autodecoder.config import RunConfig
from autodecoder.core.adam import Rows
from autodecoder.core.decoders import Decoder
from autodecoder.core.epoch import LearningRates, MovingLatents
from autodecoder.core.fit import LatentStarts, advance_run, init_run
from autodecoder.core.layout import DATA, RUNS, Layout, RowLayout, fetch_leaf, put, put_rows
from autodecoder.core.runs import Images, Run, map_rows
from autodecoder.core.watch import STOPPED

_Stacked = TypeVar("_Stacked")
_UNOPTIMISED = {"xla_backend_optimization_level": 0}


class Population(NamedTuple):
    """Runs stacked along a first axis, with the learning rates of each."""

    runs: Run
    rates: LearningRates

    def __len__(self) -> int:
        return len(self.rates.decoder)


def init_population(
    key: PRNGKeyArray,
    executions: UInt32[np.ndarray, " runs"],
    rates: LearningRates,
    images: Images,
    starts: LatentStarts | None,
    config: RunConfig,
    decoder: Decoder | None = None,
) -> Population:
    """Runs before their first epoch, one for each execution and pair of rates.

    Parameters
    ----------
    key : key
        Shared key; each run uses the `execution_key` of its execution.
    executions : (runs,) uint32
    rates : LearningRates of (runs,)
    images, starts, config, decoder
        Shared by all runs, as in `init_run`.
    """

    # It runs once, and compiling it with optimisations takes longer than they save.
    init = _init if optimises_always() else init_quickly
    return init(key, executions, rates, images, starts, config, decoder)


def _init_population(
    key: PRNGKeyArray,
    executions: UInt32[Array, " runs"],
    rates: LearningRates,
    images: Images,
    starts: LatentStarts | None,
    config: RunConfig,
    decoder: Decoder | None,
) -> Population:
    def init(execution: UInt32[Array, ""]) -> Run:
        return init_run(execution_key(key, execution), images, starts, config, decoder)

    return Population(jax.lax.map(init, executions), rates)


_init = jax.jit(_init_population, static_argnames="config")
init_quickly = jax.jit(_init_population, static_argnames="config", compiler_options=_UNOPTIMISED)


def optimises_always() -> bool:
    """Whether XLA cannot compile without optimisations: true except on CPUs."""
    return jax.default_backend() != "cpu"


def compiler_options(*, optimised: bool) -> dict[str, Any] | None:
    """Options of `jax.jit`: whether XLA optimises a program, if it has the choice."""
    return None if optimised or optimises_always() else _UNOPTIMISED


def _advance(
    population: Population,
    images: Images,
    first: int | Array,
    count: int | Array,
    until: int | Array,
    *,
    config: RunConfig,
    side_by_side: bool,
    layout: Layout | None = None,
) -> Population:
    """Move runs `first` to `first + count - 1` to epoch `until`, unless they end before.

    All three numbers are traced, so the caller may divide the work freely, for example by time,
    without a new compilation and without any effect on results. With `side_by_side` all runs move
    together, and `first` and `count` are ignored. A run that has diverged or stopped early is
    frozen: it is masked if runs move together, and otherwise skipped. With a `layout` over several
    devices, all runs move too; those of one device move one after another, or together with
    `side_by_side`.

    The population passed in is consumed: the result reuses its memory.
    """

    def move(
        population: Population,
        images: Images,
        first: int | Array,
        count: int | Array,
        until: int | Array,
    ) -> Run:
        def one(run: Run, rates: LearningRates) -> Run:
            return advance_run(run, rates, images, until, config, layout)

        def visit(i: int | Array, runs: Run) -> Run:
            moved = one(take_run(runs, i), take_run(rates, i))
            return jax.tree.map(lambda all_, new: all_.at[i].set(new), runs, moved)

        runs, rates = population
        if side_by_side:
            return jax.vmap(one)(runs, rates)
        return jax.lax.fori_loop(first, first + count, visit, runs)

    if layout is None:
        runs = move(population, images, first, count, until)
    else:
        n_here = len(population) // layout.n_runs
        runs = layout.over_runs(move, 4)(population, images, 0, n_here, until)
        runs = _laid_out(runs, layout, jax.lax.with_sharding_constraint)
    return Population(runs, population.rates)


advance = jax.jit(
    _advance, static_argnames=("config", "side_by_side", "layout"), donate_argnames="population"
)
#: `advance` compiled without optimisations: slower, to test whether an optimisation is at fault.
advance_unoptimised = jax.jit(
    _advance,
    static_argnames=("config", "side_by_side", "layout"),
    donate_argnames="population",
    compiler_options=_UNOPTIMISED,
)


def pad_runs(population: Population, n: int) -> Population:
    """Append `n` copies of the last run, marked as ended."""
    if not n:
        return population
    n_runs = len(population)
    runs, rates = select_runs(population, jnp.minimum(jnp.arange(n_runs + n), n_runs - 1))
    watch = runs.watch._replace(status=runs.watch.status.at[n_runs:].set(STOPPED))
    return Population(runs._replace(watch=watch), rates)


def place_population(population: Population, layout: Layout) -> Population:
    """Place runs from one device on the devices of a layout."""
    runs = map_rows(population.runs, layout.train.cut, layout.val.cut, lambda a: a)
    rates = jax.tree.map(lambda a: put(a, layout.sharding(RUNS)), population.rates)
    return Population(_laid_out(runs, layout, put), rates)


def _laid_out(runs: Run, layout: Layout, place: Callable[[Any, Any], Array]) -> Run:
    def over(rows: RowLayout) -> Callable[[Any], Array]:
        return lambda a: place(a, layout.sharding(RUNS, DATA if rows.n_parts > 1 else None))

    return map_rows(
        runs, over(layout.train), over(layout.val), lambda a: place(a, layout.sharding(RUNS))
    )


#: Reads rows of a run, given its number, a name, the first row and the stop row. The names are
#: `values`, the moments `mean` and `square`, and `best`, the latents of the best epoch.
ReadRows = Callable[[int, str, int, int], np.ndarray]


def place_hollow(
    population: Population,
    layout: Layout,
    types: Mapping[str, tuple[np.dtype, int]],
    n_runs: int,
    read: ReadRows,
) -> Population:
    """Place runs without training rows on the devices of a layout; each process reads the rows of
    its own devices.

    Parameters
    ----------
    population : Population
    layout : Layout
    types : mapping
        Type and length of each array of a row.
    n_runs : int
        Number of runs; those after them are copies of the last.
    read : callable
    """
    sharding = layout.sharding(RUNS, DATA if layout.train.n_parts > 1 else None)

    def rows_of(name: str) -> Array:
        dtype, length = types["values" if name == "best" else name]
        n_all = len(population)

        def read_some(index: tuple[slice, ...], first: int, stop: int) -> np.ndarray:
            numbers = range(*index[0].indices(n_all))
            return np.stack([read(min(i, n_runs - 1), name, first, stop) for i in numbers])

        shape = (n_all, layout.train.total, length)
        return put_rows(layout.train, shape, dtype, sharding, read_some)

    runs = map_rows(population.runs, lambda a: a, layout.val.cut, lambda a: a)
    runs = _laid_out(runs, layout, put)
    state, best = runs.state, runs.best
    train = MovingLatents(Rows(*map(rows_of, Rows._fields)), state.train.steps)
    if best is not None:
        best = best._replace(train_latents=rows_of("best"))
    state = replace(state, train=train)
    rates = jax.tree.map(lambda a: put(a, layout.sharding(RUNS)), population.rates)
    return Population(runs._replace(state=state, best=best), rates)


def own_rows(runs: Run, layout: Layout, i: int) -> list[tuple[int, dict[str, np.ndarray]]]:
    """The rows of a run on this process's devices: the first index of each part, and its arrays by
    name. A part on several devices appears once."""
    named: dict[str, Any] = dict(runs.state.train.rows._asdict())
    if runs.best is not None:
        named["best"] = runs.best.train_latents
    rows, found = layout.train, {}
    for name, array in named.items():
        for shard in array.addressable_shards:
            over_runs, over_rows = shard.index[0], shard.index[1]
            first_run, stop_run, _ = over_runs.indices(len(array))
            if shard.replica_id or not first_run <= i < stop_run:
                continue
            start, stop, _ = over_rows.indices(rows.total)
            for first, end, place in rows.parts(start, stop):
                part = np.asarray(shard.data[i - first_run, place : place + end - first])
                found.setdefault(first, {})[name] = part
    return sorted(found.items())


def place_images(images: Images, layout: Layout) -> Images:
    """Place images on the devices of a layout."""

    def place(pixels: Any, rows: RowLayout) -> Any:
        if pixels is None:
            return None
        sharding = layout.sharding(DATA if rows.n_parts > 1 else None)
        if not rows.n:
            return put(np.asarray(pixels), sharding)
        shape = rows.total, pixels.shape[1]
        return put_rows(
            rows, shape, pixels.dtype, sharding, lambda _, a, b: np.asarray(pixels[a:b])
        )

    train, val = layout.train, layout.val
    return Images(
        place(images.train, train),
        place(images.val, val),
        place(images.train_mask, train),
        place(images.val_mask, val),
    )


def gather_runs(run: Run, layout: Layout, *, hollow: bool = False) -> Run:
    """Gather a run or stacked runs on one device of this process, with their rows merged, or
    without the training rows if `hollow`."""
    first, *_ = (d for d in layout.mesh.devices.flat if d.process_index == jax.process_index())

    def together(rows: RowLayout) -> Callable[[Any], Array]:
        return lambda a: jax.device_put(rows.join(a), first)

    return map_rows(
        run,
        (lambda a: jnp.zeros((*a.shape[:-2], 0, a.shape[-1]), a.dtype))
        if hollow
        else together(layout.train),
        together(layout.val),
        lambda a: jax.device_put(fetch_leaf(a), first),
    )


def note_metrics(
    population: Population, i: int, epoch: int, metrics: Mapping[str, np.float32]
) -> Population:
    """Write metrics that were computed outside of the program into the history of a run."""
    runs, rates = population
    history = runs.history | {
        name: _note(runs.history[name], i, epoch - 1, value) for name, value in metrics.items()
    }
    return Population(runs._replace(history=history), rates)


def end_runs(population: Population, indices: Sequence[int], status: int) -> Population:
    """Freeze runs in their present state, with a status."""
    runs, rates = population
    marked = _mark(runs.watch.status, jnp.asarray(indices), status)
    return Population(runs._replace(watch=runs.watch._replace(status=marked)), rates)


@jax.jit
def _mark(statuses: Array, indices: Array, status: int | Array) -> Array:
    return statuses.at[indices].set(jnp.asarray(status, statuses.dtype))


@jax.jit
def _note(history: Array, i: int | Array, epoch: int | Array, value: Any) -> Array:
    return history.at[i, epoch].set(value)


@jax.jit
def take_run(stacked: _Stacked, i: int | Array) -> _Stacked:
    """One run's part of a tree that is stacked along a first axis."""
    return jax.tree.map(lambda a: a[i], stacked)


@jax.jit
def select_runs(stacked: _Stacked, indices: Int[Array, " left"]) -> _Stacked:
    """Some runs' part of a tree that is stacked along a first axis, stacked again."""
    return jax.tree.map(lambda a: a[indices], stacked)


def execution_key(key: PRNGKeyArray, execution: int | UInt32[Array, ""]) -> PRNGKeyArray:
    """The key of an execution, which depends only on its number.

    A trial of a search therefore equals the same trial run alone, and trials are compared on common
    random numbers.
    """
    return jax.random.fold_in(key, execution)


def latents_key(key: PRNGKeyArray, execution: int) -> PRNGKeyArray:
    """The key with which `init_run` draws the initial latents of training images."""
    return jax.random.split(execution_key(key, execution), 4)[1]
