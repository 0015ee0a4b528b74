"""The storage: PostgreSQL for real, and one sentence where a database cannot be used."""

import contextlib
import logging
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from optuna.study import StudyDirection
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
from autodecoder.errors import ConfigError, StorageError
from autodecoder.files import write_json
from autodecoder.study import Progress, Study, load_study, run_study
from autodecoder.study.database import connect, describe, secrets_of, storage_errors
from autodecoder.study.folder import open_folder

SECRET = "hunter2"


def assert_one_sentence(error: StorageError) -> None:
    text = str(error)
    assert text.endswith(".")
    assert "\n" not in text
    assert "Traceback" not in text
    assert SECRET not in text


def test_optuna_logs_as_its_user_says_once_the_storage_is_done_with() -> None:
    logger = logging.getLogger("optuna")
    before = logger.level
    with storage_errors("there"):
        assert logger.level == logging.WARNING
    assert logger.level == before != logging.WARNING


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
        (f"postgresql://user:p@{SECRET}@127.0.0.1:1/name", r"one @.*user:\*\*\*@127.*%40 for @"),
        (f"postgresql://user:p@{SECRET}/x@127.0.0.1:1/name", r"one @.*%40 for @"),
        (f"postgresql://user/x:p@{SECRET}@127.0.0.1:1/name", r"one @.*%40 for @"),
        (f"postgresql://user:p%{SECRET}@127.0.0.1:1/name", r"user:\*\*\*@.*Connection refused"),
        (f"postgresql://user:{SECRET}#x/?y@127.0.0.1:1/name", r"user:\*\*\*@.*Connection refused"),
        (f"postgresql://user@127.0.0.1:1/name?password={SECRET}", r"name\?password=\*\*\* cannot"),
        (f"postgresql://user:{SECRET}", "must be the URL"),
        (f"user/x:{SECRET}@host/name", "must be the URL"),
        (f"host=here password='{SECRET} x'", "must be the URL"),
        ("trials.db", r"must be the URL.*sqlite:///trials\.db, got 'trials\.db'"),
        ("sqlite://trials.db", r"must be a database on disk.*three slashes.*'sqlite://trials"),
        ("sqlite:///file:x?mode=memory&uri=true", "must be a database on disk"),
        ("sqlite://", "must be a database on disk.*got 'sqlite://'"),
        ("sqlite:///:memory:", "must be a database on disk"),
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
    assert time.monotonic() - start < 60  # a name server may take long
    assert_one_sentence(error.value)
    assert list(tmp_path.iterdir()) == [], "nothing is left of a study that could not begin"

    folder = tmp_path / "begun"
    folder.mkdir()
    open_folder(folder, CONFIG, digits, describe("study.db", url))
    with pytest.raises(StorageError):
        run_study(CONFIG, digits, folder, storage=url)
    assert files(folder) == {"config.json", "images.csv"}


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:p@{SECRET}@host:port/name",
        f"postgresql://user:{SECRET}@host:port/name",
        f"nonsense {SECRET}:{SECRET}@",
        f"postgresql://user:{SECRET}@127.0.0.1:1/name",
    ],
)
def test_no_traceback_tells_a_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as info, storage_errors(describe("x", url), secrets_of(url)):
        connect(tmp_path, url).get_all_studies()
    error: BaseException | None = info.value
    while error is not None:
        assert SECRET not in repr(error).replace(f"nonsense {SECRET}", "")
        error = error.__cause__ or error.__context__


def test_what_a_driver_says_of_a_password_is_hidden() -> None:
    with pytest.raises(StorageError, match=r"no host called \*\*\*\.") as error:  # noqa: SIM117
        with storage_errors("here", secrets_of(f"postgresql://user:{SECRET}@host/name")):
            raise RuntimeError(f"no host called {SECRET}")
    assert error.value.__cause__ is None


