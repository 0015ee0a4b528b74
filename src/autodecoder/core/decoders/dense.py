"""The fully connected decoder."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.config import DecoderConfig, FitConfig
from autodecoder.core.decoders.contract import Decoder
from autodecoder.core.decoders.layers import (
    ACTIVATIONS,
    Layer,
    Mode,
    Statistics,
    dense,
    finish,
    finishing,
    fold,
    initial_statistics,
    make_layer,
    orthogonal,
    spread_bias,
    width_share,
)
from autodecoder.core.decoders.operators import Activate, Dense, Operator


class DenseDecoder(Decoder):
    """Dense hidden layers, then normalisation, activation and dropout where configured; the last
    layer is dense with the output activation of the scaling."""

    layers: tuple[Layer, ...]
    statistics: tuple[Statistics, ...]
    """One for each hidden layer with batch normalisation on, else empty."""
    config: DecoderConfig = eqx.field(static=True)
    output_activation: str = eqx.field(static=True)

    def decode(
        self, latents: Float[Array, "n dims"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n outputs"]:
        """See `Decoder`."""
        return self._run(latents, Mode(self.config, key, batch_statistics=key is not None))[0]

    @property
    def n_outputs(self) -> int:
        """See `Decoder`."""
        return self.layers[-1].n_outputs

    def trainable(self) -> tuple[Layer, ...]:
        """Its layers."""
        return self.layers

    def with_trainable(self, parts: tuple[Layer, ...]) -> "DenseDecoder":
        """See `Decoder`."""
        return replace(self, layers=parts)

    def step_scales(self, fit: FitConfig) -> Sequence[float]:
        """By the inputs of each layer."""
        return [width_share(fit, layer.n_inputs) for layer in self.layers]

    def calibrate(self, latents: Float[Array, "n dims"]) -> "DenseDecoder":
        """Set the statistics for evaluation to those of a sample of training latents.

        They replace the moving averages usual elsewhere. Latents that start at zero spread by a few
        hundredths only, so that within the hundred batches that an average looks back, the decoder
        drifts by more than the latents spread, and evaluation falls apart: on MNIST, after 8
        epochs, a fresh validation loss of 0.198 with moving averages, 0.172 with these (500-500, 2
        dimensions).

        References
        ----------
        Wu & Johnson 2021, "Rethinking 'Batch' in BatchNorm", section 3 ("precise" statistics).
        """
        if not self.statistics:
            return self
        statistics = self._run(latents, Mode(self.config, None, batch_statistics=True))[1]
        return replace(self, statistics=statistics)

    def _run(
        self, latents: Float[Array, "n dims"], mode: Mode
    ) -> tuple[Float[Array, "n outputs"], tuple[Statistics, ...]]:
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
) -> DenseDecoder:
    """Draw a decoder: orthogonal kernels, biases of the hidden layers by `bias_spread`."""
    assert isinstance(config.arch, tuple)  # of this kind
    shapes = list(itertools.pairwise((config.latent_dims, *config.arch, math.prod(image_shape))))
    # All numbers at once: each call for some takes a fifth of a second to compile.
    ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
    draws = jnp.split(jax.random.normal(key, (ends[-1],)), ends[:-1])
    layers, statistics = [], []
    bias_key = jax.random.fold_in(key, 0)
    for k, ((n_in, n_out), numbers) in enumerate(zip(shapes, draws, strict=True)):
        hidden = k < len(config.arch)
        layer = make_layer(orthogonal(numbers, n_in, n_out), config, norm=hidden)
        if hidden:
            layer = spread_bias(jax.random.fold_in(bias_key, k), layer, n_in, bias_spread)
        found = initial_statistics(layer, config)
        statistics += [] if found is None else [found]
        layers.append(layer)
    return DenseDecoder(
        layers=tuple(layers),
        statistics=tuple(statistics),
        config=config,
        output_activation=output_activation,
    )
