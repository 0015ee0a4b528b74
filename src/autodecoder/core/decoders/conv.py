"""A decoder of transposed convolutions, each of which doubles height and width.

`conv:64-32-16` maps a latent to a grid of 64 channels. Three transposed convolutions then yield 32
channels, 16 channels and the image. `conv:256/64-32-16` has a dense layer of 256 units before the
grid. The architecture follows DCGAN (Radford et al. 2016), by default without normalisation.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.config import Arch, DecoderConfig, FitConfig
from autodecoder.core.decoders.kernels import upsample
from autodecoder.core.decoders.layers import (
    ACTIVATIONS,
    Layer,
    LayeredDecoder,
    Mode,
    Statistics,
    add_bias,
    dense,
    draw_orthogonal,
    finish,
    finishing,
    fold,
    initial_statistics,
    make_layer,
    preserve_variance,
    spread_bias,
    width_share,
)
from autodecoder.core.decoders.operators import (
    Activate,
    Crop,
    Dense,
    Flatten,
    Operator,
    Unflatten,
    Upsample,
)
from autodecoder.errors import ConfigError
from autodecoder.text import count

#: Taps of a kernel that contribute to one output.
_TAPS = 4


class ConvDecoder(LayeredDecoder):
    """Dense layers of the stem, if any, a dense layer to a grid, then transposed convolutions.

    Normalisation, activation and dropout follow each hidden layer as configured. The last layer has
    the output activation of the scaling. An output larger than the image is cropped to its centre.
    """

    image_shape: tuple[int, int, int] = eqx.field(static=True)

    @property
    def n_outputs(self) -> int:
        """See `Decoder`."""
        return math.prod(self.image_shape)

    def step_scales(self, fit: FitConfig) -> Sequence[Any]:
        """Scales by the number of inputs to each output of a layer."""
        first = self._n_dense
        return [
            width_share(fit, layer.n_inputs * (1 if k < first else _TAPS))
            for k, layer in enumerate(self.layers)
        ]

    @property
    def _n_dense(self) -> int:
        """Number of dense layers, the one to the grid included."""
        return len(arch_of(self.config).stem) + 1

    def run(
        self, latents: Float[Array, "n dims"], mode: Mode
    ) -> tuple[Float[Array, "n outputs"], tuple[Statistics, ...]]:
        """See `LayeredDecoder`."""
        fixed = iter(self.statistics)
        hidden, used = latents, []
        for k, layer in enumerate(self.layers[:-1]):
            hidden = self._apply(k, layer, hidden)
            statistics = None if layer.norm_scale is None else next(fixed, None)
            hidden, found = finish(layer, hidden, statistics, mode, k)
            used += [] if found is None else [found]
            hidden, more = self._refine(k, hidden, fixed, mode)
            used += more
        images = self._apply(len(self.layers) - 1, self.layers[-1], hidden)
        top, left, height, width = self._crop()
        images = images[:, top : top + height, left : left + width]
        return ACTIVATIONS[self.output_activation](images.reshape(len(images), -1)), tuple(used)

    def _apply(self, k: int, layer: Layer, hidden: Array) -> Array:
        if k < self._n_dense - 1:
            return dense(layer, hidden)
        if k == self._n_dense - 1:
            weight = layer.weight.reshape(layer.n_inputs, -1)
            return add_bias((hidden @ weight).reshape(-1, *layer.weight.shape[1:]), layer)
        return add_bias(upsample(hidden, layer.weight), layer)

    def _refine(
        self, k: int, hidden: Array, fixed: Iterator[Statistics], mode: Mode
    ) -> tuple[Array, list[Statistics]]:
        """Apply what follows hidden layer `k`. Here nothing; subclasses may add blocks."""
        return hidden, []

    def _crop(self) -> tuple[int, int, int, int]:
        """Top, left, height and width of the image within the last grid."""
        (top, _), (left, _) = grid_margins(arch_of(self.config), self.image_shape)
        return top, left, *self.image_shape[:2]

    def operators(self) -> list[Operator]:
        """See `Decoder`."""
        fixed = iter(self.statistics)
        steps: list[Operator] = []
        for k, layer in enumerate(self.layers[:-1]):
            statistics = None if layer.norm_scale is None else next(fixed, None)
            weight, bias = fold(layer, statistics)
            if k < self._n_dense - 1:
                steps.append(Dense(weight, bias))
            elif k == self._n_dense - 1:
                flat = None if bias is None else np.broadcast_to(bias, weight.shape[1:]).ravel()
                steps.append(Dense(weight.reshape(len(weight), -1), flat))
                steps.append(Unflatten(*weight.shape[1:]))
            else:
                steps.append(Upsample(weight, bias))
            steps += finishing(layer, self.config, of_images=k >= self._n_dense - 1)
            steps += self._refining(k, fixed)
        steps.append(Upsample(*fold(self.layers[-1], None)))
        crop = Crop(*self._crop())
        return [*steps, crop, Flatten(), Activate(self.output_activation)]

    def _refining(self, k: int, fixed: Iterator[Statistics]) -> list[Operator]:
        """`_refine` in evaluation mode."""
        return []


def init(
    key: PRNGKeyArray,
    config: DecoderConfig,
    image_shape: tuple[int, int, int],
    output_activation: str,
    bias_spread: float,
    latent_spread: float,
) -> ConvDecoder:
    """Draw a decoder with orthogonal kernels that preserve the variance from layer to layer.

    The four phases of a transposed convolution share their initial weights, so that the first
    images have no checkerboard pattern. Biases of the hidden layers are drawn by `bias_spread`.
    """
    layers = draw_layers(key, config, image_shape, bias_spread, latent_spread)
    return ConvDecoder(
        layers=layers,
        statistics=initial_statistics(layers, config),
        config=config,
        image_shape=image_shape,
        output_activation=output_activation,
    )


def arch_of(config: DecoderConfig) -> Arch:
    """The architecture of a convolutional decoder."""
    assert isinstance(config.arch, Arch)
    return config.arch


def grid_size(arch: Arch, image_shape: tuple[int, int, int]) -> tuple[int, int]:
    """Height and width of the first grid.

    Raises
    ------
    ConfigError
        If a grid of 1 × 1 covers the image before the last doubling.
    """
    height, width, _ = image_shape
    doublings = len(arch.widths)
    if 2 ** (doublings - 1) >= max(height, width):
        most = math.ceil(math.log2(max(height, width)))
        remedy = f"name {count(most, 'width')} at most" if most else "use a dense arch"
        raise ConfigError(
            f"arch {arch} doubles a grid {count(doublings, 'time')}, too often for images of "
            f"{height} × {width}: {remedy}."
        )
    return -(-height // 2**doublings), -(-width // 2**doublings)


def grid_margins(
    arch: Arch, image_shape: tuple[int, int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows of the last grid above and below the image, and columns to its left and right."""
    made = [side * 2 ** len(arch.widths) for side in grid_size(arch, image_shape)]
    spare = [side - wanted for side, wanted in zip(made, image_shape[:2], strict=True)]
    rows, columns = ((n // 2, n - n // 2) for n in spare)
    return rows, columns


def draw_layers(
    key: PRNGKeyArray,
    config: DecoderConfig,
    image_shape: tuple[int, int, int],
    bias_spread: float,
    latent_spread: float,
) -> tuple[Layer, ...]:
    """Draw the layers from the latents to the image.

    For latents with root mean square `latent_spread`, each layer's outputs have about unit
    variance.
    """
    arch = arch_of(config)
    height, width = grid_size(arch, image_shape)
    units = (config.latent_dims, *arch.stem)
    shapes = list(itertools.pairwise(units))
    shapes.append((units[-1], height * width * arch.widths[0]))
    shapes += [(_TAPS * a, b) for a, b in itertools.pairwise((*arch.widths, image_shape[2]))]
    bias_key = jax.random.fold_in(key, 0)
    layers = []
    for k, weight in enumerate(draw_orthogonal(key, shapes)):
        n_in = len(weight)
        weight = preserve_variance(weight, config.activation if k else "linear")
        weight = weight if k else weight / latent_spread
        if k == len(arch.stem):
            weight = weight.reshape(n_in, height, width, arch.widths[0])
        elif k > len(arch.stem):
            weight = _spread_taps(weight)
        hidden = k < len(shapes) - 1
        layer = make_layer(weight, config, norm=hidden)
        if k == len(arch.stem) and config.use_bias:  # one bias per unit of the grid
            layer = layer._replace(bias=jnp.zeros(weight.shape[1:]))
        if hidden:
            layer = spread_bias(jax.random.fold_in(bias_key, k), layer, n_in, bias_spread)
        layers.append(layer)
    return tuple(layers)


def _spread_taps(weight: Float[Array, "four_inputs outputs"]) -> Float[Array, "inputs 4 4 outputs"]:
    """A kernel whose two inner taps along each side are equal, as are its two outer taps."""
    near_far = weight.reshape(-1, 2, 2, weight.shape[1])
    taps = np.array([1, 0, 0, 1])
    return near_far[:, taps][:, :, taps]
