"""Text that people write, in UTF-8, with or without a byte order mark."""

from autodecoder.errors import DataError


def decode_text(content: bytes, name: object) -> str:
    """Text from its bytes, without the mark that editors of Windows put before it.

    Raises
    ------
    DataError
        If it is encoded in another way; UTF-16 and UTF-32 are told by what begins them.
    """
    # Without a mark, the zeros between the first letters tell.
    n_zeros = content[:4].count(0)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or n_zeros in (2, 3):
        wide = b"\0\0" in content[:4]
        raise DataError(f"{name} is encoded in UTF-{32 if wide else 16}; save it in UTF-8.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name} is not encoded in UTF-8 (line {line} is not); save it in UTF-8."
        ) from error
