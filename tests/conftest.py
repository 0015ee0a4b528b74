"""Set-up for all tests: array annotations are checked; real data are found, or the test skips."""

import gc
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hypothesis
import jaxtyping
import pytest
from tests.annotations import unchecked

# Programs compiled once serve all tests, whichever process runs them, and the processes that they
# start. `tests.mutation` keeps them for many runs.
if "AUTODECODER_TEST_PROGRAMS" in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ["AUTODECODER_TEST_PROGRAMS"]
elif "PYTEST_XDIST_WORKER" not in os.environ:
    _PROGRAMS = tempfile.TemporaryDirectory(
        prefix="autodecoder-programs-", ignore_cleanup_errors=True
    )
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _PROGRAMS.name
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.05"
# They are compiled with little optimisation, in a quarter of the time (see `tests.compilation`).
# `make test-slow` has the environment say otherwise.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# Releases that lack a flag end the process.
if version("jaxlib").startswith("0.10."):
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false")

jaxtyping.install_import_hook("autodecoder", "beartype.beartype")

# The same examples in each run, and no limit of time for one of them: a busy machine is no failure.
# `make test-thorough` draws others.
hypothesis.settings.register_profile(
    "autodecoder",
    deadline=None,
    derandomize="AUTODECODER_NEW_EXAMPLES" not in os.environ,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("autodecoder")

# What jax keeps of each program is many objects, which the collector would visit again and again.
gc.set_threshold(50_000, 20, 50)

ROOT = Path(__file__).parent.parent


@pytest.hookimpl(optionalhook=True)  # of xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One worker runs all tests of a file, and all of the command line's, which share studies."""
    from xdist.scheduler import LoadFileScheduling

    class Groups(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "tests/cli" if file.startswith("tests/cli/") else file

    return Groups(config, log)


#: Beginnings of the reasons of skips that no installation on the machine could avoid.
_UNAVOIDABLE = (
    # Data and results that the project does not ship, or that a later step makes
    *("no real MNIST files", "this cell was not run", "the site is not built"),
    # A library of several GB, and a check of scikit-learn's that is not for this estimator
    *("could not import 'torch'", "SCIPY_ARRAY_API is not set"),
    # The rights of the user, and the machine
    *("no small file system can be mounted here", "root, and no other user to become"),
    *("needs two cores", "needs a device that is full"),
    # The system and its file system
    *("this file system ", "the file system holds no such file", "no files with holes here"),
    *("this system ", "other systems ", "Windows has no such paths", "sends a POSIX signal"),
    *("sends POSIX signals", "needs the devices of Unix", "needs the users of Unix"),
    *("needs POSIX users", "limits of a process need Unix", "no process is forked there"),
    *("XDG_CACHE_HOME names the cache on Linux", "takes a folder in which nobody may write"),
    *("the current folder cannot be removed there", "there is always a screen"),
    *("the peak of the memory is reset on Linux only",),
    # `make test-wheel`
    *("the tests of an installed wheel have no source", "the reference is written with cyclopts 5"),
    # No release for these Pythons; the same condition as of the extra in pyproject.toml
    *(("ray is not installed",) if sys.version_info >= (3, 14) else ()),
)


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Tell in the last line what was skipped, as the reasons say how to get it."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and (reasons := _skipped(reporter)):
        told = "; ".join(f"{n}: {reason}" for reason, n in reasons.most_common())
        reporter.write_line(f"skipped tests: {told}")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """With AUTODECODER_SKIP_NOTHING, a skipped test is a failure, unless that is unavoidable."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("AUTODECODER_SKIP_NOTHING") or reporter is None:
        return
    if any(not reason.startswith(_UNAVOIDABLE) for reason in _skipped(reporter)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _skipped(reporter: Any) -> Counter[str]:
    return Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ")
        for report in reporter.stats.get("skipped", [])
        if isinstance(report.longrepr, tuple)
    )


@pytest.fixture(scope="session", autouse=True)
def _programs_whole_or_absent() -> Iterator[None]:
    """Another worker must not read a program that is half written."""
    from jax._src.lru_cache import LRUCache

    before = LRUCache.put

    def put(self: LRUCache, key: str, value: bytes) -> None:
        if self.eviction_enabled:  # by a lock, then
            before(self, key, value)
            return
        path = Path(str(self.path)) / f"{key}-cache"
        if not path.exists():
            part = path.with_suffix(f".{os.getpid()}")
            part.write_bytes(value)
            part.replace(path)

    LRUCache.put = put
    yield
    LRUCache.put = before


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
