"""Batched solvers for the latents of images: one small, independent problem for each image."""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from autodecoder.core.decoders import Decoder
from autodecoder.core.losses import SQUARED, Criterion, expand, reconstruction_loss
from autodecoder.core.mixture import Mixture

#: First damping, as a share of the largest diagonal entry of JᵀJ.
_FIRST_DAMPING = 0.1
_LEAST_DAMPING = 1e-12
#: Powell's safeguard: least curvature along a step after an update, as a share of that before.
_LEAST_CURVATURE = 0.2
#: Steps with less curvature than this share of the objective are rounding noise, and are ignored.
NOISE = 1e-12
#: If the objective is below this share of its value where JᵀJ was formed, re-form JᵀJ before
#: accepting convergence.
_TRUSTED_SHARE = 0.5
#: Up to this many dimensions JᵀJ is summed pixel by pixel, which is faster than a batched product.
_FEW_DIMS = 4


class Problem(eqx.Module):
    """Find for each row the latent `z` that minimises the objective

        loss(decode(z), target) + strength * penalty(z)

    where the penalty is that of `Mixture.penalty`, about `-2 log p(z)`. Rows are independent of
    each other.
    """

    decoder: Decoder
    targets: Float[Array, "b pixels"]
    """Images in the scaled space."""
    weights: Float[Array, "m pixels"]
    """Pixel weights that sum to 1, or to 0 for an image without known pixels; `m` is `b` or 1."""
    prior: Mixture | None = None
    """Where latents are likely to be; `None`: anywhere."""
    strength: Float[Array, "*m"] | float = 0.0
    """Weight of the prior."""
    criterion: Criterion = eqx.field(static=True, default=SQUARED)


class SolverState(NamedTuple):
    """State of the solver for a block of images."""

    latents: Float[Array, "b dims"]
    value: Float[Array, " b"]
    """The objective."""
    gradient: Float[Array, "b dims"]
    """Half the gradient of the objective."""
    hessian: Float[Array, "b dims dims"]
    """Estimate of half the Hessian of the objective."""
    damping: Float[Array, " b"]
    growth: Float[Array, " b"]
    """Factor on the damping if the next step is rejected."""
    change: Float[Array, "b dims"]
    """The next step."""
    promised: Float[Array, " b"]
    """Decrease of the objective that the quadratic model predicts for the next step."""
    steps: Int[Array, " b"]
    reference: Float[Array, " b"]
    """The objective where JᵀJ was formed."""
    converged: Bool[Array, " b"]
    stopped: Bool[Array, " b"]
    """Converged, to be renewed by `renew_lm`, or at a value that is not finite."""


def objective(problem: Problem, latents: Float[Array, "b dims"]) -> Float[Array, " b"]:
    """The objective of each image."""
    outputs = problem.decoder.decode(latents)
    loss = reconstruction_loss(outputs, problem.targets, problem.criterion, problem.weights)
    if problem.prior is None:
        return loss
    return loss + problem.strength * problem.prior.penalty(latents)


def begin_lm(
    problem: Problem, latents: Float[Array, "b dims"], tolerance: float | Float[Array, ""]
) -> SolverState:
    """The state before the first step, with the Gauss-Newton Hessian JᵀJ."""
    value, gradient, gram = linearise(problem, latents)
    largest = jnp.max(jnp.diagonal(gram, axis1=1, axis2=2), axis=1)
    state = SolverState(
        latents=latents,
        value=value,
        gradient=gradient,
        hessian=gram,
        damping=_FIRST_DAMPING * largest + _LEAST_DAMPING,
        growth=jnp.full(len(latents), 2.0),
        change=jnp.zeros_like(latents),
        promised=jnp.zeros_like(value),
        steps=jnp.zeros(len(latents), jnp.int32),
        reference=value,
        converged=jnp.zeros(len(latents), bool),
        stopped=~jnp.isfinite(value),
    )
    return _plan_step(state, tolerance)


def renew_lm(
    problem: Problem, state: SolverState, tolerance: float | Float[Array, ""]
) -> SolverState:
    """Restart the solver from the current latents, with a new JᵀJ."""
    return begin_lm(problem, state.latents, tolerance)._replace(steps=state.steps)


