"""A model directory: what is saved decodes the same, what is damaged is refused in a sentence."""

import errno
import json
import math
import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save

from autodecoder.config import SCHEMA, DecoderConfig
from autodecoder.core.decoders import decode, init_decoder
from autodecoder.core.scaling import SCALINGS
from autodecoder.core.training import fresh_training
from autodecoder.errors import DataError, MemoryLimitError, OutputError
from autodecoder.files import write_file
from autodecoder.model import Model, load_model, loading, save_model
from autodecoder.model.saving import holds_model
from autodecoder.model.tables import Standardization, fit_standardization
from autodecoder.tensors import _checksum, read_tensors, write_tensors

SHAPE = (2, 3, 1)
DIMS = 3


def make(scaler: str = "standard", **decoder: Any) -> Model:
    config = DecoderConfig(**{"arch": (8, 5), "latent_dims": DIMS, "batch_norm": True, **decoder})
    latents = np.random.default_rng(0).normal(size=(9, DIMS)).astype(np.float32)
    drawn = init_decoder(jax.random.key(0), config, (1, 2, 3), SCALINGS[scaler].output_activation)
    drawn = drawn.calibrate(jnp.asarray(latents))
    about = {"trial": "0003", "epoch": 7}
    return Model(drawn, scaler, SHAPE, latents[:6], latents[6:], about=about)


@pytest.fixture(scope="module")
def model() -> Model:
    return make()


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    save_model(model, tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("scaler", "decoder"),
    [
        ("standard", {}),
        ("zero_one", {"batch_norm": False, "activation": "mish", "dropout_rate": 0.25}),
        ("identity", {"use_bias": False, "arch": (4,)}),
    ],
)
def test_a_model_that_is_read_decodes_bit_for_bit(
    scaler: str, decoder: dict[str, Any], tmp_path: Path
) -> None:
    model = make(scaler, **decoder)
    save_model(model, tmp_path)
    back = load_model(str(tmp_path))
    assert back.decoder.config == model.decoder.config
    assert (back.scaler, back.image_shape, back.about) == (scaler, SHAPE, model.about)
    for ours, theirs in (
        (model.latents, back.latents),
        (model.val_latents, back.val_latents),
    ):
        assert ours.tobytes() == theirs.tobytes()
        assert not theirs.flags.writeable
        images, again = (np.asarray(decode(m.decoder, jnp.asarray(ours))) for m in (model, back))
        assert images.tobytes() == again.tobytes()


