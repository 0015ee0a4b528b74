"""Nearest-neighbour search among decoded latents."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from autodecoder.core.decoders import Decoder, decode
from autodecoder.core.latents import fit_pca

#: Number of principal components of a sketch, and of images that they are fitted to.
_SKETCH_RANK = 96
_SKETCH_IMAGES = 512
#: A sketch is used from this total number of pixels on.
_SKETCH_FROM = 2**21
#: Most candidates that are searched under weights, which rule out a sketch.
_UNDER_WEIGHTS = 4000
#: Columns per group in the search for the minimum.
_GROUP = 128


class Sketch(NamedTuple):
    """Images by their scores along the leading principal components."""

    mean: Float[Array, " pixels"]
    basis: Float[Array, "pixels rank"]
    """The principal components."""
    codes: Float[Array, "k_padded rank+1"]
    """Scores times -2, and the squared distance from the mean as last column; padded with infinite
    distances to whole groups of columns in the search."""


class Decoded(NamedTuple):
    """Latents and the images that they decode to."""

    latents: Float[Array, "k dims"]
    images: Float[Array, "k pixels"]
    sketch: Sketch | None
    """Sketch of the images if they are many."""


def decode_known(decoder: Decoder, latents: Float[Array, "k dims"]) -> Decoded:
    """Decode latents for `nearest`. Many latents should be in random order, since the sketch is
    fitted to the first images, and only the first latents are searched under weights."""
    images = decode(decoder, latents)
    return Decoded(latents, images, _sketch(images) if images.size >= _SKETCH_FROM else None)


def nearest(
    known: Decoded,
    targets: Float[Array, "b pixels"],
    weights: Shaped[Array, "b pixels"] | None,
    n: int,
) -> Float[Array, "b n dims"]:
    """Find for each target the `n` latents whose decoded images are nearest to it.

    Distance is the squared error, weighted by `weights`. Among many images it is measured along 96
    principal components of the decoded images. The part of a target outside of these components
    adds the same to all its distances. The decoded images have only a small part outside of them,
    as they are smooth functions of short latents.
    """
    distances = _distances(known, targets, weights, n)
    if n == 1:
        return known.latents[_argmin(distances)][:, None]
    return known.latents[jax.lax.top_k(-distances, n)[1]]


def _distances(
    known: Decoded,
    targets: Float[Array, "b pixels"],
    weights: Shaped[Array, "b pixels"] | None,
    n: int,
) -> Float[Array, "b k"]:
    """Squared distances to `n` or more candidates, up to a constant for each target."""
    # ‖x - c‖² = ‖x‖² - 2 x·c + ‖c‖²: one matrix product, and a second one with weights.
    if weights is not None:
        images = known.images[: max(_UNDER_WEIGHTS, n)]
        weights = weights.astype(jnp.float32)
        return weights @ (images**2).T - 2 * (weights * targets) @ images.T
    if known.sketch is None:
        return jnp.sum(known.images**2, axis=1) - 2 * targets @ known.images.T
    mean, basis, codes = known.sketch
    scores = (targets - mean) @ basis
    # The product adds the squares too: a separate pass over the distances would cost as much.
    return jnp.concatenate([scores, jnp.ones((len(scores), 1))], axis=1) @ codes.T


def _argmin(distances: Float[Array, "b k"]) -> Int[Array, " b"]:
    """The argmin of each row: first the group of columns with the minimum, then the column in it.

    On a CPU, XLA computes a minimum much faster than an argmin. This is twice as fast as
    `jnp.argmin`.
    """
    b, k = distances.shape
    padded = jnp.pad(distances, ((0, 0), (0, -k % _GROUP)), constant_values=jnp.inf)
    groups = padded.reshape(b, -1, _GROUP)
    group = jnp.argmin(groups.min(axis=2), axis=1)
    least = jnp.take_along_axis(groups, group[:, None, None], axis=1)[:, 0]
    return group * _GROUP + jnp.argmin(least, axis=1)


def _sketch(images: Float[Array, "k pixels"]) -> Sketch:
    pca = fit_pca(np.asarray(images[:_SKETCH_IMAGES]), _SKETCH_RANK)
    mean, basis = jnp.asarray(pca.mean), jnp.asarray(pca.components)
    return Sketch(mean, basis, _encode(images, mean, basis))


@jax.jit
def _encode(images: Array, mean: Array, basis: Array) -> Array:
    centred = images - mean
    squares = jnp.sum(centred**2, axis=1, keepdims=True)
    codes = jnp.concatenate([-2 * centred @ basis, squares], axis=1)
    # Padding of the last group has infinite distance.
    codes = jnp.pad(codes, ((0, -len(codes) % _GROUP), (0, 0)))
    return codes.at[len(images) :, -1].set(jnp.inf)
