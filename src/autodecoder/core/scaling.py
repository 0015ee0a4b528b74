"""From stored pixels to the values that a decoder puts out, and back."""

from types import MappingProxyType
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Num


class Scaling(NamedTuple):
    """The range of the scaled values, and the output activation that covers it."""

    low: float
    span: float
    output_activation: str


SCALINGS = MappingProxyType(
    {
        "standard": Scaling(-1.0, 2.0, "tanh"),
        "zero_one": Scaling(0.0, 1.0, "sigmoid"),
        "identity": Scaling(0.0, 255.0, "linear"),
    }
)


def scale_pixels(images: Num[Array, "*shape"], scaler: str) -> Float[Array, "*shape"]:
    """Scale stored pixels, 0 to 255, to the range in which the error is measured."""
    scaling = SCALINGS[scaler]
    return images.astype(jnp.float32) * (scaling.span / 255) + scaling.low


def to_unit(outputs: Float[Array, "*shape"], scaler: str) -> Float[Array, "*shape"]:
    """Bring a decoder's outputs to [0, 1], the range of pixels at every public boundary."""
    scaling = SCALINGS[scaler]
    return jnp.clip((outputs - scaling.low) / scaling.span, 0, 1)
