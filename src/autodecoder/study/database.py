"""The database behind a study's storage: reaching it, and saying what went wrong."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import RDBStorage
from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from autodecoder.errors import StorageError

_SECONDS_TO_CONNECT = 10


def connect(folder: Path, storage: str | None) -> RDBStorage:
    """Open the database of a URL, or `study.db` in the folder.

    Raises
    ------
    StorageError
        If the URL is none.
    """
    url = _url(folder, storage)
    name = url.get_backend_name()
    waits = {"sqlite": {"timeout": 60}, "postgresql": {"connect_timeout": _SECONDS_TO_CONNECT}}
    arguments = {"connect_args": waits.get(name, {})}
    return RDBStorage(url.render_as_string(hide_password=False), engine_kwargs=arguments)


def describe(folder: Path, storage: str | None) -> str:
    """Where the trials are kept, without the password of a URL."""
    if storage is None:
        return str(folder / "study.db")
    try:
        return make_url(storage).render_as_string(hide_password=True)
    except SQLAlchemyError:
        return storage


@contextlib.contextmanager
def storage_errors(where: str) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.OptunaError, ImportError) as error:
        raise StorageError(_explain(error, where)) from error


def _url(folder: Path, storage: str | None) -> URL:
    if storage is None:
        return URL.create("sqlite", database=str((folder / "study.db").resolve()))
    try:
        return make_url(storage)
    except SQLAlchemyError:
        raise StorageError(
            "storage must be the URL of a database, for example postgresql://user@host/name, got "
            f"{storage!r}."
        ) from None


def _explain(error: Exception, where: str) -> str:
    cause = error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
    if isinstance(cause, ImportError):
        return (
            f"the storage {where} needs a database driver that is not installed ({cause}); for "
            "PostgreSQL: pip install 'autodecoder[postgresql]'."
        )
    reason = " ".join(str(getattr(cause, "orig", None) or cause).split())
    if where.endswith("study.db"):
        return (
            f"{where} is damaged or cannot be used ({reason}). Move it away and give the same "
            "command again: the trials are read back from the folder."
        )
    return f"the storage {where} cannot be used: {reason}."
