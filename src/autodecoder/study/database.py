"""The database behind a study's storage: reaching it, and saying what went wrong."""

import contextlib
import logging
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote

import optuna
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import TrialIntermediateValueModel, TrialModel
from optuna.trial import TrialState
from sqlalchemy import URL, func, insert, make_url, select
from sqlalchemy.exc import SQLAlchemyError

from autodecoder.errors import AutodecoderError, StorageError
from autodecoder.files import has_locks
from autodecoder.paths import user_path
from autodecoder.quiet import quiet

_SECONDS_TO_CONNECT = 10


def connect(folder: Path, storage: str | None) -> RDBStorage:
    """Open the database of a URL, or `study.db` in the folder.

    Raises
    ------
    StorageError
        If the URL is none, or of a database in memory.
    """
    url = _url(storage) if storage is not None else _sqlite(folder / "study.db")
    if storage is None and not has_locks(folder / ".lock"):  # then one process runs the study
        url = url.update_query_dict({"nolock": "1"})
    if url.get_backend_name() == "sqlite" and not (url.database or "").startswith("file:"):
        assert url.database is not None  # see `_url`
        url = _sqlite(Path(url.database), url)
    # SQLAlchemy's choice of a driver changed with its version 2.1; the extra brings this one.
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg2")
    name = url.get_backend_name()
    waits = {"sqlite": {"timeout": 60}, "postgresql": {"connect_timeout": _SECONDS_TO_CONNECT}}
    arguments = {"connect_args": waits.get(name, {})}
    # Optuna takes what stands in braces for a field of its own.
    text = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    return RDBStorage(text, engine_kwargs=arguments)


def add_curves(storage: RDBStorage, curves: Mapping[int, Mapping[int, float]]) -> None:
    """Report values by epoch, of trials by their keys in the storage.

    In one transaction, where Optuna makes one of each value: on a disk that takes as long for
    thousands of values as for one.
    """
    rows = []
    for trial, curve in curves.items():
        for epoch, value in curve.items():
            stored, kind = TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
            row = {"intermediate_value": stored, "intermediate_value_type": kind}
            rows.append({"trial_id": trial, "step": epoch, **row})
    if rows:
        with storage.engine.begin() as connection:
            connection.execute(insert(TrialIntermediateValueModel), rows)


def count_running(storage: RDBStorage, study: int) -> int:
    """How many trials of a study are under way, without reading their curves."""
    query = select(func.count()).select_from(TrialModel)
    query = query.where(TrialModel.study_id == study, TrialModel.state == TrialState.RUNNING)
    with storage.engine.connect() as connection:
        return connection.scalar(query) or 0


def describe(default: Path | str, storage: str | None) -> str:
    """Where the trials are kept: an absolute path, and no password of a URL."""
    if storage is None:
        return str(default)
    try:
        url = _url(storage)
    except StorageError:
        return _hide(storage)
    hidden = {name: "***" if _SECRET.search(name) else value for name, value in url.query.items()}
    text = url.set(query=hidden).render_as_string(hide_password=True)
    return text.replace("%2A%2A%2A", "***")


def secrets_of(storage: str | None) -> set[str]:
    """What no message on a storage may hold."""
    try:
        url = _url(storage or "")
    except StorageError:
        return set()
    values = [value for name, value in url.query.items() if _SECRET.search(name)]
    several = [value if isinstance(value, tuple) else (value,) for value in values]
    return {str(url.password or ""), *(one for each in several for one in each)} - {""}


@contextlib.contextmanager
def storage_errors(where: str, hidden: Collection[str] = ()) -> Iterator[None]:
    """Tell what goes wrong with the storage at `where` in a sentence, without what is hidden; of
    what goes well, Optuna logs nothing."""
    try:
        with quiet(logging.getLogger("optuna"), logging.WARNING):
            yield
    except AutodecoderError:
        raise
    except (
        SQLAlchemyError,
        optuna.exceptions.OptunaError,
        ImportError,
        RuntimeError,  # of another version's tables
        ValueError,
        KeyError,
    ) as error:
        text = _explain(error, where)
        reason: Exception | None = error
        for secret in hidden:
            shorter = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
            if shorter != text:
                text, reason = shorter, None
        raise StorageError(text) from reason


def _url(storage: str) -> URL:
    """The parts of a URL, the path of a file made absolute."""
    try:
        url = make_url(storage)
    except (SQLAlchemyError, ValueError):
        url = None  # raised below, where no traceback goes on to tell what could not be read
    if url is None:
        raise StorageError(
            "storage must be the URL of a database, for example postgresql://user@host/name or "
            f"sqlite:///trials.db, got {_hide(storage)!r}."
        )
    if url.get_backend_name() == "sqlite":
        return _absolute(url, storage)
    database = url.database or ""
    if "@" in (url.host or "") or ("@" in database and (url.password or ":" in database)):
        raise StorageError(
            f"storage must be a URL with one @, before its host, got {_hide(storage)!r}: within a "
            "user's name or password write %40 for @, %2F for /, %3A for : and %25 for %."
        )
    return url


def _absolute(url: URL, storage: str) -> URL:
    """A file of SQLite by its whole path, so that the database is the same from any folder."""
    path = url.database or ""
    if url.host or path in ("", ":memory:", "file::memory:") or url.query.get("mode") == "memory":
        raise StorageError(
            "storage must be a database that lasts, for example sqlite:///trials.db (with three "
            f"slashes), got {_hide(storage)!r}."
        )
    if not path.startswith("file:"):
        path = user_path(path, "storage")
        return url.set(database=os.path.abspath(path))  # noqa: PTH100 (a link keeps its name)
    path = path.removeprefix("file:")
    return url if path.startswith("/") else _sqlite(Path(unquote(path)), url)


def _sqlite(path: Path, url: URL | None = None) -> URL:
    """The URL of a file of any name: SQLite's own form has a code for every character."""
    url = URL.create("sqlite") if url is None else url
    return url.set(database=path.absolute().as_uri(), query={**url.query, "uri": "true"})


#: Names of a URL's options that hold what is nobody else's.
_SECRET = re.compile("pass|pwd|secret|token|dsn", re.IGNORECASE)


def _hide(storage: str) -> str:
    """A text that is no URL, without what may be a password."""
    text = re.sub(r":(?!//).*@", ":***@", storage, count=1, flags=re.DOTALL)
    text = re.sub(r"^([^/]*//[^:@/?]*:)(?!\d+(?:[/?]|$)|\*\*\*@)[^@/?]+", r"\1***", text)
    option = rf"(\b\w*(?:{_SECRET.pattern})\w*\s*=\s*)('[^']*'|[^&\s]*)"
    return re.sub(option, r"\1***", text, flags=re.IGNORECASE)


def _explain(error: Exception, where: str) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
    if isinstance(cause, ImportError):
        return (
            f"the storage {where} needs a database driver that is not installed "
            f"({cause.__cause__ or cause}); for PostgreSQL: pip install 'autodecoder[postgresql]'."
        )
    reason = " ".join(str(getattr(cause, "orig", None) or cause).split()).rstrip(".?")
    if re.search("malformed|not a database", reason):
        return (
            f"{where} is damaged ({reason}). Move it away and give the same command again: the "
            "trials are read back from the folder."
        )
    return f"the storage {where} cannot be used: {reason}."
