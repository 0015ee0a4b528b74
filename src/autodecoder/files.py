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
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from autodecoder.encoding import decode_text
from autodecoder.errors import DataError, OutputError

try:
    import fcntl
except ImportError:  # Windows, where files always have locks
    fcntl = None


class UnreadableError(DataError):
    """A file exists but cannot be read now, for example on a network drive; it may be intact."""


def unreadable(path: Path, error: OSError) -> DataError:
    """The error for a file that cannot be read: an `UnreadableError`, unless it is absent."""
    kind = DataError if error.errno == errno.ENOENT else UnreadableError
    return kind(f"{path} cannot be read: {error.strerror or error}.")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Convert errors of the system in the block to an `OutputError` that names the path."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}.") from error


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that appears under its name only when it is complete.

    It has a temporary name until the block ends. After an error, nothing is left. After a loss of
    power, the former file may be back: call `sync_folder` before removing files that it replaces.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    # Hidden and different for each writer, since two processes may write the same file.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    with writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


#: Errors of file systems that cannot flush folders, and of folders that may only be written.
_NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EBADF, errno.EACCES}


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, so that renames and links survive a crash (POSIX only).

    Raises
    ------
    OSError
        If the disk fails.
    """
    if os.name != "posix":
        return
    try:
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


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
#: A folder among the whole files into which a file is moved that is to be removed.
_REMOVED = ".{}.removed"
#: Names of files and folders that are being written.
_TEMPORARY = re.compile(r"\.(.*\.[0-9a-f]{8}\.tmp|[0-9a-f]{8}\.new)", re.DOTALL)
#: Most attempts to replace files while other processes do the same.
_ATTEMPTS = 100


@contextlib.contextmanager
def replaced_files(folder: Path, names: Collection[str]) -> Iterator[Path]:
    """Make a folder whose files replace those of `folder` together when the block ends.

    Until then `folder` is as before, and it stays so after an error. Whatever moment the process is
    killed at, `settle` leaves either all files as before or all of the new ones. Several processes
    may replace files; those of the last one stay.

    Parameters
    ----------
    folder : Path
    names : collection of str
        Names of all files that may be replaced. Those that the block does not write are removed.

    Raises
    ------
    OutputError
        If they cannot be written.
    """
    written = folder / _WRITTEN.format(secrets.token_hex(4))
    with writing(folder):
        try:
            written.mkdir(parents=True)
            yield written
            settle(folder, names)
            for name in names:
                if (folder / name).is_dir():
                    raise IsADirectoryError(errno.EISDIR, f"{name} is a folder")
                if (folder / name).exists() and not (written / name).exists():
                    (written / _REMOVED.format(name)).mkdir()
            sync_folder(written)
            _hand_over(written, folder, names)
        except BaseException:
            shutil.rmtree(written, ignore_errors=True)
            raise


def _hand_over(written: Path, folder: Path, names: Collection[str]) -> None:
    """Replace files of a folder by those of another, after those of processes that are earlier."""
    for _ in range(_ATTEMPTS):
        try:
            written.rename(folder / _WHOLE)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            settle(folder, names)
        else:
            settle(folder, names)
            return
    raise OutputError(f"{folder / _WHOLE} holds files of something else: remove it.")


def settle(folder: Path, names: Collection[str]) -> None:
    """Move up the files that a killed process had written whole, but not yet moved.

    Files that it was about to remove are removed. Files of other names than `names` are not moved.

    Raises
    ------
    OutputError
        If they cannot be moved.
    """
    whole = folder / _WHOLE
    if not whole.is_dir() or whole.is_symlink():  # a link could lead to files of somebody else
        return
    with writing(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # there is none, or it was moved meanwhile
                (whole / name).replace(folder / name)
            removed = whole / _REMOVED.format(name)
            if removed.is_dir() and not removed.is_symlink():
                with contextlib.suppress(FileNotFoundError):
                    (folder / name).replace(removed / name)
                shutil.rmtree(removed, ignore_errors=True)
        sync_folder(folder)
    with contextlib.suppress(OSError):  # it is gone, or that of another process
        whole.rmdir()


def newest_file(folder: Path, name: str) -> Path:
    """The path of a file of `replaced_files`, also where `settle` could not move it."""
    whole = folder / _WHOLE
    return whole / name if (whole / name).is_file() and not whole.is_symlink() else folder / name


def new_folder(folder: Path) -> None:
    """Make a folder for results, or accept an empty one.

    Raises
    ------
    OutputError
        If it holds other files, or cannot be written.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        found = list(folder.iterdir())
        is_empty = all(_TEMPORARY.fullmatch(path.name) for path in found)
        if is_empty:
            for path in found:  # left by a run that was killed
                _remove(path)
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
        raise unreadable(path, error) from error
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
