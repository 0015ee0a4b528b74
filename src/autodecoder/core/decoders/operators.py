"""A decoder as a short list of portable operators, for programs that run it without jax.

The ONNX file, the script of the pages, the model card and whoever counts what a decoder costs read
this list, and nothing else of a decoder. Images are `(n, height, width, channels)`. Arrays are in
double precision.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Dense(NamedTuple):
    """`inputs @ weight + bias`, of rows."""

    weight: Float[np.ndarray, "inputs outputs"]
    bias: Float[np.ndarray, " outputs"] | None


class Activate(NamedTuple):
    """An activation, by its name in `DecoderConfig`, of every number."""

    name: str


class GroupNorm(NamedTuple):
    """Normalises each group of neighbouring channels of a sample to mean 0 and variance 1, then
    scales and offsets each channel. Rows have one place."""

    n_groups: int
    of_images: bool
    scale: Float[np.ndarray, " channels"]
    offset: Float[np.ndarray, " channels"]
    epsilon: float


class Unflatten(NamedTuple):
    """Rows to images of this shape."""

    height: int
    width: int
    channels: int


class Upsample(NamedTuple):
    """Transposed convolution, 4 × 4, of stride 2 and padding 1: it doubles the sides."""

    weight: Float[np.ndarray, "inputs 4 4 outputs"]
    bias: Float[np.ndarray, " outputs"] | None


class Convolve(NamedTuple):
    """Convolution (as the field says it: correlation), 3 × 3, of stride 1 and padding 1."""

    weight: Float[np.ndarray, "inputs 3 3 outputs"]
    bias: Float[np.ndarray, " outputs"] | None


class Residual(NamedTuple):
    """What comes in, plus what these make of it."""

    operators: "tuple[Operator, ...]"


class Crop(NamedTuple):
    """A part of images."""

    top: int
    left: int
    height: int
    width: int


class Flatten(NamedTuple):
    """Images to rows."""


Operator = (
    Dense | Activate | GroupNorm | Unflatten | Upsample | Convolve | Residual | Crop | Flatten
)


def count_multiplications(operators: Sequence[Operator]) -> int:
    """Multiplications by weights for one sample: what decoding costs."""
    return _count(operators, 1)[0]


def _count(operators: Sequence[Operator], pixels: int) -> tuple[int, int]:
    """Those of operators, and the pixels of an image behind them, from the pixels before them."""
    total = 0
    for step in operators:
        if isinstance(step, Residual):
            total += _count(step.operators, pixels)[0]
        elif isinstance(step, Dense | Upsample | Convolve):
            total += pixels * step.weight.size
        if isinstance(step, Unflatten | Crop):
            pixels = step.height * step.width
        elif isinstance(step, Upsample):
            pixels *= 4
    return total, pixels
