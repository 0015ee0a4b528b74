"""From stored values to those that a decoder puts out, and back."""

from types import MappingProxyType
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Num


class Scaling(NamedTuple):
    """How stored values become the scaled ones, in which errors are measured."""

    low: float
    """What a stored 0 becomes."""
    unit: float
    """What a stored 1 adds to it."""
    span: float
    """The range of the scaled values, the peak in `psnr`; without one, their standard deviation."""
    output_activation: str
    """Covers the range."""


SCALINGS = MappingProxyType(
    {
        "standard": Scaling(-1.0, 2.0 / 255, 2.0, "tanh"),
        "zero_one": Scaling(0.0, 1.0 / 255, 1.0, "sigmoid"),
        "identity": Scaling(0.0, 1.0, 255.0, "linear"),
        # Not of pixels but of any features, whose mean is 0 and standard deviation 1 already.
        "standardize": Scaling(0.0, 1.0, 1.0, "linear"),
    }
)


def scale_pixels(images: Num[Array, "*shape"], scaler: str) -> Float[Array, "*shape"]:
    """Scale stored values, pixels from 0 to 255, to the range in which the error is measured."""
    scaling = SCALINGS[scaler]
    return images.astype(jnp.float32) * scaling.unit + scaling.low


def to_unit(outputs: Float[Array, "*shape"], scaler: str) -> Float[Array, "*shape"]:
    """Bring a decoder's outputs to [0, 1], the range of pixels at every public boundary."""
    scaling = SCALINGS[scaler]
    return jnp.clip((outputs - scaling.low) / scaling.span, 0, 1)
