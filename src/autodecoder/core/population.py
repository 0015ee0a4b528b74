"""Many runs of one shape as one compiled program.

Learning rates and keys are traced, so any number of trials and executions share a compilation. On
an accelerator the runs move side by side (`vmap`); on a CPU, where that gains nothing, one after
another in a loop inside the program.
"""

from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray

from autodecoder.config import DecoderConfig, FitConfig
from autodecoder.core.fit import (
    History,
    Images,
    LearningRates,
    RunState,
    advance_run,
    init_run,
)

_Stacked = TypeVar("_Stacked")

#: The `History` of every run.
Histories = dict[str, Float[Array, "runs epochs"]]


class Population(NamedTuple):
    """Runs stacked along a first axis, with what differs between them."""

    states: RunState
    histories: Histories
    rates: LearningRates

    def __len__(self) -> int:
        return len(self.rates.decoder)


@jax.jit(static_argnames=("decoder_config", "fit", "scaler"))
def init_population(
    keys: Key[Array, " runs"],
    rates: LearningRates,
    images: Images,
    scores: tuple[Float[Array, "n_train dims"], Float[Array, "n_val dims"]] | None,
    *,
    decoder_config: DecoderConfig,
    fit: FitConfig,
    scaler: str,
) -> Population:
    """Runs before their first epoch, one for each key and pair of rates.

    Parameters
    ----------
    keys : (runs,) keys
    rates : LearningRates of (runs,)
    images, scores, decoder_config, fit, scaler
        Shared by all runs, as in `init_run`.
    """

    def init(key: PRNGKeyArray) -> tuple[RunState, History]:
        return init_run(key, images, scores, decoder_config=decoder_config, fit=fit, scaler=scaler)

    states, histories = jax.lax.map(init, keys)
    return Population(states, histories, rates)


@jax.jit(static_argnames=("fit", "scaler", "side_by_side"), donate_argnames="population")
def advance(
    population: Population,
    images: Images,
    first: int | Array,
    count: int | Array,
    n_epochs: int | Array,
    *,
    fit: FitConfig,
    scaler: str,
    side_by_side: bool,
) -> Population:
    """Move runs `first` to `first + count - 1` on by `n_epochs` epochs each.

    All three numbers are traced: the caller may portion the work as it likes, by time for
    instance, without a new compilation and without influence on any run's result. With
    `side_by_side` all runs move together, whatever `first` and `count` say.

    The population passed in is consumed: its memory serves the result.
    """

    def one(state: RunState, history: History, rates: LearningRates) -> tuple[RunState, History]:
        return advance_run(state, history, rates, images, n_epochs, fit=fit, scaler=scaler)

    states, histories, rates = population
    if side_by_side:
        states, histories = jax.vmap(one)(states, histories, rates)
        return Population(states, histories, rates)

    def visit(i: int | Array, stacked: tuple[RunState, Histories]) -> tuple[RunState, Histories]:
        moved = one(*take_run(stacked, i), take_run(rates, i))
        return jax.tree.map(lambda all_, new: all_.at[i].set(new), stacked, moved)

    states, histories = jax.lax.fori_loop(first, first + count, visit, (states, histories))
    return Population(states, histories, rates)


def take_run(stacked: _Stacked, i: int | Array) -> _Stacked:
    """One run's part of anything stacked along a first axis."""
    return jax.tree.map(lambda a: a[i], stacked)


def study_runs(
    key: PRNGKeyArray, learning_rates: tuple[float, ...], n_executions: int, fit: FitConfig
) -> tuple[Key[Array, " runs"], LearningRates]:
    """Keys and rates of a grid: trials outside, executions inside, `(trials * executions,)` each.

    An execution's key depends on its number alone, so that a cell of the grid equals the same
    execution of a study of that learning rate only, and trials are compared on common random
    numbers.
    """
    execution_keys = jax.vmap(lambda k: jax.random.fold_in(key, k))(jnp.arange(n_executions))
    keys = jnp.tile(execution_keys, len(learning_rates))
    decoder = jnp.repeat(jnp.asarray(learning_rates, jnp.float32), n_executions)
    own = fit.latent_learning_rate
    latents = decoder if own is None else jnp.full_like(decoder, own)
    return keys, LearningRates(decoder, latents)
