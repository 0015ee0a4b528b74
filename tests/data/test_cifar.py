import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.data.builders import cifar_record, coloured_image, flip, unless_refused

from autodecoder.data.cifar import parse_cifar
from autodecoder.errors import DataError

RANGES = {"cifar10": (10,), "cifar100": (20, 100)}
N_PIXELS = 3 * 32 * 32
every_set = pytest.mark.parametrize("label_ranges", RANGES.values(), ids=RANGES.keys())


def records(n: int, label_ranges: tuple[int, ...]) -> bytes:
    rng = np.random.default_rng(n)
    images = rng.integers(0, 256, (n, 32, 32, 3))
    labels = [tuple(int(rng.integers(0, top)) for top in label_ranges) for _ in range(n)]
    return b"".join(map(cifar_record, labels, images))


def assert_read_as_laid_out_or_refused(content: bytes, label_ranges: tuple[int, ...]) -> None:
    arrays = unless_refused(
        lambda: parse_cifar(content, label_ranges=label_ranges, name="a file"), name="a file: "
    )
    if arrays is not None:
        images, labels = arrays
        n_labels = len(label_ranges)
        n, rest = divmod(len(content), n_labels + N_PIXELS)
        assert rest == 0
        assert images.shape == (n, 32, 32, 3)
        assert labels.shape == (n,)
        assert images.dtype == labels.dtype == np.uint8
        for k in range(n):
            record = content[k * (n_labels + N_PIXELS) :][: n_labels + N_PIXELS]
            assert all(record[j] < label_ranges[j] for j in range(n_labels))
            assert labels[k] == record[n_labels - 1]
            assert images[k].transpose(2, 0, 1).tobytes() == record[n_labels:]


@every_set
def test_channels_rows_and_labels_fall_into_place(label_ranges: tuple[int, ...]) -> None:
    content = b"".join(
        cifar_record((1, label)[-len(label_ranges) :], coloured_image(label)) for label in (7, 9)
    )
    images, labels = parse_cifar(content, label_ranges=label_ranges, name="a file")
    assert labels.tolist() == [7, 9]
    assert images[0, 0, 0].tolist() == [255, 0, 0]
    assert images[0, 1, 2].tolist() == [0, 107, 0]
    assert images[1, 30, 4].tolist() == [0, 0, 109]


@pytest.mark.parametrize(
    ("content", "label_ranges", "message"),
    [
        (b"", (10,), "multiple of 3073 bytes .*, got 0;"),
        (bytes(3072), (10,), "multiple of 3073 bytes .*, got 3072;"),
        (bytes(3074), (10,), "multiple of 3073 bytes .*, got 3074;"),
        (bytes(3073), (20, 100), "multiple of 3074 bytes .*, got 3073;"),
        (b"\x0a" + bytes(3072), (10,), "label byte 0 must be below 10, got 10;"),
        (bytes(3073) + b"\xff" + bytes(3072), (10,), "label byte 0 must be below 10, got 255;"),
        (b"\x14\x00" + bytes(3072), (20, 100), "label byte 0 must be below 20, got 20;"),
        (b"\x00\x64" + bytes(3072), (20, 100), "label byte 1 must be below 100, got 100;"),
    ],
)
def test_error_names_file_rule_and_value(
    content: bytes, label_ranges: tuple[int, ...], message: str
) -> None:
    with pytest.raises(DataError, match=f"^batch.bin: .*{message}"):
        parse_cifar(content, label_ranges=label_ranges, name="batch.bin")


@every_set
@given(
    pattern=st.binary(min_size=1, max_size=40),
    size=st.integers(0, 10_000) | st.sampled_from([3073, 3074, 2 * 3073, 2 * 3074]),
)
def test_arbitrary_bytes(label_ranges: tuple[int, ...], pattern: bytes, size: int) -> None:
    content = (pattern * (size // len(pattern) + 1))[:size]
    assert_read_as_laid_out_or_refused(content, label_ranges)


@every_set
@given(n=st.integers(1, 3), extra=st.binary(min_size=1, max_size=40), data=st.data())
def test_shortened_and_lengthened_files_are_refused(
    label_ranges: tuple[int, ...], n: int, extra: bytes, data: st.DataObject
) -> None:
    content = records(n, label_ranges)
    record = len(content) // n
    cut = data.draw(st.integers(1, record - 1))
    for damaged in (content[:-cut], content + extra):
        with pytest.raises(DataError, match=f"a file: .* {record} bytes .*, got {len(damaged)};"):
            parse_cifar(damaged, label_ranges=label_ranges, name="a file")


@every_set
@given(
    n=st.integers(1, 3),
    position=st.integers(0, 10_000) | st.sampled_from([0, 1, 3073, 3074, 3075]),
    mask=st.integers(1, 255),
)
def test_changed_bytes(label_ranges: tuple[int, ...], n: int, position: int, mask: int) -> None:
    assert_read_as_laid_out_or_refused(flip(records(n, label_ranges), position, mask), label_ranges)
