"""Set-up for all tests: array annotations are checked; real data are found, or the test skips."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("autodecoder", "beartype.beartype")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets: $AUTODECODER_TEST_DATA, else a folder beside the checkout."""
    folder = Path(os.environ.get("AUTODECODER_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no real MNIST files in {folder} (AUTODECODER_TEST_DATA names the folder)")
    return folder
