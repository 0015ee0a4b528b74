"""The storage: PostgreSQL for real, and one sentence where a database cannot be used."""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.study.builders import (
    CONFIG,
    assert_finished_files,
    assert_same_study,
    files,
    stop_when,
)
from tests.study.postgres import PASSWORD, Server
from tests.study.recorder import Recorder

from autodecoder.data import Dataset
from autodecoder.errors import StorageError
from autodecoder.study import Progress, Study, load_study, run_study
from autodecoder.study.database import describe
from autodecoder.study.folder import open_folder

SECRET = "hunter2"


def assert_one_sentence(error: StorageError) -> None:
    text = str(error)
    assert text.endswith(".")
    assert "\n" not in text
    assert "Traceback" not in text
    assert SECRET not in text


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", r"must be the URL of a database.*got 'nonsense'"),
        ("", "must be the URL"),
        (f"user:{SECRET}@host/name", "must be the URL"),
        (f"postgresql:user:{SECRET}@host/name", "must be the URL"),
        (f"postgresql//user:{SECRET}@host/name", "must be the URL"),
        (f"postgresql://user:{SECRET}@host:port/name", "must be the URL"),
        (f"postgresql://user:{SECRET}/x@host:port/name", "must be the URL"),
        (f"oracle9://user:{SECRET}@host/name", r"oracle9://user:\*\*\*@host/name cannot be used"),
        (f"mysql://user:{SECRET}@127.0.0.1/name", r"driver.*not installed|cannot be used"),
        (f"postgresql+nothing://user:{SECRET}@127.0.0.1/x", r"cannot be used|driver"),
        (f"postgresql://user:{SECRET}@127.0.0.1:1/name", r"user:\*\*\*@.*Connection refused"),
        (f"postgresql://user:{SECRET}@nowhere.invalid/name", r"cannot be used.*nowhere\.invalid"),
        ("sqlite://", "must be a database that lasts, got 'sqlite://'"),
        ("sqlite:///:memory:", "must be a database that lasts"),
        ("sqlite:////nowhere/at/all.db", r"cannot be used.*unable to open"),
        ("sqlite:////proc/version", r"cannot be (used|written)"),
    ],
)
def test_a_storage_that_cannot_be_used_is_named_at_once(
    digits: Dataset, tmp_path: Path, url: str, message: str
) -> None:
    start = time.monotonic()
    with pytest.raises(StorageError, match=message) as error:
        run_study(CONFIG, digits, tmp_path / "new", storage=url)
    assert time.monotonic() - start < 15
    assert_one_sentence(error.value)
    assert list(tmp_path.iterdir()) == [], "nothing is left of a study that could not begin"

    folder = tmp_path / "begun"
    folder.mkdir()
    open_folder(folder, CONFIG, digits, describe("study.db", url))
    with pytest.raises(StorageError):
        run_study(CONFIG, digits, folder, storage=url)
    assert files(folder) == {"config.json"}


def test_a_storage_of_another_version_of_optuna(digits: Dataset, tmp_path: Path) -> None:
    run_study(CONFIG, digits, tmp_path, should_stop=lambda: True)
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0'")
        connection.commit()
    with pytest.raises(StorageError, match=r"study\.db cannot be used.*optuna") as error:
        run_study(CONFIG, digits, tmp_path)
    assert_one_sentence(error.value)


def test_a_file_elsewhere_may_be_the_storage(digits: Dataset, tmp_path: Path) -> None:
    database = tmp_path / "trials.db"
    folder = tmp_path / "study"
    run_study(CONFIG, digits, folder, storage=f"sqlite:///{database}", should_stop=lambda: True)
    assert not (folder / "study.db").exists()
    with contextlib.closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM trials").fetchone() == (2,)


# PostgreSQL


@pytest.fixture
def rows(postgres: Server) -> Iterator:
    """Asks the server, past everything of ours."""
    import psycopg2

    with contextlib.closing(psycopg2.connect(postgres.url())) as connection:
        connection.autocommit = True

        def ask(query: str) -> list[tuple]:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()

        yield ask


def test_a_study_in_postgresql(
    whole: Study, digits: Dataset, tmp_path: Path, postgres: Server, rows
) -> None:
    """Cut off, taken up again, and begun anew."""
    folder, url = tmp_path / "study", postgres.url()
    stop = stop_when(lambda report: report.epoch >= 4)
    part = run_study(CONFIG, digits, folder, storage=url, **stop)
    assert [trial.state for trial in part.trials] == ["unfinished"] * 2
    assert rows("SELECT study_name FROM studies") == [(part.about["study"],)]
    assert rows("SELECT state FROM trials") == [("RUNNING",)] * 2

    recorder = Recorder()
    result = run_study(CONFIG, digits, folder, storage=url, observers=[recorder])
    assert min(epoch for _, _, epoch in recorder.begun) >= 4
    assert_same_study(result, whole)
    assert rows("SELECT number, state FROM trials ORDER BY number") == [
        (0, "COMPLETE"),
        (1, "COMPLETE"),
    ]
    scores = rows("SELECT value FROM trial_values ORDER BY value")
    assert [score for (score,) in scores] == pytest.approx([t.score for t in result.trials])
    assert_finished_files(folder)
    assert not (folder / "study.db").exists()
    run_study(CONFIG, digits, folder, storage=url)

    other = tmp_path / "other"
    run_study(CONFIG, digits, other, storage=url, should_stop=lambda: True)
    anew = run_study(CONFIG, digits, folder, storage=url, reset=True, should_stop=lambda: True)
    names = {load_study(path).about["study"] for path in (folder, other)}
    assert {name for (name,) in rows("SELECT study_name FROM studies")} == names
    assert anew.about["study"] != part.about["study"]


def test_an_outage_of_postgresql_loses_nothing(
    whole: Study, digits: Dataset, tmp_path: Path, postgres: Server
) -> None:
    folder, url = tmp_path / "study", postgres.url()
    stopped = False

    def stop(progress: Progress) -> None:
        nonlocal stopped
        if progress.epoch >= 4 and not stopped:
            postgres.stop()
            stopped = True

    try:
        with pytest.raises(StorageError, match=r"cannot be used") as error:
            run_study(CONFIG, digits, folder, storage=url, report=stop)
        assert_one_sentence(error.value)
        assert PASSWORD not in str(error.value)
        with pytest.raises(StorageError, match="Connection refused"):
            run_study(CONFIG, digits, folder, storage=url)
    finally:
        postgres.start()
    recorder = Recorder()
    result = run_study(CONFIG, digits, folder, storage=url, observers=[recorder])
    assert_same_study(result, whole)
    assert_finished_files(folder)


def test_a_wrong_password_is_not_shown(digits: Dataset, tmp_path: Path, postgres: Server) -> None:
    url = postgres.url(password=f"{SECRET}-but-wrong")
    with pytest.raises(StorageError, match=r":\*\*\*@.*password authentication failed") as error:
        run_study(CONFIG, digits, tmp_path / "study", storage=url)
    assert_one_sentence(error.value)
    assert list(tmp_path.iterdir()) == []
