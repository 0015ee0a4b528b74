"""Making the checksums of damaged files true, so that fuzzers reach the checks behind them."""

import io
import json
import struct
import zipfile
import zlib
from typing import Any

import ml_dtypes
import numpy as np

from autodecoder.tensors import _DTYPES, _checksum

_DECODER = json.JSONDecoder()
_PNG = b"\x89PNG\r\n\x1a\n"


def seal_tensors(content: bytes) -> bytes:
    """Correct the length of the header and the checksum in a file of `tensors.write_tensors`.

    Content that is too damaged for this is returned unchanged.
    """
    try:
        header, used = _DECODER.raw_decode(content[8:].decode("latin-1"))
        data = content[8 + used :]
        n_spaces = len(data) - len(data.lstrip(b" "))
        data = data[min(n_spaces, 7) :]
        metadata = header["__metadata__"]
        tensors = {n: _tensor(about, data) for n, about in header.items() if n != "__metadata__"}
        metadata["crc32"] = str(_checksum(tensors, metadata["about"]))
        head = json.dumps(header).encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return content
    head += b" " * (-len(head) % 8)
    return len(head).to_bytes(8, "little") + head + data


def _tensor(about: Any, data: bytes) -> np.ndarray:
    name = _DTYPES[about["dtype"]]
    dtype = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    begin, end = about["data_offsets"]
    return np.frombuffer(data[begin:end], dtype).reshape(about["shape"])


def seal_png(content: bytes) -> bytes:
    """Correct the checksums of the chunks of a PNG."""
    if not content.startswith(_PNG):
        return content
    parts, at = [_PNG], len(_PNG)
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        body = content[at + 4 : at + 8 + length]
        if len(body) < length + 4 or length > len(content):
            break
        parts += [content[at : at + 4], body, struct.pack(">I", zlib.crc32(body))]
        at += 12 + length
    return b"".join(parts) + content[at:]


def seal_tar(content: bytes) -> bytes:
    """Correct the checksums of the headers of a tar archive."""
    blocks = [content[at : at + 512] for at in range(0, len(content), 512)]
    return b"".join(map(_seal_header, blocks))


def _seal_header(block: bytes) -> bytes:
    if block[257:262] != b"ustar" or len(block) < 512:
        return block
    total = sum(block[:148]) + sum(block[156:]) + 8 * ord(" ")
    return block[:148] + b"%06o\0 " % total + block[156:]


#: Between the members of an archive in the inputs of `zipped`.
BETWEEN = b"\0====\0"


def zipped(content: bytes) -> bytes:
    """An archive of the members in an input: a name, a line end and the content of each."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in content.split(BETWEEN)[:20]:
            name, _, body = member.partition(b"\n")
            called = name.decode("utf-8", "replace").partition("\0")[0][:200]
            archive.writestr(called or "x", body)
    return buffer.getvalue()
