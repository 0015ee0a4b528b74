"""The fully connected decoder."""

import itertools
import math
from collections.abc import Sequence

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.config import DecoderConfig, FitConfig
from autodecoder.core.decoders.layers import (
    ACTIVATIONS,
    LayeredDecoder,
    Mode,
    Statistics,
    dense,
    draw_orthogonal,
    finish,
    finishing,
    fold,
    initial_statistics,
    make_layer,
    spread_bias,
    width_share,
)
from autodecoder.core.decoders.operators import Activate, Dense, Operator


class DenseDecoder(LayeredDecoder):
    """Dense layers. Normalisation, activation and dropout follow each hidden layer as configured.

    The last layer has the output activation of the scaling.
    """

    @property
    def n_outputs(self) -> int:
        """See `Decoder`."""
        return self.layers[-1].n_outputs

    def step_scales(self, fit: FitConfig) -> Sequence[float]:
        """Scales by the number of inputs of each layer."""
        return [width_share(fit, layer.n_inputs) for layer in self.layers]

    def run(
        self, latents: Float[Array, "n dims"], mode: Mode
    ) -> tuple[Float[Array, "n outputs"], tuple[Statistics, ...]]:
        """See `LayeredDecoder`."""
        fixed = self.statistics or [None] * (len(self.layers) - 1)
        hidden, used = latents, []
        for k, (layer, statistics) in enumerate(zip(self.layers[:-1], fixed, strict=True)):
            hidden, found = finish(layer, dense(layer, hidden), statistics, mode, k)
            used += [] if found is None else [found]
        outputs = ACTIVATIONS[self.output_activation](dense(self.layers[-1], hidden))
        return outputs, tuple(used)

    def operators(self) -> list[Operator]:
        """See `Decoder`."""
        fixed = self.statistics or [None] * (len(self.layers) - 1)
        steps: list[Operator] = []
        for layer, statistics in zip(self.layers[:-1], fixed, strict=True):
            steps += [
                Dense(*fold(layer, statistics)),
                *finishing(layer, self.config, of_images=False),
            ]
        return [*steps, Dense(*fold(self.layers[-1], None)), Activate(self.output_activation)]


def init(
    key: PRNGKeyArray,
    config: DecoderConfig,
    image_shape: tuple[int, int, int],
    output_activation: str,
    bias_spread: float,
    latent_spread: float,
) -> DenseDecoder:
    """Draw a decoder with orthogonal kernels and biases by `bias_spread`; ignores `latent_spread`.

    Only hidden layers draw their biases; those of the last layer start at zero.
    """
    assert isinstance(config.arch, tuple)  # the type of dense architectures
    shapes = list(itertools.pairwise((config.latent_dims, *config.arch, math.prod(image_shape))))
    bias_key = jax.random.fold_in(key, 0)
    layers = []
    for k, weight in enumerate(draw_orthogonal(key, shapes)):
        hidden = k < len(config.arch)
        layer = make_layer(weight, config, norm=hidden)
        if hidden:
            layer = spread_bias(jax.random.fold_in(bias_key, k), layer, len(weight), bias_spread)
        layers.append(layer)
    return DenseDecoder(
        layers=tuple(layers),
        statistics=initial_statistics(layers, config),
        config=config,
        output_activation=output_activation,
    )
