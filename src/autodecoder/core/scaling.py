"""Conversion between stored values and the scaled values of a decoder's outputs."""

from types import MappingProxyType
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Num


class Scaling(NamedTuple):
    """A linear map from stored values to scaled ones, in which errors are measured."""

    low: float
    """The scaled value of a stored 0."""
    unit: float
    """The scaled difference of two stored values that differ by 1."""
    span: float
    """Width of the range of scaled values, used as the peak in `psnr`; for features, which have no
    range, their standard deviation."""
    output_activation: str
    """Activation of the decoder's last layer, by name; its range includes the scaled values."""


SCALINGS = MappingProxyType(
    {
        "standard": Scaling(-1.0, 2.0 / 255, 2.0, "tanh"),
        "zero_one": Scaling(0.0, 1.0 / 255, 1.0, "sigmoid"),
        "identity": Scaling(0.0, 1.0, 255.0, "linear"),
        # For features, which already have mean 0 and standard deviation 1.
        "standardize": Scaling(0.0, 1.0, 1.0, "linear"),
    }
)


def scale_pixels(images: Num[Array, "*shape"], scaler: str) -> Float[Array, "*shape"]:
    """Scale stored values (for pixels 0 to 255) to the scaled space, in which errors are
    measured."""
    scaling = SCALINGS[scaler]
    return images.astype(jnp.float32) * scaling.unit + scaling.low


def to_unit(outputs: Float[Array, "*shape"], scaler: str) -> Float[Array, "*shape"]:
    """Convert a decoder's outputs to pixels in [0, 1], the range of the public interface."""
    scaling = SCALINGS[scaler]
    return jnp.clip((outputs - scaling.low) / scaling.span, 0, 1)
