"""Latent inference: the latents of unseen images under a frozen decoder."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray, Shaped

from autodecoder.brief import brief
from autodecoder.config import InferConfig
from autodecoder.core.blocks import Device, by_blocks, take
from autodecoder.core.decoders import Decoder
from autodecoder.core.latents import MANY_ROWS
from autodecoder.core.lbfgs import MEMORY, LbfgsState, advance_lbfgs, begin_lbfgs
from autodecoder.core.losses import SQUARED, Criterion, Errors, measure
from autodecoder.core.scaling import scale_pixels
from autodecoder.core.solvers import (
    Problem,
    SolverState,
    adam,
    advance_lm,
    begin_lm,
    end_solver,
    renew_lm,
)
from autodecoder.core.starts import (
    Starts,
    draw_candidates,
    place_starts,
    prepare_starts,
    start_names,
)
from autodecoder.errors import ConfigError

#: Steps after which the best of several starts goes on alone.
_RACE_STEPS = 3
#: Pixels of all passes of a block at a time, and numbers that all images under way keep, at most.
_PASSED_ENTRIES = 2**24
_KEPT_ENTRIES = 2**25

OnLatents = Callable[[Float[np.ndarray, "n dims"]], None]
_State = SolverState | LbfgsState


class Task(eqx.Module):
    """What is minimised, and how far: all that programs depend on once the starts are placed."""

    decoder: Decoder
    mean: Float[Array, " dims"]
    spread: Float[Array, " dims"]
    prior: Float[Array, ""]
    tolerance: Float[Array, ""]
    scaler: str = eqx.field(static=True)
    criterion: Criterion = eqx.field(static=True)


class InferencePlan(eqx.Module):
    """What the inference of any images under a decoder needs: made once by `plan_inference`.

    It serves for configurations that differ in nothing but prior, solver, steps and tolerance.
    """

    decoder: Decoder
    starts: Starts
    mean: Float[Array, " dims"]
    """Mean of the candidate latents."""
    spread: Float[Array, " dims"]
    """Standard deviation of the candidates per dimension; where they do not spread, that of the
    widest dimension, or 1."""
    scaler: str = eqx.field(static=True)
    config: InferConfig = eqx.field(static=True)
    criterion: Criterion = eqx.field(static=True, default=SQUARED)

    @property
    def method(self) -> str:
        """The solver."""
        return self.config.method_for(len(self.mean), self.criterion.loss)

    @property
    def n_steps(self) -> int:
        """The most steps that it takes."""
        return self.config.steps_for(self.method)

    @property
    def task(self) -> Task:
        prior, tolerance = jnp.float32(self.config.prior), jnp.float32(self.config.tolerance)
        around = (self.mean, self.spread)
        return Task(self.decoder, *around, prior, tolerance, self.scaler, self.criterion)


@brief
class Inference(NamedTuple):
    """What was inferred, image by image."""

    latents: Float[np.ndarray, "n dims"]
    errors: Errors
    """Of the reconstructions, over the pixels that count; not a number for an image without any."""
    steps: Int[np.ndarray, " n"]
    """Of the solver, from the start that won; at convergence it may take one more than allowed."""
    converged: Bool[np.ndarray, " n"]
    """Whether another step promised nothing; Adam does not say."""
    start: Int[np.ndarray, " n"]
    """Which start won: an index into `start_names`; -1 where there is no finite error, as of an
    image without pixels that count."""


def plan_inference(
    decoder: Decoder,
    known: Float[Array | np.ndarray, "n dims"],
    *,
    scaler: str,
    config: InferConfig,
    key: PRNGKeyArray,
    criterion: Criterion = SQUARED,
) -> InferencePlan:
    """Draw the candidates and decode them, and draw what is random: what all images share.

    Parameters
    ----------
    decoder : Decoder
    known : (n, latent_dims)
        Latents to start from: those of training images; of more than half a million, some are
        looked at. Of many, some are drawn, see `InferConfig.n_candidates`. Mean and standard
        deviation are also those of random starts and of the prior; what is not finite is the mean.
    scaler : str
        The scaling that the decoder was trained with.
    config : InferConfig
        Method, starts, steps and prior.
    key : key
        For candidates and random starts, which are the same for every image.
    criterion : Criterion

    Raises
    ------
    ConfigError
        If the configuration asks for more candidates than there are latents, or for more nearest
        starts than candidates.
    """
    n_candidates = config.count_candidates(len(known), decoder.n_outputs)
    step = len(known) // max(MANY_ROWS, n_candidates)
    if step > 1:
        known = known[::step]
    candidates, mean, spread, start_key = draw_candidates(key, jnp.asarray(known), n_candidates)
    starts = prepare_starts(decoder, candidates, start_key, config)
    return InferencePlan(decoder, starts, mean, spread, scaler, config, criterion)


def infer_latents(
    plan: InferencePlan,
    images: Num[Array | np.ndarray, "n pixels"],
    *,
    weights: Shaped[Array | np.ndarray, "n pixels"] | None = None,
    given: Float[Array | np.ndarray, "n m dims"] | None = None,
    watch: OnLatents | None = None,
    devices: Sequence[Device] = (None,),
) -> Inference:
    """Find for each image the latent whose reconstruction is nearest to it.

    Minimises the plan's criterion, by default `mean((decode(z) - x)^2)`, over `z` for every image
    `x`, with pixels weighted by `weights`. The decoder runs in evaluation mode and is not changed;
    an image's result does not depend on the images beside it, nor on their number. Works in
    blocks: beyond the results, memory does not grow with `n`, and `images` may be a memory map.

    Parameters
    ----------
    plan : InferencePlan
    images : (n, n_pixels)
        Pixels from 0 to 255.
    weights : (n, n_pixels), optional
        How much each pixel counts, 0 or more: false or 0 for a missing one. By default all alike.
    given : (n, m, latent_dims), optional
        Further starts, the last ones in number.
    watch : callable, optional
        Told the latents of the images under way, `(n, latent_dims)`, where the solver ends; of
        `lm`, which then takes its steps one by one, also where it starts and after each step.
    devices : sequence of Device
        Blocks of images go to them in turn, which changes no result.

    Raises
    ------
    ConfigError
        If there is no start.

    References
    ----------
    Park et al. 2019 (DeepSDF), section 4.2, for the task; `solvers` for the methods.
    """
    dims = len(plan.mean)
    n_starts = len(start_names(plan.config)) + (0 if given is None else given.shape[1])
    if n_starts == 0:
        raise ConfigError("infer.starts must name at least one start where none is given.")
    if len(images) == 0:
        return _nothing(dims)
    method, block_size = plan.method, plan.config.block_size_for(accelerator=_on_accelerator())
    passes = dims if method == "lm" else 1
    kept = {"lm": dims**2, "lbfgs": 2 * MEMORY * dims, "adam": dims}[method]
    size = min(block_size, max(1, _PASSED_ENTRIES // (passes * images.shape[1])))
    at_once = max(size, _KEPT_ENTRIES // kept)
    plans = {device: plan if device is None else jax.device_put(plan, device) for device in devices}
    find = _find_by_adam if method == "adam" else _find_by_steps
    parts = []
    for first in range(0, len(images), at_once):
        rows = slice(first, first + at_once)
        x, w, m = (None if values is None else values[rows] for values in (images, weights, given))
        found = find(plans, size, n_starts, x, w, m, watch=watch or _look_away)
        parts.append(_measured(plans, size, found, x, w))
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)


_Plans = Mapping[Device, InferencePlan]


class _Found(NamedTuple):
    """How a solver ended: arrays of a block on the device, or all of them on the host."""

    latents: Any
    steps: Any
    converged: Any
    start: Any


def _look_away(_latents: Any) -> None:
    """Watch nothing."""


def _on_accelerator() -> bool:
    return jax.default_backend() != "cpu"


def _find_by_steps(
    plans: _Plans, size: int, n_starts: int, images, weights, given, *, watch: OnLatents
) -> _Found:
    """By quasi-Newton steps: those that have converged are left behind on the way, so that the
    slow ones do not hold up the others. On an accelerator they are not: to send what all images
    keep to and fro takes longer than the steps do."""
    n_steps = next(iter(plans.values())).n_steps
    tasks = {device: plan.task for device, plan in plans.items()}
    whole = _on_accelerator() and watch is _look_away
    everyone = np.arange(len(images))
    state, start = by_blocks(
        lambda rows, device: _begin(plans[device], *take(rows, device, images, weights, given)),
        everyone,
        max(1, size // n_starts),
        devices=tuple(plans),
    )

    def go_on(function: Callable[..., _State], chosen: np.ndarray, *rest: Any) -> None:
        by_blocks(
            lambda rows, device: function(
                tasks[device], *take(rows, device, images, weights, state, *rest)
            ),
            np.flatnonzero(chosen),
            size,
            state,
            devices=tuple(plans),
        )

    taken = _RACE_STEPS if n_starts > 1 else 0
    watch(state.latents.copy())
    while True:
        left = (state.steps < n_steps) & np.isfinite(state.value)
        if (moving := left & ~state.stopped).any():
            more = n_steps if whole else max(2, taken // 2) if watch is _look_away else 1
            go_on(_advance, moving, np.minimum(state.steps + more, n_steps))
            taken += more
            watch(state.latents.copy())
        elif (misled := left & ~state.converged).any():
            go_on(_renew, misled)
            taken = 0
        else:
            break
    go_on(_end, state.converged)
    watch(state.latents.copy())
    return _Found(state.latents, state.steps, state.converged, start)


def _find_by_adam(
    plans: _Plans, size: int, n_starts: int, images, weights, given, *, watch: OnLatents
) -> _Found:
    found = by_blocks(
        lambda rows, device: _run_adam(plans[device], *take(rows, device, images, weights, given)),
        np.arange(len(images)),
        max(1, size // n_starts),
        devices=tuple(plans),
    )
    watch(found.latents.copy())
    return found


def _measured(plans: _Plans, size: int, found: _Found, images, weights) -> Inference:
    errors: Errors = by_blocks(
        lambda rows, device: _measure(
            plans[device].task, *take(rows, device, images, weights, found.latents)
        ),
        np.arange(len(images)),
        size,
        devices=tuple(plans),
    )
    counts = np.isfinite(errors.loss)
    start = np.where(counts, found.start, -1)
    return Inference(found.latents, errors, found.steps, found.converged & counts, start)


@jax.jit
def _begin(
    plan: InferencePlan, images: Array, weights: Array | None, given: Array | None
) -> tuple[_State, Int[Array, " b"]]:
    """Place the starts of a block, and let those of an image race where there are several."""
    problem, starts, n_starts = _begin_at_starts(plan, images, weights, given)
    tolerance = plan.task.tolerance
    begin = begin_lm if plan.method == "lm" else begin_lbfgs
    state = begin(problem, starts, tolerance)
    if n_starts > 1:
        state = _go_on(problem, state, min(_RACE_STEPS, plan.n_steps), tolerance)
    return _keep_best(state, state.value, n_starts)


@jax.jit
def _advance(
    task: Task,
    images: Array,
    weights: Array | None,
    state: _State,
    until: Int[Array, " b"],
) -> _State:
    return _go_on(_problem(task, images, weights), state, until, task.tolerance)


def _go_on(problem: Problem, state: _State, until: Any, tolerance: Float[Array, ""]) -> _State:
    if isinstance(state, LbfgsState):
        return advance_lbfgs(problem, state, until, tolerance)
    return advance_lm(problem, state, until, tolerance)


@jax.jit
def _renew(task: Task, images: Array, weights: Array | None, state: SolverState) -> SolverState:
    return renew_lm(_problem(task, images, weights), state, task.tolerance)


@jax.jit
def _end(task: Task, images: Array, weights: Array | None, state: _State) -> _State:
    return end_solver(_problem(task, images, weights), state)


@jax.jit
def _run_adam(
    plan: InferencePlan, images: Array, weights: Array | None, given: Array | None
) -> _Found:
    problem, starts, n_starts = _begin_at_starts(plan, images, weights, given)
    latents, values = adam(problem, starts, plan.n_steps, plan.config.step_size * plan.spread)
    latents, best = _keep_best(latents, values, n_starts)
    return _Found(latents, jnp.full_like(best, plan.n_steps), jnp.zeros_like(best, bool), best)


@jax.jit
def _measure(task: Task, images: Array, weights: Array | None, latents: Array) -> Errors:
    outputs = task.decoder.decode(latents)
    return measure(outputs, scale_pixels(images, task.scaler), task.scaler, weights)


def _begin_at_starts(
    plan: InferencePlan, images: Array, weights: Array | None, given: Array | None
) -> tuple[Problem, Float[Array, "b_starts dims"], int]:
    """A problem with a row for each start of each image, those starts, and how many there are."""
    targets = scale_pixels(images, plan.scaler)
    starts = place_starts(plan.starts, targets, weights, plan.config)
    if given is not None:
        starts = jnp.concatenate([starts, given], axis=1)
    n_starts, dims = starts.shape[1:]
    if n_starts > 1:
        images = jnp.repeat(images, n_starts, axis=0)
        weights = None if weights is None else jnp.repeat(weights, n_starts, axis=0)
    return _problem(plan.task, images, weights), starts.reshape(-1, dims), n_starts


def _keep_best(results: Any, values: Array, n_starts: int) -> tuple[Any, Int[Array, " b"]]:
    """Of the results of every `n_starts` rows those with the least value, and which it was."""
    values = values.reshape(-1, n_starts)
    best = jnp.argmin(jnp.where(jnp.isnan(values), jnp.inf, values), axis=1)
    rows = jnp.arange(len(best)) * n_starts + best
    return jax.tree.map(lambda a: a[rows], results), best


def _problem(task: Task, images: Array, weights: Array | None) -> Problem:
    targets = scale_pixels(images, task.scaler)
    precision = task.prior / len(task.spread) / task.spread**2
    if weights is None:
        weights = jnp.ones((1, targets.shape[1]))
    # They sum to one, or to zero for an image without pixels that count.
    total = jnp.sum(weights, axis=1, dtype=jnp.float32, keepdims=True)
    weights = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1), 0)
    return Problem(task.decoder, targets, weights, task.mean, precision, task.criterion)


def _nothing(dims: int) -> Inference:
    none, counts = np.zeros((0, dims), np.float32), np.zeros(0, np.int32)
    return Inference(none, Errors(*[none[:, 0]] * 3), counts, counts.astype(bool), counts)
