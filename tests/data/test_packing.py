"""Packing: the same images as those that are trained on, whatever the source."""

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.builders import assert_same, gzipped, idx_files, write
from tests.data.pictures import classes, plain, save

from autodecoder.config import DataConfig
from autodecoder.data import load_dataset, packing, pictures
from autodecoder.data.packed import check_packed
from autodecoder.data.packing import pack_images
from autodecoder.errors import ConfigError, DataError, OutputError

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 4, 6), np.uint8)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return classes(tmp_path / "pets", {"cat": 10, "dog": 7})


def stamps(folder: Path) -> dict[str, int]:
    """When each file was written last."""
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.np*")}


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def sources(folder: Path, kind: str) -> dict[str, Any]:
    """A source of each kind, as settings."""
    if kind == "folder":
        return {"dataset": f"folder:{classes(folder / 'pets', {'cat': 10, 'dog': 7})}"}
    if kind == "split folder":
        for part, n in (("train", 5), ("test", 2)):
            classes(folder / "parts" / part, {"cat": n, "dog": n})
        return {"dataset": f"folder:{folder / 'parts'}", "image_size": (3, 3), "colour": "rgb"}
    if kind == "npy":
        np.save(folder / "a.npy", PIXELS.astype(np.float32) / 255)
        return {"dataset": f"npy:{folder / 'a.npy'}"}
    if kind == "npz":
        np.savez(
            folder / "a.npz",
            x_train=PIXELS[:20],
            y_train=np.arange(20) % 3,
            x_test=PIXELS[20:],
            y_test=np.arange(10) % 3,
        )
        return {"dataset": f"npz:{folder / 'a.npz'}"}
    if kind == "range":
        np.save(folder / "deep.npy", PIXELS.astype(np.int16) * 16)
        return {"dataset": f"npy:{folder / 'deep.npy'}", "pixel_range": (0.0, 4095.0)}
    if kind == "idx":
        write(folder / "data" / "mnist", gzipped(idx_files()))
        return {"dataset": "mnist", "data_dir": folder / "data"}
    raise AssertionError(kind)


KINDS = ("folder", "split folder", "npy", "npz", "range", "idx")


@pytest.mark.parametrize("kind", KINDS)
def test_the_data_set_is_the_same(tmp_path: Path, kind: str) -> None:
    given = sources(tmp_path, kind)
    done = pack_images(DataConfig(**given), tmp_path / "out", seed=5, shard_images=3)
    assert done.n_written == len(done.packed.manifest.shards) > 2
    assert done.n_left_out == 0
    whole = load_dataset(
        given.pop("dataset"), **{**given, "data_dir": given.get("data_dir")}, seed=5
    )
    packed = load_dataset(f"packed:{tmp_path / 'out'}", seed=7)
    assert_same(packed, whole)
    assert packed.class_names == whole.class_names
    assert packed.fingerprint == whole.fingerprint == done.packed.manifest.fingerprint
    for a, b in ((packed.train, whole.train), (packed.val, whole.val)):
        assert a.names is not None
        assert b.names is not None
        assert a.names.tolist() == b.names.tolist()
    check_packed(tmp_path / "out")


def test_real_mnist(tmp_path: Path, shared_data: Path) -> None:
    config = DataConfig(dataset="mnist", data_dir=shared_data)
    done = pack_images(config, tmp_path / "out", shard_images=20_000)
    assert [shard.n for shard in done.packed.manifest.shards] == [20_000] * 3 + [10_000]
    whole = load_dataset("mnist", data_dir=shared_data)
    assert_same(load_dataset(f"packed:{tmp_path / 'out'}"), whole)
    assert done.packed.manifest.fingerprint == whole.fingerprint


def test_packed_images_are_packed_anew(pets: Path, tmp_path: Path) -> None:
    """In shards of another size, for example."""
    config = DataConfig(dataset=f"folder:{pets}")
    one = pack_images(config, tmp_path / "one", shard_images=3).packed
    again = DataConfig(dataset=f"packed:{tmp_path / 'one'}")
    two = pack_images(again, tmp_path / "two", shard_images=8).packed
    assert (len(one.manifest.shards), len(two.manifest.shards)) == (6, 3)
    assert one.manifest.fingerprint == two.manifest.fingerprint


def test_the_size_of_shards_changes_no_image(pets: Path, tmp_path: Path) -> None:
    config = DataConfig(dataset=f"folder:{pets}")
    packed = [pack_images(config, tmp_path / f"{n}", shard_images=n).packed for n in (None, 1, 4)]
    assert [len(one.manifest.shards) for one in packed] == [2, 17, 5]
    assert len({one.manifest.fingerprint for one in packed}) == 1


def test_it_is_the_same_again(pets: Path, tmp_path: Path) -> None:
    config = DataConfig(dataset=f"folder:{pets}")
    for name in ("a", "b"):
        pack_images(config, tmp_path / name, shard_images=5)
    assert content(tmp_path / "a") == content(tmp_path / "b")


