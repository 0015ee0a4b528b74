"""Limited-memory quasi-Newton solver (L-BFGS) for long latents, independent for each image."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from autodecoder.core.losses import expand
from autodecoder.core.solvers import NOISE, Problem, choose, differentiate

#: Number of steps in the memory of each image.
MEMORY = 10


class LbfgsState(NamedTuple):
    """State of the solver for a block of images."""

    latents: Float[Array, "b dims"]
    value: Float[Array, " b"]
    """The objective."""
    gradient: Float[Array, "b dims"]
    """Half the gradient of the objective."""
    moves: Float[Array, "b memory dims"]
    """The last steps, newest last."""
    bends: Float[Array, "b memory dims"]
    """The change of half the gradient along each of these steps."""
    scale: Float[Array, " b"]
    """Factor on the identity as initial inverse Hessian."""
    share: Float[Array, " b"]
    """Length of the next step as a share of the full step, above 0, at most 1."""
    change: Float[Array, "b dims"]
    """The next step."""
    promised: Float[Array, " b"]
    """Decrease of the objective that the quadratic model predicts for the next step."""
    steps: Int[Array, " b"]
    converged: Bool[Array, " b"]
    stopped: Bool[Array, " b"]
    """Converged, or started at a value that is not finite."""


def begin_lbfgs(
    problem: Problem, latents: Float[Array, "b dims"], tolerance: float | Float[Array, ""]
) -> LbfgsState:
    """The state before the first step.

    The first step goes down the gradient, to the minimum of the Gauss-Newton model along it, which
    takes one forward-mode pass to find.
    """
    value, gradient = differentiate(problem, latents)
    n, dims = latents.shape
    outputs, slopes = jax.jvp(problem.decoder.decode, (latents,), (gradient,))
    model = expand(outputs, problem.targets, problem.criterion, problem.weights)
    curvature = jnp.sum(model.curvature * slopes**2, axis=1)
    if problem.prior is not None:
        curvature += problem.strength * problem.prior.curvature_along(latents, gradient)
    bent = curvature > 0
    remembered = jnp.zeros((n, MEMORY, dims))
    state = LbfgsState(
        latents=latents,
        value=value,
        gradient=gradient,
        moves=remembered,
        bends=remembered,
        scale=jnp.where(bent, jnp.sum(gradient**2, axis=1) / jnp.where(bent, curvature, 1), 1),
        share=jnp.ones(n),
        change=jnp.zeros_like(latents),
        promised=jnp.zeros_like(value),
        steps=jnp.zeros(n, jnp.int32),
        converged=jnp.zeros(n, bool),
        stopped=~jnp.isfinite(value),
    )
    return _plan_step(state, tolerance)


def advance_lbfgs(
    problem: Problem,
    state: LbfgsState,
    until: int | Int[Array, ""] | Int[Array, " b"],
    tolerance: float | Float[Array, ""],
) -> LbfgsState:
    """Take quasi-Newton steps until each image has stopped or has taken `until` of them.

    The inverse Hessian is estimated from the last steps and the changes of the gradient along them,
    by the BFGS formula; no matrix is formed. A step is accepted if it lowers the objective. The
    share of the full step that is taken doubles after an accepted step, up to 1, and halves after a
    rejected one. Accepted and rejected steps both enter the memory.

    An image has converged, and stops, when the predicted decrease of its objective is at most a
    share `tolerance` of the objective. It then stays fixed while other images go on.

    References
    ----------
    Nocedal 1980, "Updating quasi-Newton matrices with limited storage"; Nocedal & Wright 2006,
    algorithm 7.4.
    """

    def goes_on(state: LbfgsState) -> Bool[Array, " b"]:
        return ~state.stopped & (state.steps < until)

    def step(state: LbfgsState) -> LbfgsState:
        moving = goes_on(state)
        tried = state.latents + state.change
        value, gradient = differentiate(problem, tried)
        accepted = moving & (value < state.value)
        bend = gradient - state.gradient
        curvature = jnp.sum(state.change * bend, axis=1)
        learned = moving & jnp.isfinite(curvature) & (curvature > NOISE * state.value)
        shorter = jnp.where(moving, state.share / 2, state.share)
        return _plan_step(
            state._replace(
                latents=choose(accepted, tried, state.latents),
                value=jnp.where(accepted, value, state.value),
                gradient=choose(accepted, gradient, state.gradient),
                moves=choose(learned, _remember(state.moves, state.change), state.moves),
                bends=choose(learned, _remember(state.bends, bend), state.bends),
                scale=jnp.where(learned, curvature / jnp.sum(bend**2, axis=1), state.scale),
                share=jnp.where(accepted, jnp.minimum(1, 2 * state.share), shorter),
                steps=state.steps + moving,
            ),
            tolerance,
        )

    return jax.lax.while_loop(lambda state: goes_on(state).any(), step, state)


def _plan_step(state: LbfgsState, tolerance: float | Float[Array, ""]) -> LbfgsState:
    """Plan the next step, and stop images whose predicted decrease is within the tolerance."""
    direction = _direction(state)
    slope = jnp.sum(direction * state.gradient, axis=1)
    promised = state.share * (state.share - 2) * slope
    stops = ~state.stopped & ~(promised > tolerance * state.value)
    return state._replace(
        change=state.share[:, None] * direction,
        promised=promised,
        converged=state.converged | stops,
        stopped=state.stopped | stops,
    )


def _direction(state: LbfgsState) -> Float[Array, "b dims"]:
    """The full step, minus the inverse Hessian times the gradient, by the two-loop recursion."""
    curvatures = jnp.sum(state.moves * state.bends, axis=2)
    weights = jnp.where(curvatures > 0, 1 / jnp.where(curvatures > 0, curvatures, 1), 0)
    pairs = [(state.moves[:, i], state.bends[:, i], weights[:, i]) for i in range(MEMORY)]
    direction, lengths = -state.gradient, []
    for move, bend, weight in reversed(pairs):
        lengths.append(weight * jnp.sum(move * direction, axis=1))
        direction -= lengths[-1][:, None] * bend
    direction *= state.scale[:, None]
    for (move, bend, weight), length in zip(pairs, reversed(lengths), strict=True):
        length -= weight * jnp.sum(bend * direction, axis=1)
        direction += length[:, None] * move
    return direction


def _remember(
    memory: Float[Array, "b memory dims"], newest: Float[Array, "b dims"]
) -> Float[Array, "b memory dims"]:
    """Replace the oldest entry by the newest."""
    return jnp.concatenate([memory[:, 1:], newest[:, None]], axis=1)