def advance_lm(
    problem: Problem,
    state: SolverState,
    until: int | Int[Array, ""] | Int[Array, " b"],
    tolerance: float | Float[Array, ""],
) -> SolverState:
    """Take damped quasi-Newton steps until each image has stopped or has taken `until` of them.

    Steps are Levenberg-Marquardt steps. Each image has its own damping, which follows Nielsen's
    rule, and accepts a step only if it lowers the objective. Unlike in Levenberg-Marquardt, JᵀJ is
    formed only once, at the start. From then on the gradients update the Hessian by the BFGS
    formula with Powell's safeguard. So a step costs one gradient, whatever the length of the
    latents. The updates also capture the curvature of the residuals, which JᵀJ leaves out and which
    matters if the best reconstruction is far from the image.

    An image stops when the decrease that its quadratic model predicts is at most a share
    `tolerance` of the objective. It then stays fixed while other images go on, and `end_solver`
    takes that last step. It has converged unless the objective has more than halved since JᵀJ was
    formed: the model may then be wrong, and `renew_lm` forms a new one.

    References
    ----------
    Levenberg 1944; Marquardt 1963; Madsen, Nielsen & Tingleff 2004, "Methods for non-linear least
    squares problems", section 3.2, for the damping. Fletcher & Xu 1987, "Hybrid methods for
    nonlinear least squares". Powell 1978; Nocedal & Wright 2006, procedure 18.2, for the safeguard.
    """

    def goes_on(state: SolverState) -> Bool[Array, " b"]:
        return ~state.stopped & (state.steps < until)

    def step(state: SolverState) -> SolverState:
        moving = goes_on(state)
        damping, change = state.damping, state.change
        tried = state.latents + change
        value, gradient = differentiate(problem, tried)
        accepted = moving & (value < state.value)
        rejected = moving & ~accepted
        gain = (state.value - value) / state.promised
        eased = damping * jnp.maximum(1 / 3, 1 - (2 * gain - 1) ** 3)
        raised = jnp.where(rejected, damping * state.growth, damping)
        # Rejected steps update the Hessian as well.
        least = NOISE * state.value
        hessian = _update(state.hessian, change, gradient - state.gradient, least)
        return _plan_step(
            state._replace(
                latents=choose(accepted, tried, state.latents),
                value=jnp.where(accepted, value, state.value),
                gradient=choose(accepted, gradient, state.gradient),
                hessian=choose(moving, hessian, state.hessian),
                damping=jnp.where(accepted, jnp.maximum(eased, _LEAST_DAMPING), raised),
                growth=jnp.where(
                    accepted, 2.0, jnp.where(rejected, 2 * state.growth, state.growth)
                ),
                steps=state.steps + moving,
            ),
            tolerance,
        )

    return jax.lax.while_loop(lambda state: goes_on(state).any(), step, state)


def end_solver(problem: Problem, state: Any) -> Any:
    """Take the last planned step of each converged image, if it lowers the objective.

    Works on the state of any solver. It needs no gradient, the main cost of other steps.
    """
    tried = state.latents + state.change
    value = objective(problem, tried)
    better = state.converged & (value < state.value)
    return state._replace(
        latents=choose(better, tried, state.latents),
        value=jnp.where(better, value, state.value),
        steps=state.steps + better,
    )


def adam(
    problem: Problem,
    latents: Float[Array, "b dims"],
    n_steps: int,
    first_step: Float[Array, " dims"],
) -> tuple[Float[Array, "b dims"], Float[Array, " b"]]:
    """Take `n_steps` steps of Adam with cosine decay, and keep the best latents of all steps.

    Returns
    -------
    latents : (b, dims)
    value : (b,)
        The objective at these latents.

    References
    ----------
    Kingma & Ba 2015; Park et al. 2019 (DeepSDF), section 4.2.
    """
    optimiser = optax.scale_by_adam()

    def step(carry, k):
        latents, moments, best, best_value = carry
        values, gradient = differentiate(problem, latents)
        better = values < best_value
        best = jnp.where(better[:, None], latents, best)
        best_value = jnp.where(better, values, best_value)
        direction, moments = optimiser.update(gradient, moments)
        assert isinstance(direction, jax.Array)  # optax says any tree
        decay = 0.5 * (1 + jnp.cos(jnp.pi * k / n_steps))
        return (latents - first_step * decay * direction, moments, best, best_value), None

    carry = (latents, optimiser.init(latents), latents, jnp.full(len(latents), jnp.inf))
    (last, _, best, best_value), _ = jax.lax.scan(step, carry, jnp.arange(n_steps))
    values = objective(problem, last)
    better = values < best_value
    return jnp.where(better[:, None], last, best), jnp.where(better, values, best_value)


