import gzip
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.data.builders import (
    CIFAR10_FOLDER,
    CIFAR100_FOLDER,
    assert_same,
    cifar10_files,
    cifar100_files,
    coloured_image,
    gzipped,
    idx,
    idx_files,
    tar,
    write,
)
from tests.data.server import Site

from autodecoder.config import DATASETS
from autodecoder.data import load_dataset
from autodecoder.data.catalogue import SOURCES, CifarSource, IdxSource, locate
from autodecoder.data.download import cache_dir
from autodecoder.errors import ConfigError, DataError

MNIST_COUNTS = (
    [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
)
FMNIST_COUNTS = ([6000] * 10, [1000] * 10)
CIFARS = {
    "cifar10": (cifar10_files(), "cifar-10-binary.tar.gz", CIFAR10_FOLDER),
    "cifar100": (cifar100_files(), "cifar-100-binary.tar.gz", CIFAR100_FOLDER),
}
cifars = pytest.mark.parametrize("name", CIFARS)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dead_url: str) -> None:
    """No data folder, an empty cache and no network but what a test sets up."""
    monkeypatch.delenv("AUTODECODER_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name, source in SOURCES.items():
        monkeypatch.setitem(SOURCES, name, replace(source, urls=(f"{dead_url}/{name}",)))


def publish(
    site: Site, monkeypatch: pytest.MonkeyPatch, name: str, published: dict[str, bytes]
) -> None:
    """Serve the files as if the publisher of the set did."""
    site.files |= {f"{name}/{file}": content for file, content in published.items()}
    md5 = {file: hashlib.md5(content).hexdigest() for file, content in published.items()}
    source = SOURCES[name]
    if isinstance(source, IdxSource):
        source = replace(source, urls=(f"{site.url}/{name}",), md5=md5)
    else:
        url = f"{site.url}/{name}/{source.archive}"
        source = replace(source, urls=(url,), md5=md5[source.archive])
    monkeypatch.setitem(SOURCES, name, source)


# ---------------------------------------------------------------------- digits


def test_digits_are_split_class_by_class_and_use_the_whole_range() -> None:
    digits = load_dataset("digits")
    assert digits.train.images.shape == (1438, 8, 8, 1)
    assert digits.val.images.shape == (359, 8, 8, 1)
    train, val = (np.bincount(s.labels, minlength=10) for s in (digits.train, digits.val))
    assert np.all(np.abs(val - 0.2 * (train + val)) <= 1)
    for part in (digits.train, digits.val):
        assert part.images.dtype == np.uint8
        assert (part.images.min(), part.images.max()) == (0, 255)
        assert len(np.unique(part.images)) == 17, "grey levels of the original"


def test_digits_are_the_same_every_time(tmp_path: Path) -> None:
    first, second = load_dataset("digits"), load_dataset("digits", data_dir=str(tmp_path))
    assert_same(first, second)
    assert first.fingerprint == second.fingerprint


# ------------------------------------------------------------- MNIST and alike


@pytest.mark.parametrize(
    ("name", "counts", "first_labels"),
    [("mnist", MNIST_COUNTS, [5, 0, 4, 1, 9]), ("fmnist", FMNIST_COUNTS, [9, 0, 0, 3, 0])],
)
def test_published_files_packed_and_unpacked(
    shared_data: Path,
    tmp_path: Path,
    name: str,
    counts: tuple[list[int], list[int]],
    first_labels: list[int],
) -> None:
    packed = load_dataset(name, data_dir=shared_data)
    assert packed.train.images.shape == (60_000, 28, 28, 1)
    assert packed.val.images.shape == (10_000, 28, 28, 1)
    for part, expected in zip((packed.train, packed.val), counts, strict=True):
        assert np.bincount(part.labels).tolist() == expected
        assert (part.images.min(), part.images.max()) == (0, 255)
    assert packed.train.labels[:5].tolist() == first_labels
    assert len(packed.class_names) == 10

    for file in (shared_data / name).iterdir():
        write(tmp_path / name, {file.stem: gzip.decompress(file.read_bytes())})
    assert load_dataset(name, data_dir=tmp_path).fingerprint == packed.fingerprint


@pytest.mark.parametrize("plain", ["", "images", "labels", "idx"])
def test_every_file_may_be_packed_or_not(tmp_path: Path, plain: str) -> None:
    files = {
        key: content
        for name, unpacked in idx_files(fill=50).items()
        for key, content in (
            {name: unpacked} if plain and plain in name else gzipped({name: unpacked})
        ).items()
    }
    write(tmp_path / "mnist", files)
    tiny = load_dataset("mnist", data_dir=tmp_path)
    np.testing.assert_array_equal(tiny.train.flat, np.arange(50, 170).reshape(4, 30))
    np.testing.assert_array_equal(tiny.val.flat, np.arange(170, 230).reshape(2, 30))
    assert tiny.image_shape == (6, 5, 1)
    assert tiny.train.labels.tolist() == [0, 1, 2, 9]
    assert tiny.val.labels.tolist() == [3, 8]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"train-labels-idx1-ubyte": idx(np.array([0, 1, 2]))},
            r"train-labels-idx1-ubyte\.gz must hold one label for each image in \S+ \(4\), got 3",
        ),
        (
            {"t10k-labels-idx1-ubyte": idx(np.array([3, 10]))},
            r"t10k-labels-idx1-ubyte\.gz: labels must be below 10, got 10",
        ),
        (
            {"t10k-images-idx3-ubyte": idx(np.zeros((2, 5, 6)))},
            r"mnist: .* one shape, got \(6, 5, 1\) and \(5, 6, 1\)",
        ),
        (
            {
                "train-images-idx3-ubyte": idx(np.zeros((0, 6, 5))),
                "train-labels-idx1-ubyte": idx(np.zeros(0)),
            },
            r"train-images-idx3-ubyte\.gz: .*0 × 6 × 5",
        ),
        (
            {"t10k-images-idx3-ubyte": idx(np.zeros((2, 0, 5)))},
            r"t10k-images-idx3-ubyte\.gz: .*2 × 0 × 5",
        ),
        (
            {"train-images-idx3-ubyte": idx_files()["train-labels-idx1-ubyte"] + bytes(9)},
            r"train-images-idx3-ubyte\.gz: .* starts with 00 00 08 03, got 00 00 08 01",
        ),
    ],
)
def test_files_that_do_not_fit_each_other(
    tmp_path: Path, changed: dict[str, bytes], message: str
) -> None:
    write(tmp_path / "mnist", gzipped(idx_files() | changed))
    with pytest.raises(DataError, match=message):
        load_dataset("mnist", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (["t10k-labels"], r"t10k-labels-idx1-ubyte\.gz is missing; add"),
        (["t10k-images", "train-images"], r"train-images.*, t10k-images.* are missing; add"),
    ],
)
def test_idx_set_present_in_part(tmp_path: Path, lost: list[str], message: str) -> None:
    files = {
        name: content
        for name, content in gzipped(idx_files()).items()
        if not name.startswith(tuple(lost))
    }
    write(tmp_path / "mnist", files)
    folder = re.escape(str(tmp_path / "mnist"))
    with pytest.raises(DataError, match=f"^{folder} holds a part of mnist only: {message}"):
        load_dataset("mnist", data_dir=tmp_path)


