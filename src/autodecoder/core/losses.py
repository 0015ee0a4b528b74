"""How far a reconstruction lies from its image, image by image."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from autodecoder.core.scaling import SCALINGS

#: Squared errors below this share of the squared range count as this: a perfect image has 100 dB.
_PSNR_FLOOR = 1e-10


class Errors(NamedTuple):
    """Errors of each image, in the scaled space (`psnr` in dB, the same in every scaling).

    The field names are those of the recorded metrics; `loss` is the mean squared error.
    """

    loss: Float[Array, " n"]
    mae: Float[Array, " n"]
    psnr: Float[Array, " n"]


def squared_error(
    outputs: Float[Array, "n pixels"], targets: Float[Array, "n pixels"]
) -> Float[Array, " n"]:
    """Mean over the pixels of each image of the squared difference: the objective of every fit."""
    return jnp.mean((outputs - targets) ** 2, axis=-1)


def measure(
    outputs: Float[Array, "n pixels"], targets: Float[Array, "n pixels"], scaler: str
) -> Errors:
    """All recorded errors of each image.

    `psnr` is 10 log10(span² / mse) with the span of the scaling, which equals the value on [0, 1].
    """
    loss = squared_error(outputs, targets)
    mae = jnp.mean(jnp.abs(outputs - targets), axis=-1)
    relative = loss / SCALINGS[scaler].span ** 2
    return Errors(loss, mae, -10 * jnp.log10(jnp.maximum(relative, _PSNR_FLOOR)))
