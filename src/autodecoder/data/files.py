"""Reading the published files from disk: gzipped or not, packed in an archive or not."""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from autodecoder.errors import DataError
from autodecoder.files import refuse_special
from autodecoder.machine import machine_memory

_GZIP_MAGIC = b"\x1f\x8b"
#: First bytes of other compressed formats, which a file may have under its old name.
_OTHER_MAGICS = {
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstandard",
}

#: Errors that damaged tar archives cause; the last three come from chains of headers and from
#: impossible numbers in them.
BROKEN_ARCHIVE = (
    *(tarfile.TarError, OSError, EOFError, ValueError, RecursionError, OverflowError, IndexError),
)
#: Most bytes that are unpacked from a file; the memory of the machine is a second limit.
MOST_UNPACKED = 2**36
#: Bytes that are unpacked at once.
_PIECE = 2**20


def read_maybe_gzipped(path: Path) -> bytes:
    """Read a file, decompressed if its content is gzipped, whatever its name.

    Raises
    ------
    DataError
        If it cannot be read, is damaged, is gzipped twice, or is compressed in another format; if
        it unpacks to more than 64 GiB, or to more than half of the machine's memory.
    """
    try:
        refuse_special(path)
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if not content:
        raise DataError(f"{path} is empty; fetch it again.")
    if content.startswith(_GZIP_MAGIC):
        try:
            content = _unpack(content, path)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(
                f"{path} is a truncated or damaged gzip file ({error}); fetch it again."
            ) from error
        if content.startswith(_GZIP_MAGIC):
            raise DataError(f"{path} is gzipped twice; unpack it once with gunzip.")
    for magic, kind in _OTHER_MAGICS.items():
        if content.startswith(magic):
            raise DataError(
                f"{path} is packed with {kind} where gzip or no compression is expected; "
                "unpack it or fetch the published file."
            )
    return content


def _unpack(content: bytes, path: Path) -> bytes:
    """Unpack gzipped bytes piece by piece, since a small file may unpack to any size."""
    most = min(MOST_UNPACKED, machine_memory() // 2)  # joined, all is in memory twice
    pieces, size = [], 0
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        while piece := file.read(_PIECE):
            pieces.append(piece)
            size += len(piece)
            if size > most:
                raise DataError(
                    f"{path} unpacks to more than the {most / 2**30:.1f} GiB that fit into memory; "
                    "save the images as .npy, which is mapped."
                )
    return b"".join(pieces)


def members_of(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members of a tar archive, from its beginning to its end.

    Raises
    ------
    tarfile.TarError
        If a member has a negative size, after which the same members would follow again and again.
    """
    for member in archive:
        if member.size < 0:
            raise tarfile.ReadError(f"a member has the size {member.size}")
        yield member


def read_members(path: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Read named files out of a tar archive, without unpacking it to disk.

    Parameters
    ----------
    path : Path
        A tar file, gzipped or not.
    names : sequence of str
        File names without folders.

    Raises
    ------
    DataError
        If it is no readable archive, or lacks one of the files.
    """
    # Decompress the whole file, which checks gzip's checksum: tarfile stops at the end mark.
    content = read_maybe_gzipped(path)
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for member in members_of(archive):
                name = Path(member.name).name
                # A sparse file of a few bytes may have any size.
                if member.isfile() and not member.issparse() and name in names:
                    stream = archive.extractfile(member)
                    assert stream is not None  # regular files always have one
                    found[name] = stream.read()
    except BROKEN_ARCHIVE as error:
        raise DataError(
            f"{path} is a truncated or damaged archive ({error}); fetch it again."
        ) from error
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(f"{path} must hold {', '.join(names)}, but lacks {', '.join(missing)}.")
    return found