# ----------------------------------------------------------------------- CIFAR


@cifars
def test_cifar_packed_and_unpacked_are_the_same(tmp_path: Path, name: str) -> None:
    files, archive, folder = CIFARS[name]
    published = {f"{folder}/readme.html": b"<html>", **files}
    write(tmp_path / "packed" / name, {archive: tar(published)})
    write(tmp_path / "plain tar" / name, {archive: tar(published, mode="w")})
    write(tmp_path / "unpacked" / name, published)
    packed, plain, unpacked = (
        load_dataset(name, data_dir=tmp_path / place)
        for place in ("packed", "plain tar", "unpacked")
    )
    assert_same(packed, unpacked)
    assert_same(packed, plain)
    assert packed.fingerprint == unpacked.fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    ("name", "train_labels", "val_labels", "n_classes"),
    [("cifar10", [1, 2, 3, 4, 5], [9], 10), ("cifar100", [42, 99], [0], 100)],
)
def test_cifar_colours_and_fine_labels(
    tmp_path: Path, name: str, train_labels: list[int], val_labels: list[int], n_classes: int
) -> None:
    files, archive, _ = CIFARS[name]
    write(tmp_path / name, {archive: tar(files)})
    cifar = load_dataset(name, data_dir=tmp_path)
    assert cifar.train.labels.tolist() == train_labels
    assert cifar.val.labels.tolist() == val_labels
    assert len(cifar.class_names) == n_classes
    for part in (cifar.train, cifar.val):
        assert part.images[0, 0, 0].tolist() == [255, 0, 0], "red comes back as red"
        expected = np.stack([coloured_image(int(label)) for label in part.labels])
        np.testing.assert_array_equal(part.images, expected, strict=True)


