"""Moving runs on in portions of half a second: the loop under `fit_model` and under studies.

Between portions the caller looks up. How the work is portioned has no influence on a result.
"""

import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from autodecoder.config import RunConfig
from autodecoder.core.fit import Images, Run
from autodecoder.core.population import (
    Population,
    advance,
    advance_unoptimised,
    optimises_always,
    select_runs,
    take_run,
)
from autodecoder.core.watch import RUNNING

#: How long the program runs before the caller looks up.
_PORTION_SECONDS = 0.5


class Driver:
    """A population under way.

    Parameters
    ----------
    population : Population
        Its memory serves what becomes of it.
    images : Images
    config : RunConfig
        Of all runs.
    optimised : bool
        Whether XLA optimises the program, where it can do without.
    """

    population: Population
    epochs: Int[np.ndarray, " runs"]
    """Epochs that each run has done."""
    statuses: Int[np.ndarray, " runs"]
    """How each run stands, see `core.watch`."""

    def __init__(
        self, population: Population, images: Images, config: RunConfig, *, optimised: bool = True
    ) -> None:
        self.population = population
        self._images = images
        self._config = config
        self._program = advance if optimised or optimises_always() else advance_unoptimised
        self._pace = _PORTION_SECONDS  # seconds an epoch of one run takes; at first a guess
        self._advance(0, 1, 0)  # compiles, outside the time of the epochs

    @property
    def ended(self) -> Bool[np.ndarray, " runs"]:
        """Which runs have no epoch left to do."""
        return (self.statuses != RUNNING) | (self.epochs == self._config.fit.num_epochs)

    def move(self, limit: Callable[[int], int]) -> Float[np.ndarray, " runs"]:
        """Move runs on for about half a second; returns the seconds spent on each.

        Runs that are behind catch up first, so that all stand at the same epoch again.

        Parameters
        ----------
        limit : callable
            Given the epoch of the last of the runs, the epoch that none may pass.
        """
        active = np.flatnonzero(~self.ended)
        epoch = int(self.epochs[active].min())
        behind = active[self.epochs[active] == epoch]
        affordable = max(1, int(_PORTION_SECONDS / self._pace))
        first, count = 0, len(self.population)
        until = min(epoch + max(1, affordable // len(active)), limit(epoch))
        if not side_by_side() and not affordable >= len(active) == len(behind):
            moved = behind[:affordable]
            first, count, until = int(moved[0]), int(moved[-1] - moved[0]) + 1, epoch + 1
        before, start = self.epochs, time.perf_counter()
        self._advance(first, count, until)
        seconds, gained = time.perf_counter() - start, self.epochs - before
        if not gained.any():
            return np.zeros(len(gained))
        self._pace = max(seconds / gained.sum(), 1e-9)
        return gained * self._pace

    def take(self, i: int) -> Run:
        """One of the runs."""
        return take_run(self.population.runs, i)

    def select(self, indices: Sequence[int]) -> None:
        """Go on with some of the runs."""
        self.population = select_runs(self.population, jnp.asarray(indices))
        self._advance(0, 1, 0)

    def _advance(self, first: int, count: int, until: int) -> None:
        self.population = self._program(
            self.population,
            self._images,
            first,
            count,
            until,
            config=self._config,
            side_by_side=side_by_side(),
        )
        jax.block_until_ready(self.population)
        # Copied, as the next portion takes the memory.
        self.epochs = np.array(self.population.runs.state.epoch)
        self.statuses = np.array(self.population.runs.watch.status)


def side_by_side() -> bool:
    """Whether the runs of a population move together: on an accelerator, not on a CPU."""
    return jax.default_backend() != "cpu"
