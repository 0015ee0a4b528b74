"""The published data sets: finding, downloading and reading their files."""

import hashlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autodecoder.data.cifar import parse_cifar
from autodecoder.data.dataset import Dataset, ImageSet
from autodecoder.data.download import cache_dir, download
from autodecoder.data.files import read_maybe_gzipped, read_members
from autodecoder.data.idx import parse_idx
from autodecoder.data.splits import split
from autodecoder.errors import ConfigError, DataError, OutputError
from autodecoder.paths import user_path

_log = logging.getLogger(__name__)
#: Environment variable that names a data folder.
DATA_ENV = "AUTODECODER_DATA"

_DIGITS_VAL_FRACTION = 0.2
_MNIST_CLASSES = tuple("0123456789")
_FMNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def _numbered(images: np.ndarray, labels: np.ndarray) -> ImageSet:
    """An image set named by row numbers, counted through the published files in order."""
    return ImageSet(images, labels.astype(np.int32), np.arange(len(images)))


@dataclass(frozen=True)
class IdxSource:
    """A set published as four gzipped IDX files."""

    urls: tuple[str, ...]
    """Base addresses of the files; the publisher's first."""
    md5: dict[str, str]
    content_md5: tuple[str, ...]
    """MD5 of the decompressed files, in the order of `md5`."""
    class_names: tuple[str, ...]
    megabytes: int
    """Size of the download in MB."""

    def files(self, folder: Path) -> Iterator[Path]:
        """Paths of the files in a folder, gzipped or not; they need not exist."""
        for name in self.md5:
            plain = folder / name.removesuffix(".gz")
            yield plain if plain.is_file() and not (folder / name).is_file() else folder / name

    def found_in(self, folder: Path) -> bool:
        return any(path.is_file() for path in self.files(folder))

    def complete_in(self, folder: Path) -> bool:
        return all(path.is_file() for path in self.files(folder))

    def lies_in(self, folder: Path) -> bool:
        """Whether a folder of any name holds files of this set, judged by their content: MNIST and
        Fashion-MNIST use the same file names."""
        # Start with the last file, the test labels, which is small.
        for path, md5 in reversed(list(zip(self.files(folder), self.content_md5, strict=True))):
            if path.is_file():
                try:
                    return hashlib.md5(read_maybe_gzipped(path)).hexdigest() == md5
                except DataError:
                    continue
        return False

    def fetch(self, folder: Path, *, progress: bool) -> None:
        for name, md5 in self.md5.items():
            urls = tuple(f"{base}/{name}" for base in self.urls)
            download(urls, md5, folder / name, progress=progress)

    def read(self, name: str, folder: Path) -> Dataset:
        paths = list(self.files(folder))
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            raise DataError(
                f"{folder} holds a part of {name} only: {', '.join(missing)} "
                f"{'is' if len(missing) == 1 else 'are'} missing; add the published file."
            )
        sets = []
        for image_path, label_path in (paths[:2], paths[2:]):
            images = parse_idx(read_maybe_gzipped(image_path), n_axes=3, name=str(image_path))
            labels = parse_idx(read_maybe_gzipped(label_path), n_axes=1, name=str(label_path))
            if len(images) != len(labels):
                raise DataError(
                    f"{label_path} must hold one label for each image in "
                    f"{image_path.name} ({len(images)}), got {len(labels)}."
                )
            n_classes = len(self.class_names)
            if len(labels) and labels.max() >= n_classes:
                raise DataError(
                    f"{label_path}: labels must be below {n_classes}, got {labels.max()}; "
                    "the file is damaged, fetch it again."
                )
            if images.size == 0:
                raise DataError(
                    f"{image_path}: a set must hold at least one image of at least one pixel, got "
                    f"{' × '.join(map(str, images.shape))}."
                )
            sets.append(_numbered(images[..., None], labels))
        return Dataset(name, sets[0], sets[1], self.class_names)


