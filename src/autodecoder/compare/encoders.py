"""Encoders for the baselines: a decoder's architecture, mirrored."""

import itertools
import math
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.config import OWN, Arch, DecoderConfig, FitConfig
from autodecoder.core.decoders import Decoder, init_decoder
from autodecoder.core.decoders.conv import arch_of, grid_margins, grid_size
from autodecoder.core.decoders.kernels import downsample
from autodecoder.core.decoders.layers import (
    LayeredDecoder,
    Mode,
    Statistics,
    add_bias,
    dense,
    draw_orthogonal,
    finish,
    initial_statistics,
    make_layer,
    preserve_variance,
    spread_bias,
    width_share,
)
from autodecoder.errors import ConfigError

#: Pixels that a kernel combines into one output, per channel.
_TAPS = 16


def init_encoder(
    key: PRNGKeyArray,
    config: DecoderConfig,
    image_shape: tuple[int, int, int],
    n_codes: int,
    bias_spread: float,
) -> Decoder:
    """Draw an encoder, which maps images `(n, pixels)` in the scaled space to `(n, n_codes)`.

    It mirrors the decoder of `config`: the same widths in reverse order, and the same activation,
    normalisation and dropout. Residual blocks have no mirror image and are left out. An encoder
    maps rows to rows too, and has the interface of a `Decoder`.

    Raises
    ------
    ConfigError
        If the decoder is a user's own module.
    """
    if config.arch == OWN:
        raise ConfigError("an encoder mirrors the decoder, which must be dense, conv or resconv.")
    if isinstance(config.arch, Arch):
        return _draw_conv(key, config, image_shape, n_codes, bias_spread)
    mirrored = replace(config, arch=config.arch[::-1], latent_dims=math.prod(image_shape))
    return init_decoder(key, mirrored, (1, n_codes, 1), "linear", bias_spread)


class ConvEncoder(LayeredDecoder):
    """Convolutions of stride 2 to the decoder's first grid, then dense layers.

    Normalisation, activation and dropout follow each hidden layer as configured. Images are padded
    with zeros on all sides to the decoder's last grid.
    """

    image_shape: tuple[int, int, int] = eqx.field(static=True)

    @property
    def n_outputs(self) -> int:
        """Number of codes."""
        return self.layers[-1].n_outputs

    @property
    def _n_convolved(self) -> int:
        return len(arch_of(self.config).widths)

    def step_scales(self, fit: FitConfig) -> list[Any]:
        """Scales by the number of inputs to each output of a layer."""
        first = self._n_convolved
        return [
            width_share(fit, layer.n_inputs * (1 if k >= first else _TAPS))
            for k, layer in enumerate(self.layers)
        ]

    def run(
        self, latents: Float[Array, "n dims"], mode: Mode
    ) -> tuple[Float[Array, "n outputs"], tuple[Statistics, ...]]:
        """See `LayeredDecoder`; the `latents` are images here."""
        fixed = self.statistics or [None] * (len(self.layers) - 1)
        hidden, used = self._pad(latents), []
        for k, layer in enumerate(self.layers):
            if k < self._n_convolved:
                outputs = add_bias(downsample(hidden, layer.weight), layer)
            else:
                outputs = dense(layer, hidden.reshape(len(hidden), -1))
            if k == len(self.layers) - 1:
                return outputs, tuple(used)
            hidden, found = finish(layer, outputs, fixed[k], mode, k)
            used += [] if found is None else [found]
        raise AssertionError("there is at least one layer")

    def _pad(self, images: Float[Array, "n pixels"]) -> Float[Array, "n height width channels"]:
        rows, columns = grid_margins(arch_of(self.config), self.image_shape)
        return jnp.pad(images.reshape(-1, *self.image_shape), ((0, 0), rows, columns, (0, 0)))


def _draw_conv(
    key: PRNGKeyArray,
    config: DecoderConfig,
    image_shape: tuple[int, int, int],
    n_codes: int,
    bias_spread: float,
) -> ConvEncoder:
    """Draw the layers, each of which preserves the variance of its inputs."""
    arch = arch_of(config)
    height, width = grid_size(arch, image_shape)
    channels = (image_shape[2], *arch.widths[::-1])
    units = (height * width * arch.widths[0], *arch.stem[::-1], n_codes)
    shapes = [(_TAPS * a, b) for a, b in itertools.pairwise(channels)]
    shapes += itertools.pairwise(units)
    bias_key = jax.random.fold_in(key, 0)
    layers = []
    for k, weight in enumerate(draw_orthogonal(key, shapes)):
        n_in, hidden = len(weight), k < len(shapes) - 1
        weight = preserve_variance(weight, config.activation if k else "linear")
        if k < len(arch.widths):
            weight = weight.reshape(channels[k], 4, 4, -1)
        layer = make_layer(weight, config, norm=hidden)
        if hidden:
            layer = spread_bias(jax.random.fold_in(bias_key, k), layer, n_in, bias_spread)
        layers.append(layer)
    return ConvEncoder(
        layers=tuple(layers),
        statistics=initial_statistics(layers, config),
        config=config,
        output_activation="linear",
        image_shape=image_shape,
    )