def test_where_a_storage_is_stays_the_same_when_told_again() -> None:
    for url in (
        f"postgresql://user:{SECRET}@host:1/name",
        f"postgresql://user@host/name?sslpassword={SECRET}&user=me",
        f"postgresql://user:{SECRET}@host:port/name",
        "sqlite:////some/where.db?timeout=3",
        f"mssql+pyodbc:///?odbc_connect=SERVER%3Ddb%3BPWD%3D{SECRET}",
        f"bigquery://project/name?credentials_base64={SECRET}",
        f"postgresql://user@host/name?pw={SECRET}&sslmode=require",
    ):
        told = describe("study.db", url)
        assert SECRET not in told
        assert describe("study.db", told) == told


def test_options_without_secrets_are_shown() -> None:
    url = "postgresql://user@host/name?connect_timeout=5&sslmode=require"
    assert describe("study.db", url) == url
    assert secrets_of(url) == set()


def test_a_relative_path_is_that_of_the_folder_in_which_it_was_given(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = {"storage": "sqlite:///trials.db", "should_stop": lambda: True}
    folder, here, there = (tmp_path / name for name in ("study", "here", "there"))
    for place in (here, there):
        place.mkdir()
    monkeypatch.chdir(here)
    about = run_study(CONFIG, digits, folder, **begin).about
    assert about["storage"] == f"sqlite:///{here / 'trials.db'}"
    monkeypatch.chdir(there)
    with pytest.raises(ConfigError, match=rf"kept in {re.escape(about['storage'])}, not in"):
        run_study(CONFIG, digits, folder, **begin)
    run_study(CONFIG, digits, folder, storage=about["storage"], should_stop=lambda: True)
    assert [path.name for path in here.iterdir()] == ["trials.db"]
    assert list(there.iterdir()) == []

    # As earlier versions kept it.
    write_json(folder / "config.json", {**about, "storage": "sqlite:///trials.db"})
    monkeypatch.chdir(here)
    assert run_study(CONFIG, digits, folder, **begin).about == about


#: Of which some mean something in a URL, in what Optuna makes of it, or in a pattern of names.
ODD = ["lr?0.1", "{", "{a}%(x)s", "%41", "100%", "a#b&c=d;e,f 'g'[1]ü", "-x", "x" * 200]
if os.name == "posix":
    ODD += ['a"b\\*:\n', os.fsdecode(b"caf\xe9")]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_database_lies_in_its_folder_whatever_that_is_called(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    folder.mkdir()
    for n_studies in range(2):
        storage = connect(folder, None)
        assert len(storage.get_all_studies()) == n_studies
        storage.create_new_study([StudyDirection.MINIMIZE], f"study {n_studies}")
        storage.engine.dispose()
    assert {path.name for path in folder.iterdir()} == {".lock", "study.db"}
    assert list(tmp_path.iterdir()) == [folder]


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


@pytest.mark.thorough
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


@pytest.mark.parametrize("password", ["p@hunter2/x:y#z%41?q&{a}", "hunter2"])
def test_a_password_of_any_characters(
    password: str, digits: Dataset, tmp_path: Path, postgres: Server, rows
) -> None:
    import psycopg2

    user = f"user-{len(password)}"
    create = f"CREATE ROLE \"{user}\" SUPERUSER LOGIN PASSWORD '{password}'"
    with pytest.raises(psycopg2.ProgrammingError, match="no results"):
        rows(create)
    server = f"127.0.0.1:{postgres.port}/postgres"
    for k, url in enumerate(
        (
            f"postgresql://{user}:{quote(password, safe='')}@{server}",
            f"postgresql://{user}@{server}?password={quote(password, safe='')}",
        )
    ):
        folder = tmp_path / str(k)
        run_study(CONFIG, digits, folder, storage=url, should_stop=lambda: True)
        assert SECRET not in (folder / "config.json").read_text()


def test_a_wrong_password_is_not_shown(digits: Dataset, tmp_path: Path, postgres: Server) -> None:
    url = postgres.url(password=f"{SECRET}-but-wrong")
    with pytest.raises(StorageError, match=r":\*\*\*@.*password authentication failed") as error:
        run_study(CONFIG, digits, tmp_path / "study", storage=url)
    assert_one_sentence(error.value)
    assert list(tmp_path.iterdir()) == []
