"""Search for the decoded latents that are nearest to images."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from autodecoder.core.decoders import Decoder, decode
from autodecoder.core.latents import fit_pca

#: Principal components that distances are measured along, found in so many of the images.
_SKETCH_RANK = 96
_SKETCH_IMAGES = 512
#: From so many pixels in all a sketch pays.
_SKETCH_FROM = 2**21
#: Under weights, when a sketch does not serve, only so many are searched.
_UNDER_WEIGHTS = 4000
#: Columns in a group of the search for the least.
_GROUP = 128


class Sketch(NamedTuple):
    """Images along their leading principal components."""

    mean: Float[Array, " pixels"]
    basis: Float[Array, "pixels rank"]
    codes: Float[Array, "k_padded rank+1"]
    """Scores times -2, and last the squared distance from the mean; filled up to whole groups."""


class Decoded(NamedTuple):
    """Latents beside the images that they decode to."""

    latents: Float[Array, "k dims"]
    images: Float[Array, "k pixels"]
    sketch: Sketch | None
    """Where there are many."""


def decode_known(decoder: Decoder, latents: Float[Array, "k dims"]) -> Decoded:
    """Decode latents that are to be searched; any order will do for few, a random one for many."""
    images = decode(decoder, latents)
    return Decoded(latents, images, _sketch(images) if images.size >= _SKETCH_FROM else None)


def nearest(
    known: Decoded,
    targets: Float[Array, "b pixels"],
    weights: Shaped[Array, "b pixels"] | None,
    n: int,
) -> Float[Array, "b n dims"]:
    """For each target the latents whose decoded images are nearest in weighted squared error.

    Among many, distances are measured along 96 principal components of the decoded images. What
    a target has beyond them does not matter, as it is the same for all; what the images have beyond
    them is little, as they are smooth functions of a short latent.
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
    """Squared distances to candidates, `n` or more, but for a term that is the same for each."""
    # ‖x - c‖² = ‖x‖² - 2 x·c + ‖c‖²: one matrix product, and a second one under weights.
    if weights is not None:
        images = known.images[: max(_UNDER_WEIGHTS, n)]
        weights = weights.astype(jnp.float32)
        return weights @ (images**2).T - 2 * (weights * targets) @ images.T
    if known.sketch is None:
        return jnp.sum(known.images**2, axis=1) - 2 * targets @ known.images.T
    mean, basis, codes = known.sketch
    scores = (targets - mean) @ basis
    # All in the product: another pass over the distances would cost as much again.
    return jnp.concatenate([scores, jnp.ones((len(scores), 1))], axis=1) @ codes.T


def _argmin(distances: Float[Array, "b k"]) -> Int[Array, " b"]:
    """Where each row is least: its least group of columns, then the place in it.

    XLA finds a minimum much faster than its place on a CPU: twice as fast in all as `jnp.argmin`.
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
    # What fills the last group is infinitely far.
    codes = jnp.pad(codes, ((0, -len(codes) % _GROUP), (0, 0)))
    return codes.at[len(images) :, -1].set(jnp.inf)