@dataclass(frozen=True)
class CifarSource:
    """A set published as one archive of binary records."""

    archive: str
    md5: str
    urls: tuple[str, ...]
    folder: str
    """Name of the folder that the archive unpacks to."""
    train_files: tuple[str, ...]
    test_file: str
    label_ranges: tuple[int, ...]
    class_names: tuple[str, ...]
    megabytes: int

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.train_files, self.test_file)

    def found_in(self, folder: Path) -> bool:
        return (folder / self.archive).is_file() or self._unpacked(folder).is_dir()

    def lies_in(self, folder: Path) -> bool:
        """Whether a folder of any name holds this set."""
        return self.found_in(folder)

    def _unpacked(self, folder: Path) -> Path:
        """The folder of the unpacked archive: a subfolder, or `folder` itself."""
        inner = folder / self.folder
        return folder if folder.name == self.folder and not inner.is_dir() else inner

    def complete_in(self, folder: Path) -> bool:
        return self.found_in(folder)

    def fetch(self, folder: Path, *, progress: bool) -> None:
        download(self.urls, self.md5, folder / self.archive, progress=progress)

    def read(self, name: str, folder: Path) -> Dataset:
        unpacked = self._unpacked(folder)
        if unpacked.is_dir():
            missing = [file for file in self.names if not (unpacked / file).is_file()]
            if missing:
                raise DataError(
                    f"{unpacked} holds a part of {name} only: {', '.join(missing)} "
                    f"{'is' if len(missing) == 1 else 'are'} missing; unpack the archive again."
                )
            contents = {file: read_maybe_gzipped(unpacked / file) for file in self.names}
        else:
            contents = read_members(folder / self.archive, self.names)
        sets = []
        for files in (self.train_files, (self.test_file,)):
            parts = [
                parse_cifar(
                    contents.pop(file), label_ranges=self.label_ranges, name=f"{folder}: {file}"
                )
                for file in files
            ]
            images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
            sets.append(_numbered(images, labels))
        return Dataset(name, sets[0], sets[1], self.class_names)


