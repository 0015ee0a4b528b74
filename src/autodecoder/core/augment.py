"""Random changes of training images within the compiled step. Each image keeps its one latent."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.config import AugmentConfig


def augment_images(
    key: PRNGKeyArray, images: Float[Array, "n height width channels"], config: AugmentConfig
) -> Float[Array, "n height width channels"]:
    """Change each image by random draws of its own, as Keras' preprocessing layers do.

    `zoom` scales height and width by one factor, and `translation` shifts the image. Both
    interpolate pixels linearly, and fill what lies outside the image with its reflection.
    `contrast` then scales each channel's distance from its mean, and `brightness` adds one value
    to all pixels. Results are clipped to 0 to 255.

    Parameters
    ----------
    key : key
    images : (n, height, width, channels)
        Pixels from 0 to 255.
    config : AugmentConfig
        Which changes are enabled, and how strong they are.
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
    """The matrix, for each image, that interpolates the pixels along one side.

    Zoom and translation act on each axis separately, so that one matrix product per side is enough.
    """
    centre = size / 2
    places = jnp.arange(size) + 0.5  # of pixel centres
    source = (places - centre - shift[:, None]) * zoom[:, None] + centre
    source = source % (2 * size)  # reflected at both ends
    source = jnp.minimum(source, 2 * size - source) - 0.5
    source = jnp.clip(source, 0, size - 1)
    return jnp.maximum(0, 1 - jnp.abs(source[:, :, None] - jnp.arange(size)))
