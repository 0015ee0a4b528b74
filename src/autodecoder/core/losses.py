"""How far a reconstruction lies from its image, image by image."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from autodecoder.brief import brief
from autodecoder.core.scaling import SCALINGS

#: Squared errors below this share of the squared range count as this: a perfect image has 100 dB.
_PSNR_FLOOR = 1e-10


@brief
class Errors(NamedTuple):
    """Errors of each image, in the scaled space (`psnr` in dB, the same in every scaling).

    The field names are those of the recorded metrics; `loss` is the mean squared error.
    """

    loss: Float[Array | np.ndarray, " n"]
    mae: Float[Array | np.ndarray, " n"]
    psnr: Float[Array | np.ndarray, " n"]


def squared_error(
    outputs: Float[Array, "n pixels"], targets: Float[Array, "n pixels"]
) -> Float[Array, " n"]:
    """Mean over the pixels of each image of the squared difference: the objective of every fit."""
    return jnp.mean((outputs - targets) ** 2, axis=-1)


def measure(
    outputs: Float[Array, "n pixels"],
    targets: Float[Array, "n pixels"],
    scaler: str,
    weights: Shaped[Array, "m pixels"] | None = None,
) -> Errors:
    """All recorded errors of each image, over all pixels or weighted; `m` is `n` or 1.

    `psnr` is 10 log10(span² / mse) with the span of the scaling, which equals the value on [0, 1].
    An image whose weights are all zero has errors that are not a number.
    """

    if weights is not None:
        weights = weights.astype(jnp.float32)  # whose sums neither overflow nor stick

    def mean(values: Float[Array, "n pixels"]) -> Float[Array, " n"]:
        if weights is None:
            return jnp.mean(values, axis=-1)
        return jnp.sum(values * weights, axis=-1) / jnp.sum(weights, axis=-1)

    difference = outputs - targets
    loss = mean(difference**2)
    relative = loss / SCALINGS[scaler].span ** 2
    psnr = -10 * jnp.log10(jnp.maximum(relative, _PSNR_FLOOR))
    return Errors(loss, mean(jnp.abs(difference)), psnr)
