"""Convolutions as matrix products and shifted sums, or as XLA has them.

On CPUs XLA's own transposed convolutions, with their gradients, take 18 to 32 times as long as a
product that gives every input place its share of each output it touches, followed by sums of these
shares, shifted (`benchmarks/step.py`). Each program is traced for the device that it runs on.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_LAYOUT = ("NHWC", "HWIO", "NHWC")
#: Axis of the taps that are summed next: those of height, then those of width.
_TAPS = 3


def upsample(
    images: Float[Array, "n height width inputs"], weight: Float[Array, "inputs 4 4 outputs"]
) -> Float[Array, "n twice_height twice_width outputs"]:
    """Transposed convolution, 4 × 4, of stride 2 and padding 1.

    Output `2i + a - 1` gets the share of tap `a` of input `i`, along both sides. The kernel is
    divisible by the stride: each output is touched by as many taps as any other, which leaves no
    pattern of squares (Odena et al. 2016, "Deconvolution and checkerboard artifacts").
    """
    if _native():
        return jax.lax.conv_general_dilated(
            images,
            jnp.moveaxis(weight, 0, 2)[::-1, ::-1],
            window_strides=(1, 1),
            padding=((2, 2), (2, 2)),
            lhs_dilation=(2, 2),
            dimension_numbers=_LAYOUT,
        )
    shares = _shares(images, weight)
    return _interleave(_interleave(shares, 1), 2)


def _interleave(shares: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Sum the shares of four taps into twice as many pixels along an axis."""
    first, second, third, fourth = jnp.split(shares, 4, _TAPS)
    even = second + _shift(fourth, axis, 1)
    odd = third + _shift(first, axis, -1)
    pairs = jnp.moveaxis(jnp.concatenate([even, odd], _TAPS), _TAPS, axis + 1)
    shape = [*pairs.shape[:axis], 2 * shares.shape[axis], *pairs.shape[axis + 2 :]]
    return pairs.reshape(shape)


def convolve(
    images: Float[Array, "n height width inputs"], weight: Float[Array, "inputs 3 3 outputs"]
) -> Float[Array, "n height width outputs"]:
    """Convolution (without turning the kernel), 3 × 3, of stride 1 and padding 1."""
    if _native():
        kernel = jnp.moveaxis(weight, 0, 2)
        return jax.lax.conv_general_dilated(
            images, kernel, (1, 1), ((1, 1), (1, 1)), dimension_numbers=_LAYOUT
        )
    shares = _shares(images, weight)
    return _gather(_gather(shares, 1), 2)


def _gather(shares: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    """Sum the shares of three taps along an axis."""
    first, second, third = (jnp.squeeze(part, _TAPS) for part in jnp.split(shares, 3, _TAPS))
    return second + _shift(first, axis, 1) + _shift(third, axis, -1)


def _shares(
    images: Float[Array, "n height width inputs"], weight: Float[Array, "inputs k k outputs"]
) -> Float[Array, "n height width k k outputs"]:
    n, height, width, inputs = images.shape
    shares = images.reshape(-1, inputs) @ weight.reshape(inputs, -1)
    return shares.reshape(n, height, width, *weight.shape[1:])


def _shift(values: Float[Array, "..."], axis: int, by: int) -> Float[Array, "..."]:
    """Moved along an axis by a place, with zeros where nothing comes from."""
    blank = jnp.zeros_like(jax.lax.slice_in_dim(values, 0, 1, axis=axis))
    n = values.shape[axis]
    if by > 0:
        return jnp.concatenate([blank, jax.lax.slice_in_dim(values, 0, n - 1, axis=axis)], axis)
    return jnp.concatenate([jax.lax.slice_in_dim(values, 1, n, axis=axis), blank], axis)


def _native() -> bool:
    return jax.default_backend() != "cpu"
