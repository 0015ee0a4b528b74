"""What every decoder promises, and how one of any kind is made."""

import abc
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.config import KINDS, DecoderConfig, FitConfig, arch_kind
from autodecoder.core.decoders.operators import Operator

#: The trainable arrays of a decoder: a tree for each of its parts, from the latents to the output.
Parts = tuple[Any, ...]


class Decoder(eqx.Module):
    """Maps latents `(n, latent_dims)` to samples `(n, n_outputs)` in the scaled space.

    A row's output depends on that row alone, but for batch normalisation in training.
    """

    config: eqx.AbstractVar[DecoderConfig]

    @abc.abstractmethod
    def decode(
        self, latents: Float[Array, "n dims"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n outputs"]:
        """Decode in evaluation mode; with a key, for dropout, in training mode."""

    @property
    @abc.abstractmethod
    def n_outputs(self) -> int:
        """Numbers of a sample."""

    @abc.abstractmethod
    def trainable(self) -> Parts:
        """What training moves."""

    @abc.abstractmethod
    def with_trainable(self, parts: Parts) -> "Decoder":
        """The same decoder with other arrays in the place of those of `trainable`."""

    def step_scales(self, fit: FitConfig) -> Sequence[Any]:
        """Share of the step size that each part takes: a number, or the top of its tree."""
        return [1.0] * len(self.trainable())

    def calibrate(self, latents: Float[Array, "n dims"]) -> "Decoder":
        """Estimate from a sample of training latents what evaluation needs besides."""
        return self

    def operators(self) -> list[Operator] | None:
        """What it computes in evaluation mode, operator by operator; `None` if that cannot be told.

        Then it trains, infers and is saved as any other, but cannot leave Python.
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
    """Draw a decoder of the kind that `config.arch` names, by `init` of its module, which takes the
    same arguments.

    Parameters
    ----------
    key : key
    config : DecoderConfig
    image_shape : (height, width, channels)
    output_activation : str
        Of the scaling.
    bias_spread : float
        Biases of hidden layers are uniform up to this share of 1 / √inputs from 0: with biases of
        zero the kinks of all units run through the origin of the latent space.
    latent_spread : float
        Root mean square of the latents that it starts with, for kinds that start in proportion.

    Raises
    ------
    ConfigError
        If the architecture does not go with the images, or is that of a decoder that is given.
    """
    config.check_drawn()
    kind: Any = import_module(KINDS[arch_kind(config.arch)])
    spreads = bias_spread, latent_spread
    return kind.init(key, config, image_shape, output_activation, *spreads)


def shape_decoder(
    config: DecoderConfig, image_shape: tuple[int, int, int], output_activation: str
) -> Decoder:
    """What `init_decoder` draws, with the shapes and dtypes of arrays in their place."""
    return jax.eval_shape(
        lambda: init_decoder(jax.random.key(0), config, image_shape, output_activation)
    )


def part_names(decoder: Decoder) -> tuple[str, ...]:
    """A name for each part of `Decoder.trainable`."""
    hidden = (f"layer_{k}" for k in range(1, len(decoder.trainable())))
    return (*hidden, "output")
