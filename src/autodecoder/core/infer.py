"""Latent inference: the latents of unseen images under a frozen decoder."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Num, Shaped

from autodecoder.brief import brief
from autodecoder.core.blocks import Device, by_blocks, take
from autodecoder.core.lbfgs import MEMORY, LbfgsState, advance_lbfgs, begin_lbfgs
from autodecoder.core.losses import Errors, measure
from autodecoder.core.plan import InferencePlan, Task, problem_of
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
    place_starts,
    start_names,
)
from autodecoder.errors import ConfigError

#: Number of steps after which only the best of several starts continues.
_RACE_STEPS = 3
#: Most pixels that all passes of a block compute, and most numbers kept for images in progress.
_PASSED_ENTRIES = 2**24
_KEPT_ENTRIES = 2**25

OnLatents = Callable[[Float[np.ndarray, "n dims"]], None]
_State = SolverState | LbfgsState


@brief
class Inference(NamedTuple):
    """The result of latent inference, one row per image."""

    latents: Float[np.ndarray, "n dims"]
    errors: Errors
    """Errors of the reconstructions over the pixels that count; NaN for an image without any."""
    steps: Int[np.ndarray, " n"]
    """Number of solver steps from the best start; at convergence, up to one above the maximum."""
    converged: Bool[np.ndarray, " n"]
    """Whether the solver reached its tolerance; always False for Adam."""
    start: Int[np.ndarray, " n"]
    """Index of the best start in `start_names`, then in `given`. -1 if no error is finite, as for
    an image without pixels that count."""


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
    `x`, with pixels weighted by `weights`. The decoder runs in evaluation mode and is not changed.
    An image's result does not depend on the other images or their number. Images are processed in
    blocks: only the results grow with `n`, and `images` may be a memory map.

    Parameters
    ----------
    plan : InferencePlan
    images : (n, n_pixels)
        Pixels from 0 to 255.
    weights : (n, n_pixels), optional
        Weight of each pixel, 0 or more; False or 0 for a missing one. By default all are equal.
    given : (n, m, latent_dims), optional
        Further starts of each image, numbered after those of `start_names`.
    watch : callable, optional
        Called with the current latents, `(n, latent_dims)`, at the end; for `lm` and `lbfgs` also
        at the start and after each step, which are then taken one by one.
    devices : sequence of Device
        Blocks of images go to these devices in turn; this does not change the results.

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
    """The result of a solver: arrays of a block on the device, or of all blocks on the host."""

    latents: Any
    steps: Any
    converged: Any
    start: Any


def _look_away(_latents: Any) -> None:
    """The default of `watch`: do nothing."""


def _on_accelerator() -> bool:
    return jax.default_backend() != "cpu"


def _find_by_steps(
    plans: _Plans, size: int, n_starts: int, images, weights, given, *, watch: OnLatents
) -> _Found:
    """Run a quasi-Newton solver in rounds. Images that have converged drop out after each round, so
    that the other rounds are smaller. On an accelerator there is one round, since moving the solver
    states to the host and back would take longer than the steps."""
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
    """Place the starts of a block; of several per image, keep the best after a few steps."""
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
    return _go_on(problem_of(task, images, weights), state, until, task.tolerance)


def _go_on(problem: Problem, state: _State, until: Any, tolerance: Float[Array, ""]) -> _State:
    if isinstance(state, LbfgsState):
        return advance_lbfgs(problem, state, until, tolerance)
    return advance_lm(problem, state, until, tolerance)


@jax.jit
def _renew(task: Task, images: Array, weights: Array | None, state: SolverState) -> SolverState:
    return renew_lm(problem_of(task, images, weights), state, task.tolerance)


@jax.jit
def _end(task: Task, images: Array, weights: Array | None, state: _State) -> _State:
    return end_solver(problem_of(task, images, weights), state)


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
    """A problem with one row per start of each image, the starts, and their number per image."""
    targets = scale_pixels(images, plan.scaler)
    starts = place_starts(plan.starts, targets, weights, plan.config)
    if given is not None:
        starts = jnp.concatenate([starts, given], axis=1)
    n_starts, dims = starts.shape[1:]
    if n_starts > 1:
        images = jnp.repeat(images, n_starts, axis=0)
        weights = None if weights is None else jnp.repeat(weights, n_starts, axis=0)
    return problem_of(plan.task, images, weights), starts.reshape(-1, dims), n_starts


def _keep_best(results: Any, values: Array, n_starts: int) -> tuple[Any, Int[Array, " b"]]:
    """Of every `n_starts` rows, keep the one with the least value; also return which it was."""
    values = values.reshape(-1, n_starts)
    best = jnp.argmin(jnp.where(jnp.isnan(values), jnp.inf, values), axis=1)
    rows = jnp.arange(len(best)) * n_starts + best
    return jax.tree.map(lambda a: a[rows], results), best


def _nothing(dims: int) -> Inference:
    none, counts = np.zeros((0, dims), np.float32), np.zeros(0, np.int32)
    return Inference(none, Errors(*[none[:, 0]] * 3), counts, counts.astype(bool), counts)
