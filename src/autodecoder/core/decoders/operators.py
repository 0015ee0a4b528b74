"""A decoder as a short list of portable operators, for programs that run it without jax.

The ONNX export, the script of the pages, the model card and the count of multiplications read this
list, and nothing else of a decoder. Images are `(n, height, width, channels)`. Arrays are in double
precision.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Dense(NamedTuple):
    """`inputs @ weight + bias`, applied to rows."""

    weight: Float[np.ndarray, "inputs outputs"]
    bias: Float[np.ndarray, " outputs"] | None


class Activate(NamedTuple):
    """An elementwise activation, by its name in `DecoderConfig`."""

    name: str


class GroupNorm(NamedTuple):
    """Normalises each group of neighbouring channels of a sample to mean 0 and variance 1, then
    scales and offsets each channel. Rows count as images of one pixel."""

    n_groups: int
    of_images: bool
    scale: Float[np.ndarray, " channels"]
    offset: Float[np.ndarray, " channels"]
    epsilon: float


class Unflatten(NamedTuple):
    """Reshapes rows to images of this shape."""

    height: int
    width: int
    channels: int


class Upsample(NamedTuple):
    """Transposed convolution, 4 × 4, of stride 2 and padding 1; doubles height and width."""

    weight: Float[np.ndarray, "inputs 4 4 outputs"]
    bias: Float[np.ndarray, " outputs"] | None


class Convolve(NamedTuple):
    """Cross-correlation (the convolution of deep learning), 3 × 3, of stride 1 and padding 1."""

    weight: Float[np.ndarray, "inputs 3 3 outputs"]
    bias: Float[np.ndarray, " outputs"] | None


class Residual(NamedTuple):
    """The input, plus the result of these operators on it."""

    operators: "tuple[Operator, ...]"


class Crop(NamedTuple):
    """Cuts a rectangle out of images; all fields in pixels."""

    top: int
    left: int
    height: int
    width: int


class Flatten(NamedTuple):
    """Reshapes images to rows."""


Operator = (
    Dense | Activate | GroupNorm | Unflatten | Upsample | Convolve | Residual | Crop | Flatten
)


def count_multiplications(operators: Sequence[Operator]) -> int:
    """The number of multiplications by weights that decoding one sample takes."""
    return _count(operators, 1)[0]


def _count(operators: Sequence[Operator], pixels: int) -> tuple[int, int]:
    """Count the multiplications of operators on images of `pixels` pixels.

    Returns the count and the number of pixels of the output image.
    """
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
