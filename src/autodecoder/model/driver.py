"""Moving runs in steps of half a second: the loop below `fit_model` and studies.

Between steps the caller gets control. The division into steps does not affect results.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from autodecoder.config import RunConfig
from autodecoder.core.layout import fetch
from autodecoder.core.population import (
    Population,
    ReadRows,
    advance,
    advance_unoptimised,
    end_runs,
    gather_runs,
    note_metrics,
    optimises_always,
    own_rows,
    pad_runs,
    place_hollow,
    place_images,
    place_population,
    select_runs,
    take_run,
)
from autodecoder.core.runs import Images, Run
from autodecoder.core.tree import tree_to_arrays
from autodecoder.core.watch import RUNNING
from autodecoder.model.devices import Devices, choose_devices
from autodecoder.model.row_stores import row_types
from autodecoder.model.team import ALONE, Team

#: Duration of a step of the program.
PORTION_SECONDS = 0.5


class Driver:
    """Moves a population of runs.

    Parameters
    ----------
    population : Population
        It is consumed: later states reuse its memory.
    images : Images
    config : RunConfig
        Shared by all runs.
    optimised : bool
        Whether XLA optimises the program, if it has the choice.
    devices : Devices, optional
        One device by default.
    team : Team, optional
        The processes that own these devices. Each has a driver of the same runs.
    rows : callable, optional
        Reads rows of training images, which the population then lacks. Each process reads the rows
        of its own devices.
    """

    population: Population
    """Starts with the given runs. On several devices, copies of the last run may follow, which are
    not moved."""
    epochs: Int[np.ndarray, " runs"]
    """Epochs that each run has done."""
    statuses: Int[np.ndarray, " runs"]
    """Status of each run (see `core.watch`)."""

    def __init__(
        self,
        population: Population,
        images: Images,
        config: RunConfig,
        *,
        optimised: bool = True,
        devices: Devices | None = None,
        team: Team = ALONE,
        rows: ReadRows | None = None,
    ) -> None:
        self._given = images
        self._rows = rows
        self._team = team
        self._config = config
        self._devices = devices or choose_devices()
        self._images, self._layout = images, None
        self._place(population)
        self._program = advance if optimised or optimises_always() else advance_unoptimised
        self._pace = PORTION_SECONDS  # seconds per epoch of one run; initially a guess
        self._advance(0, 1, 0)  # compiles, so that epochs are timed without it

    @property
    def ended(self) -> Bool[np.ndarray, " runs"]:
        """Whether each run has no epoch left."""
        return (self.statuses != RUNNING) | (self.epochs == self._config.fit.num_epochs)

    @property
    def progress(self) -> Float[np.ndarray, " runs"]:
        """Epochs done by each run. This driver always stops between epochs."""
        return self.epochs.astype(float)

    def move(self, limit: Callable[[int], int]) -> Float[np.ndarray, " runs"]:
        """Move runs for about half a second; returns the seconds spent on each.

        Runs with fewer epochs move first, until all are at the same epoch.

        Parameters
        ----------
        limit : callable
            Returns the last allowed epoch, given the smallest epoch of the runs.
        """
        active = np.flatnonzero(~self.ended)
        epoch = int(self.epochs[active].min())
        behind = active[self.epochs[active] == epoch]
        affordable = self._team.agree(max(1, int(PORTION_SECONDS / self._pace)))
        first, count = 0, len(self.epochs)
        until = min(epoch + max(1, affordable // len(active)), limit(epoch))
        apart = self._layout is None and not side_by_side()
        if apart and not affordable >= len(active) == len(behind):
            moved = behind[:affordable]
            first, count, until = int(moved[0]), int(moved[-1] - moved[0]) + 1, epoch + 1
        before, start = self.epochs, time.perf_counter()
        self._advance(first, count, until)
        seconds, gained = time.perf_counter() - start, self.epochs - before
        if not gained.any():
            return np.zeros(len(gained))
        self._pace = max(seconds / gained.sum(), 1e-9)
        return gained * self._pace

    def histories(self) -> dict[str, Float[np.ndarray, "runs epochs"]]:
        """The recorded histories of the runs."""
        recorded = self.population.runs.history.items()
        with self._team.step():
            return {name: fetch(rows)[: self._n] for name, rows in recorded}

    def note(self, i: int, epoch: int, metrics: Mapping[str, np.float32]) -> None:
        """Write metrics that were computed elsewhere into the history of a run."""
        self.population = note_metrics(self.population, i, epoch, metrics)

    def end(self, indices: Sequence[int], status: int) -> None:
        """End runs at their present epoch, with a status of `core.watch`."""
        self.population = end_runs(self.population, indices, status)
        self.statuses[list(indices)] = status

    def take(self, i: int) -> Run:
        """One of the runs, with its rows gathered from the devices."""
        with self._team.step():
            run = take_run(self.population.runs, i)
            return run if self._layout is None else gather_runs(run, self._layout)

    def save(self, i: int) -> dict[str, np.ndarray]:
        """Everything needed to resume a run."""
        return tree_to_arrays(self.take(i))

    def save_apart(
        self, i: int
    ) -> tuple[dict[str, np.ndarray], list[tuple[int, dict[str, np.ndarray]]]]:
        """Everything needed to resume a run that is spread over devices: the common arrays, and the
        rows of this process (see `own_rows`)."""
        assert self._layout is not None  # ensured by the caller
        with self._team.step():
            hollow = gather_runs(self.population.runs, self._layout, hollow=True)
        arrays = tree_to_arrays(take_run(hollow, i))
        return arrays, own_rows(self.population.runs, self._layout, i)

    def must_save(self, i: int) -> bool:
        """Whether a checkpoint is required before the next step: never for this driver."""
        return False

    def close(self) -> None:
        """There is nothing to close."""

    def select(self, indices: Sequence[int]) -> None:
        """Keep only these runs."""
        runs, rates = self.population
        if self._layout is not None:
            runs, rates = gather_runs(runs, self._layout), jax.tree.map(fetch, rates)
        self._place(select_runs(Population(runs, rates), jnp.asarray(indices)))
        self._advance(0, 1, 0)

    def _place(self, population: Population) -> None:
        """Place runs on the devices, and images if their layout changes."""
        self._n = len(population)
        sizes = len(self._given.train), len(self._given.val)
        layout = self._devices.lay_out(self._n, sizes, self._config)
        if layout != self._layout:
            self._images = self._given if layout is None else place_images(self._given, layout)
        if layout is not None and self._rows is not None:
            fit, dims = self._config.fit, self._config.decoder.latent_dims
            population = place_hollow(
                pad_runs(population, -self._n % layout.n_runs),
                layout,
                row_types(fit, dims),
                self._n,
                self._rows,
            )
        elif layout is not None:
            population = place_population(pad_runs(population, -self._n % layout.n_runs), layout)
        self.population, self._layout = population, layout

    def _advance(self, first: int, count: int, until: int) -> None:
        with self._team.step():
            self.population = self._program(
                self.population,
                self._images,
                first,
                count,
                until,
                config=self._config,
                side_by_side=side_by_side(),
                layout=self._layout,
            )
            jax.block_until_ready(self.population)
            # Copied, because the next step reuses the memory.
            self.epochs = np.array(fetch(self.population.runs.state.epoch))[: self._n]
            self.statuses = np.array(fetch(self.population.runs.watch.status))[: self._n]


def side_by_side() -> bool:
    """Whether all runs of a population move together: on an accelerator, not on a CPU."""
    return jax.default_backend() != "cpu"
