"""Adam (Kingma & Ba 2015): on everything at once, and on rows of which each step sees a few.

Adam on all latents moves each of them at every step: where a step's batch leaves a latent out, its
gradient is zero, but its first moment carries it on. Done as written, that costs in proportion to
all latents at every step, for long ones more than the decoder does. But the way
of a row over steps without gradient is a sum that can be evaluated at once, when the row is needed
next: the same path, to about 1e-5 of its length, at a cost in proportion to the batch.

Rows may keep less than Adam's two float32 moments per coordinate: see `Rows`.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

# The constants of Keras.
_B1, _B2, _EPS = 0.9, 0.999, 1e-7
_ADAM = optax.scale_by_adam(b1=_B1, b2=_B2, eps=_EPS)
# The same with Nesterov's momentum (Dozat 2016).
_NADAM = optax.scale_by_adam(b1=_B1, b2=_B2, eps=_EPS, nesterov=True)

#: Ranges of idle steps within which the second moment is treated as constant. Beyond the last one
#: the first moment has decayed to a share of 1e-6.
_STRETCHES = ((1, 3), (4, 12), (13, 128))
_TINY = 1e-30

#: State of an Adam; none where nothing moves.
Moments = optax.OptState | None


def adam_start(values: Any) -> Moments:
    """Moments before the first step, of any tree of arrays."""
    return _ADAM.init(values)


def adam_step(
    values: Any, gradient: Any, moments: Any, rate: Any, *, nesterov: bool = False
) -> tuple[Any, Moments]:
    """A step on a tree of arrays, all of which have a gradient.

    There is one step size for all of them, or a tree that is the top of theirs: what lies below a
    leaf of it steps by that one.
    """
    direction, moments = (_NADAM if nesterov else _ADAM).update(gradient, moments)

    def move(rate: Float[Array, ""], values: Any, direction: Any) -> Any:
        return jax.tree.map(lambda v, d: v - rate * d, values, direction)

    return jax.tree.map(move, rate, values, direction), moments


def clip_norm(gradient: Any, most: float) -> Any:
    """A tree of arrays, scaled to the L2 norm `most` where it is longer (Pascanu et al. 2013)."""
    return optax.clip_by_global_norm(most).update(gradient, optax.EmptyState())[0]


class Rows(NamedTuple):
    """Rows under an Adam, with their moments; how many steps were made is the same for all.

    Shape and dtype of the moments say how they are kept; `step_rows` and `rest_rows` keep them so,
    and compute in float32.
    """

    values: Float[Array | np.ndarray, "*batches rows dims"]
    mean: Float[Array | np.ndarray, "*batches rows dims"]
    """First moment, float32 or bfloat16. A step replaces a tenth of it, far more than the spacing
    of bfloat16, which is 0.4 to 0.8 % of a number."""
    square: Float[Array | np.ndarray, "*batches rows _"]
    """Second moment, `(…, rows, dims)`, or `(…, rows, 1)`: the running mean of the squared gradient
    over the coordinates of a row. Always float32: a step changes it by 0.1 % at most downwards,
    which rounding to the nearest bfloat16 would undo each time, so that it would never fall."""


def start_rows(
    values: Float[Array, "rows dims"],
    second_moment: str = "coordinate",
    first_moment_dtype: str = "float32",
) -> Rows:
    """Rows before their first step.

    Parameters
    ----------
    values : (rows, dims)
    second_moment : str
        `coordinate`: as in Adam. `row`: row-wise, as in the partial row-wise Adam of FBGEMM, after
        the AdaGrad of Gupta et al. 2014 ("Training highly multiclass classifiers").
    first_moment_dtype : str
        `float32` or `bfloat16`.
    """
    kept = values if second_moment == "coordinate" else values[..., :1]
    return Rows(values, jnp.zeros_like(values, first_moment_dtype), jnp.zeros_like(kept))


class Rest(NamedTuple):
    """What becomes of a row in some steps without gradient."""

    shift: Float[Array, "*steps stretches"]
    """Sums of the step sizes, each with its bias correction and its share of the first moment."""
    fade_root: Float[Array, "*steps stretches"]
    """Decay of the root of the second moment, averaged over the shift."""
    eps: Float[Array, "*steps stretches"]
    """Adam's epsilon, times the root of the second moment's bias correction."""
    fade_mean: Float[Array, "*steps"]
    fade_square: Float[Array, "*steps"]


def plan_rest(
    done: Int[Array, ""],
    first: Int[Array, "*steps"],
    length: Int[Array, "*steps"],
    rates: Float[Array, " epoch"],
) -> Rest:
    """The steps `first` to `first + length - 1` of an epoch, for rows that none of them sees.

    The second moment fades so much more slowly than the first that a few values stand for its
    course: an error below 1e-5 of the shift, and of up to some per cent where, in the first steps
    of a fit, gradients are so small that Adam's epsilon counts.

    Parameters
    ----------
    done : int
        Steps before the epoch.
    first, length : (...,) int
    rates : (epoch,)
        Step size of each step of the epoch.
    """
    ahead = jnp.arange(1, _STRETCHES[-1][-1] + 1)
    step = first[..., None] + ahead
    rate = rates[jnp.minimum(step - 1, len(rates) - 1)]
    weight = rate * _fade(_B1, ahead) * jnp.sqrt(1 - _fade(_B2, done + step))
    weight = weight / (1 - _fade(_B1, done + step))
    weight = jnp.where(ahead <= length[..., None], weight, 0)
    within = [(begin <= ahead) & (ahead <= end) for begin, end in _STRETCHES]
    stretch = jnp.stack(within, -1).astype(jnp.float32)
    shift = jnp.matmul(weight, stretch, precision="highest")
    moment = jnp.matmul(weight * ahead, stretch, precision="highest")
    mean_ahead = jnp.maximum(moment / jnp.maximum(shift, _TINY), 1)
    return Rest(
        shift,
        fade_root=_fade(_B2, mean_ahead / 2),
        eps=_EPS * jnp.sqrt(1 - _fade(_B2, done + first[..., None] + mean_ahead)),
        fade_mean=_fade(_B1, length),
        fade_square=_fade(_B2, length),
    )


def _fade(base: float, length: Float[Array, "..."] | Int[Array, "..."]) -> Float[Array, "..."]:
    return jnp.exp(math.log(base) * length)


def rest_rows(rows: Rows, rest: Rest) -> Rows:
    """Let rows rest: all of them for the same steps, or each for its own."""
    values, square = rows.values, rows.square
    mean = jnp.asarray(rows.mean, jnp.float32)
    rest = jax.tree.map(lambda a: a[..., None], rest)
    root = jnp.sqrt(square)
    # In this order a row without moments stays, however large the shift.
    ways = [
        rest.shift[..., i, :] * (mean / (root * rest.fade_root[..., i, :] + rest.eps[..., i, :]))
        for i in range(len(_STRETCHES))
    ]
    mean = _rounded(mean * rest.fade_mean, rows.mean.dtype)
    return Rows(values - sum(ways), mean, square * rest.fade_square)


def step_rows(
    rows: Rows,
    gradient: Float[Array, "rows dims"],
    done: Int[Array, ""],
    rate: Float[Array, ""],
) -> Rows:
    """One step of rows that have a gradient, after `done` steps.

    With a second moment for each row the root mean square of a row's first step is the step size;
    coordinates with larger gradients than others step further, where Adam has all step alike.
    """
    # The operations of optax's Adam, to the last bit; that one has no second moment of a row.
    mean = optax.tree.update_moment(gradient, rows.mean.astype(jnp.float32), _B1, 1)
    squared = gradient**2
    if rows.square.shape[-1] < squared.shape[-1]:
        squared = squared.mean(axis=-1, keepdims=True)
    square = optax.tree.update_moment(squared, rows.square, _B2, 1)
    count = optax.safe_increment(done)
    corrected = optax.tree.bias_correction(mean, _B1, count)
    root = jnp.sqrt(optax.tree.bias_correction(square, _B2, count))
    values = rows.values - rate * (corrected / (root + _EPS))
    return Rows(values, _rounded(mean, rows.mean.dtype), square)


def _rounded(mean: Float[Array, "*rows"], dtype: Any) -> Float[Array, "*rows"]:
    """To the nearest number of a dtype."""
    if dtype == jnp.bfloat16:
        # Within a program XLA may leave out a conversion to bfloat16 and back, but not this: so
        # results do not depend on what is compiled together.
        mean = jax.lax.reduce_precision(mean, exponent_bits=8, mantissa_bits=7)
    return mean.astype(dtype)
