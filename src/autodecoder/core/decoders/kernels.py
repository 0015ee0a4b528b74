"""Convolutions: matrix products and shifted sums on CPUs, XLA's own operations elsewhere.

On CPUs a matrix product with shifted sums is 18 to 32 times as fast as XLA's transposed convolution
with its gradients (`benchmarks/step.py`). The product computes the share of each input in each
output that it contributes to, and the shifted sums add up these shares. The choice is made when a
program is traced, by the default backend.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_LAYOUT = ("NHWC", "HWIO", "NHWC")
#: Axis of the taps to sum next: first those along the height, then those along the width.
_TAPS = 3


def upsample(
    images: Float[Array, "n height width inputs"], weight: Float[Array, "inputs 4 4 outputs"]
) -> Float[Array, "n twice_height twice_width outputs"]:
    """Transposed convolution, 4 × 4, of stride 2 and padding 1.

    Tap `a` of input `i` contributes to output `2i + a - 1`, along both sides. The kernel size is
    divisible by the stride, so that every output has the same number of taps. This avoids
    checkerboard patterns (Odena et al. 2016, "Deconvolution and checkerboard artifacts").
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


def downsample(
    images: Float[Array, "n height width inputs"], weight: Float[Array, "inputs 4 4 outputs"]
) -> Float[Array, "n half_height half_width outputs"]:
    """Convolution, 4 × 4, of stride 2 and padding 1, for an even height and width.

    It is computed as the transpose of `upsample`, so that it is as fast on CPUs.
    """
    n, height, width, _ = images.shape
    small = jnp.zeros((n, height // 2, width // 2, weight.shape[-1]), images.dtype)
    _, transposed = jax.vjp(lambda a: upsample(a, jnp.swapaxes(weight, 0, 3)), small)
    return transposed(images)[0]


def convolve(
    images: Float[Array, "n height width inputs"], weight: Float[Array, "inputs 3 3 outputs"]
) -> Float[Array, "n height width outputs"]:
    """Cross-correlation (the convolution of deep learning), 3 × 3, of stride 1 and padding 1."""
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
    """Shift values along an axis by one place, up or down, and fill with zeros."""
    blank = jnp.zeros_like(jax.lax.slice_in_dim(values, 0, 1, axis=axis))
    n = values.shape[axis]
    if by > 0:
        return jnp.concatenate([blank, jax.lax.slice_in_dim(values, 0, n - 1, axis=axis)], axis)
    return jnp.concatenate([jax.lax.slice_in_dim(values, 1, n, axis=axis), blank], axis)


def _native() -> bool:
    return jax.default_backend() != "cpu"
