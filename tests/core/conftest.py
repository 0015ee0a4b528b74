"""Fixtures of the core's tests: quick compilation, where what is compiled is not itself tested."""

from collections.abc import Iterator

import pytest
from tests.core import builders


@pytest.fixture(scope="module")
def quick_compilation() -> Iterator[None]:
    """Compile with little optimisation in a whole module."""
    with builders.quick_compilation():
        yield
