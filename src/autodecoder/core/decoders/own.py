"""A user's own decoder: any equinox module that maps latents to samples."""

import inspect
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.config import OWN, DecoderConfig
from autodecoder.core.decoders.contract import Decoder, Parts
from autodecoder.core.tree import name_leaves
from autodecoder.errors import ConfigError

#: Allowed dtypes of constants. Trained arrays are float32.
_DTYPES = ("float32", "int32", "uint32", "uint8", "bool")
#: Number of latents that a module is tested with.
_N_TRIED = 5
#: Largest accepted difference between decoding a latent alone and in a batch, as a share of the
#: largest output.
_ROUNDING = 1e-3


class OwnDecoder(Decoder):
    """Adapts an equinox module to `Decoder`. The module's output is in the scaled space.

    In evaluation mode the module is called as `module(latents)`. In training mode it is called as
    `module(latents, key=key)` if it takes a `key`.
    """

    weights: Any
    """The module with only its floating-point arrays of jax, which are trained."""
    constants: Any
    """The module with only its other arrays, NumPy arrays included."""
    rest: tuple[tuple[Any, ...], Any] = eqx.field(static=True)
    """The module's other leaves, and their tree structure."""
    config: DecoderConfig = eqx.field(static=True)
    size: int = eqx.field(static=True)
    """Number of values in a sample."""

    @property
    def module(self) -> Any:
        """The module with its current arrays."""
        leaves, structure = self.rest
        return eqx.combine(self.weights, self.constants, jax.tree.unflatten(structure, leaves))

    def decode(
        self, latents: Float[Array, "n dims"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n outputs"]:
        """See `Decoder`."""
        module = self.module
        if key is None or "key" not in inspect.signature(module).parameters:
            return module(latents)
        return module(latents, key=key)

    @property
    def n_outputs(self) -> int:
        """See `Decoder`."""
        return self.size

    def trainable(self) -> Parts:
        """The module's weights: a single part."""
        return (self.weights,)

    def with_trainable(self, parts: Parts) -> "OwnDecoder":
        """See `Decoder`."""
        (weights,) = parts
        return replace(self, weights=weights)


def own_decoder(module: Any, latent_dims: int, n_outputs: int) -> OwnDecoder:
    """Adapt a module to `Decoder`, and test it with a few latents.

    Parameters
    ----------
    module : equinox.Module
        Maps `(n, latent_dims)` to `(n, n_outputs)`, both float32, each row by itself.
    latent_dims, n_outputs : int

    Raises
    ------
    ConfigError
        If the module does not map latents in this way, or if its arrays or outputs are not finite.
    """
    if not isinstance(module, eqx.Module) or not callable(module):
        raise ConfigError(
            "decoder must be a DecoderConfig or an equinox module that maps latents to samples, "
            f"got {type(module).__name__}."
        )
    weights, others = eqx.partition(module, _is_trained)
    others = jax.tree.map(lambda a: jnp.asarray(a) if isinstance(a, np.ndarray) else a, others)
    constants, rest = eqx.partition(others, eqx.is_array)
    _check_arrays(weights, constants)
    leaves, structure = jax.tree.flatten(rest)
    try:
        hash((tuple(leaves), structure))
    except TypeError as error:
        raise ConfigError(f"decoder must not hold arrays in static fields ({error}).") from error
    config = DecoderConfig(arch=OWN, latent_dims=latent_dims)
    decoder = OwnDecoder(
        weights=weights,
        constants=constants,
        rest=(tuple(leaves), structure),
        config=config,
        size=n_outputs,
    )
    _check_outputs(decoder)
    return decoder


def _is_trained(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.inexact)


def _check_arrays(weights: Any, constants: Any) -> None:
    arrays = name_leaves(weights)
    if not arrays:
        raise ConfigError("decoder must hold floating-point arrays of jax to train, got none.")
    for name, array in arrays.items():
        if array.dtype != jnp.float32:
            raise ConfigError(f"decoder must hold float32 weights, got {array.dtype} in {name}.")
    for name, array in name_leaves(constants).items():
        if str(array.dtype) not in _DTYPES:
            raise ConfigError(
                f"decoder must hold constants of {', '.join(_DTYPES)}, got {array.dtype} in {name}."
            )
        arrays[name] = array
    for name, array in arrays.items():
        if not np.isfinite(np.asarray(array)).all():
            raise ConfigError(f"decoder must be finite at the start, but {name} is not.")


def _check_outputs(decoder: OwnDecoder) -> None:
    dims, key = decoder.config.latent_dims, jax.random.key(0)
    latents = jax.random.normal(key, (_N_TRIED, dims))
    for mode in (None, key):
        try:
            outputs = jax.eval_shape(lambda mode=mode: decoder.decode(latents, key=mode))
        except Exception as error:  # whatever the module raises
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].removesuffix(".")
            raise ConfigError(
                f"decoder must decode latents of shape (n, {dims}), given by latent_dims, but for "
                f"{latents.shape} it raises: {reason}."
            ) from error
        found = f"{getattr(outputs, 'dtype', '')}{list(getattr(outputs, 'shape', ()))}"
        if found != f"float32[{_N_TRIED}, {decoder.size}]":
            raise ConfigError(
                f"decoder must decode {_N_TRIED} latents to float32[{_N_TRIED}, {decoder.size}], "
                f"got {found}."
            )
    with jax.default_matmul_precision("highest"):
        together, apart = (np.asarray(part) for part in _decode_both(decoder, latents))
    if not np.isfinite(together).all():
        raise ConfigError("decoder must be finite at the start, but its outputs are not.")
    if not np.abs(together - apart).max() <= _ROUNDING * np.abs(together).max():
        raise ConfigError(
            "decoder must decode each latent independently, but the output for a latent changes "
            "when it is decoded in a batch."
        )


@jax.jit
def _decode_both(decoder: OwnDecoder, latents: Float[Array, "n dims"]) -> tuple[Array, Array]:
    """Decode latents all at once, and one by one."""
    apart = jax.lax.map(lambda latent: decoder.decode(latent[None])[0], latents)
    return decoder.decode(latents), apart
