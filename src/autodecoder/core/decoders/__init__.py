"""Decoders: their common interface and the available kinds.

`contract` is the interface. `operators` describes what a decoder computes, for programs without
jax. Each kind is a module of its own, named in `autodecoder.config.KINDS`. `own` adapts a user's
module to the interface.
"""

from autodecoder.core.decoders.contract import (
    Decoder,
    Parts,
    count_activations,
    count_weights,
    decode,
    init_decoder,
    part_names,
    shape_decoder,
)
from autodecoder.core.decoders.operators import Operator
from autodecoder.core.decoders.own import own_decoder

__all__ = [
    "Decoder",
    "Operator",
    "Parts",
    "count_activations",
    "count_weights",
    "decode",
    "init_decoder",
    "own_decoder",
    "part_names",
    "shape_decoder",
]