def test_a_directory_holds_files_that_other_tools_read(folder: Path) -> None:
    names = ["README.md", "config.json", "decoder.safetensors", "latents.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert content["schema"] == SCHEMA
    assert content["versions"]["jax"] == jax.__version__
    assert content["decoder"]["arch"] == [8, 5]
    arrays, _ = read_tensors(folder / "decoder.safetensors")
    assert arrays["layers/0/weight"].shape == (DIMS, 8)


NAMED = {"names": np.array([f"a/{k}.png" for k in range(6)], object), "val_names": np.arange(3)}


def test_names_of_images_are_kept(model: Model, tmp_path: Path) -> None:
    labels = np.array([0, 1, 0, 1, 2, 0], np.int32)
    about = {"class_names": ["cat", "dog"]}
    save_model(replace(model, **NAMED, labels=labels, about=about), tmp_path)
    back = load_model(tmp_path)
    assert back.names is not None
    assert back.val_names is not None
    assert back.names.tolist() == NAMED["names"].tolist()
    assert back.val_names.tolist() == [0, 1, 2]
    lines = (tmp_path / "images.csv").read_text(encoding="utf-8").splitlines()
    assert lines[:3] == ["set,index,name,class", "train,0,a/0.png,cat", "train,1,a/1.png,dog"]
    assert lines[5] == "train,4,a/4.png,2", "a class without a name"
    assert lines[7:] == ["val,0,0,", "val,1,1,", "val,2,2,"]
    assert "`images.csv` lists the file" in (tmp_path / "README.md").read_text()
    assert pickle.loads(pickle.dumps(back)).names[5] == "a/5.png"


def test_further_columns_are_kept(model: Model, tmp_path: Path) -> None:
    columns = {"site": np.array(["N", "", "<b>", "a\nb", "日", "S"], object)}
    val = {"age": np.array([3, None, 5], object)}
    save_model(replace(model, columns=columns, val_columns=val), tmp_path)
    back = load_model(tmp_path)
    assert (back.names, back.val_names) == (None, None)
    assert {k: v.tolist() for k, v in back.columns.items()} == {"site": columns["site"].tolist()}
    assert {k: v.tolist() for k, v in back.val_columns.items()} == {"age": ["3", "", "5"]}
    assert "with site, age" in (tmp_path / "README.md").read_text()
    with pytest.raises(DataError, match="columns must have 6 values in each column"):
        save_model(replace(model, columns={"site": np.array(["N"])}), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_names_of_another_model_are_not_taken(model: Model, tmp_path: Path) -> None:
    save_model(replace(model, **NAMED), tmp_path)
    table = (tmp_path / "images.csv").read_bytes()
    save_model(model, tmp_path)
    assert not (tmp_path / "images.csv").exists()
    (tmp_path / "images.csv").write_bytes(table)  # as it stays in a repository of the Hub
    assert load_model(tmp_path).names is None


@pytest.mark.parametrize("content", [b"", b"set,index,name,class\ntrain,0,a,b\n", None])
def test_damaged_names(model: Model, tmp_path: Path, content: bytes | None) -> None:
    save_model(replace(model, **NAMED), tmp_path)
    (tmp_path / "images.csv").unlink()
    if content is not None:
        (tmp_path / "images.csv").write_bytes(content)
    told = r"images\.csv" + (" cannot be read: No such file" if content is None else "")
    with pytest.raises(DataError, match=told):
        load_model(tmp_path)


def test_a_saved_model_replaces_the_one_before(folder: Path) -> None:
    save_model(make(arch=(4,)), folder)
    assert load_model(folder).decoder.config.arch == (4,)


def test_a_save_that_fails_leaves_the_former_model(model: Model, folder: Path) -> None:
    card = folder / "README.md"
    card.unlink()
    card.mkdir()
    with pytest.raises(OutputError, match=r"cannot be written: README\.md is a folder"):
        save_model(replace(model, about={}), folder)
    assert load_model(folder).about == model.about


@pytest.mark.parametrize("taken", ["", "config.json"])
def test_what_stands_in_the_way_is_reported(model: Model, tmp_path: Path, taken: str) -> None:
    """A file where the directory should be, a directory where its first file should be."""
    if taken:
        (tmp_path / "model" / taken).mkdir(parents=True)
    else:
        (tmp_path / "model").write_bytes(b"")
    with pytest.raises(OutputError, match=f"{tmp_path / 'model'}.*: .*(directory|folder)"):
        save_model(model, tmp_path / "model")


def truncate(folder: Path) -> None:
    path = folder / "decoder.safetensors"
    path.write_bytes(path.read_bytes()[:-5])


def flip_last_bit(folder: Path) -> None:
    path = folder / "latents.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def write_config(content: bytes) -> Callable[[Path], None]:
    return lambda folder: write_file(folder / "config.json", content)


def edit_config(**changes: Any) -> Callable[[Path], None]:
    """Change parts of `config.json`; those of the decoder by name, `...` takes a part away."""

    def edit(folder: Path) -> None:
        path = folder / "config.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        for name, value in changes.items():
            part = content["decoder"] if name in content["decoder"] else content
            part[name] = value
            if value is ...:
                del part[name]
        path.write_text(json.dumps(content), encoding="utf-8")

    return edit


def edit_tensors(name: str, **changes: np.ndarray | None) -> Callable[[Path], None]:
    """Change arrays, checksums included; `None` takes one away."""

    def edit(folder: Path) -> None:
        path = folder / f"{name}.safetensors"
        tensors, about = read_tensors(path)
        for key, array in changes.items():
            key = key.replace("__", "/")
            tensors.pop(key, None)
            if array is not None:
                tensors[key] = array
        record(path, write_tensors(path, tensors, about))

    return edit


def record(path: Path, crc32: str) -> None:
    """Record another checksum of a file in `config.json`."""
    config = path.parent / "config.json"
    content = json.loads(config.read_text(encoding="utf-8"))
    content["checksums"][path.name] = crc32
    config.write_text(json.dumps(content), encoding="utf-8")


def nest_metadata(folder: Path) -> None:
    """Lists in lists where plain values stand, checksum included."""
    path = folder / "latents.safetensors"
    tensors, _ = read_tensors(path)
    text = "[" * 100_000 + "]" * 100_000
    crc32 = str(_checksum(tensors, text))
    path.write_bytes(save(tensors, {"about": text, "crc32": crc32}))
    record(path, crc32)


DAMAGES = {
    "nested metadata": (nest_metadata, r"latents\.safetensors is damaged \("),
    "nested about": (
        edit_config(about=json.loads('{"a":' + "[" * 500 + "]" * 500 + "}")),
        "no JSON",
    ),
    "label below 0": (
        edit_tensors("latents", train_labels=np.array([0, 1, 2, -11, 4, 5], np.int32)),
        "train_labels must be whole numbers from 0 to .*, got -11 to 5",
    ),
    "validation label below 0": (
        edit_tensors("latents", val_labels=np.array([-1, 0, 0], np.int32)),
        "val_labels must be whole numbers",
    ),
    "half a pair": (edit_config(scaler="\ud800"), r"scaler must be one of .*, got '.ud800'"),
    "truncated decoder": (truncate, r"decoder\.safetensors is damaged \(.*\)"),
    "flipped bit": (flip_last_bit, r"latents\.safetensors is damaged \(its checksum differs\)"),
    "no decoder": (remove("decoder.safetensors"), r"decoder\.safetensors cannot be read: No such"),
    "no latents": (remove("latents.safetensors"), r"latents\.safetensors cannot be read: No such"),
    "no config": (remove("config.json"), r"config\.json cannot be read: No such file"),
    "empty config": (write_config(b""), r"config\.json is damaged: it is no JSON"),
    "text": (write_config(b"schema: 1"), r"config\.json is damaged: it is no JSON"),
    "deep JSON": (write_config(b"[" * 100_000), r"config\.json is damaged: it is no JSON"),
    "JSON bomb": (write_config(b" " * 2**24 + b"{}"), "it has more than 16777216 bytes"),
    "list": (write_config(b"[1]"), r"config\.json is damaged: it holds no JSON object"),
    "newer": (
        edit_config(schema=99),
        r"layout 99, this version reads up to 11: update autodecoder",
    ),
    "no schema": (edit_config(schema=...), r"config\.json describes no model"),
    "schema true": (edit_config(schema=True), r"config\.json describes no model"),
    "schema zero": (edit_config(schema=0), r"config\.json describes no model"),
    "no scaler": (edit_config(scaler=...), "damaged: 'scaler' is missing"),
    "no decoder settings": (edit_config(decoder=...), "damaged: 'decoder' is missing"),
    "decoder settings": (edit_config(decoder=3), "damaged: .*int.*"),
    "scaler": (edit_config(scaler="log"), "scaler must be one of .*, got 'log'"),
    "scaler list": (edit_config(scaler=["log"]), "scaler must be one of .*, got"),
    "two sides": (edit_config(image_shape=[2, 3]), "not enough values"),
    "negative sides": (edit_config(image_shape=[-2, -3, 1]), "positive whole number, got -2"),
    "half a side": (edit_config(image_shape=[2, 1.5, 2]), "positive whole number, got 1.5"),
    "more pixels": (edit_config(image_shape=[9, 9, 3]), r"float32\[5, 243\], got float32\[5, 6\]"),
    "wider": (edit_config(arch=[8, 6]), r"layers/1/weight must be float32\[8, 6\], got"),
    "deeper": (edit_config(arch=[8, 5, 5]), r"layers/2/weight must be float32\[5, 5\], got"),
    "huge": (edit_config(arch=[999_999] * 9), r"layers/0/weight must be float32\[3, 999999\]"),
    "deep": (edit_config(arch=[1] * 1001), "arch must have at most 1,000 widths, got 1,001"),
    "checksums": (edit_config(checksums=[]), "checksums must be an object"),
    "endless": (edit_config(arch=[1] * 900), "fewer arrays than config.json has layers"),
    "beyond all numbers": (
        edit_config(image_shape=[2**31 - 1] * 3),
        "pixels in image_shape must be",
    ),
    "a table": (edit_config(scaler="standardize"), "image_shape of a table must be 1, features, 1"),
    "about": (edit_config(about=[1]), "about must be an object"),
    "no arch": (edit_config(arch=...), "damaged: 'arch' is missing"),
    "arch": (edit_config(arch="8-x"), "arch must be layer widths .*, got '8-x'"),
    "activation": (edit_config(activation="sine"), "activation must be one of .*, got 'sine'"),
    "without norm": (
        edit_config(batch_norm=False),
        "an array that config.json does not",
    ),
    "without bias": (edit_config(use_bias=False), "an array that config.json does not"),
    "other dimensions": (edit_config(latent_dims=2), r"layers/0/weight must be float32\[2, 8\]"),
    "array missing": (edit_tensors("decoder", layers__1__bias=None), "layers/1/bias is missing"),
    "array transposed": (
        edit_tensors("decoder", layers__0__weight=np.zeros((8, DIMS), np.float32)),
        r"layers/0/weight must be float32\[3, 8\], got float32\[8, 3\]",
    ),
    "array of doubles": (
        edit_tensors("decoder", layers__0__bias=np.zeros(8)),
        r"layers/0/bias must be float32\[8\], got float64\[8\]",
    ),
    "array too many": (
        edit_tensors("decoder", layers__9__bias=np.zeros(8, np.float32)),
        "an array that config.json does not",
    ),
    "latents missing": (edit_tensors("latents", train=None), r"damaged \(train is missing\)"),
    "latents too long": (
        edit_tensors("latents", val=np.zeros((3, DIMS + 1), np.float32)),
        r"val must be float32\[3, 3\], got float32\[3, 4\]",
    ),
    "latents flat": (
        edit_tensors("latents", train=np.zeros(DIMS, np.float32)),
        r"train must be float32\[3, 3\], got float32\[3\]",
    ),
    "latents whole numbers": (
        edit_tensors("latents", train=np.zeros((6, DIMS), np.int32)),
        r"train must be float32\[6, 3\], got int32\[6, 3\]",
    ),
}


def declare(shape: list[int]) -> Callable[[Path], None]:
    """A header that promises more than the file holds."""

    def edit(folder: Path) -> None:
        path = folder / "decoder.safetensors"
        end = 4 * math.prod(shape)
        about = {"layers/0/weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}
        header = json.dumps(about).encode()
        path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(100))

    return edit


DAMAGES |= {
    "huge promise": (declare([10**6, 10**6]), r"decoder\.safetensors is damaged \("),
    "overflowing promise": (declare([2**62, 2**62]), r"decoder\.safetensors is damaged \("),
    "labels": (
        edit_tensors("latents", train_labels=np.zeros(5, np.int32)),
        r"train_labels must be int32\[6\], got int32\[5\]",
    ),
    "labels of floats": (
        edit_tensors("latents", val_labels=np.zeros(3, np.float32)),
        r"val_labels must be int32\[3\], got float32\[3\]",
    ),
    "name with a path": (
        edit_tensors("latents", **{"..__..__etc": np.zeros(3, np.float32)}),
        "is an array that config.json does not account for",
    ),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_model_is_refused(
    folder: Path, damage: Callable[[Path], None], reason: str
) -> None:
    load_model(folder)
    damage(folder)
    with pytest.raises(DataError, match=reason) as error:
        load_model(folder)
    sentence = str(error.value)
    assert str(folder) in sentence
    assert sentence.endswith(".")
    assert not sentence.endswith("..")
    assert "\n" not in sentence


# Files of two models are not one


def with_all(model: Model, seed: int) -> Model:
    """A model with all files, of which those of another seed have the same shapes."""
    rng = np.random.default_rng(seed)
    names = {"names": np.array([f"{seed}/{k}" for k in range(6)], object)}
    decoder = jax.tree.map(lambda a: a + seed, model.decoder)
    training = fresh_training(decoder, 6, 3, jax.random.key(seed), 0)
    latents = rng.normal(size=(6, DIMS)).astype(np.float32)
    return replace(
        model, decoder=decoder, latents=latents, training=training, about={"seed": seed}, **names
    )


PARTS = ["decoder.safetensors", "latents.safetensors", "training.safetensors", "images.csv"]


@pytest.fixture
def pair(model: Model, tmp_path: Path) -> tuple[Path, Path]:
    """Folders of two models."""
    folders = tmp_path / "one", tmp_path / "other"
    for seed, folder in enumerate(folders):
        save_model(with_all(model, seed), folder, training=True)
    return folders


@pytest.mark.parametrize("name", PARTS)
def test_a_file_of_another_model_is_refused(pair: tuple[Path, Path], name: str) -> None:
    one, other = pair
    (one / name).write_bytes((other / name).read_bytes())
    with pytest.raises(DataError, match=f"{one / name} belongs to other files than those beside"):
        load_model(one)
    edit_config(checksums=...)(one)  # as in files of earlier versions
    assert load_model(one).about == {"seed": 0}


def test_a_table_with_other_line_ends_is_read(pair: tuple[Path, Path]) -> None:
    """As version control of Windows writes text."""
    path = pair[0] / "images.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    names = load_model(pair[0]).names
    assert names is not None
    assert names[5] == "0/5"


@pytest.mark.parametrize("turn", [1, 2])
def test_a_model_that_is_replaced_while_it_is_read_is_read_again(
    model: Model, pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, turn: int
) -> None:
    turns = iter(range(1, 9))

    def read(*given: Any) -> Any:
        if next(turns) == turn:
            save_model(with_all(model, 2), pair[0], training=True)
        return read_tensors(*given)

    monkeypatch.setattr(loading, "read_tensors", read)
    back = load_model(pair[0])
    assert back.about == {"seed": 2}
    np.testing.assert_array_equal(back.latents, with_all(model, 2).latents)


def move_back(folder: Path, fresh: Path) -> None:
    """Leave a folder as a process does that is killed before it moves its files up."""
    folder.mkdir(exist_ok=True)
    fresh.rename(folder / ".whole")


def test_where_nothing_can_be_written_the_newest_files_are_read(
    pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = pair
    move_back(one, other)
    (one / ".whole" / "README.md").rename(one / "README.md")
    before = sorted(one.rglob("*"))

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "replace", refuse)
    back = load_model(one)
    assert back.about == {"seed": 1}
    assert back.names is not None
    assert back.training is not None
    assert sorted(one.rglob("*")) == before


def test_a_model_counts_once_its_files_are_whole(pair: tuple[Path, Path], tmp_path: Path) -> None:
    new = tmp_path / "new"
    assert not holds_model(new)
    move_back(new, pair[0])
    write_file(new / ".whole" / "letter", b"not of a model")
    assert holds_model(new)
    assert load_model(new).about == {"seed": 0}
    assert not (new / "letter").exists()


def test_an_evaluation_goes_with_its_model(model: Model, folder: Path) -> None:
    """Not before: a save that failed had already removed it."""
    evaluation, card = folder / "evaluation.json", folder / "README.md"
    evaluation.write_text("{}")
    card.unlink()
    card.mkdir()
    with pytest.raises(OutputError):
        save_model(model, folder)
    assert evaluation.exists()
    card.rmdir()
    save_model(model, folder)
    assert not evaluation.exists()


def test_latents_beyond_the_memory_are_refused(folder: Path) -> None:
    """A file with holes takes no room on the disk."""
    n = 2**38
    about = {"dtype": "F32", "shape": [n, DIMS], "data_offsets": [0, 4 * n * DIMS]}
    val = {"dtype": "F32", "shape": [0, DIMS], "data_offsets": [4 * n * DIMS] * 2}
    content = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    crc32 = content["checksums"]["latents.safetensors"]
    metadata = {"about": "{}", "crc32": crc32}
    header = json.dumps({"__metadata__": metadata, "train": about, "val": val}).encode()
    with (folder / "latents.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        try:
            file.truncate(8 + len(header) + 4 * n * DIMS)
        except OSError:
            pytest.skip("this file system has no files with holes")
    with pytest.raises(MemoryLimitError, match=r"latents\.safetensors holds 3298\.5 GB of arrays"):
        load_model(folder)


# What a model holds beside decoder and latents


def test_labels_history_and_features_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(3, 20, size=(9, 6))
    plain = make("standardize")
    model = replace(
        plain,
        image_shape=(1, 6, 1),
        labels=np.arange(6, dtype=np.int32),
        val_labels=np.arange(3, dtype=np.int32),
        history={"loss": np.array([1, 0.5], np.float32), "fresh_val_loss": NEVER},
        standardization=fit_standardization(table),
    )
    save_model(model, tmp_path)
    back = load_model(tmp_path)
    for name in ("labels", "val_labels"):
        np.testing.assert_array_equal(getattr(back, name), getattr(model, name), strict=True)
    assert list(back.history) == ["fresh_val_loss", "loss"]
    np.testing.assert_array_equal(back.history["loss"], model.history["loss"], strict=True)
    assert back.sample_shape == (6,)
    decoded = back.decode(model.latents)
    np.testing.assert_array_equal(decoded, model.decode(model.latents), strict=True)
    assert decoded.shape == (6, 6)
    content = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert content["metrics"] == {"loss": 0.5}


NEVER = np.array([np.nan, np.nan], np.float32)


def test_no_feature_has_a_deviation_below_zero(tmp_path: Path) -> None:
    by = Standardization(np.zeros(6), np.array([1, 1, -1, 1, 1, 0.0]))
    model = replace(make("standardize"), image_shape=(1, 6, 1), standardization=by)
    save_model(model, tmp_path)
    with pytest.raises(DataError, match="standard deviations below 0"):
        load_model(tmp_path)


def test_the_card_says_what_the_model_is(tmp_path: Path) -> None:
    about = {"dataset": "a|b\n# c", "epoch": 7, "values": {"learning_rate": 0.01}}
    model = replace(make(), about=about, history={"loss": np.array([0.25], np.float32)})
    save_model(model, tmp_path)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "# Auto-decoder of a\\|b \\# c\n" in card
    assert "| decoder | 3 latent dimensions, then 8-5, leaky_relu" in card
    assert "| learning rate | 0.01 |" in card
    assert "| loss | 0.25 |" in card
    assert f"jax {jax.__version__}" in card


@pytest.mark.parametrize("layout", [1, 2])
def test_models_of_earlier_layouts_are_read(layout: int, tmp_path: Path) -> None:
    model = load_model(FIXTURES / f"schema-{layout}")
    assert (model.labels is None) is (layout == 1)
    assert model.about["dataset"] == "digits"
    expected = np.load(FIXTURES / f"schema-{layout}.npy")
    np.testing.assert_allclose(model.decode(model.latents[:5]), expected, atol=1e-6)
    # What its settings lack means what it meant, also in a file of today's layout.
    assert model.about["settings"]["fit"]["clip_norm"] is None
    save_model(model, tmp_path)
    assert load_model(tmp_path).about == model.about


FIXTURES = Path(__file__).parents[1] / "model_files"


# What cannot be written is told before anything is


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"about": {"a": np.float32(1)}}, "about of a model must hold plain values only"),
        ({"about": {"epoch": float("nan")}}, "about of a model must hold plain values only"),
        ({"labels": np.full(6, 2**40)}, "train_labels must be whole numbers from 0 to 2147483647"),
    ],
)
def test_a_model_that_cannot_be_saved_leaves_the_one_before(
    folder: Path, model: Model, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        save_model(replace(model, **changes), folder)
    assert load_model(folder).about == model.about


def test_odd_values_are_saved_and_read(tmp_path: Path) -> None:
    about = {"values": [1], "settings": "x", "dataset": "\ud800", "epoch": "1 |\n\n# <b>"}
    model = replace(
        make(),
        about=about,
        labels=np.arange(6, dtype=np.int64),
        history={"a |\n# b": np.array(0.5)},
    )
    save_model(model, tmp_path)
    back = load_model(tmp_path)
    assert back.about == about
    assert back.labels is not None
    assert back.labels.dtype == np.int32
    np.testing.assert_array_equal(back.history["a |\n# b"], [0.5])
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert r"| epoch | 1 \| \# \<b\> |" in card
    assert r"| a \| \# b | 0.5 |" in card


@pytest.mark.parametrize("name", ["config.json", "decoder.safetensors"])
def test_what_has_no_end_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).symlink_to("/dev/zero")
    with pytest.raises(DataError, match=f"{name} must be a file, but is a device or a pipe"):
        load_model(folder)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(DataError, match=f"{name} must be a file, but is a device or a pipe"):
        load_model(folder)


@pytest.mark.parametrize("name", ["scaler", "activation", "arch"])
def test_no_message_repeats_a_value_of_a_megabyte(folder: Path, name: str) -> None:
    edit_config(**{name: "\x1b" * 1_000_000})(folder)
    with pytest.raises(DataError, match="damaged") as caught:
        load_model(folder)
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()
