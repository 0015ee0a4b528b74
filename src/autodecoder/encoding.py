"""Text that people write, in UTF-8, with or without a byte order mark."""

from autodecoder.errors import DataError


def decode_text(content: bytes, name: object) -> str:
    """Text from its bytes, without the mark that editors of Windows put before it.

    Raises
    ------
    DataError
        If it is encoded in UTF-16 or UTF-32, by what begins it.
    UnicodeDecodeError
        If it is encoded in another way than UTF-8.
    """
    # Without a mark, the zeros between the first letters tell.
    n_zeros = content[:4].count(0)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or n_zeros in (2, 3):
        wide = b"\0\0" in content[:4]
        raise DataError(f"{name} is encoded in UTF-{32 if wide else 16}; save it in UTF-8.")
    return content.decode("utf-8-sig")
