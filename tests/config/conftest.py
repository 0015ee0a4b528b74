"""Fixture of the configuration's tests: settings of wrong types."""

from collections.abc import Iterator

import jaxtyping
import pytest


@pytest.fixture(scope="module")
def as_shipped() -> Iterator[None]:
    """Without the type checks of the tests, which users do not have, and which would come before
    the errors that users see."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
