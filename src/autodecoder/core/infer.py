"""Latent inference: the latents of unseen images under a frozen decoder."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, UInt8

from autodecoder.config import InferConfig
from autodecoder.core.decoder import Decoder, decode
from autodecoder.core.latents import nearest_latents
from autodecoder.core.losses import Errors, measure, squared_error
from autodecoder.core.scaling import scale_pixels


class Inference(NamedTuple):
    """What was inferred: latents, and the errors of their reconstructions."""

    latents: Float[Array, "n dims"]
    errors: Errors


@jax.jit(static_argnames=("scaler", "config"))
def infer_latents(
    decoder: Decoder,
    images: UInt8[Array, "n pixels"],
    candidates: Float[Array, "k dims"],
    *,
    scaler: str,
    config: InferConfig,
) -> Inference:
    """Find for each image the latent whose reconstruction is nearest to it.

    Minimises `mean((decode(z) - x)^2)` over `z` for every image `x`: from the nearest of the
    decoded candidates, Adam takes `n_steps` steps under a cosine decay, and the best latent on the
    way is kept. The decoder runs in evaluation mode and is not changed; an image's result does not
    depend on the images beside it. Works in blocks, so that memory does not grow with `n`.

    Parameters
    ----------
    decoder : Decoder
    images : (n, n_pixels) uint8
        Pixels from 0 to 255.
    candidates : (k, latent_dims)
        Where to start from: for instance latents of training images.
    scaler : str
        The scaling that the decoder was trained with.
    config : InferConfig

    References
    ----------
    Park et al. 2019 (DeepSDF), section 4.2; Kingma & Ba 2015 (Adam).
    """
    adam = optax.scale_by_adam()
    first_step = config.step_size * jnp.std(candidates, axis=0)

    def objective(latents: Float[Array, "b dims"], targets: Float[Array, "b pixels"]):
        # The sum keeps the images apart: the gradient of a latent is that of its own image.
        losses = squared_error(decode(decoder, latents), targets)
        return losses.sum(), losses

    def infer_block(block: UInt8[Array, "b pixels"]) -> Inference:
        targets = scale_pixels(block, scaler)
        start = nearest_latents(decoder, candidates, targets)

        def step(carry, k):
            latents, moments, best, best_loss = carry
            gradient, losses = jax.grad(objective, has_aux=True)(latents, targets)
            better = losses < best_loss
            best = jnp.where(better[:, None], latents, best)
            best_loss = jnp.where(better, losses, best_loss)
            direction, moments = adam.update(gradient, moments)
            assert isinstance(direction, jax.Array)  # optax says any tree
            decay = 0.5 * (1 + jnp.cos(jnp.pi * k / config.n_steps))
            return (latents - first_step * decay * direction, moments, best, best_loss), None

        carry = (start, adam.init(start), start, jnp.full(len(start), jnp.inf))
        (last, _, best, best_loss), _ = jax.lax.scan(step, carry, jnp.arange(config.n_steps))
        last_loss = squared_error(decode(decoder, last), targets)
        latents = jnp.where((last_loss < best_loss)[:, None], last, best)
        return Inference(latents, measure(decode(decoder, latents), targets, scaler))

    return _map_blocks(infer_block, images, config.block_size)


def _map_blocks(function, images: UInt8[Array, "n pixels"], block_size: int) -> Inference:
    """Apply a function to blocks of rows and join the results; padding rows are dropped."""
    n = len(images)
    block_size = min(block_size, n)
    padded = jnp.pad(images, ((0, -n % block_size), (0, 0)))
    blocks = padded.reshape(-1, block_size, images.shape[1])
    results = jax.lax.map(function, blocks)
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:n], results)
