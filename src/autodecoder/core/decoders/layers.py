"""What kinds of decoders share: activations, normalisation, dropout, and how kernels are drawn."""

import abc
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.config import DecoderConfig, FitConfig
from autodecoder.core.decoders.contract import Decoder, Parts
from autodecoder.core.decoders.operators import Activate, GroupNorm, Operator

NORM_EPSILON = 1e-3  # as in Keras
#: Points of the Gauss-Hermite quadrature over what an activation makes of a normal number.
_QUADRATURE = 40

ACTIVATIONS: MappingProxyType[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "relu": jax.nn.relu,
        "leaky_relu": partial(jax.nn.leaky_relu, negative_slope=0.2),
        "elu": jax.nn.elu,
        "selu": jax.nn.selu,
        "gelu": partial(jax.nn.gelu, approximate=False),
        "tanh": jnp.tanh,
        "sigmoid": jax.nn.sigmoid,
        "softplus": jax.nn.softplus,
        "swish": jax.nn.silu,
        "silu": jax.nn.silu,
        "mish": jax.nn.mish,
        "linear": lambda x: x,
    }
)


class Layer(NamedTuple):
    """Trainable arrays of one layer; absent parts are `None`."""

    weight: Float[Array, "inputs *kernel outputs"]
    bias: Float[Array, "*spatial outputs"] | None
    norm_scale: Float[Array, " outputs"] | None
    norm_offset: Float[Array, " outputs"] | None

    @property
    def n_inputs(self) -> int:
        return self.weight.shape[0]

    @property
    def n_outputs(self) -> int:
        return self.weight.shape[-1]


class Statistics(NamedTuple):
    """Mean and variance that batch normalisation uses in evaluation mode."""

    mean: Float[Array, " outputs"]
    variance: Float[Array, " outputs"]


def make_layer(
    weight: Float[Array, "inputs *kernel outputs"], config: DecoderConfig, *, norm: bool
) -> Layer:
    """A layer with zero biases, normalised unless it is one that never is."""
    n = weight.shape[-1]
    norm = norm and config.normalisation != "none"
    return Layer(
        weight=weight,
        bias=jnp.zeros(n) if config.use_bias else None,
        norm_scale=jnp.ones(n) if norm else None,
        norm_offset=jnp.zeros(n) if norm else None,
    )


def spread_bias(key: PRNGKeyArray, layer: Layer, fan_in: int, spread: float) -> Layer:
    """Biases uniform up to `spread` / √`fan_in` from 0; as they are without a spread."""
    if not spread or layer.bias is None:
        return layer
    reach = spread / math.sqrt(fan_in)
    return layer._replace(
        bias=jax.random.uniform(key, layer.bias.shape, minval=-reach, maxval=reach)
    )


def initial_statistics(layers: Iterable[Layer], config: DecoderConfig) -> tuple[Statistics, ...]:
    """Before the first estimate, of the layers that are normalised by batch."""
    if config.normalisation != "batch":
        return ()
    widths = [layer.n_outputs for layer in layers if layer.norm_scale is not None]
    return tuple(Statistics(jnp.zeros(n), jnp.ones(n)) for n in widths)


def draw_orthogonal(
    key: PRNGKeyArray, shapes: Sequence[tuple[int, int]]
) -> list[Float[Array, "n_in n_out"]]:
    """A matrix of each shape with orthonormal rows or columns, whichever are fewer (Saxe et al.
    2014)."""
    # All numbers at once: each call for some takes a fifth of a second to compile.
    ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
    draws = jnp.split(jax.random.normal(key, (ends[-1],)), ends[:-1])
    return [_orthogonal(draw, *shape) for draw, shape in zip(draws, shapes, strict=True)]


def _orthogonal(
    numbers: Float[Array, " entries"], n_in: int, n_out: int
) -> Float[Array, "n_in n_out"]:
    """From normal numbers."""
    tall = numbers.reshape(max(n_in, n_out), min(n_in, n_out))
    basis, triangle = jnp.linalg.qr(tall)
    basis = basis * jnp.sign(jnp.diag(triangle))  # evenly distributed (Mezzadri 2007)
    return basis if n_in >= n_out else basis.T


def preserve_variance(
    weight: Float[Array, "n_in n_out"], activation: str
) -> Float[Array, "n_in n_out"]:
    """An orthogonal matrix scaled such that outputs have about unit variance (He et al. 2015).

    Parameters
    ----------
    weight : (n_in, n_out)
        From `draw_orthogonal`.
    activation : str
        Through which the inputs come; they have unit variance before it.
    """
    n_in, n_out = weight.shape
    points, shares = np.polynomial.hermite_e.hermegauss(_QUADRATURE)
    square = ACTIVATIONS[activation](jnp.asarray(points, jnp.float32)) ** 2
    mean_square = jnp.sum(square * (shares / shares.sum()))
    return weight * jnp.sqrt(max(1, n_out / n_in) / mean_square)


def width_share(fit: FitConfig, fan_in: int) -> float:
    """Share of the step size that a layer takes.

    A step of Adam moves every weight by as much, and an output by as much as there are inputs:
    steps in inverse proportion keep that change, and one step size is good for all widths (Yang et
    al. 2021, "Tensor Programs V").
    """
    return 1.0 if fit.base_width is None else min(1.0, fit.base_width / fan_in)