@cifars
@pytest.mark.parametrize("packed", [True, False])
def test_cifar_present_in_part(tmp_path: Path, name: str, packed: bool) -> None:
    files, archive, folder = CIFARS[name]
    lost = next(iter(files))
    rest = {file: content for file, content in files.items() if file != lost}
    write(tmp_path / name, {archive: tar(rest)} if packed else {f"{folder}/readme": b"", **rest})
    place = tmp_path / name / (archive if packed else folder)
    missing = re.escape(Path(lost).name)
    fault = f"must hold .* but lacks {missing}" if packed else f"holds a part .*: {missing} is miss"
    with pytest.raises(DataError, match=f"^{re.escape(str(place))} {fault}"):
        load_dataset(name, data_dir=tmp_path)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize(
    ("name", "start", "end", "message"),
    [
        ("cifar10", b"", -1, r"multiple of 3073 bytes .*, got 3072"),
        ("cifar10", b"\x0a", None, "label byte 0 must be below 10, got 10"),
        ("cifar100", b"", -1, r"multiple of 3074 bytes .*, got 3073"),
        ("cifar100", b"\x14", None, "label byte 0 must be below 20, got 20"),
        ("cifar100", b"\x00\x64", None, "label byte 1 must be below 100, got 100"),
    ],
)
def test_damaged_cifar_file_is_named(
    tmp_path: Path, name: str, packed: bool, start: bytes, end: int | None, message: str
) -> None:
    files, archive, _ = CIFARS[name]
    hit = list(files)[-1]
    files = files | {hit: start + files[hit][len(start) : end]}
    write(tmp_path / name, {archive: tar(files)} if packed else files)
    with pytest.raises(DataError, match=f"{name}.*{re.escape(Path(hit).name)}: .*{message}"):
        load_dataset(name, data_dir=tmp_path)


# ---------------------------------------------------------- where sets are found


def test_search_order(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The folder given, then the environment's, then the cache, then the publisher."""
    given, from_env, cache = tmp_path / "given", tmp_path / "env", cache_dir()
    publish(site, monkeypatch, "mnist", gzipped(idx_files(fill=3)))
    for fill, folder in enumerate((given, from_env, cache)):
        write(folder / "mnist", gzipped(idx_files(fill=fill)))
    monkeypatch.setenv("AUTODECODER_DATA", str(from_env))

    def first_pixel(data_dir: Path | None) -> int:
        return int(load_dataset("mnist", data_dir=data_dir).train.images.flat[0])

    assert [first_pixel(given), first_pixel(None)] == [0, 1]
    (given / "mnist").rename(given / "another set")
    assert first_pixel(given) == 1
    (from_env / "mnist").rename(from_env / "another set")
    assert first_pixel(given) == 2
    monkeypatch.setenv("AUTODECODER_DATA", "")
    assert first_pixel(None) == 2
    assert site.requests == []
    (cache / "mnist").rename(cache / "another set")
    assert first_pixel(given) == 3
    assert site.requests == [f"mnist/{file}" for file in gzipped(idx_files())]
    assert capfd.readouterr() == ("", "")


@cifars
@pytest.mark.parametrize("way", ["archive", "unpacked", "itself"])
def test_cifar_directly_in_the_data_folder(tmp_path: Path, name: str, way: str) -> None:
    files, archive, folder = CIFARS[name]
    write(tmp_path, {archive: tar(files)} if way == "archive" else files)
    data_dir = tmp_path / folder if way == "itself" else tmp_path
    assert locate(name, data_dir) == data_dir
    found = load_dataset(name, data_dir=data_dir)
    write(tmp_path / "elsewhere" / name, files)
    assert_same(found, load_dataset(name, data_dir=tmp_path / "elsewhere"))


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_directly_in_the_data_folder_are_known_by_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """MNIST and Fashion-MNIST name their files alike."""
    files = {"mnist": idx_files(fill=1), "fmnist": idx_files(fill=2)}
    # Their labels differ, as those of the published sets do.
    files["fmnist"]["t10k-labels-idx1-ubyte"] = idx(np.array([4, 7]))
    for name, contents in files.items():
        md5 = tuple(hashlib.md5(content).hexdigest() for content in contents.values())
        monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], content_md5=md5))
        write(tmp_path / f"with {name}", gzipped(contents) if packed else contents)
    for fill, name in enumerate(files, start=1):
        found = load_dataset(name, data_dir=tmp_path / f"with {name}")
        assert found.train.images.flat[0] == fill
    assert caplog.records == []
    with pytest.raises(DataError, match=r"mnist was not found in .*with fmnist"):
        load_dataset("mnist", data_dir=tmp_path / "with fmnist")
    assert "the names of mnist but other content, which are not read" in caplog.text
    write(tmp_path / "with fmnist" / "mnist", gzipped(files["mnist"]))
    assert load_dataset("mnist", data_dir=tmp_path / "with fmnist").train.images.flat[0] == 1


