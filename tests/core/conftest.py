"""Fixtures of the core's tests: quick compilation, where what is compiled is not itself tested."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(scope="module")
def quick_compilation() -> Iterator[None]:
    """Compile with little optimisation, in half the time.

    Not for tests that compare two programs bit for bit: they are about the programs that run.
    """
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
