"""Adam (Kingma & Ba 2015): for whole trees of arrays, and for rows of which each step sees a few.

Adam moves every latent at every step: a latent outside the batch has gradient zero, but its first
moment still moves it. Computed step by step, this costs time in proportion to all latents, and for
long latents more than the decoder. Instead, the movement of a row over a span of steps without
gradient is computed at once, as a sum, when the row is next needed. The path is the same up to
about 1e-5 of its length, and the cost is in proportion to the batch.

Rows may store less than two float32 moments per coordinate: see `Rows`.
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

#: State of Adam; `None` for arrays that are not trained.
Moments = optax.OptState | None


def adam_start(values: Any) -> Moments:
    """Initial moments for any tree of arrays."""
    return _ADAM.init(values)


def adam_step(
    values: Any, gradient: Any, moments: Any, rate: Any, *, nesterov: bool = False
) -> tuple[Any, Moments]:
    """Take one Adam step on a tree of arrays, all of which have a gradient.

    `rate` is one step size for all arrays, or a prefix tree of step sizes: each of its leaves
    applies to the whole subtree of `values` at that place.
    """
    direction, moments = (_NADAM if nesterov else _ADAM).update(gradient, moments)

    def move(rate: Float[Array, ""], values: Any, direction: Any) -> Any:
        return jax.tree.map(lambda v, d: v - rate * d, values, direction)

    return jax.tree.map(move, rate, values, direction), moments


def clip_norm(gradient: Any, most: float) -> Any:
    """Scale a tree of arrays to L2 norm `most` if its norm is larger (Pascanu et al. 2013)."""
    return optax.clip_by_global_norm(most).update(gradient, optax.EmptyState())[0]


class Rows(NamedTuple):
    """Rows optimised by Adam, with their moments. All rows have the same number of steps.

    The shape and dtype of the moments define how they are stored. `step_rows` and `rest_rows`
    compute in float32 and return the same shapes and dtypes.
    """

    values: Float[Array | np.ndarray, "*batches rows dims"]
    mean: Float[Array | np.ndarray, "*batches rows dims"]
    """First moment, float32 or bfloat16. Each step replaces a tenth of it, far more than the
    relative spacing of bfloat16 (0.4 to 0.8 %)."""
    square: Float[Array | np.ndarray, "*batches rows _"]
    """Second moment, float32: `(…, rows, dims)`, or `(…, rows, 1)` for the running mean of the
    squared gradient over the coordinates of a row. It is never bfloat16: a step lowers it by at
    most 0.1 %, and rounding would undo that every time, so that it could not decrease."""


def start_rows(
    values: Float[Array, "rows dims"],
    second_moment: str = "coordinate",
    first_moment_dtype: str = "float32",
) -> Rows:
    """Rows before their first step, with moments of zero.

    Parameters
    ----------
    values : (rows, dims)
    second_moment : str
        `coordinate`: one per coordinate, as in Adam. `row`: one per row, as in the partial row-wise
        Adam of FBGEMM, which follows the AdaGrad of Gupta et al. 2014 ("Training highly multiclass
        classifiers").
    first_moment_dtype : str
        `float32` or `bfloat16`.
    """
    kept = values if second_moment == "coordinate" else values[..., :1]
    return Rows(values, jnp.zeros_like(values, first_moment_dtype), jnp.zeros_like(kept))


class Rest(NamedTuple):
    """The effect of a span of steps without gradient on a row; `stretches` are `_STRETCHES`."""

    shift: Float[Array, "*steps stretches"]
    """Sum over the steps of step size × bias correction × decay of the first moment."""
    fade_root: Float[Array, "*steps stretches"]
    """Decay factor of the root of the second moment, at the mean step weighted by the shift."""
    eps: Float[Array, "*steps stretches"]
    """Adam's epsilon times the root of the second moment's bias correction."""
    fade_mean: Float[Array, "*steps"]
    """Decay factor of the first moment over the span."""
    fade_square: Float[Array, "*steps"]
    """Decay factor of the second moment over the span."""


def plan_rest(
    done: Int[Array, ""],
    first: Int[Array, "*steps"],
    length: Int[Array, "*steps"],
    rates: Float[Array, " epoch"],
) -> Rest:
    """Plan steps `first` to `first + length - 1` of an epoch for rows that none of them sees.

    The second moment decays much more slowly than the first, and is treated as constant within a
    few ranges of steps. The error is below 1e-5 of the shift. It reaches a few per cent only in the
    first steps of a fit if gradients are so small that Adam's epsilon matters.

    Parameters
    ----------
    done : int
        Number of steps before the epoch.
    first, length : (...,) int
        First step of each span, counted from 0 within the epoch, and its number of steps.
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
    """Move rows over a span of steps without gradient: one span for all, or one for each row."""
    values, square = rows.values, rows.square
    mean = jnp.asarray(rows.mean, jnp.float32)
    rest = jax.tree.map(lambda a: a[..., None], rest)
    root = jnp.sqrt(square)
    # In this order of operations a row with moments of zero stays, however large the shift.
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
    """Take one Adam step on rows that have a gradient, after `done` steps.

    With one second moment per row, the root mean square of a row's first step equals the step size.
    Coordinates with larger gradients take larger steps; in Adam all first steps are equally long.
    """
    # The same operations as optax's Adam, bit for bit. Optax has no second moment per row.
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
    """Round to the nearest number of a dtype."""
    if dtype == jnp.bfloat16:
        # XLA may remove a conversion to bfloat16 and back within a program, but it keeps
        # `reduce_precision`. So results do not depend on what is compiled together.
        mean = jax.lax.reduce_precision(mean, exponent_bits=8, mantissa_bits=7)
    return mean.astype(dtype)
