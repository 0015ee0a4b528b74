"""Decoders: what every one of them promises, and the kinds there are.

`contract` says what a decoder does; `operators` is the one description of what it computes, for
programs without jax. A kind is a module of its own, named in `autodecoder.config.KINDS`; `own` puts
a module of the user's behind the contract.
"""

from autodecoder.core.decoders.contract import (
    Decoder,
    Parts,
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
    "decode",
    "init_decoder",
    "own_decoder",
    "part_names",
    "shape_decoder",
]
