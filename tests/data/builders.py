"""Small data files in the published layouts, as bytes and on disk."""

import gzip
import io
import struct
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np

from autodecoder.data.dataset import Dataset
from autodecoder.errors import DataError

T = TypeVar("T")
TarMode = Literal["w", "w:gz", "w:bz2", "w:xz"]

CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR100_FOLDER = "cifar-100-binary"


def idx(array: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


def idx_files(*, fill: int = 0) -> dict[str, bytes]:
    """The four files of a tiny MNIST-like set; its pixels count on from `fill`."""
    pixels = np.arange(fill, fill + 6 * 30)
    return {
        "train-images-idx3-ubyte": idx(pixels[:120].reshape(4, 6, 5)),
        "train-labels-idx1-ubyte": idx(np.array([0, 1, 2, 9])),
        "t10k-images-idx3-ubyte": idx(pixels[120:].reshape(2, 6, 5)),
        "t10k-labels-idx1-ubyte": idx(np.array([3, 8])),
    }


def gzipped(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files as they are published: one by one in gzip."""
    return {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in files.items()}


def cifar_record(labels: tuple[int, ...], image: np.ndarray) -> bytes:
    """One binary record of a (32, 32, 3) image: its labels, then all red, all green, all blue."""
    return bytes(labels) + b"".join(image[:, :, c].astype(np.uint8).tobytes() for c in range(3))


def cifar10_files() -> dict[str, bytes]:
    """The six files of a tiny CIFAR-10; batch k holds one image of class k, the tests a 9."""
    names = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
    return {
        f"{CIFAR10_FOLDER}/{name}": cifar_record((label,), coloured_image(label))
        for name, label in zip(names, (1, 2, 3, 4, 5, 9), strict=True)
    }


def cifar100_files() -> dict[str, bytes]:
    """The two files of a tiny CIFAR-100, the coarse labels unlike the fine ones."""
    return {
        f"{CIFAR100_FOLDER}/train.bin": cifar_record((3, 42), coloured_image(42))
        + cifar_record((19, 99), coloured_image(99)),
        f"{CIFAR100_FOLDER}/test.bin": cifar_record((7, 0), coloured_image(0)),
    }


def coloured_image(level: int) -> np.ndarray:
    """A pure red (32, 32, 3) image but for one green and one blue pixel that tell its level."""
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :, 0] = 255
    image[1, 2] = (0, 100 + level, 0)
    image[30, 4] = (0, 0, 100 + level)
    return image


def tar(files: Mapping[str, bytes], *, mode: TarMode = "w:gz") -> bytes:
    """An archive of the files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files, with the folders in their names, below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def flip(content: bytes, position: int, mask: int) -> bytes:
    """The bytes with the one at a position (counted round and round) changed."""
    damaged = bytearray(content)
    damaged[position % len(content)] ^= mask
    return bytes(damaged)


def unless_refused(read: Callable[[], T], *, name: str) -> T | None:
    """What a reader delivers, or nothing where it refuses by a `DataError` that names the file."""
    try:
        return read()
    except DataError as error:
        if name not in str(error):
            raise AssertionError(f"{name} is not named in {str(error)!r}") from error
        return None


def assert_same(a: Dataset, b: Dataset) -> None:
    """Both hold the same images and labels, in the same order."""
    for one, other in ((a.train, b.train), (a.val, b.val)):
        np.testing.assert_array_equal(one.images, other.images, strict=True)
        np.testing.assert_array_equal(one.labels, other.labels, strict=True)
