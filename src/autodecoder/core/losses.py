"""Loss functions of fits and inference, and error metrics of reconstructions."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from autodecoder.brief import brief
from autodecoder.config import RunConfig
from autodecoder.core.scaling import SCALINGS

#: Least squared error for `psnr`, as a share of the squared range: a perfect image has 100 dB.
_PSNR_FLOOR = 1e-10
#: Range of probabilities in the cross entropy, so that it is finite.
_LEAST_PROBABILITY, _MOST_PROBABILITY = 1e-30, 1 - 6e-8
#: Least distance, in curvatures, of outputs from 0 and 1 (`bce`) or from targets (`laplacian`).
_LEAST_SPREAD = 1e-2
#: The filter of the Laplacian pyramid (Burt & Adelson 1983), and the least side that is halved.
_FILTER = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
_LEAST_SIDE = 4


@dataclass(frozen=True)
class Criterion:
    """The reconstruction loss of an image, which fits and inference minimise.

    With outputs `o`, targets `t`, and pixel weights `w` that sum to 1:

    - `mse`: `sum w (o - t)²`
    - `bce`: `-sum w (t log o + (1 - t) log(1 - o))`, the binary cross entropy
    - `laplacian`: the mean absolute difference on each level of a Laplacian pyramid, summed over
      the levels (Ling & Okada 2006; Bojanowski et al. 2018, "Optimizing the latent space of
      generative networks", equation 3, divided by the number of pixels)
    """

    loss: str = "mse"
    """One of `autodecoder.config.LOSSES`."""
    image_shape: tuple[int, int, int] | None = None
    """Height, width and channels; required for `laplacian`."""


#: The mean squared error.
SQUARED = Criterion()


def criterion_of(config: RunConfig) -> Criterion:
    """The reconstruction loss of a run."""
    return Criterion(config.fit.loss, config.image_shape)


def reconstruction_loss(
    outputs: Float[Array, "n pixels"],
    targets: Float[Array, "n pixels"],
    criterion: Criterion,
    weights: Shaped[Array, "m pixels"] | None = None,
) -> Float[Array, " n"]:
    """The loss of each image. `weights` sum to 1 over its pixels; by default all are equal."""
    if criterion.loss == "laplacian":
        difference = outputs - targets
        if weights is not None:
            difference = difference * (weights * weights.shape[1])
        assert criterion.image_shape is not None
        return _pyramid_distance(difference.reshape(-1, *criterion.image_shape))
    if criterion.loss == "bce":
        values = _cross_entropy(outputs, targets)
    else:
        values = (outputs - targets) ** 2
    return values.mean(axis=1) if weights is None else jnp.sum(weights * values, axis=1)


class Expansion(NamedTuple):
    """Quadratic model of a loss: `value + 2 slope·d + sum curvature d²` for a change `d` of the
    outputs."""

    value: Float[Array, " n"]
    slope: Float[Array, "n pixels"]
    """Half the gradient."""
    curvature: Float[Array, "m pixels"]
    """Curvature of the Gauss-Newton model, 0 or more; `m` is `n` or 1."""


def expand(
    outputs: Float[Array, "n pixels"],
    targets: Float[Array, "n pixels"],
    criterion: Criterion,
    weights: Float[Array, "m pixels"],
) -> Expansion:
    """Expand the loss of each image around the outputs; exact for the squared error.

    The curvature for `bce` is the Fisher information. The curvature for `laplacian` is that of
    iteratively reweighted least squares on the pixels.
    """
    if criterion.loss == "mse":
        errors = outputs - targets
        slope = weights * errors
        return Expansion(jnp.sum(slope * errors, axis=1), slope, weights)

    def total(outputs: Array) -> tuple[Array, Array]:
        values = reconstruction_loss(outputs, targets, criterion, weights)
        return values.sum(), values

    gradient, value = jax.grad(total, has_aux=True)(outputs)
    if criterion.loss == "bce":
        spread = jnp.clip(outputs, _LEAST_SPREAD, 1 - _LEAST_SPREAD)
        curvature = weights / (2 * spread * (1 - spread))
    else:
        curvature = weights / (2 * jnp.maximum(jnp.abs(outputs - targets), _LEAST_SPREAD))
    return Expansion(value, gradient / 2, curvature)


def _cross_entropy(outputs: Float[Array, "n pixels"], targets: Float[Array, "n pixels"]) -> Array:
    chance = jnp.clip(outputs, _LEAST_PROBABILITY, _MOST_PROBABILITY)
    return -(targets * jnp.log(chance) + (1 - targets) * jnp.log1p(-chance))


def _pyramid_distance(difference: Float[Array, "n height width channels"]) -> Float[Array, " n"]:
    """Distance of two pyramids from the difference of their images, since pyramids are linear."""
    total = jnp.zeros(len(difference))
    level = difference
    while min(level.shape[1:3]) >= _LEAST_SIDE:
        coarse = _blur(level)
        total += jnp.abs(level - coarse).mean(axis=(1, 2, 3))
        level = coarse[:, ::2, ::2]
    return total + jnp.abs(level).mean(axis=(1, 2, 3))


def _blur(images: Float[Array, "n height width channels"]) -> Array:
    """Blur images by shifted sums along each side, with reflection at the edges."""
    for axis in (1, 2):
        widths = [(0, 0)] * 4
        widths[axis] = (2, 2)
        padded = jnp.pad(images, widths, mode="reflect")
        size = images.shape[axis]
        shifted = [jax.lax.slice_in_dim(padded, k, k + size, axis=axis) for k in range(5)]
        images = sum(share * part for share, part in zip(_FILTER, shifted, strict=True))  # pyright: ignore
    return images


@brief
class Errors(NamedTuple):
    """Errors of each image in the scaled space. The names are those of the recorded metrics."""

    loss: Float[Array | np.ndarray, " n"]
    """Mean squared error."""
    mae: Float[Array | np.ndarray, " n"]
    """Mean absolute error."""
    psnr: Float[Array | np.ndarray, " n"]
    """Peak signal-to-noise ratio in dB, the same in every scaling; at most 100."""


def measure(
    outputs: Float[Array, "n pixels"],
    targets: Float[Array, "n pixels"],
    scaler: str,
    weights: Shaped[Array, "m pixels"] | None = None,
) -> Errors:
    """Measure the errors of each image over all pixels, or weighted; `m` is `n` or 1.

    `psnr` is 10 log10(span² / mse) with the span of the scaling, which equals the value on [0, 1].
    The errors of an image whose weights are all zero are NaN.
    """

    if weights is not None:
        weights = weights.astype(jnp.float32)  # sums in narrower types could overflow or stall

    def mean(values: Float[Array, "n pixels"]) -> Float[Array, " n"]:
        if weights is None:
            return jnp.mean(values, axis=-1)
        return jnp.sum(values * weights, axis=-1) / jnp.sum(weights, axis=-1)

    difference = outputs - targets
    loss = mean(difference**2)
    relative = loss / SCALINGS[scaler].span ** 2
    psnr = -10 * jnp.log10(jnp.maximum(relative, _PSNR_FLOOR))
    return Errors(loss, mean(jnp.abs(difference)), psnr)
