"""Fixtures of the study's tests: images, and a database server."""

import shutil
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
from tests.study.builders import CONFIG
from tests.study.postgres import Server, find_programs, serve
from tests.study.small import dots, write_small_study

from autodecoder.data import Dataset
from autodecoder.study import Progress, Study, Trial, load_study_data, run_study
from autodecoder.study.database import connect, disconnect


@pytest.fixture
def full_optimisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the processes that a test starts compile as users' do."""
    monkeypatch.delenv("JAX_DISABLE_MOST_OPTIMIZATIONS")
    monkeypatch.delenv("XLA_FLAGS", raising=False)


@pytest.fixture(scope="session")
def digits() -> Dataset:
    return load_study_data(CONFIG)


@pytest.fixture(scope="session")
def undisturbed(
    digits: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Study, list[Progress]]:
    """The study of `CONFIG` that nothing befell, and what it reported."""
    reports: list[Progress] = []
    folder = tmp_path_factory.mktemp("undisturbed")
    return run_study(CONFIG, digits, folder, report=reports.append), reports


@pytest.fixture(scope="session")
def whole(undisturbed: tuple[Study, list[Progress]]) -> Study:
    return undisturbed[0]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server of PostgreSQL, where its programs are installed."""
    programs = find_programs()
    if programs is None:
        pytest.skip("PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    with serve(programs) as server:
        yield server


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with Optuna's tables and nothing in them: to make it takes longer than to copy."""
    folder = tmp_path_factory.mktemp("tables")
    disconnect(connect(folder, None))
    return folder / "study.db"


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """A few images, of the study that `written` is."""
    return dots()


@pytest.fixture(scope="session")
def written_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Trial]]:
    folder = tmp_path_factory.mktemp("written")
    return folder, write_small_study(folder)


@pytest.fixture
def written(written_once: tuple[Path, list[Trial]], tmp_path: Path) -> tuple[Path, list[Trial]]:
    """The folder of a study that was only written, and its trials."""
    shutil.copytree(written_once[0], tmp_path, dirs_exist_ok=True)
    return tmp_path, deepcopy(written_once[1])
