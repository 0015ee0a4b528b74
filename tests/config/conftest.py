"""Fixture of the configuration's tests: settings of wrong types."""

from collections.abc import Iterator

import pytest
from tests.annotations import unchecked


@pytest.fixture(scope="module")
def as_shipped() -> Iterator[None]:
    """Without the type checks of the tests, which users do not have, and which would come before
    the errors that users see."""
    with unchecked():
        yield
