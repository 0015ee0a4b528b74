import re
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.data.builders import flip, idx, unless_refused

from autodecoder.data.idx import parse_idx
from autodecoder.errors import DataError

N_AXES = st.integers(1, 3)
VALID = st.builds(
    lambda shape, start: idx(np.arange(start, start + np.prod(shape)).reshape(shape) % 256),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(0, 255),
)


def header(*shape: int) -> bytes:
    return bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape)


def assert_read_as_announced_or_refused(content: bytes, n_axes: int) -> None:
    array = unless_refused(
        lambda: parse_idx(content, n_axes=n_axes, name="a file"), name="a file: "
    )
    if array is not None:
        end = 4 + 4 * n_axes
        assert content[:4] == bytes((0, 0, 8, n_axes))
        assert array.shape == struct.unpack(f">{n_axes}I", content[4:end])
        assert array.dtype == np.uint8
        assert array.tobytes() == content[end:]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (header(3) + b"\x00\x07\xff", [0, 7, 255]),
        (header(2, 1, 3) + b"\x01\x02\x03\x04\x05\x06", [[[1, 2, 3]], [[4, 5, 6]]]),
    ],
)
def test_hand_made_files_are_read_in_c_order(content: bytes, expected: list) -> None:
    array = parse_idx(content, n_axes=np.ndim(expected), name="a file")
    np.testing.assert_array_equal(array, np.array(expected, np.uint8), strict=True)


@pytest.mark.parametrize(
    ("content", "n_axes", "message"),
    [
        (b"", 1, "train.idx: .* 1 axes starts with a header of 8 bytes, got 0 bytes"),
        (header(1, 1, 1)[:15], 3, "3 axes starts with a header of 16 bytes, got 15 bytes"),
        (header(5) + bytes(20), 3, "starts with 00 00 08 03, got 00 00 08 01"),
        (header(1, 1, 1) + bytes(1), 1, "starts with 00 00 08 01, got 00 00 08 03"),
        (b"\x00\x00\x0d\x01" + bytes(8), 1, "unsigned bytes starts with .*, got 00 00 0d 01"),
        (b"<!DOCTYPE html>", 1, "got 3c 21 44 4f"),
        (header(2, 3, 1) + bytes(5), 3, "announces 2 × 3 × 1 = 6 bytes of values, got 5;"),
        (header(2) + bytes(3), 1, "announces 2 = 2 bytes of values, got 3;"),
        (header(2**32 - 1, 2**32 - 1, 2**32 - 1), 3, "announces 4294967295 × .*, got 0;"),
    ],
)
def test_error_names_file_rule_and_value(content: bytes, n_axes: int, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        parse_idx(content, n_axes=n_axes, name="train.idx")
    assert str(caught.value).startswith("train.idx: ")


def test_huge_axes_beside_an_empty_one_are_a_data_error() -> None:
    with pytest.raises(DataError, match=re.escape("a file: ")):
        parse_idx(header(0, 2**32 - 1, 2**32 - 1), n_axes=3, name="a file")


@given(content=st.binary(max_size=64), n_axes=N_AXES)
def test_arbitrary_bytes(content: bytes, n_axes: int) -> None:
    assert_read_as_announced_or_refused(content, n_axes)


@given(
    shape=st.lists(st.integers(0, 3) | st.integers(0, 2**32 - 1), min_size=1, max_size=3),
    values=st.binary(max_size=27),
)
@example(shape=[0, 1, 1], values=b"")
@example(shape=[2**16, 2**16], values=b"")  # a product that is 0 in 32 bits
def test_arbitrary_axes(shape: list[int], values: bytes) -> None:
    assert_read_as_announced_or_refused(header(*shape) + values, len(shape))


@given(content=VALID, extra=st.binary(min_size=1, max_size=8), data=st.data())
def test_shortened_and_lengthened_files_are_refused(
    content: bytes, extra: bytes, data: st.DataObject
) -> None:
    n_axes = content[3]
    kept = data.draw(st.integers(0, len(content) - 1))
    for damaged in (content[:kept], content + extra):
        with pytest.raises(DataError, match=r"a file: .*, got \d+"):
            parse_idx(damaged, n_axes=n_axes, name="a file")


@given(content=VALID, position=st.integers(0, 100), mask=st.integers(1, 255))
def test_changed_bytes(content: bytes, position: int, mask: int) -> None:
    assert_read_as_announced_or_refused(flip(content, position, mask), content[3])
