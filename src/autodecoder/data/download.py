"""Fetching published files into the user's cache, checked by hash."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autodecoder.errors import DataError, OutputError
from autodecoder.quiet import quiet


@contextmanager
def bars_may_be_text() -> Iterator[None]:
    """Suppress the warning that a notebook has no widgets when progress bars are imported: the
    bars are then drawn as text."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="IProgress not found")
        yield


def cache_dir() -> Path:
    """The user's cache folder of this package, which need not exist.

    Raises
    ------
    OutputError
        If neither the home folder nor an absolute path for caches is known.
    """
    with bars_may_be_text():
        import pooch
    try:
        folder = Path(os.path.expanduser(pooch.os_cache("autodecoder")))  # noqa: PTH111 (no error)
    except RuntimeError:  # newer releases of its library raise, older ones leave the ~
        folder = Path("~")
    if not folder.is_absolute():
        raise OutputError("no folder for caches is known; set HOME, or XDG_CACHE_HOME to one.")
    return folder


def download(urls: tuple[str, ...], md5: str, target: Path, *, progress: bool) -> Path:
    """Fetch a file from the first address that serves it whole.

    Parameters
    ----------
    urls : tuple of str
        The publisher's address, then mirrors.
    md5 : str
        Hash that the file must have.
    target : Path
        Path to save to. A file that fails its hash check is never saved there.
    progress : bool
        Draw a progress bar on standard error.

    Raises
    ------
    DataError
        If no address delivers the file, or the folder cannot be written.
    """
    import requests

    with bars_may_be_text():
        import pooch
    failures = []
    for url in urls:
        try:
            with quiet(pooch.get_logger(), logging.ERROR):
                pooch.retrieve(
                    url,
                    known_hash=f"md5:{md5}",
                    fname=target.name,
                    path=target.parent,
                    downloader=pooch.HTTPDownloader(  # pyright: ignore[reportArgumentType]
                        progressbar=progress, timeout=30
                    ),
                )
        except (requests.RequestException, ValueError) as error:
            failures.append(f"{url} ({_reason(error)})")
        except OSError as error:
            reason = error.strerror or "Permission denied"  # pooch's own errors have none
            raise DataError(f"{target.parent} cannot be written: {reason}.") from error
        else:
            return target
    raise DataError(
        f"{target.name} could not be downloaded from {' or '.join(failures)}; "
        "check the network, or put the published files into a folder and name it by --data_dir."
    )


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}"
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.RequestException):
        return "no connection"
    return "its hash is not the published one"
