"""Random changes of training images, inside the compiled step; a latent stays its image's own."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.config import AugmentConfig


def augment_images(
    key: PRNGKeyArray, images: Float[Array, "n height width channels"], config: AugmentConfig
) -> Float[Array, "n height width channels"]:
    """Change each image by draws of its own, as Keras' preprocessing layers of these names do.

    First the place of the pixels: `zoom` scales both sides by one factor, and
    `translation` shifts them; pixels between others are interpolated linearly, and what lies
    outside the image is its reflection. Then their values: `contrast` scales each channel's
    distance from its mean, `brightness` shifts all pixels alike. Values are clipped to the range.

    Parameters
    ----------
    key : key
    images : (n, height, width, channels)
        Pixels from 0 to 255.
    config : AugmentConfig
        What is enabled, and how strong it is.
    """
    keys = jax.random.split(key, 4)
    n, height, width, _ = images.shape

    def draw(k: int, strength: float, *shape: int) -> Float[Array, "..."]:
        return jax.random.uniform(keys[k], (n, *shape), minval=-strength, maxval=strength)

    if {"zoom", "translation"} & set(config.enabled):
        still = jnp.zeros((n, 2))
        zoom = draw(0, config.zoom, 1) if "zoom" in config.enabled else still
        shift = draw(1, config.translation, 2) if "translation" in config.enabled else still
        rows = _interpolation(height, 1 + zoom[:, 0], shift[:, 0] * height)
        columns = _interpolation(width, 1 + zoom[:, -1], shift[:, 1] * width)
        images = jnp.einsum("nih,nhwc,njw->nijc", rows, images, columns)
    if "contrast" in config.enabled:
        mean = images.mean(axis=(1, 2), keepdims=True)
        images = (images - mean) * (1 + draw(2, config.contrast, 1, 1, 1)) + mean
    if "brightness" in config.enabled:
        images = images + 255 * draw(3, config.brightness, 1, 1, 1)
    return jnp.clip(images, 0, 255)


def _interpolation(
    size: int, zoom: Float[Array, " n"], shift: Float[Array, " n"]
) -> Float[Array, "n size size"]:
    """For each image the matrix that takes a side's pixels to their new places.

    Zooming and shifting keep to the axes, so that one such product for each side does it all.
    """
    centre = size / 2
    places = jnp.arange(size) + 0.5  # of pixel centres
    source = (places - centre - shift[:, None]) * zoom[:, None] + centre
    source = source % (2 * size)  # reflected at both ends
    source = jnp.minimum(source, 2 * size - source) - 0.5
    source = jnp.clip(source, 0, size - 1)
    return jnp.maximum(0, 1 - jnp.abs(source[:, :, None] - jnp.arange(size)))