def test_it_goes_on(pets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it was cut off, and decodes no image twice."""
    config, out = DataConfig(dataset=f"folder:{pets}"), tmp_path / "out"
    real, decoded = pictures.decode_image, []

    def decode(source: Path, *rest: Any) -> Any:
        if len(decoded) == 11:
            raise KeyboardInterrupt
        decoded.append(source)
        return real(source, *rest)

    monkeypatch.setattr(pictures, "decode_image", decode)
    with pytest.raises(KeyboardInterrupt):
        pack_images(config, out, shard_images=2)
    before = stamps(out)
    monkeypatch.setattr(
        pictures, "decode_image", lambda *args: decoded.append(args[0]) or real(*args)
    )
    done = pack_images(config, out, shard_images=2)
    n_before = sum(".labels." in name for name in before)
    assert 1 <= n_before <= 6
    assert done.n_written == len(done.packed.manifest.shards) - n_before
    assert {name: stamps(out)[name] for name in before} == before
    pack_images(config, tmp_path / "whole", shard_images=2)
    assert content(out) == content(tmp_path / "whole")
    n_decoded = len(decoded)
    assert pack_images(config, out, shard_images=2).n_written == 0
    assert len(decoded) == n_decoded


def test_a_shard_is_mended(pets: Path, tmp_path: Path) -> None:
    config, out = DataConfig(dataset=f"folder:{pets}"), tmp_path / "out"
    pack_images(config, out, shard_images=5)
    before = content(out)
    (out / "train-00001.npy").write_bytes(before["train-00001.npy"][:-1])
    (out / "val-00000.names.txt").unlink()
    with pytest.raises(DataError, match=r"train-00001\.npy is damaged"):
        load_dataset(f"packed:{out}")
    assert pack_images(config, out, shard_images=5).n_written == 2
    assert content(out) == before


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"val_fraction": 0.3}, r"val_fraction 0\.2 there, 0\.3 now"),
        ({"image_size": (2, 2)}, "image_size"),
        ({"seed": 1}, "seed 0 there, 1 now"),
        ({"shard_images": 4}, "shard_images 5 there, 4 now"),
        ({"dataset": "npy:a.npy"}, r"dataset folder:.*pets there, npy:.*a\.npy now"),
    ],
)
def test_other_settings_are_refused(
    pets: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    match: str,
) -> None:
    given: dict[str, Any] = {"dataset": f"folder:{pets}", "seed": 0, "shard_images": 5}

    def pack(settings: dict[str, Any]) -> Any:
        settings = dict(settings)
        options = {name: settings.pop(name) for name in ("seed", "shard_images")}
        return pack_images(DataConfig(**settings), tmp_path / "out", **options)

    np.save(tmp_path / "a.npy", PIXELS)
    monkeypatch.chdir(tmp_path)
    pack(given)
    before = content(tmp_path / "out")
    with pytest.raises(OutputError, match=match):
        pack({**given, **change})
    assert content(tmp_path / "out") == before


def test_another_content_of_the_source_is_refused(pets: Path, tmp_path: Path) -> None:
    config = DataConfig(dataset=f"folder:{pets}")
    pack_images(config, tmp_path / "out")
    save(pets / "cat" / "new.png", plain(3))
    with pytest.raises(OutputError, match=r"of another source or other settings .*listing"):
        pack_images(config, tmp_path / "out")
    np.save(tmp_path / "a.npy", PIXELS)
    config = DataConfig(dataset=f"npy:{tmp_path / 'a.npy'}")
    pack_images(config, tmp_path / "npy")
    os.utime(tmp_path / "a.npy", ns=(1, 1))
    with pytest.raises(OutputError, match=r"\(modified "):
        pack_images(config, tmp_path / "npy")


@pytest.fixture
def bad(pets: Path) -> Path:
    """A header that cannot be read, and pixels that cannot."""
    (pets / "cat" / "0.png").write_bytes(b"")
    noise = np.random.default_rng(0).integers(0, 256, (40, 60), np.uint8)
    for name in ("dog/1.png", "dog/2.png"):
        path = save(pets / name, Image.fromarray(noise).resize((6, 4)))
        path.write_bytes(path.read_bytes()[:60])
    return pets


@pytest.mark.parametrize("size", [1, 4, 100])
def test_what_cannot_be_read_is_left_out(
    bad: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, size: int
) -> None:
    name = f"folder:{bad}"
    with caplog.at_level(logging.WARNING, "autodecoder"):
        done = pack_images(DataConfig(dataset=name), tmp_path / "out", shard_images=size)
    (record,) = caplog.records
    assert "3 of 17 files cannot be read: cat/0.png (empty)" in record.getMessage()
    assert done.n_left_out == 2, "of those whose header could be read"
    assert_same(load_dataset(f"packed:{tmp_path / 'out'}"), load_dataset(name))
    again = pack_images(DataConfig(dataset=name), tmp_path / "out", shard_images=size)
    assert (again.n_written, again.n_left_out) == (0, 2)


def test_or_is_an_error(bad: Path, tmp_path: Path) -> None:
    config = DataConfig(dataset=f"folder:{bad}", strict=True)
    with pytest.raises(DataError, match=r"1 of 17 files cannot be read.*without --strict"):
        pack_images(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (bad / "cat" / "0.png").unlink()
    with pytest.raises(DataError, match=r"[12] of 16 files cannot be read"):
        pack_images(config, tmp_path / "out", shard_images=1)
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_missing_pixels_have_no_place(tmp_path: Path) -> None:
    images = PIXELS / 255
    images[3, 1, 1] = np.nan
    np.save(tmp_path / "a.npy", images)
    name = f"npy:{tmp_path / 'a.npy'}"
    with pytest.raises(DataError, match="a has missing pixels, which packed images cannot hold"):
        pack_images(DataConfig(dataset=name), tmp_path / "out")
    settings: list[dict[str, Any]] = [{"alpha": "mask"}, {"mask": tmp_path / "a.npy"}]
    for setting in settings:
        with pytest.raises(ConfigError, match="cannot be packed"):
            pack_images(DataConfig(dataset=name, **setting), tmp_path / "out")


@pytest.mark.usefixtures("as_shipped")
def test_sizes_of_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", PIXELS)
    config = DataConfig(dataset=f"npy:{tmp_path / 'a.npy'}")
    for size in (0, -1, 1.5, "many"):
        with pytest.raises(ConfigError, match="shard_images must be"):
            pack_images(config, tmp_path / "out", shard_images=size)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(packing, "MOST_SHARDS", 5)
    with pytest.raises(ConfigError, match="shard_images must be at least 5 for 24 images"):
        pack_images(config, tmp_path / "out", shard_images=4)
    assert not (tmp_path / "out").exists()


def test_a_shard_at_a_time_is_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of an .npy, which is mapped; the pixels of files are decoded shard by shard."""
    from autodecoder.data import stacks

    np.save(tmp_path / "a.npy", PIXELS)
    sizes = []
    for module in (stacks, pictures):
        real = module.allocate
        monkeypatch.setattr(
            module, "allocate", lambda shape, real=real: sizes.append(shape[0]) or real(shape)
        )
    pack_images(DataConfig(dataset=f"npy:{tmp_path / 'a.npy'}"), tmp_path / "a", shard_images=4)
    classes(tmp_path / "pets", {"cat": 10, "dog": 7})
    pack_images(DataConfig(dataset=f"folder:{tmp_path / 'pets'}"), tmp_path / "b", shard_images=4)
    assert max(sizes) == 4


def test_further_columns_are_packed(pets: Path, tmp_path: Path) -> None:
    files = [f"{kind}/{k}.png" for kind, n in (("cat", 10), ("dog", 7)) for k in range(n)]
    lines = [f'{file},"<{file}>\n2",{k % 3 or ""}\n' for k, file in enumerate(files)]
    (pets / "list.csv").write_text("path,of,third\n" + "".join(lines))
    config = DataConfig(dataset=f"csv:{pets / 'list.csv'}", examples_frac=1.0, val_fraction=0.3)
    out = tmp_path / "out"
    pack_images(config, out, shard_images=4)
    before = content(out)
    assert (out / "train-00001.columns.csv").is_file()
    data = load_dataset(f"packed:{out}", examples_frac=0.6)
    for part in (data.train, data.val):
        assert part.names is not None
        assert part.columns["of"].tolist() == [f"<{file}>\n2" for file in part.names]
        wanted = [str(files.index(file) % 3 or "") for file in part.names]
        assert part.columns["third"].tolist() == wanted
    assert load_dataset(f"packed:{out}", columns="none").train.columns == {}
    assert list(load_dataset(f"packed:{out}", columns="third").val.columns) == ["third"]
    with pytest.raises(DataError, match=r"among those of packed:.*, of, third, got x"):
        load_dataset(f"packed:{out}", columns="x")
    assert pack_images(config, out, shard_images=4).n_written == 0, "it goes on"
    assert content(out) == before
    with pytest.raises(OutputError, match=r"\(columns .*none now\)"):
        pack_images(
            DataConfig(dataset=config.dataset, val_fraction=0.3, columns="none"),
            out,
            shard_images=4,
        )
    check_packed(out)
    table = out / "train-00001.columns.csv"
    table.write_text(table.read_text().replace("cat", "cow", 1))
    with pytest.raises(DataError, match=r"train-00001\.columns\.csv has changed"):
        check_packed(out)
    table.write_text("of,third\n1,2\n")
    with pytest.raises(DataError, match=r"train-00001\.columns\.csv is damaged: columns must have"):
        load_dataset(f"packed:{out}")
    table.unlink()
    with pytest.raises(DataError, match=r"train-00001\.columns\.csv is damaged"):
        load_dataset(f"packed:{out}")
