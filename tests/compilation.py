"""How much the compiler optimises while tests run.

Most of the time of the tests goes into compiling. They therefore compile with little optimisation,
in a quarter of the time, as do the processes that they start. What tests compare bit for bit
between two programs is compiled as users' programs are: some processors round differently without
the optimisations.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
from jax._src import compiler

_NAME = "jax_disable_most_optimizations"
_EMITTERS = "xla_cpu_use_fusion_emitters"


@contextmanager
def compiled_quickly(quickly: bool = True) -> Iterator[None]:
    """Compile with little optimisation; or as users do, whatever holds around.

    What was compiled otherwise before is forgotten, and so is what was compiled meanwhile; where it
    holds already, nothing is.
    """
    before = jax.config.values[_NAME]
    if before == quickly:
        yield
        return
    options: Any = compiler.get_compile_options

    def with_emitters(*args: Any, **kwargs: Any) -> Any:
        overrides: Any = dict(kwargs.pop("env_options_overrides", None) or {})
        if _EMITTERS in os.environ.get("XLA_FLAGS", ""):  # set in conftest, where the flag exists
            overrides[_EMITTERS] = not quickly
        return options(*args, **kwargs, env_options_overrides=overrides)

    jax.clear_caches()
    jax.config.update(_NAME, quickly)
    compiler.get_compile_options = with_emitters
    try:
        yield
    finally:
        jax.clear_caches()
        jax.config.update(_NAME, before)
        compiler.get_compile_options = options
