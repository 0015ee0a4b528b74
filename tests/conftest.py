"""Set-up for all tests: array annotations are checked; real data are found, or the test skips."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
from tests.annotations import unchecked

# Programs compiled once serve all tests, whichever process runs them, and the processes that they
# start. With a bound on its size jax locks the folder, so that none reads what another writes.
if "PYTEST_XDIST_WORKER" not in os.environ:
    _PROGRAMS = tempfile.TemporaryDirectory(
        prefix="autodecoder-programs-", ignore_cleanup_errors=True
    )
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _PROGRAMS.name
os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(2**31)
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.02"
# They are compiled with little optimisation, in a quarter of the time (see `tests.compilation`).
# `make test-slow` has the environment say otherwise.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")

jaxtyping.install_import_hook("autodecoder", "beartype.beartype")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def as_users_compile() -> Iterator[None]:
    """With all optimisations: without them, some processors round another program otherwise."""
    # Here, as jax reads the environment that is set above.
    from tests.compilation import compiled_quickly

    with compiled_quickly(False):
        yield


@pytest.fixture(scope="module", autouse=True)
def _few_programs() -> Iterator[None]:
    yield
    # Here, as jax reads the environment that is set above.
    from autodecoder.model.programs import limit_programs

    limit_programs()


@pytest.fixture
def as_shipped() -> Iterator[None]:
    """Without the type checks of the tests, which users do not have, and which would come before
    the errors that users see."""
    with unchecked():
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets: $AUTODECODER_TEST_DATA, else a folder beside the checkout."""
    folder = Path(os.environ.get("AUTODECODER_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "mnist").is_dir():
        pytest.skip(f"no real MNIST files in {folder} (AUTODECODER_TEST_DATA names the folder)")
    return folder
