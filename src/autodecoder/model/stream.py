"""The loop of a fit whose training images are streamed to the device, window by window.

While the device computes, a thread reads the images of the next window. The runs of a population
move in turn, each by windows for half a second. The caller therefore gets control as often as with
`driver.Driver`, and the interface is the same.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from autodecoder.config import RunConfig
from autodecoder.core import streamed
from autodecoder.core.adam import Rows
from autodecoder.core.codes import latents_of
from autodecoder.core.epoch import LearningRates, Seen, pass_windows
from autodecoder.core.order import Window
from autodecoder.core.population import (
    compiler_options,
    latents_key,
    take_run,
)
from autodecoder.core.runs import Images, Run
from autodecoder.core.tree import tree_to_arrays
from autodecoder.core.watch import RUNNING
from autodecoder.model.driver import PORTION_SECONDS
from autodecoder.model.hollow import (
    ROW_PATHS,
    SUMS,
    WINDOW,
    check_place,
    fill,
    join_seen,
    read_hollow,
    read_seen,
    within_epoch,
)
from autodecoder.model.row_stores import RowStore, row_types
from autodecoder.model.windows import Loaded, WindowReader


class _Ahead(NamedTuple):
    """A window that is read ahead."""

    where: tuple[int, int, int]
    """Indices of run, epoch and window."""
    """Run, epoch and window."""
    loading: Future[Loaded]


@dataclass
class _UnderWay:
    """State of one run."""

    run: Run
    """Without rows. Within an epoch, its decoder is the one after the last window."""
    rates: LearningRates
    store: RowStore
    start_key: Any
    """Key of the initial latents."""
    opening: streamed.Opening | None = None
    """Opening of the present epoch."""
    window: int = 0
    """The next window."""
    seen: list[Seen] = field(default_factory=list)
    pending: tuple[Int[np.ndarray, " k"], Bool[np.ndarray, " k"], Rows] | None = None
    """Rows of the last window, still to be written: indices, a mask without padding, and values."""
    sums: Float[np.ndarray, "2"] = field(default_factory=lambda: np.zeros(2))
    """Sum of the latents of the windows so far, and of their squares."""
    saved: float = -1.0
    """Progress at the last checkpoint."""


class StreamDriver:
    """Moves runs on images that are read on demand.

    Parameters
    ----------
    key : key
    executions : (runs,) uint32
    rates : LearningRates of (runs,)
        As in `init_population`, like `key` and `executions`.
    images : Images
        The training images are an array or an object that reads rows on demand. The validation
        images are in memory.
    config : RunConfig
        Shared by all runs.
    stores : sequence of RowStore
        One per run.
    optimised : bool
        Whether XLA optimises the programs, if it has the choice.
    """

    epochs: Int[np.ndarray, " runs"]
    """Epochs that each run has done."""
    statuses: Int[np.ndarray, " runs"]
    """Status of each run (see `core.watch`)."""

    def __init__(
        self,
        key: Any,
        executions: np.ndarray,
        rates: LearningRates,
        images: Images,
        config: RunConfig,
        stores: Sequence[RowStore],
        *,
        optimised: bool = True,
    ) -> None:
        self._val = streamed.without_training(images)
        self._n, self._config = len(images.train), config
        self._windows = pass_windows(self._n, config, training=True)
        population, starts = streamed.init_hollow(key, executions, rates, images, config)
        options = compiler_options(optimised=optimised)

        def compiled(function: Callable[..., Any], *static: str) -> Callable[..., Any]:
            own = {"n": self._n} if "n" in static else {}
            names = ("config", *static)
            jitted = jax.jit(function, static_argnames=names, compiler_options=options)
            return partial(jitted, config=config, **own)

        self._open = compiled(streamed.open_epoch, "n")
        self._draw = compiled(streamed.draw, "n")
        self._draw_last = compiled(streamed.draw, "n", "window")
        self._move = compiled(streamed.move_window, "n")
        self._close = compiled(streamed.close_epoch)
        self._courses = [
            _UnderWay(
                take_run(population.runs, i),
                take_run(population.rates, i),
                store,
                latents_key(key, int(execution)),
            )
            for i, (store, execution) in enumerate(zip(stores, executions, strict=True))
        ]
        self._reader = WindowReader(images, self._windows, starts)
        self._ahead: _Ahead | None = None
        self._note_progress()

    @property
    def ended(self) -> Bool[np.ndarray, " runs"]:
        """See `Driver`."""
        return (self.statuses != RUNNING) | (self.epochs == self._config.fit.num_epochs)

    @property
    def progress(self) -> Float[np.ndarray, " runs"]:
        """Epochs done by each run, including the fraction of the present one."""
        within = [course.window / len(self._windows) for course in self._courses]
        return self.epochs + np.array(within)

    def move(self, limit: Callable[[int], int]) -> Float[np.ndarray, " runs"]:
        """Move one of the runs with the fewest epochs for about half a second, within an epoch.

        Returns the seconds spent on each run; see `Driver`.
        """
        # Among these, prefer the run within an epoch, because its next window has been read.
        within = np.array([course.window for course in self._courses])
        i = int(np.lexsort((-within, np.where(self.ended, np.inf, self.epochs)))[0])
        seconds, start = np.zeros(len(self.epochs)), time.perf_counter()
        while not self._step(i) and time.perf_counter() - start < PORTION_SECONDS:
            pass
        seconds[i] = time.perf_counter() - start
        return seconds

    def histories(self) -> dict[str, Float[np.ndarray, "runs epochs"]]:
        """See `Driver`."""
        names = self._courses[0].run.history
        return {
            name: np.stack([np.asarray(course.run.history[name]) for course in self._courses])
            for name in names
        }

    def note(self, i: int, epoch: int, metrics: Mapping[str, np.float32]) -> None:
        """See `Driver`."""
        course = self._courses[i]
        noted = {k: course.run.history[k].at[epoch - 1].set(v) for k, v in metrics.items()}
        course.run = course.run._replace(history=course.run.history | noted)

    def end(self, indices: Sequence[int], status: int) -> None:
        """See `Driver`."""
        for i in indices:
            course = self._courses[i]
            watch = course.run.watch._replace(status=jnp.asarray(status, jnp.int32))
            course.run = course.run._replace(watch=watch)
        self._note_progress()

    def take(self, i: int) -> Run:
        """See `Driver`. Rows of the training images are NumPy arrays, possibly memory maps."""
        course = self._courses[i]
        self._keep(course)
        return fill(course.run, course.store)

    def select(self, indices: Sequence[int]) -> None:
        """See `Driver`."""
        self._forget_ahead()
        for i, course in enumerate(self._courses):
            if i not in indices:
                course.store.close()
        self._courses = [self._courses[i] for i in indices]
        self._note_progress()

    def save(self, i: int) -> dict[str, np.ndarray]:
        """Everything needed to resume a run, except for data in files."""
        course = self._courses[i]
        self._keep(course)
        course.store.flush()
        in_files = course.store.kind == "disk"
        arrays = tree_to_arrays(course.run if in_files else fill(course.run, course.store))
        if course.window:
            arrays |= within_epoch(course.window, course.sums, join_seen(course.seen))
        course.saved = float(self.progress[i])
        return arrays

    def must_save(self, i: int) -> bool:
        """Whether a checkpoint is required before the next step: a new epoch deletes the files that
        the last checkpoint needs."""
        course = self._courses[i]
        return (
            course.store.kind == "disk" and not course.window and course.saved < int(self.epochs[i])
        )

    def restore(self, i: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Restore a run from a checkpoint of this driver or of `Driver`.

        Raises
        ------
        ValueError
            If the checkpoint does not fit.
        ConfigError
            If it was made with another storage of rows.
        """
        course = self._courses[i]
        store, window = course.store, int(arrays.get(WINDOW, 0))
        check_place(arrays, (store.kind,))
        run = read_hollow(jax.eval_shape(lambda: course.run), arrays)
        epoch = int(run.state.epoch)
        found: list[Any] = [arrays.get(path, ()) for path in ROW_PATHS.values()]
        values, mean, square, best = found
        if len(values):
            self._check_rows(values, mean, square)
            best_epoch = 0 if run.best is None else int(run.best.epoch)
            kept = best if run.best is not None and len(best) else None
            store.restore(epoch, Rows(values, mean, square), best_epoch, kept)
        elif not store.reopen(epoch, is_within=window > 0):
            raise ValueError("the files of its latents are missing")
        course.run, course.window, course.opening = jax.tree.map(jnp.asarray, run), window, None
        course.saved = epoch + window / len(self._windows)
        if window:
            course.opening = self._open(course.run, course.rates)
            n_norms = sum(name.startswith("gradient_norm_") for name in run.history)
            course.sums, course.seen = np.array(arrays[SUMS]), [read_seen(arrays, n_norms)]
        self._note_progress()

    def _check_rows(self, *parts: Any) -> None:
        types = row_types(self._config.fit, self._config.decoder.latent_dims)
        for part, (name, (dtype, length)) in zip(parts, types.items(), strict=True):
            if part.shape != (self._n, length) or part.dtype != dtype:
                raise ValueError(f"{name} of its latents must be {dtype} of {(self._n, length)}")

    def close(self) -> None:
        """Stop reading ahead, and close files."""
        self._forget_ahead()
        self._reader.close()
        for course in self._courses:
            course.store.close()

    def _step(self, i: int) -> bool:
        """Move a run by one window; returns whether the epoch is over."""
        course = self._courses[i]
        if course.opening is None:
            course.opening = self._open(course.run, course.rates)
            course.seen, course.sums = [], np.zeros(2)
        loaded = self._load(i).result()
        is_last = course.window == len(self._windows) - 1
        rows = course.store.read(loaded.rows)
        if loaded.starts is not None:
            rows = rows._replace(values=loaded.starts)
        state = course.run.state
        decoder, moments, rows, seen = self._move(
            state.decoder,
            state.decoder_moments,
            jax.tree.map(jnp.asarray, rows),
            loaded.images,
            loaded.mask,
            loaded.drawn,
            course.opening,
            self._windows.steps(course.window)[0],
            prior=state.prior,
        )
        # While the device computes, write the rows of the window before, whose images are already
        # freed, and read the next window. Only the images of two windows are in memory.
        self._keep(course)
        course.window += 1
        if not is_last:
            self._ahead = _Ahead(self._where(i), self._begin_read(course))
        course.pending = loaded.rows, loaded.is_row, rows
        state = replace(state, decoder=decoder, decoder_moments=moments)
        course.run = course.run._replace(state=state)
        course.seen.append(seen)
        if is_last:
            self._end_epoch(course)
        self._note_progress()
        return is_last

    def _keep(self, course: _UnderWay) -> None:
        """Write the rows of the last window after the device has updated them."""
        if course.pending is None:
            return
        (where, is_row, rows), course.pending = course.pending, None
        if not is_row.all():
            where, rows = where[is_row], jax.tree.map(lambda a: a[is_row], rows)
        values = latents_of(np.asarray(rows.values), self._config.decoder.latent_dims)
        course.sums += values.sum(dtype=float), np.einsum("ij,ij->", values, values, dtype=float)
        course.store.write(where, rows)

    def _end_epoch(self, course: _UnderWay) -> None:
        assert course.opening is not None  # set by `_step`
        self._keep(course)
        course.store.end_epoch()
        sample = course.opening.sample
        if sample is not None:
            sample = jnp.asarray(course.store.take_values(np.asarray(sample)))
        mean, square = course.sums / (self._n * self._config.decoder.latent_dims)
        statistics = {
            "latent_mean": jnp.float32(mean),
            "latent_variance": jnp.float32(square - mean**2),
        }
        course.run, better = self._close(
            course.run,
            join_seen(course.seen),
            sample,
            statistics,
            course.opening,
            course.rates,
            self._val,
        )
        if course.run.best is not None and bool(better):
            course.store.keep_best()
        course.opening, course.window, course.seen = None, 0, []

    def _load(self, i: int) -> Future[Loaded]:
        """The next window of a run, read ahead if possible."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead.where == self._where(i):
            return ahead.loading
        if ahead is not None:
            ahead.loading.cancel()
        return self._begin_read(self._courses[i])

    def _where(self, i: int) -> tuple[int, int, int]:
        return i, int(self._courses[i].run.state.epoch), self._courses[i].window

    def _begin_read(self, course: _UnderWay) -> Future[Loaded]:
        draw = partial(self._draw_window, course.opening, course.window)
        key = course.start_key if int(course.run.state.epoch) == 0 else None
        return self._reader.begin(draw, key)

    def _draw_window(self, opening: Any, window: int) -> Window:
        if window == len(self._windows) - 1:
            return self._draw_last(opening, window=window)
        return self._draw(opening, window)

    def _forget_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.loading.cancel()
            self._ahead = None

    def _note_progress(self) -> None:
        states = [course.run for course in self._courses]
        self.epochs = np.array([int(run.state.epoch) for run in states])
        self.statuses = np.array([int(run.watch.status) for run in states])
