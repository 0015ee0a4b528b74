"""How much the compiler optimises while tests run."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax

_NAME = "jax_disable_most_optimizations"


@contextmanager
def compiled_quickly(quickly: bool = True) -> Iterator[None]:
    """Compile with little optimisation, in half the time; or as users do, whatever holds around.

    Not what tests compare bit for bit between two programs: they are about the programs that run.
    """
    before = jax.config.values[_NAME]
    jax.config.update(_NAME, quickly)
    try:
        yield
    finally:
        jax.config.update(_NAME, before)
