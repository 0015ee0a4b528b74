"""A decoder as plain dense layers, for programs that run it without jax."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from autodecoder.core.decoder import NORM_EPSILON, Decoder, Layer, Statistics


class Dense(NamedTuple):
    """`activation(inputs @ weight + bias)`, in double precision."""

    weight: Float[np.ndarray, "inputs outputs"]
    bias: Float[np.ndarray, " outputs"] | None
    activation: str


def dense_layers(decoder: Decoder) -> list[Dense]:
    """The layers in evaluation mode: batch normalisation, whose statistics are fixed there, becomes
    part of the weights."""
    last = len(decoder.layers) - 1
    layers = []
    for k, layer in enumerate(decoder.layers):
        statistics = decoder.statistics[k] if layer.norm_scale is not None else None
        activation = decoder.output_activation if k == last else decoder.config.activation
        layers.append(Dense(*_fold(layer, statistics), activation))
    return layers


def _fold(layer: Layer, statistics: Statistics | None) -> tuple[np.ndarray, np.ndarray | None]:
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
