"""Latent inference: the latents of unseen images under a frozen decoder."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray, Shaped

from autodecoder.config import InferConfig
from autodecoder.core.decoder import Decoder, decode
from autodecoder.core.losses import Errors, measure
from autodecoder.core.scaling import scale_pixels
from autodecoder.core.solvers import (
    Problem,
    Search,
    adam,
    begin_search,
    levenberg_marquardt,
    truncated_levenberg_marquardt,
)
from autodecoder.core.starts import Starts, place_starts, prepare_starts, start_names
from autodecoder.errors import ConfigError

ADAM = "adam"
SOLVERS = {"lm": levenberg_marquardt, "lm_cg": truncated_levenberg_marquardt}
#: Steps after which the best of several starts goes on alone.
_RACE_STEPS = 3
#: Steps after which images that have converged are left behind, at first; then twice as many.
_FIRST_ROUND = 4
#: Entries of the Jacobians of a block, at most.
_JACOBIAN_ENTRIES = 2**24


class Inference(NamedTuple):
    """What was inferred, image by image."""

    latents: Float[np.ndarray, "n dims"]
    errors: Errors
    """Of the reconstructions, over the pixels that count; not a number for an image without any."""
    steps: Int[np.ndarray, " n"]
    """Of the solver, from the start that won."""
    converged: Bool[np.ndarray, " n"]
    """Whether another step promised nothing; Adam does not say."""
    start: Int[np.ndarray, " n"]
    """Which start won: an index into `start_names`; -1 for an image without pixels that count."""


def infer_latents(
    decoder: Decoder,
    images: Num[Array | np.ndarray, "n pixels"],
    candidates: Float[Array | np.ndarray, "k dims"],
    *,
    scaler: str,
    config: InferConfig,
    weights: Shaped[Array | np.ndarray, "n pixels"] | None = None,
    given: Float[Array | np.ndarray, "n m dims"] | None = None,
    key: PRNGKeyArray | None = None,
) -> Inference:
    """Find for each image the latent whose reconstruction is nearest to it.

    Minimises `mean((decode(z) - x)^2)` over `z` for every image `x`, with the mean over the pixels
    weighted by `weights`. The decoder runs in evaluation mode and is not changed; an image's result
    does not depend on the images beside it. Works in blocks: beyond the results, memory does not
    grow with `n`, and `images` may be a memory map.

    Parameters
    ----------
    decoder : Decoder
    images : (n, n_pixels)
        Pixels from 0 to 255.
    candidates : (k, latent_dims)
        Latents to start from, decoded once: for instance those of training images. Their mean and
        standard deviation are also those of random starts and of the prior.
    scaler : str
        The scaling that the decoder was trained with.
    config : InferConfig
        Method, starts, steps and prior.
    weights : (n, n_pixels), optional
        How much each pixel counts, 0 or more: false or 0 for a missing one. By default all alike.
    given : (n, m, latent_dims), optional
        Further starts, the last ones in number.
    key : key, optional
        For random starts, which are the same for every image.

    References
    ----------
    Park et al. 2019 (DeepSDF), section 4.2, for the task; `solvers` for the methods.
    """
    n, dims = len(images), candidates.shape[1]
    config.check_dims(dims)
    method = config.method_for(dims)
    candidates = jnp.asarray(candidates)
    plan = _Plan(
        decoder,
        prepare_starts(decoder, candidates, key, config),
        candidates.mean(0),
        candidates.std(0),
    )
    n_starts = len(start_names(config)) + (0 if given is None else given.shape[1])
    if n_starts == 0:
        raise ConfigError("infer.starts must name at least one start where none is given.")
    static = {"scaler": scaler, "config": config, "method": method}

    def pixels(rows: np.ndarray) -> tuple[Array, Array | None]:
        return jnp.asarray(images[rows]), None if weights is None else jnp.asarray(weights[rows])

    blank = begin_search(candidates[:1])._asdict()
    found: dict[str, Any] = {
        name: np.empty((n, *a.shape[1:]), a.dtype) for name, a in blank.items()
    }
    winner = np.empty(n, np.int32)
    size = min(config.block_size, max(1, _JACOBIAN_ENTRIES // (dims * images.shape[1])))
    for rows, real in _blocks(np.arange(n), max(1, size // n_starts)):
        own = None if given is None else jnp.asarray(given[rows])
        search, best = _start(plan, *pixels(rows), own, **static)
        _write(found, rows, real, search._asdict())
        winner[rows[real]] = np.asarray(best)[real]

    # Those that have converged are left behind, so that the slow ones do not hold up the others.
    n_steps, taken = config.steps_for(method), _steps_to_choose(config, method, n_starts)
    round_steps = n_steps if method == ADAM else _FIRST_ROUND
    while taken < n_steps and not found["stopped"].all():
        round_steps = min(round_steps, n_steps - taken)
        for rows, real in _blocks(np.flatnonzero(~found["stopped"]), size):
            search = Search(**{name: jnp.asarray(a[rows]) for name, a in found.items()})
            search = _continue(plan, *pixels(rows), search, round_steps, **static)
            _write(found, rows, real, search._asdict())
        taken, round_steps = taken + round_steps, 2 * round_steps

    errors: dict[str, Any] = {name: np.empty(n, np.float32) for name in Errors._fields}
    for rows, real in _blocks(np.arange(n), config.block_size):
        latents = jnp.asarray(found["latents"][rows])
        measured = _measure(decoder, *pixels(rows), latents, scaler=scaler)
        _write(errors, rows, real, measured._asdict())
    counts = np.isfinite(errors["loss"])
    winner[~counts] = -1
    return Inference(
        found["latents"], Errors(**errors), found["steps"], found["converged"] & counts, winner
    )


class _Plan(NamedTuple):
    """What the inference of every image needs."""

    decoder: Decoder
    starts: Starts
    mean: Float[Array, " dims"]
    spread: Float[Array, " dims"]


@jax.jit(static_argnames=("scaler", "config", "method"))
def _start(
    plan: _Plan,
    images: Array,
    weights: Array | None,
    given: Array | None,
    *,
    scaler,
    config,
    method,
) -> tuple[Search, Int[Array, " b"]]:
    """Place the starts of a block, and let those of an image race where there are several."""
    targets = scale_pixels(images, scaler)
    places = place_starts(plan.starts, targets, weights, config)
    if given is not None:
        places = jnp.concatenate([places, given], axis=1)
    n, n_starts, dims = places.shape
    search = begin_search(places.reshape(n * n_starts, dims))
    best = jnp.zeros(n, jnp.int32)
    if n_starts > 1:
        targets = jnp.repeat(targets, n_starts, axis=0)
        weights = None if weights is None else jnp.repeat(weights, n_starts, axis=0)
        problem = _problem(plan, targets, weights, config)
        search = _advance(
            plan, problem, search, _steps_to_choose(config, method, n_starts), config, method
        )
        values = search.value.reshape(n, n_starts)
        best = jnp.argmin(jnp.where(jnp.isnan(values), jnp.inf, values), axis=1)
        search = Search(*(a[jnp.arange(n) * n_starts + best] for a in search))
    return search, best


@jax.jit(static_argnames=("scaler", "config", "method"))
def _continue(
    plan: _Plan,
    images: Array,
    weights: Array | None,
    search: Search,
    n_steps,
    *,
    scaler,
    config,
    method,
) -> Search:
    problem = _problem(plan, scale_pixels(images, scaler), weights, config)
    return _advance(plan, problem, search, n_steps, config, method)


@jax.jit(static_argnames="scaler")
def _measure(
    decoder: Decoder, images: Array, weights: Array | None, latents: Array, *, scaler
) -> Errors:
    return measure(decode(decoder, latents), scale_pixels(images, scaler), scaler, weights)


def _advance(
    plan: _Plan, problem: Problem, search: Search, n_steps, config: InferConfig, method: str
) -> Search:
    if method == ADAM:
        return adam(problem, search, config.steps_for(method), config.step_size * plan.spread)
    return SOLVERS[method](problem, search, n_steps, config.tolerance)


def _steps_to_choose(config: InferConfig, method: str, n_starts: int) -> int:
    """Steps that all starts of an image take before the best goes on alone."""
    if n_starts == 1:
        return 0
    n_steps = config.steps_for(method)
    return n_steps if method == ADAM else min(_RACE_STEPS, n_steps)


def _problem(plan: _Plan, targets: Array, weights: Array | None, config: InferConfig) -> Problem:
    share = config.prior / len(plan.spread)
    precision = jnp.where(plan.spread > 0, share / jnp.maximum(plan.spread, 1e-30) ** 2, 0)
    if weights is None:
        weights = jnp.ones((1, targets.shape[1]))
    # They sum to one, or to zero for an image without pixels that count.
    total = jnp.sum(weights, axis=1, dtype=jnp.float32, keepdims=True)
    weights = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1), 0)
    return Problem(plan.decoder, targets, weights, plan.mean, precision)


def _blocks(rows: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows in blocks of one size, and which of them are real: the last block repeats its last row.

    Few rows make a smaller block, of a power of two, so that there are few sizes to compile.
    """
    size = min(size, 1 << max(0, len(rows) - 1).bit_length())
    for i in range(0, len(rows), size):
        block = rows[i : i + size]
        yield np.pad(block, (0, size - len(block)), mode="edge"), np.arange(size) < len(block)


def _write(
    arrays: dict[str, np.ndarray], rows: np.ndarray, real: np.ndarray, results: dict[str, Array]
) -> None:
    for name, result in results.items():
        arrays[name][rows[real]] = np.asarray(result)[real]