def _plan_step(state: SolverState, tolerance: float | Float[Array, ""]) -> SolverState:
    """Plan the next step, and stop images whose predicted decrease is within the tolerance."""
    damping, going = state.damping, ~state.stopped
    change = _solve(state.hessian, damping, state.gradient)
    promised = jnp.sum(change * (damping[:, None] * change - state.gradient), axis=1)
    stops = going & (promised <= tolerance * state.value)
    converges = stops & (state.value >= _TRUSTED_SHARE * state.reference)
    return state._replace(
        change=change,
        promised=promised,
        converged=state.converged | converges,
        stopped=state.stopped | stops,
    )


def choose(condition: Bool[Array, " b"], yes: Array, no: Array) -> Array:
    return jnp.where(condition.reshape(-1, *(1,) * (yes.ndim - 1)), yes, no)


def linearise(
    problem: Problem, latents: Float[Array, "b dims"]
) -> tuple[Float[Array, " b"], Float[Array, "b dims"], Float[Array, "b dims dims"]]:
    """The objective, half its gradient and JᵀJ, by one forward-mode pass per dimension."""
    dims = latents.shape[1]
    outputs, push = jax.linearize(problem.decoder.decode, latents)
    unit = jnp.eye(dims)
    jacobian = jax.vmap(lambda e: push(jnp.broadcast_to(e, latents.shape)))(unit)
    value, slope, curvature = expand(outputs, problem.targets, problem.criterion, problem.weights)
    if dims <= _FEW_DIMS:
        gradient = jnp.stack([jnp.sum(j * slope, axis=1) for j in jacobian], axis=1)
        entries = [[jnp.sum(curvature * a * b, axis=1) for b in jacobian] for a in jacobian]
        gram = jnp.stack([jnp.stack(row, axis=1) for row in entries], axis=1)
    else:
        rows = jnp.swapaxes(jacobian, 0, 1)
        gradient = jnp.einsum("bdp,bp->bd", rows, slope)
        gram = jnp.einsum("bdp,bep->bde", rows * curvature[:, None], rows)
    if problem.prior is not None:
        strength = jnp.broadcast_to(problem.strength, value.shape)
        bent = problem.prior.expand(latents)
        value += strength * bent.value
        gradient += strength[:, None] * bent.slope
        gram += strength[:, None, None] * bent.curvature
    return value, gradient, gram


def differentiate(
    problem: Problem, latents: Float[Array, "b dims"]
) -> tuple[Float[Array, " b"], Float[Array, "b dims"]]:
    """The objective and half its gradient, by reverse mode."""

    def total(z: Array) -> tuple[Array, Array]:
        # Images are independent: the sum's gradient for a latent is that of its own image.
        values = objective(problem, z)
        return values.sum(), values

    gradient, values = jax.grad(total, has_aux=True)(latents)
    return values, gradient / 2


def _solve(
    hessian: Float[Array, "b dims dims"],
    damping: Float[Array, " b"],
    gradient: Float[Array, "b dims"],
) -> Float[Array, "b dims"]:
    """The damped step; NaN if rounding has made the system indefinite."""
    # Each call depends on the one before: two concurrent batched LAPACK calls can deadlock in the
    # thread pool of a CPU with two cores (jaxlib 0.10.2).
    system = hessian + damping[:, None, None] * jnp.eye(gradient.shape[1])
    lower = jnp.linalg.cholesky(system)
    solve = partial(jax.lax.linalg.triangular_solve, lower, left_side=True, lower=True)
    return -solve(solve(gradient[..., None]), transpose_a=True)[..., 0]


def _update(
    hessian: Float[Array, "b dims dims"],
    change: Float[Array, "b dims"],
    gradient_change: Float[Array, "b dims"],
    least: Float[Array, " b"],
) -> Float[Array, "b dims dims"]:
    """Update a Hessian from the change of the gradient along a step; it stays positive definite.

    The Hessian stays the same if its curvature along the step is at most `least`, or if the update
    is not finite.
    """
    expected = jnp.einsum("bde,be->bd", hessian, change)
    known = jnp.sum(change * expected, axis=1)
    seen = jnp.sum(change * gradient_change, axis=1)
    short = seen < _LEAST_CURVATURE * known
    share = jnp.where(short, (1 - _LEAST_CURVATURE) * known / (known - seen), 1)[:, None]
    fitted = share * gradient_change + (1 - share) * expected
    curvature = jnp.sum(change * fitted, axis=1)

    def outer(vector: Array, size: Array) -> Array:
        return vector[:, :, None] * (vector / size[:, None])[:, None, :]

    updated = hessian - outer(expected, known) + outer(fitted, curvature)
    learned = (known > least) & jnp.isfinite(updated).all(axis=(1, 2))
    return choose(learned, updated, hessian)