SOURCES: dict[str, IdxSource | CifarSource] = {
    "mnist": IdxSource(
        urls=(
            "https://storage.googleapis.com/cvdf-datasets/mnist",
            "https://ossci-datasets.s3.amazonaws.com/mnist",
        ),
        md5={
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
        content_md5=(
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
        class_names=_MNIST_CLASSES,
        megabytes=12,
    ),
    "fmnist": IdxSource(
        urls=(
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
            "https://fashion-mnist.s3.eu-central-1.amazonaws.com",
        ),
        md5={
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        content_md5=(
            "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "9018921c3c673c538a1fc5bad174d6f9",
            "8181f5470baa50b63fa0f6fddb340f0a",
            "15d484375f8d13e6eb1aabb0c3f46965",
        ),
        class_names=_FMNIST_CLASSES,
        megabytes=31,
    ),
    "cifar10": CifarSource(
        archive="cifar-10-binary.tar.gz",
        md5="c32a1d4ab5d03f1284b67883e8d87530",
        urls=(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/cifar-10-binary.tar.gz",
        ),
        folder="cifar-10-batches-bin",
        train_files=tuple(f"data_batch_{k}.bin" for k in range(1, 6)),
        test_file="test_batch.bin",
        label_ranges=(10,),
        class_names=_CIFAR10_CLASSES,
        megabytes=170,
    ),
    "cifar100": CifarSource(
        archive="cifar-100-binary.tar.gz",
        md5="03b5dce01913d631647c71ecec9e9cb8",
        urls=(
            "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/cifar-100-binary.tar.gz",
        ),
        folder="cifar-100-binary",
        train_files=("train.bin",),
        test_file="test.bin",
        label_ranges=(20, 100),
        class_names=tuple(f"class {k}" for k in range(100)),
        megabytes=169,
    ),
}


def load_published(name: str, *, data_dir: Path | None = None, progress: bool = False) -> Dataset:
    """Load a published data set, see `load_dataset`.

    Raises
    ------
    ConfigError
        If `data_dir` is not a folder.
    DataError
        If some files are missing or damaged, or cannot be downloaded.
    """
    found = locate(name, data_dir)
    if name == "digits":
        return _digits()
    source = SOURCES[name]
    _tell_others(name, data_dir, found)
    if found is not None and found != _cached(name):
        return source.read(name, found)
    try:
        if found is not None:
            return source.read(name, found)
    except DataError:  # damaged in the cache: its hash differs, and it is fetched again
        pass
    return source.read(name, fetch_published(name, data_dir=data_dir, progress=progress))


def locate(name: str, data_dir: Path | None = None) -> Path | None:
    """Find the folder of a data set's files: the user's first folder that holds some, or the cache.

    In a user's folder the files lie in a subfolder named like the data set, or directly.

    Raises
    ------
    ConfigError
        If `data_dir` or the value of `AUTODECODER_DATA` is not a folder.
    """
    if data_dir is not None and not _is_folder(data_dir):
        raise ConfigError(f"data_dir must be an existing folder, got {data_dir}.")
    if name == "digits":
        return None  # scikit-learn carries them
    for folder in _search_path(data_dir):
        if SOURCES[name].found_in(folder / name):
            return folder / name
        if SOURCES[name].lies_in(folder):
            return folder
    cached = _cached(name)
    return cached if cached is not None and SOURCES[name].complete_in(cached) else None


def fetch_published(name: str, *, data_dir: Path | None = None, progress: bool = False) -> Path:
    """Download the missing files of a data set into the cache; returns its folder there.

    Raises
    ------
    DataError
        If it cannot be downloaded; the message lists the folders searched, with `data_dir`.
    """
    cached = cache_dir() / name
    try:
        SOURCES[name].fetch(cached, progress=progress)
    except DataError as error:
        named = [place for folder in _search_path(data_dir) for place in (folder / name, folder)]
        searched = " or ".join(map(str, (*named, cache_dir() / name)))
        raise DataError(f"{name} was not found in {searched}, and {error}") from error
    return cached


def _tell_others(name: str, data_dir: Path | None, found: Path | None) -> None:
    """Warn of files with the names of a set's files but other content."""
    for folder in _search_path(data_dir):
        if found is not None and found in (folder, folder / name):
            return
        if SOURCES[name].found_in(folder):
            _log.warning(
                "%s holds files with the names of %s but other content, which are not read; move "
                "them to %s if they are to be used.",
                *(folder, name, folder / name),
            )


def _search_path(data_dir: Path | None) -> list[Path]:
    """The user's folders, in the order in which they are searched."""
    from_env = os.environ.get(DATA_ENV)
    named = user_path(from_env, DATA_ENV) if from_env else None
    if named is not None and not _is_folder(named):
        raise ConfigError(f"{DATA_ENV} must name an existing folder, got {from_env}.")
    folders = [data_dir, named]
    return [folder for folder in folders if folder is not None]


def _cached(name: str) -> Path | None:
    """The folder of a data set in the cache; `None` where there is no cache."""
    try:
        return cache_dir() / name
    except OutputError:
        return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # the name is too long, or access is denied
        return False


def _digits() -> Dataset:
    """The digits of scikit-learn (Alpaydin & Kaynak 1998), 17 grey levels scaled to 0..255."""
    from sklearn.datasets import load_digits  # here, since it takes a second to import

    values, labels = load_digits(return_X_y=True)
    pixels = np.rint(np.asarray(values) * (255 / 16)).astype(np.uint8)
    images = _numbered(pixels.reshape(-1, 8, 8, 1), np.asarray(labels))
    train, val = split(images, _DIGITS_VAL_FRACTION, seed=0)
    return Dataset("digits", train, val, _MNIST_CLASSES)
