"""A kind of decoder as somebody adds it: dense, with blocks that add to what comes in."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from autodecoder.config import Arch, DecoderConfig
from autodecoder.core.decoders import Decoder, Operator, Parts
from autodecoder.core.decoders.operators import Activate, Dense, Residual

N_BLOCKS = 3


class SkipDecoder(Decoder):
    """`skip:32`: a layer of 32 units, three blocks, and tanh."""

    first: Array
    blocks: Array
    last: Array
    config: DecoderConfig = eqx.field(static=True)

    def decode(self, latents: Array, *, key: Any = None) -> Array:
        hidden = latents @ self.first
        for block in self.blocks:
            hidden = hidden + jnp.tanh(hidden) @ block
        return jnp.tanh(hidden @ self.last)

    @property
    def n_outputs(self) -> int:
        return self.last.shape[-1]

    def trainable(self) -> Parts:
        return self.first, self.blocks, self.last

    def with_trainable(self, parts: Parts) -> "SkipDecoder":
        first, blocks, last = parts
        return SkipDecoder(first=first, blocks=blocks, last=last, config=self.config)

    def operators(self) -> list[Operator]:
        first, blocks, last = (np.asarray(part, np.float64) for part in self.trainable())
        inner = [Residual((Activate("tanh"), Dense(block, None))) for block in blocks]
        return [Dense(first, None), *inner, Dense(last, None), Activate("tanh")]


def init(
    key: Array,
    config: DecoderConfig,
    image_shape: tuple[int, int, int],
    output_activation: str,
    bias_spread: float,
    latent_spread: float,
) -> SkipDecoder:
    assert isinstance(config.arch, Arch)
    (width,) = config.arch.widths
    height, across, channels = image_shape
    keys = jax.random.split(key, 3)
    return SkipDecoder(
        first=jax.random.normal(keys[0], (config.latent_dims, width))
        / config.latent_dims**0.5
        / latent_spread,
        blocks=0.1 * jax.random.normal(keys[1], (N_BLOCKS, width, width)) / width**0.5,
        last=jax.random.normal(keys[2], (width, height * across * channels)) / width**0.5,
        config=config,
    )
