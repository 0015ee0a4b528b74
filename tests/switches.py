"""jax's switches as a user may have set them for other programs."""

import contextlib
from collections.abc import Iterator

import jax

#: As a process may set them, with what each does to programs that do not mind it.
SWITCHES = {
    "jax_enable_x64": True,
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_debug_key_reuse": True,
    "jax_numpy_rank_promotion": "raise",
    "jax_numpy_dtype_promotion": "strict",
    "jax_default_prng_impl": "rbg",
    "jax_threefry_partitionable": False,
    "jax_disable_jit": True,
}


@contextlib.contextmanager
def switched(**values: object) -> Iterator[None]:
    before = {name: jax.config.values[name] for name in values}
    for name, value in values.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
