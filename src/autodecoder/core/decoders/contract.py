"""The interface of all decoders, and the functions that create a decoder of any kind."""

import abc
import math
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.config import KINDS, DecoderConfig, FitConfig, arch_kind
from autodecoder.core.decoders.operators import Operator

#: The trainable arrays of a decoder: one tree per part, in order from the latents to the output.
Parts = tuple[Any, ...]


class Decoder(eqx.Module):
    """Maps latents `(n, latent_dims)` to samples `(n, n_outputs)` in the scaled space.

    A row's output depends on that row alone, except with batch normalisation in training mode.
    """

    config: eqx.AbstractVar[DecoderConfig]

    @abc.abstractmethod
    def decode(
        self, latents: Float[Array, "n dims"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n outputs"]:
        """Decode in evaluation mode, or in training mode if a key (for dropout) is given."""

    @property
    @abc.abstractmethod
    def n_outputs(self) -> int:
        """Number of values in a sample."""

    @abc.abstractmethod
    def trainable(self) -> Parts:
        """The trainable arrays."""

    @abc.abstractmethod
    def with_trainable(self, parts: Parts) -> "Decoder":
        """A copy of the decoder with `parts` as its trainable arrays."""

    def step_scales(self, fit: FitConfig) -> Sequence[Any]:
        """Factor on the step size for each part: a number, or a prefix tree of the part."""
        return [1.0] * len(self.trainable())

    def calibrate(self, latents: Float[Array, "n dims"]) -> "Decoder":
        """Estimate from a sample of training latents the statistics for evaluation mode, if any."""
        return self

    def operators(self) -> list[Operator] | None:
        """What the decoder computes in evaluation mode, as operators; `None` if that is unknown.

        A decoder without operators can be trained, used for inference and saved, but not exported.
        """
        return None


@jax.jit
def decode(decoder: Decoder, latents: Float[Array, "n dims"]) -> Float[Array, "n outputs"]:
    """Decode in evaluation mode, compiled."""
    return decoder.decode(latents)


def init_decoder(
    key: PRNGKeyArray,
    config: DecoderConfig,
    image_shape: tuple[int, int, int],
    output_activation: str,
    bias_spread: float = 0.0,
    latent_spread: float = 1.0,
) -> Decoder:
    """Draw a decoder of the kind that `config.arch` names.

    Calls `init` of the module of that kind with the same arguments.

    Parameters
    ----------
    key : key
    config : DecoderConfig
    image_shape : (height, width, channels)
    output_activation : str
        The activation of the last layer, see `SCALINGS`.
    bias_spread : float
        Biases of hidden layers are uniform within ± `bias_spread` / √inputs. With biases of zero,
        the kinks of all units would pass through the origin of the latent space.
    latent_spread : float
        Root mean square of the initial latents. Convolutional kinds divide the weights of their
        first layer by it.

    Raises
    ------
    ConfigError
        If the architecture does not fit the images, or is that of a user's own module.
    """
    config.check_drawn()
    kind: Any = import_module(KINDS[arch_kind(config.arch)])
    spreads = bias_spread, latent_spread
    return kind.init(key, config, image_shape, output_activation, *spreads)


@lru_cache(256)
def shape_decoder(
    config: DecoderConfig, image_shape: tuple[int, int, int], output_activation: str
) -> Decoder:
    """The decoder that `init_decoder` would draw, with shapes and dtypes instead of arrays."""
    return jax.eval_shape(
        lambda: init_decoder(jax.random.key(0), config, image_shape, output_activation)
    )


def count_weights(decoder: Decoder) -> int:
    """The number of trainable values, also of a decoder of shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(decoder.trainable()))


def count_activations(decoder: Decoder, latent_dims: int) -> int:
    """The number of outputs of all linear layers for one image, also of a decoder of shapes."""
    latents = jax.ShapeDtypeStruct((1, latent_dims), jnp.float32)
    return _count_products(jax.make_jaxpr(decode)(decoder, latents).jaxpr)


def _count_products(program: Any) -> int:
    """The size of all products of a jaxpr, also of those within its calls."""
    found = 0
    for equation in program.eqns:
        if equation.primitive.name in ("dot_general", "conv_general_dilated"):
            found += sum(math.prod(output.aval.shape) for output in equation.outvars)
        found += sum(_count_products(inner) for inner in jaxprs_in_params(equation.params))
    return found


def part_names(decoder: Decoder) -> tuple[str, ...]:
    """A name for each part of `Decoder.trainable`."""
    hidden = (f"layer_{k}" for k in range(1, len(decoder.trainable())))
    return (*hidden, "output")
