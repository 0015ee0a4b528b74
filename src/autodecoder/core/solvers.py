"""Batched solvers of small least-squares problems: every image its own, in its latent."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from autodecoder.core.decoder import Decoder, decode

#: First damping, as a share of the largest diagonal entry of JᵀJ.
_FIRST_DAMPING = 0.1
_LEAST_DAMPING = 1e-12
#: Conjugate gradients end at this share of the first residual, or after so many steps.
_CG_TOLERANCE = 0.1
_CG_STEPS = 20
#: Up to so many dimensions JᵀJ is summed pixel by pixel, which beats a batched matrix product.
_FEW_DIMS = 4


class Problem(NamedTuple):
    """Find for each row the latent `z` with the least

        sum(weights (decode(z) - target)²) + sum(precision (z - centre)²)

    Rows do not influence each other.
    """

    decoder: Decoder
    targets: Float[Array, "b pixels"]
    weights: Float[Array, "b pixels"]
    centre: Float[Array, " dims"]
    precision: Float[Array, " dims"]


class Search(NamedTuple):
    """How far the search for the latents of some images has come."""

    latents: Float[Array, "b dims"]
    value: Float[Array, " b"]
    """Of the objective."""
    damping: Float[Array, " b"]
    """0 before the first step."""
    growth: Float[Array, " b"]
    """What the damping grows by at the next step that is rejected."""
    steps: Int[Array, " b"]
    converged: Bool[Array, " b"]
    stopped: Bool[Array, " b"]
    """Converged, or not finite from the start."""


class _Model(NamedTuple):
    """The objective near some latents: its value, half its gradient, and JᵀJ where it is formed."""

    value: Float[Array, " b"]
    gradient: Float[Array, "b dims"]
    gram: Float[Array, "b dims dims"] | None


def begin_search(latents: Float[Array, "b dims"]) -> Search:
    """A search before its first step."""
    n = len(latents)
    no = jnp.zeros(n, bool)
    return Search(
        latents, jnp.full(n, jnp.inf), jnp.zeros(n), jnp.full(n, 2.0), jnp.zeros(n, int), no, no
    )


def objective(problem: Problem, latents: Float[Array, "b dims"]) -> Float[Array, " b"]:
    """What is minimised, image by image."""
    errors = decode(problem.decoder, latents) - problem.targets
    prior = jnp.sum(problem.precision * (latents - problem.centre) ** 2, axis=1)
    return jnp.sum(problem.weights * errors**2, axis=1) + prior


def levenberg_marquardt(
    problem: Problem,
    search: Search,
    n_steps: int | Int[Array, ""],
    tolerance: float | Float[Array, ""],
) -> Search:
    """Take up to `n_steps` steps of Levenberg-Marquardt, with JᵀJ formed by forward-mode passes.

    Each image has its own damping, by Nielsen's rule, and accepts a step only if it lowers its
    objective. It has converged when its quadratic model promises to lower the objective by less
    than a share `tolerance`; then it moves no more, whatever the others do.

    References
    ----------
    Levenberg 1944; Marquardt 1963; Madsen, Nielsen & Tingleff 2004, "Methods for non-linear least
    squares problems", section 3.2.
    """
    return _minimise(problem, search, n_steps, tolerance, _linearise, _solve)


def truncated_levenberg_marquardt(
    problem: Problem,
    search: Search,
    n_steps: int | Int[Array, ""],
    tolerance: float | Float[Array, ""],
) -> Search:
    """The same without JᵀJ: its system is solved by conjugate gradients, to a tenth, for long
    latents.

    References
    ----------
    Steihaug 1983; Wright & Holt 1985, "An inexact Levenberg-Marquardt method for large sparse
    nonlinear least squares".
    """
    return _minimise(problem, search, n_steps, tolerance, _differentiate, _solve_by_products)


def adam(
    problem: Problem, search: Search, n_steps: int, first_step: Float[Array, " dims"]
) -> Search:
    """Take `n_steps` steps of Adam under a cosine decay; the best latents on the way are kept.

    References
    ----------
    Kingma & Ba 2015; Park et al. 2019 (DeepSDF), section 4.2.
    """
    optimiser = optax.scale_by_adam()

    def total(latents: Float[Array, "b dims"]) -> tuple[Array, Array]:
        # The sum keeps the images apart: the gradient of a latent is that of its own image.
        values = objective(problem, latents)
        return values.sum(), values

    def step(carry, k):
        latents, moments, best, best_value = carry
        gradient, values = jax.grad(total, has_aux=True)(latents)
        better = values < best_value
        best = jnp.where(better[:, None], latents, best)
        best_value = jnp.where(better, values, best_value)
        direction, moments = optimiser.update(gradient, moments)
        assert isinstance(direction, jax.Array)  # optax says any tree
        decay = 0.5 * (1 + jnp.cos(jnp.pi * k / n_steps))
        return (latents - first_step * decay * direction, moments, best, best_value), None

    z = search.latents
    carry = (z, optimiser.init(z), z, jnp.full(len(z), jnp.inf))
    (last, _, best, best_value), _ = jax.lax.scan(step, carry, jnp.arange(n_steps))
    values = objective(problem, last)
    better = values < best_value
    value = jnp.where(better, values, best_value)
    finite = jnp.isfinite(value)
    return search._replace(
        latents=jnp.where(better[:, None], last, best),
        value=jnp.where(finite, value, jnp.nan),
        steps=search.steps + n_steps,
        stopped=jnp.ones_like(search.stopped),
    )


def _minimise(
    problem: Problem,
    search: Search,
    n_steps: int | Int[Array, ""],
    tolerance: float | Float[Array, ""],
    linearise: Callable[[Problem, Array], _Model],
    solve: Callable[[Problem, Array, _Model, Array], Array],
) -> Search:
    model = linearise(problem, search.latents)
    search = search._replace(
        value=model.value,
        damping=jnp.where(
            search.damping > 0, search.damping, _first_damping(problem, search, model)
        ),
        stopped=search.stopped | ~jnp.isfinite(model.value),
    )

    def step(carry):
        k, search, model = carry
        change = solve(problem, search.latents, model, search.damping)
        promised = jnp.sum(change * (search.damping[:, None] * change - model.gradient), axis=1)
        moving = ~search.stopped
        converged = moving & (promised <= tolerance * search.value)
        tried = search.latents + change
        there = linearise(problem, tried)
        accepted = moving & (there.value < search.value)
        gain = (search.value - there.value) / promised
        eased = search.damping * jnp.maximum(1 / 3, 1 - (2 * gain - 1) ** 3)
        rejected = moving & ~accepted
        search = Search(
            latents=_choose(accepted, tried, search.latents),
            value=jnp.where(accepted, there.value, search.value),
            damping=jnp.where(
                accepted,
                jnp.maximum(eased, _LEAST_DAMPING),
                jnp.where(rejected, search.damping * search.growth, search.damping),
            ),
            growth=jnp.where(accepted, 2.0, jnp.where(rejected, 2 * search.growth, search.growth)),
            steps=search.steps + moving,
            converged=search.converged | converged,
            stopped=search.stopped | converged,
        )
        model = jax.tree.map(partial(_choose, accepted), there, model)
        return k + 1, search, model

    def goes_on(carry):
        k, search, _ = carry
        return (k < n_steps) & ~search.stopped.all()

    return jax.lax.while_loop(goes_on, step, (0, search, model))[1]


def _choose(condition: Bool[Array, " b"], yes: Array, no: Array) -> Array:
    return jnp.where(condition.reshape(-1, *(1,) * (yes.ndim - 1)), yes, no)


def _first_damping(problem: Problem, search: Search, model: _Model) -> Float[Array, " b"]:
    if model.gram is not None:
        scale = jnp.max(jnp.diagonal(model.gram, axis1=1, axis2=2), axis=1)
    else:
        # The curvature along the gradient stands for the largest diagonal entry.
        product = _gram_product(problem, search.latents)
        g = model.gradient
        scale = jnp.sum(g * product(g), axis=1) / jnp.maximum(jnp.sum(g * g, axis=1), 1e-30)
    return _FIRST_DAMPING * scale + _LEAST_DAMPING


def _linearise(problem: Problem, latents: Float[Array, "b dims"]) -> _Model:
    """Value, gradient and JᵀJ, by one forward-mode pass for each dimension."""
    dims = latents.shape[1]
    outputs, push = jax.linearize(lambda z: decode(problem.decoder, z), latents)
    unit = jnp.eye(dims)
    jacobian = jax.vmap(lambda e: push(jnp.broadcast_to(e, latents.shape)))(unit)
    errors = outputs - problem.targets
    weighted = problem.weights * errors
    value = jnp.sum(weighted * errors, axis=1)
    if dims <= _FEW_DIMS:
        gradient = jnp.stack([jnp.sum(j * weighted, axis=1) for j in jacobian], axis=1)
        entries = [[jnp.sum(problem.weights * a * b, axis=1) for b in jacobian] for a in jacobian]
        gram = jnp.stack([jnp.stack(row, axis=1) for row in entries], axis=1)
    else:
        rows = jnp.swapaxes(jacobian, 0, 1)
        gradient = jnp.einsum("bdp,bp->bd", rows, weighted)
        gram = jnp.einsum("bdp,bep->bde", rows * problem.weights[:, None], rows)
    offset = latents - problem.centre
    return _Model(
        value + jnp.sum(problem.precision * offset**2, axis=1),
        gradient + problem.precision * offset,
        gram + jnp.diag(problem.precision),
    )


def _solve(
    problem: Problem, latents: Array, model: _Model, damping: Float[Array, " b"]
) -> Float[Array, "b dims"]:
    assert model.gram is not None
    system = model.gram + damping[:, None, None] * jnp.eye(latents.shape[1])
    return -jnp.linalg.solve(system, model.gradient[..., None])[..., 0]


def _differentiate(problem: Problem, latents: Float[Array, "b dims"]) -> _Model:
    """Value and gradient, by reverse mode."""

    def total(z: Array) -> tuple[Array, Array]:
        values = objective(problem, z)
        return values.sum(), values

    gradient, values = jax.grad(total, has_aux=True)(latents)
    return _Model(values, gradient / 2, None)


def _gram_product(problem: Problem, latents: Array) -> Callable[[Array], Array]:
    """The product with JᵀJ, by one pass forward and one back."""
    _, push = jax.linearize(lambda z: decode(problem.decoder, z), latents)
    pull = jax.linear_transpose(push, latents)
    return lambda v: pull(problem.weights * push(v))[0] + problem.precision * v


def _solve_by_products(
    problem: Problem, latents: Array, model: _Model, damping: Float[Array, " b"]
) -> Float[Array, "b dims"]:
    product = _gram_product(problem, latents)

    def dot(a: Array, b: Array) -> Array:
        return jnp.sum(a * b, axis=1)

    def step(carry):
        k, x, residual, direction, size, left = carry
        image = product(direction) + damping[:, None] * direction
        length = jnp.where(left, size / jnp.maximum(dot(direction, image), 1e-38), 0)[:, None]
        x = x + length * direction
        residual = residual - length * image
        new_size = dot(residual, residual)
        ratio = jnp.where(left, new_size / jnp.maximum(size, 1e-38), 0)[:, None]
        direction = jnp.where(left[:, None], residual + ratio * direction, direction)
        size = jnp.where(left, new_size, size)
        return k + 1, x, residual, direction, size, left & (size > goal)

    residual = -model.gradient
    size = dot(residual, residual)
    goal = _CG_TOLERANCE**2 * size
    carry = (0, jnp.zeros_like(latents), residual, residual, size, size > 0)
    return jax.lax.while_loop(lambda c: (c[0] < _CG_STEPS) & c[5].any(), step, carry)[1]
