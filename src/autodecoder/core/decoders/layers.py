"""Parts shared by kinds of decoders: activations, normalisation, dropout, initialisation."""

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
#: Points of the Gauss-Hermite quadrature for the mean square of an activation of a normal variable.
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
    """A layer with zero biases, and with normalisation if `norm` is set and configured."""
    n = weight.shape[-1]
    norm = norm and config.normalisation != "none"
    return Layer(
        weight=weight,
        bias=jnp.zeros(n) if config.use_bias else None,
        norm_scale=jnp.ones(n) if norm else None,
        norm_offset=jnp.zeros(n) if norm else None,
    )


def spread_bias(key: PRNGKeyArray, layer: Layer, fan_in: int, spread: float) -> Layer:
    """Draw biases uniformly within ± `spread` / √`fan_in`; a spread of 0 leaves them unchanged."""
    if not spread or layer.bias is None:
        return layer
    reach = spread / math.sqrt(fan_in)
    return layer._replace(
        bias=jax.random.uniform(key, layer.bias.shape, minval=-reach, maxval=reach)
    )


def initial_statistics(layers: Iterable[Layer], config: DecoderConfig) -> tuple[Statistics, ...]:
    """Mean 0 and variance 1 for each layer with batch normalisation, until the first estimate."""
    if config.normalisation != "batch":
        return ()
    widths = [layer.n_outputs for layer in layers if layer.norm_scale is not None]
    return tuple(Statistics(jnp.zeros(n), jnp.ones(n)) for n in widths)


def draw_orthogonal(
    key: PRNGKeyArray, shapes: Sequence[tuple[int, int]]
) -> list[Float[Array, "n_in n_out"]]:
    """Draw a matrix of each shape with orthonormal rows or columns, whichever are fewer (Saxe et
    al. 2014)."""
    # All numbers in one call: each call with a new shape takes a fifth of a second to compile.
    ends = list(itertools.accumulate(math.prod(shape) for shape in shapes))
    draws = jnp.split(jax.random.normal(key, (ends[-1],)), ends[:-1])
    return [_orthogonal(draw, *shape) for draw, shape in zip(draws, shapes, strict=True)]


def _orthogonal(
    numbers: Float[Array, " entries"], n_in: int, n_out: int
) -> Float[Array, "n_in n_out"]:
    """An orthogonal matrix from independent standard normal numbers."""
    tall = numbers.reshape(max(n_in, n_out), min(n_in, n_out))
    basis, triangle = jnp.linalg.qr(tall)
    basis = basis * jnp.sign(jnp.diag(triangle))  # evenly distributed (Mezzadri 2007)
    return basis if n_in >= n_out else basis.T


def preserve_variance(
    weight: Float[Array, "n_in n_out"], activation: str
) -> Float[Array, "n_in n_out"]:
    """Scale an orthogonal matrix so that outputs have about unit variance (He et al. 2015).

    Parameters
    ----------
    weight : (n_in, n_out)
        From `draw_orthogonal`.
    activation : str
        Activation of the inputs, whose variance before it is 1.
    """
    n_in, n_out = weight.shape
    points, shares = np.polynomial.hermite_e.hermegauss(_QUADRATURE)
    square = ACTIVATIONS[activation](jnp.asarray(points, jnp.float32)) ** 2
    mean_square = jnp.sum(square * (shares / shares.sum()))
    return weight * jnp.sqrt(max(1, n_out / n_in) / mean_square)


def width_share(fit: FitConfig, fan_in: int) -> float:
    """Factor on the step size of a layer with `fan_in` inputs to each output.

    A step of Adam moves all weights by about the same amount, so that the change of an output grows
    with the number of inputs. Step sizes in inverse proportion to it keep the change constant, and
    one learning rate suits all widths (Yang et al. 2021, "Tensor Programs V").
    """
    return 1.0 if fit.base_width is None else min(1.0, fit.base_width / fan_in)


def dense(layer: Layer, inputs: Float[Array, "n inputs"]) -> Float[Array, "n outputs"]:
    """Apply a dense layer to rows, without normalisation and activation."""
    return add_bias(inputs @ layer.weight, layer)


def add_bias(outputs: Float[Array, "*spatial outputs"], layer: Layer) -> Array:
    return outputs if layer.bias is None else outputs + layer.bias


class Mode(NamedTuple):
    """How a decoder runs. Training mode has batch statistics and dropout, evaluation neither."""

    config: DecoderConfig
    key: PRNGKeyArray | None
    """Key for dropout; `None` turns dropout off."""
    batch_statistics: bool
    """Whether batch normalisation uses the statistics of the batch, or the fixed ones."""


class LayeredDecoder(Decoder):
    """A decoder of successive layers; subclasses define how they run."""

    layers: tuple[Layer, ...]
    statistics: tuple[Statistics, ...]
    """One entry for each layer with batch normalisation, in the order in which layers run."""
    config: DecoderConfig = eqx.field(static=True)
    output_activation: str = eqx.field(static=True)

    @abc.abstractmethod
    def run(
        self, latents: Float[Array, "n dims"], mode: Mode
    ) -> tuple[Float[Array, "n outputs"], tuple[Statistics, ...]]:
        """Return the outputs and the batch normalisation statistics that were used."""

    def decode(
        self, latents: Float[Array, "n dims"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n outputs"]:
        """See `Decoder`."""
        return self.run(latents, Mode(self.config, key, batch_statistics=key is not None))[0]

    def trainable(self) -> Parts:
        """The layers."""
        return self.layers

    def with_trainable(self, parts: Parts) -> "LayeredDecoder":
        """See `Decoder`."""
        return replace(self, layers=parts)

    def calibrate(self, latents: Float[Array, "n dims"]) -> "LayeredDecoder":
        """Set the statistics for evaluation to those of a sample of training latents.

        They replace the usual moving averages. Latents that start at zero have a standard deviation
        of only a few hundredths. Over the hundred batches of a moving average, the decoder changes
        by more than that, and the averages no longer fit it. On MNIST after 8 epochs (500-500, 2
        dimensions), the fresh validation loss is 0.172 with these statistics and 0.198 with moving
        averages.

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
    """Apply normalisation, activation and dropout; return the outputs and the statistics used."""
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
    """Normalise each group of channels of each sample by its mean and variance (Wu & He 2018)."""
    n, *spatial, channels = outputs.shape
    grouped = outputs.reshape(n, *spatial, n_groups, channels // n_groups)
    axes = (*range(1, grouped.ndim - 2), grouped.ndim - 1)
    mean = jnp.mean(grouped, axis=axes, keepdims=True)
    variance = jnp.var(grouped, axis=axes, keepdims=True)
    return ((grouped - mean) * jax.lax.rsqrt(variance + NORM_EPSILON)).reshape(outputs.shape)


def fold(layer: Layer, statistics: Statistics | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Weight and bias in double precision, with the fixed statistics of batch normalisation folded
    into them."""
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
    """The operators of `finish` in evaluation mode, without those that `fold` covers."""
    steps: list[Operator] = []
    if layer.norm_scale is not None and config.normalisation == "group":
        scale, offset = (
            np.asarray(array, np.float64) for array in (layer.norm_scale, layer.norm_offset)
        )
        steps.append(GroupNorm(config.norm_groups, of_images, scale, offset, NORM_EPSILON))
    return [*steps, Activate(config.activation)]