@pytest.mark.parametrize("name", ["mnist", "fmnist"])
def test_published_idx_files_are_known_by_content(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    source = SOURCES[name]
    assert isinstance(source, IdxSource)
    for file, md5 in zip(source.md5, source.content_md5, strict=True):
        content = gzip.decompress((shared_data / name / file).read_bytes())
        assert hashlib.md5(content).hexdigest() == md5
        write(tmp_path, {file.removesuffix(".gz"): content})
    assert locate(name, tmp_path) == tmp_path
    other = {"mnist": "fmnist", "fmnist": "mnist"}[name]
    assert locate(other, tmp_path) is None


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "digits"])
def test_downloads_stay_in_the_cache(
    site: Site, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    if isinstance(SOURCES[name], CifarSource):
        files, archive, _ = CIFARS[name]
        published = {archive: tar(files)}
    else:
        published = gzipped(idx_files())
    publish(site, monkeypatch, name, published)
    first = load_dataset(name)
    assert {file.name for file in (cache_dir() / name).iterdir()} == set(published)
    site.files.clear()
    assert_same(load_dataset(name), first)
    assert len(site.requests) == len(published)


def test_interrupted_download_is_completed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of four files came; the next call fetches the others instead of giving up."""
    publish(site, monkeypatch, "mnist", gzipped(idx_files()))
    images = site.files.pop("mnist/t10k-images-idx3-ubyte.gz")
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz could not be downloaded"):
        load_dataset("mnist")
    site.files["mnist/t10k-images-idx3-ubyte.gz"] = images
    assert len(load_dataset("mnist").val) == 2
    assert site.requests.count("mnist/train-images-idx3-ubyte.gz") == 1


def test_a_damaged_file_in_the_cache_is_fetched_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(site, monkeypatch, "mnist", gzipped(idx_files()))
    whole = load_dataset("mnist")
    path = cache_dir() / "mnist" / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-4])
    assert load_dataset("mnist").fingerprint == whole.fingerprint


@pytest.mark.parametrize("name", [name for name in DATASETS if name != "digits"])
def test_no_network_is_a_data_error_that_leaves_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=rf"could not be downloaded from http.*{name}.*--data_dir"):
        load_dataset(name, data_dir=tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_unknown_name() -> None:
    with pytest.raises(ConfigError, match=r"dataset must be one of digits, .*, got 'minst'"):
        load_dataset("minst")


@pytest.mark.parametrize("place", ["nowhere", "file"])
def test_data_folder_must_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "file").touch()
    message = f"existing folder, got {re.escape(str(tmp_path / place))}"
    with pytest.raises(ConfigError, match=f"data_dir must be an {message}"):
        load_dataset("digits", data_dir=tmp_path / place)
    monkeypatch.setenv("AUTODECODER_DATA", str(tmp_path / place))
    with pytest.raises(ConfigError, match=f"AUTODECODER_DATA must name an {message}"):
        load_dataset("mnist")
