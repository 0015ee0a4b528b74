"""Writing files atomically, and reading JSON with checks for damage."""

import contextlib
import errno
import json
import math
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from autodecoder.encoding import decode_text
from autodecoder.errors import DataError, OutputError

try:
    import fcntl
except ImportError:  # Windows, where files always have locks
    fcntl = None


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when it is complete.

    It has a temporary name until the block ends. After an error, nothing is left.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    # Hidden and different for each writer, since two processes may write the same file.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise OutputError(f"{path} cannot be written: {error.strerror}.") from error
        raise


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that renames and links survive a crash (POSIX only)."""
    if os.name == "posix":
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def write_file(path: Path, content: bytes | memoryview) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    with whole_file(path) as file:
        file.write(content)


#: Folders within a folder: of files that are being written, and of whole ones to be moved up.
_WRITTEN, _WHOLE = ".{}.new", ".whole"
#: Names of files and folders that are being written.
_TEMPORARY = re.compile(r"\.(.*\.[0-9a-f]{8}\.tmp|[0-9a-f]{8}\.new)", re.DOTALL)


@contextlib.contextmanager
def replaced_files(folder: Path) -> Iterator[Path]:
    """Make a folder whose files replace those of `folder` together when the block ends.

    Until then `folder` is as before, and it stays so after an error. Whatever moment the process is
    killed at, `settle` leaves either all files as before or all of the new ones.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    written = folder / _WRITTEN.format(secrets.token_hex(4))
    try:
        written.mkdir(parents=True)
        yield written
        sync_folder(written)
        settle(folder)
        for path in written.iterdir():
            if (folder / path.name).is_dir():
                raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder")
        written.rename(folder / _WHOLE)
        settle(folder)
    except BaseException as error:
        shutil.rmtree(written, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, OutputError):
            raise OutputError(f"{folder} cannot be written: {error.strerror}.") from error
        raise


def settle(folder: Path) -> None:
    """Move up the files that a killed process had written whole, but not yet moved.

    Raises
    ------
    OutputError
        If they cannot be moved.
    """
    whole = folder / _WHOLE
    if not whole.is_dir() or whole.is_symlink():  # a link could lead to files of somebody else
        return
    try:
        for path in sorted(whole.iterdir()):
            with contextlib.suppress(FileNotFoundError):  # moved by another process
                path.replace(folder / path.name)
        sync_folder(folder)
        with contextlib.suppress(FileNotFoundError):
            whole.rmdir()
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}.") from error


def new_folder(folder: Path) -> None:
    """Make a folder for results, or accept an empty one.

    Raises
    ------
    OutputError
        If it holds other files, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = list(folder.iterdir())
        is_empty = all(_TEMPORARY.fullmatch(path.name) for path in found)
        if is_empty:
            for path in found:  # left by a run that was killed
                _remove(path)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}.") from error
    if not is_empty:
        raise OutputError(f"out must be a new or an empty folder, but {folder} is not empty.")


def refuse_links(folder: Path) -> None:
    """Refuse links that lead out of a folder, wherever they are in it (see `refuse_link`).

    Raises
    ------
    OutputError
        If there is one.
    """
    folders, links = [folder], []
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    links.append(Path(entry.path))
                elif entry.is_dir():
                    folders.append(Path(entry.path))
    for path in links:
        refuse_link(folder, path)


def refuse_link(folder: Path, path: Path) -> None:
    """Refuse to write to a link that leads out of a folder: a folder that came from elsewhere must
    not redirect the files written to it.

    Raises
    ------
    OutputError
        If `path`, in `folder`, is a link to a place outside.
    """
    if not path.is_symlink():
        return
    try:
        leads = path.resolve()
        if leads.is_relative_to(folder.resolve()):
            return
    except (OSError, RuntimeError):  # links in a circle
        leads = path
    raise OutputError(
        f"{path} is a link to {leads}, where files would be replaced: remove the link."
    )


def sweep_temporary(folder: Path) -> None:
    """Remove the temporary files of killed processes from a folder and its subfolders.

    Only for a folder that no other process writes to.
    """
    for path in folder.rglob(".*"):
        if _TEMPORARY.fullmatch(path.name):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def readable(value: Any) -> Any:
    """Replace what UTF-8 cannot encode in a text, such as a path; return other values unchanged."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


#: Errors of file systems without locks: Lustre by default, some network and user-space ones.
_NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


def has_locks(path: Path) -> bool:
    """Whether the file system of a file has locks; a missing file is created.

    Raises
    ------
    OSError
        If the file cannot be created.
    """
    if fcntl is None:
        return True
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    with open(path, "a+b", opener=lambda name, _: os.open(name, flags, 0o666)) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            return error.errno not in _NO_LOCKS
    return True


def finite(content: Any) -> Any:
    """Plain values with `None` in place of numbers that are not finite, which JSON lacks."""
    if isinstance(content, Mapping):
        return {name: finite(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def format_json(content: Mapping[str, Any]) -> bytes:
    """Format strict JSON; values that JSON lacks raise a `TypeError` or a `ValueError`."""
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write strict JSON."""
    write_file(path, format_json(content))


#: Largest JSON that is read, in bytes, and the deepest nesting of its lists and objects.
LARGEST_JSON = 2**24
_DEEPEST = 100


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a file of at most 16 MiB.

    Raises
    ------
    DataError
        If it cannot be read or is damaged.
    """
    try:
        refuse_special(path)
        with path.open("rb") as file:
            text = file.read(LARGEST_JSON + 1)
        if len(text) > LARGEST_JSON:
            raise DataError(f"{path} is damaged: it has more than {LARGEST_JSON} bytes.")
        content = json.loads(decode_text(text, path), parse_constant=_refuse_constant)
        refuse_deep(content)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is damaged: it is no JSON ({error}).") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: it holds no JSON object.")
    return content


def refuse_special(path: Path) -> None:
    """Refuse devices and pipes, which may never end.

    Raises
    ------
    DataError
        If the path is one of them.
    OSError
        If nothing exists at the path.
    """
    if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
        raise DataError(f"{path} must be a file, but is a device or a pipe.")


def refuse_deep(content: Any) -> None:
    """Refuse nesting that is too deep for code that walks the content recursively."""
    level = [content] if isinstance(content, dict | list) else []
    for _ in range(_DEEPEST):
        inner = (part.values() if isinstance(part, dict) else part for part in level)
        level = [one for parts in inner for one in parts if isinstance(one, dict | list)]
        if not level:
            return
    raise ValueError(f"more than {_DEEPEST} levels")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