def dense(layer: Layer, inputs: Float[Array, "n inputs"]) -> Float[Array, "n outputs"]:
    """The layer before normalisation and activation, of rows."""
    return add_bias(inputs @ layer.weight, layer)


def add_bias(outputs: Float[Array, "*spatial outputs"], layer: Layer) -> Array:
    return outputs if layer.bias is None else outputs + layer.bias


class Mode(NamedTuple):
    """How a decoder runs: in training mode by the batch's own statistics, and with dropout."""

    config: DecoderConfig
    key: PRNGKeyArray | None
    """For dropout; without one there is none."""
    batch_statistics: bool


class LayeredDecoder(Decoder):
    """A decoder of layers one after the other; a kind says how they run."""

    layers: tuple[Layer, ...]
    statistics: tuple[Statistics, ...]
    """One for each layer with batch normalisation on, in the order in which they run."""
    config: DecoderConfig = eqx.field(static=True)
    output_activation: str = eqx.field(static=True)

    @abc.abstractmethod
    def run(
        self, latents: Float[Array, "n dims"], mode: Mode
    ) -> tuple[Float[Array, "n outputs"], tuple[Statistics, ...]]:
        """Outputs, and the statistics that were used."""

    def decode(
        self, latents: Float[Array, "n dims"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n outputs"]:
        """See `Decoder`."""
        return self.run(latents, Mode(self.config, key, batch_statistics=key is not None))[0]

    def trainable(self) -> Parts:
        """Its layers."""
        return self.layers

    def with_trainable(self, parts: Parts) -> "LayeredDecoder":
        """See `Decoder`."""
        return replace(self, layers=parts)

    def calibrate(self, latents: Float[Array, "n dims"]) -> "LayeredDecoder":
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
        statistics = self.run(latents, Mode(self.config, None, batch_statistics=True))[1]
        return replace(self, statistics=statistics)


def finish(
    layer: Layer,
    outputs: Float[Array, "*spatial outputs"],
    fixed: Statistics | None,
    mode: Mode,
    number: int,
) -> tuple[Float[Array, "*spatial outputs"], Statistics | None]:
    """Normalise, activate and drop out, with the statistics that were used."""
    config, used = mode.config, None
    if layer.norm_scale is not None:
        assert layer.norm_offset is not None  # set together
        if config.normalisation == "group":
            outputs = _group_norm(outputs, config.norm_groups)
            outputs = outputs * layer.norm_scale + layer.norm_offset
        else:
            used = _statistics(outputs) if mode.batch_statistics else fixed
            assert used is not None  # set together with the scale
            # Batch normalisation (Ioffe & Szegedy 2015).
            factor = layer.norm_scale * jax.lax.rsqrt(used.variance + NORM_EPSILON)
            outputs = (outputs - used.mean) * factor + layer.norm_offset
    outputs = ACTIVATIONS[config.activation](outputs)
    if config.dropout_rate and mode.key is not None:
        kept = 1 - config.dropout_rate
        mask = jax.random.bernoulli(jax.random.fold_in(mode.key, number), kept, outputs.shape)
        outputs = jnp.where(mask, outputs / kept, 0)
    return outputs, used


def _statistics(outputs: Float[Array, "*spatial outputs"]) -> Statistics:
    axes = tuple(range(outputs.ndim - 1))
    return Statistics(jnp.mean(outputs, axis=axes), jnp.var(outputs, axis=axes))


def _group_norm(outputs: Float[Array, "n *spatial channels"], n_groups: int) -> Array:
    """Each group of channels of each sample by its own mean and variance (Wu & He 2018)."""
    n, *spatial, channels = outputs.shape
    grouped = outputs.reshape(n, *spatial, n_groups, channels // n_groups)
    axes = (*range(1, grouped.ndim - 2), grouped.ndim - 1)
    mean = jnp.mean(grouped, axis=axes, keepdims=True)
    variance = jnp.var(grouped, axis=axes, keepdims=True)
    return ((grouped - mean) * jax.lax.rsqrt(variance + NORM_EPSILON)).reshape(outputs.shape)


def fold(layer: Layer, statistics: Statistics | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Weight and bias in double precision; batch normalisation, whose statistics are fixed in
    evaluation, becomes part of them."""
    weight = np.asarray(layer.weight, np.float64)
    bias = None if layer.bias is None else np.asarray(layer.bias, np.float64)
    if statistics is None:
        return weight, bias
    mean, variance, scale, offset = (
        np.asarray(array, np.float64)
        for array in (*statistics, layer.norm_scale, layer.norm_offset)
    )
    factor = scale / np.sqrt(variance + NORM_EPSILON)
    return weight * factor, ((0 if bias is None else bias) - mean) * factor + offset


def finishing(layer: Layer, config: DecoderConfig, *, of_images: bool) -> list[Operator]:
    """What `finish` does in evaluation mode, but for what `fold` has done."""
    steps: list[Operator] = []
    if layer.norm_scale is not None and config.normalisation == "group":
        scale, offset = (
            np.asarray(array, np.float64) for array in (layer.norm_scale, layer.norm_offset)
        )
        steps.append(GroupNorm(config.norm_groups, of_images, scale, offset, NORM_EPSILON))
    return [*steps, Activate(config.activation)]
