"""What the tests of the core share: real images, configurations and compiled functions."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from autodecoder.config import DecoderConfig, RunConfig, WatchConfig, fit_config
from autodecoder.core.epoch import LearningRates
from autodecoder.core.fit import advance_run, init_run
from autodecoder.core.population import Population, advance, init_population
from autodecoder.core.runs import Images, Run
from autodecoder.core.tree import tree_to_arrays
from autodecoder.data import load_dataset

KEY = jax.random.key(0)
#: What the tests of populations share, so that they share its programs too: all that a run may be
#: watched for, and a calm start, without which rounding would be amplified.
WATCHED = RunConfig(
    decoder=DecoderConfig(arch=(24, 48), batch_norm=True),
    fit=fit_config("original", num_epochs=12, batch_size=100, latent_start="normal"),
    scaler="standard",
    image_shape=(8, 8, 1),
    watch=WatchConfig("val_loss", patience=2, min_delta=1e-2, start_epoch=1, keep_best=True),
)
#: Moments of latents that are kept small.
SMALL_MOMENTS = {"latent_second_moment": "row", "latent_first_moment_dtype": "bfloat16"}
_init = jax.jit(init_run, static_argnames="config")
_move = jax.jit(advance_run, static_argnames="config")


@cache
def digits(n_train: int = 450, n_val: int = 130) -> Images:
    """Real images of 8 by 8 pixels; with the default numbers the last batch of 100 is not full."""
    data = load_dataset("digits")
    return Images(jnp.asarray(data.train.flat[:n_train]), jnp.asarray(data.val.flat[:n_val]))


def run_config(**changes: Any) -> RunConfig:
    """A small decoder without batch normalisation, 8 epochs in batches of 100."""
    values: dict[str, Any] = {
        "decoder": DecoderConfig(arch=(32, 32), batch_norm=False),
        "fit": fit_config("original", num_epochs=8, batch_size=100),
        "scaler": "standard",
        "image_shape": (8, 8, 1),
    }
    return RunConfig(**(values | changes))


def rates(decoder: float, latents: float | None = None) -> LearningRates:
    """Step sizes of one run."""
    return LearningRates(jnp.float32(decoder), jnp.float32(decoder if latents is None else latents))


def start(config: RunConfig, images: Images | None = None, key=KEY) -> Run:
    """A run before its first epoch."""
    return _init(key, digits() if images is None else images, None, config)


def move(run: Run, until: int, config: RunConfig, step=None, images: Images | None = None) -> Run:
    """A run moved on to an epoch, by default with step size 0.01."""
    step = rates(1e-2) if step is None else step
    return _move(run, step, digits() if images is None else images, until, config)


def run(until: int, config: RunConfig, step=None, images: Images | None = None, key=KEY) -> Run:
    """A run from its start to an epoch."""
    return move(start(config, images, key), until, config, step, images)


def populate(
    learning_rates: tuple[float, ...], config: RunConfig, n_executions: int = 1
) -> Population:
    """A population before its first epoch: learning rates outside, executions inside."""
    executions = np.tile(np.arange(n_executions, dtype=np.uint32), len(learning_rates))
    steps = np.repeat(np.asarray(learning_rates, np.float32), n_executions)
    # Two copies: a population is consumed when it is moved on, its rates with it.
    both = LearningRates(jnp.array(steps), jnp.array(steps))
    return init_population(KEY, executions, both, digits(), None, config)


def move_all(
    population: Population,
    until: int,
    config: RunConfig,
    *,
    first: int = 0,
    count: int | None = None,
    side_by_side: bool = False,
) -> Population:
    """A population moved on to an epoch; the one passed in is consumed."""
    return advance(
        population,
        digits(),
        first,
        len(population) if count is None else count,
        until,
        config=config,
        side_by_side=side_by_side,
    )


def run_arrays(population: Population, i: int) -> dict[str, np.ndarray]:
    """All arrays of one run of a population, by name."""
    return {name: rows[i] for name, rows in tree_to_arrays(population.runs).items()}


def assert_same_bits(ours: Mapping[str, np.ndarray], theirs: Mapping[str, np.ndarray]) -> None:
    """Two runs, or parts of them, agree to the last bit."""
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        assert array.dtype == theirs[name].dtype, name
        assert array.tobytes() == theirs[name].tobytes(), name


def keras_stop(
    values: Sequence[float], mode: str, patience: int, min_delta: float, start_epoch: int
) -> int | None:
    """Epoch, counted from 1, after which Keras' `EarlyStopping` ends a fit; `None` for never.

    The rule as Keras documents it: from `start_epoch` on, stop after `patience` epochs in a row
    whose metric is no improvement by more than `min_delta` on the last that was.
    """
    reference, wait = None, 0
    for epoch, value in enumerate(values, start=1):
        if epoch <= start_epoch:
            continue
        gain = math.inf if reference is None else reference - value
        if mode == "max" and reference is not None:
            gain = -gain
        if gain > min_delta:
            reference, wait = value, 0
        else:
            wait += 1
            if wait >= patience:
                return epoch
    return None
