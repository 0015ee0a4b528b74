"""The database of a study's storage: connecting to it, and explaining its errors."""

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
    """Connect to the database of a URL, or to `study.db` in the folder.

    Raises
    ------
    StorageError
        If the URL is invalid, or names a database in memory.
    """
    url = _url(storage) if storage is not None else _sqlite(folder / "study.db")
    if storage is None and not has_locks(folder / ".lock"):  # then only one process runs the study
        url = url.update_query_dict({"nolock": "1"})
    if url.get_backend_name() == "sqlite" and not (url.database or "").startswith("file:"):
        assert url.database is not None  # see `_url`
        url = _sqlite(Path(url.database), url)
    # SQLAlchemy 2.1 changed its default driver; the extra installs this one.
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg2")
    name = url.get_backend_name()
    waits = {"sqlite": {"timeout": 60}, "postgresql": {"connect_timeout": _SECONDS_TO_CONNECT}}
    arguments = {"connect_args": waits.get(name, {})}
    # Optuna treats text in braces as a placeholder.
    text = url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")
    return RDBStorage(text, engine_kwargs=arguments)


def disconnect(storage: RDBStorage) -> None:
    """Close all connections to the database."""
    storage.remove_session()
    storage.engine.dispose()


def add_curves(storage: RDBStorage, curves: Mapping[int, Mapping[int, float]]) -> None:
    """Report values by epoch, for trials by their keys in the storage.

    One transaction writes all values. Optuna would use one per value, and on a disk a transaction
    of thousands of values takes as long as one of a single value.
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
    """The number of running trials of a study, without reading their curves."""
    query = select(func.count()).select_from(TrialModel)
    query = query.where(TrialModel.study_id == study, TrialModel.state == TrialState.RUNNING)
    with storage.engine.connect() as connection:
        return connection.scalar(query) or 0


def describe(default: Path | str, storage: str | None) -> str:
    """The place of the trials, as text: an absolute path, or a URL with its password hidden."""
    if storage is None:
        return str(default)
    try:
        url = _url(storage)
    except StorageError:
        return _hide(storage)
    hidden = {name: value if _is_harmless(name) else "***" for name, value in url.query.items()}
    text = url.set(query=hidden).render_as_string(hide_password=True)
    return text.replace("%2A%2A%2A", "***")


def secrets_of(storage: str | None) -> set[str]:
    """Secrets of a storage, which no message may contain."""
    try:
        url = _url(storage or "")
    except StorageError:
        return set()
    values = [value for name, value in url.query.items() if not _is_harmless(name)]
    several = [value if isinstance(value, tuple) else (value,) for value in values]
    # A shorter value, such as a number, would be replaced wherever it occurs.
    long = {one for each in several for one in each if len(one) > 3}
    return {str(url.password or ""), *long} - {""}


@contextlib.contextmanager
def storage_errors(where: str, hidden: Collection[str] = ()) -> Iterator[None]:
    """Turn errors of the storage at `where` into one sentence without secrets. Optuna's log shows
    warnings only."""
    try:
        with quiet(logging.getLogger("optuna"), logging.WARNING):
            yield
    except AutodecoderError:
        raise
    except (
        SQLAlchemyError,
        optuna.exceptions.OptunaError,
        ImportError,
        RuntimeError,  # the tables of another version
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
    """Parse a URL, and make the path of a file absolute."""
    try:
        url = make_url(storage)
    except (SQLAlchemyError, ValueError):
        url = None  # raised below, so that no traceback shows the text
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
            f"storage must be a URL with one @, before its host, got {_hide(storage)!r}: in a user "
            "name or password, write %40 for @, %2F for /, %3A for : and %25 for %."
        )
    return url


def _absolute(url: URL, storage: str) -> URL:
    """Make the path of an SQLite file absolute, so that the database is the same in any folder."""
    path = url.database or ""
    if url.host or path in ("", ":memory:", "file::memory:") or url.query.get("mode") == "memory":
        raise StorageError(
            "storage must be a database on disk, for example sqlite:///trials.db (with three "
            f"slashes), got {_hide(storage)!r}."
        )
    if not path.startswith("file:"):
        path = user_path(path, "storage")
        return url.set(database=os.path.abspath(path))  # noqa: PTH100 (a link keeps its name)
    path = path.removeprefix("file:")
    return url if path.startswith("/") else _sqlite(Path(unquote(path)), url)


def _sqlite(path: Path, url: URL | None = None) -> URL:
    """The URL of a file with any name. SQLite's file: URLs can escape every character."""
    url = URL.create("sqlite") if url is None else url
    return url.set(database=path.absolute().as_uri(), query={**url.query, "uri": "true"})


#: Names of URL options that are shown; the value of any other may be secret.
_HARMLESS = frozenset(
    (
        *("sslmode", "connect_timeout", "application_name", "options", "target_session_attrs"),
        *("client_encoding", "host", "hostaddr", "port", "service", "charset", "driver", "timeout"),
        *("uri", "mode", "cache", "nolock", "immutable", "vfs", "check_same_thread"),
    )
)
#: Parts of the names of options with secret values, in a text that is no URL.
_SECRET = re.compile("pass|pwd|secret|token|dsn", re.IGNORECASE)


def _is_harmless(option: str) -> bool:
    return option.lower() in _HARMLESS


def _hide(storage: str) -> str:
    """Hide possible passwords in a text that is no valid URL."""
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
            f"{where} is damaged ({reason}). Move it away and run the same command again: the "
            "trials are restored from the folder."
        )
    return f"the storage {where} cannot be used: {reason}."
