"""The database behind a study's storage: reaching it, and saying what went wrong."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from autodecoder.errors import AutodecoderError, StorageError

_SECONDS_TO_CONNECT = 10


def connect(folder: Path, storage: str | None) -> RDBStorage:
    """Open the database of a URL, or `study.db` in the folder.

    Raises
    ------
    StorageError
        If the URL is none, or of a database in memory.
    """
    url = _url(folder, storage)
    name = url.get_backend_name()
    waits = {"sqlite": {"timeout": 60}, "postgresql": {"connect_timeout": _SECONDS_TO_CONNECT}}
    arguments = {"connect_args": waits.get(name, {})}
    return RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=arguments)


def describe(default: Path | str, storage: str | None) -> str:
    """Where the trials are kept, without the password of a URL."""
    if storage is None:
        return str(default)
    try:
        return make_url(storage).render_as_string(hide_password=True)
    except (SQLAlchemyError, ValueError):
        return _hide_password(storage)


@contextlib.contextmanager
def storage_errors(where: str) -> Iterator[None]:
    try:
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
        raise StorageError(_explain(error, where)) from error


def _url(folder: Path, storage: str | None) -> URL:
    if storage is None:
        return URL.create("sqlite", database=str((folder / "study.db").resolve()))
    try:
        url = make_url(storage)
    except (SQLAlchemyError, ValueError):
        raise StorageError(
            "storage must be the URL of a database, for example postgresql://user@host/name, got "
            f"{_hide_password(storage)!r}."
        ) from None
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise StorageError(f"storage must be a database that lasts, got {storage!r}.")
    # SQLAlchemy's choice of a driver changed with its version 2.1; the extra brings this one.
    return url.set(drivername="postgresql+psycopg2") if url.drivername == "postgresql" else url


def _hide_password(storage: str) -> str:
    return re.sub(r"^((?:[^/]*//)?[^:@/]*:).*@", r"\1***@", storage)


def _explain(error: Exception, where: str) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
    if isinstance(cause, ImportError):
        return (
            f"the storage {where} needs a database driver that is not installed "
            f"({cause.__cause__ or cause}); for PostgreSQL: pip install 'autodecoder[postgresql]'."
        )
    reason = " ".join(str(getattr(cause, "orig", None) or cause).split()).rstrip(".")
    if re.search("malformed|not a database", reason):
        return (
            f"{where} is damaged ({reason}). Move it away and give the same command again: the "
            "trials are read back from the folder."
        )
    return f"the storage {where} cannot be used: {reason}."
