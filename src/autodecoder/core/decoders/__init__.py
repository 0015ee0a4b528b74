"""Decoders: what every one of them promises, and the kinds there are.

`contract` says what a decoder does; `operators` is the one description of what it computes, for
programs without jax. A kind is a module of its own, named in `autodecoder.config.KINDS`.
"""

from autodecoder.core.decoders.contract import Decoder, Parts, decode, init_decoder, part_names
from autodecoder.core.decoders.operators import Operator

__all__ = ["Decoder", "Operator", "Parts", "decode", "init_decoder", "part_names"]
