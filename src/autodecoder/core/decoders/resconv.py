"""A decoder of transposed convolutions with a residual block for each grid (He et al. 2016)."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from autodecoder.config import DecoderConfig, FitConfig
from autodecoder.core.decoders.contract import Parts
from autodecoder.core.decoders.conv import ConvDecoder, arch_of, draw_layers
from autodecoder.core.decoders.kernels import convolve
from autodecoder.core.decoders.layers import (
    Layer,
    Mode,
    Statistics,
    add_bias,
    draw_orthogonal,
    finish,
    finishing,
    fold,
    initial_statistics,
    make_layer,
    preserve_variance,
    width_share,
)
from autodecoder.core.decoders.operators import Convolve, Operator, Residual

#: Taps of a 3 × 3 kernel.
_TAPS = 9


class Stage(NamedTuple):
    """One layer with its residual block: a part of `Decoder.trainable`.

    Also used as a tree of the same structure with other leaves, such as step scales.
    """

    layer: Any
    block: Any
    """The two layers of the block; `None` for layers before the grid and for the output layer."""


class ResConvDecoder(ConvDecoder):
    """A `ConvDecoder` with a residual block of two 3 × 3 convolutions after each grid.

    The second convolution of each block starts at zero, so that initially the blocks change
    nothing.
    """

    blocks: tuple[tuple[Layer, Layer], ...]
    """The two layers of each block, in order from the smallest grid."""

    def trainable(self) -> Parts:
        """One `Stage` per layer."""
        return tuple(Stage(layer, self._block(k)) for k, layer in enumerate(self.layers))

    def with_trainable(self, parts: Parts) -> "ResConvDecoder":
        """See `Decoder`."""
        blocks = tuple(stage.block for stage in parts if stage.block is not None)
        return replace(self, layers=tuple(stage.layer for stage in parts), blocks=blocks)

    def step_scales(self, fit: FitConfig) -> Sequence[Any]:
        """Scales by the number of inputs to each output of a layer."""
        scales = super().step_scales(fit)
        return [
            scale
            if stage.block is None
            else Stage(scale, (width_share(fit, _TAPS * stage.layer.n_outputs),) * 2)
            for stage, scale in zip(self.trainable(), scales, strict=True)
        ]

    def _refine(
        self, k: int, hidden: Array, fixed: Iterator[Statistics], mode: Mode
    ) -> tuple[Array, list[Statistics]]:
        block = self._block(k)
        if block is None:
            return hidden, []
        inner, outer = block
        statistics = None if inner.norm_scale is None else next(fixed, None)
        convolved = add_bias(convolve(hidden, inner.weight), inner)
        # The number, which selects the dropout mask, differs from those of all layers.
        convolved, found = finish(inner, convolved, statistics, mode, len(self.layers) + k)
        more = add_bias(convolve(convolved, outer.weight), outer)
        return hidden + more, [] if found is None else [found]

    def _refining(self, k: int, fixed: Iterator[Statistics]) -> list[Operator]:
        block = self._block(k)
        if block is None:
            return []
        inner, outer = block
        statistics = None if inner.norm_scale is None else next(fixed, None)
        steps = (
            Convolve(*fold(inner, statistics)),
            *finishing(inner, self.config, of_images=True),
            Convolve(*fold(outer, None)),
        )
        return [Residual(steps)]

    def _block(self, k: int) -> tuple[Layer, Layer] | None:
        number = k - (self._n_dense - 1)
        return self.blocks[number] if 0 <= number < len(self.blocks) else None


def init(
    key: PRNGKeyArray,
    config: DecoderConfig,
    image_shape: tuple[int, int, int],
    output_activation: str,
    bias_spread: float,
    latent_spread: float,
) -> ResConvDecoder:
    """Draw the layers as for a `ConvDecoder`, and the residual blocks."""
    layers = draw_layers(key, config, image_shape, bias_spread, latent_spread)
    blocks, in_order = [], []
    for k, layer in enumerate(layers[:-1]):
        in_order.append(layer)
        if k >= len(arch_of(config).stem):
            blocks.append(_draw_block(jax.random.fold_in(key, k + 1), layer.n_outputs, config))
            in_order += blocks[-1]
    return ResConvDecoder(
        layers=layers,
        blocks=tuple(blocks),
        statistics=initial_statistics(in_order, config),
        config=config,
        image_shape=image_shape,
        output_activation=output_activation,
    )


def _draw_block(key: PRNGKeyArray, channels: int, config: DecoderConfig) -> tuple[Layer, Layer]:
    (weight,) = draw_orthogonal(key, [(_TAPS * channels, channels)])
    weight = preserve_variance(weight, config.activation).reshape(channels, 3, 3, channels)
    inner = make_layer(weight, config, norm=True)
    return inner, make_layer(jnp.zeros_like(weight), config, norm=False)
