"""`autodecoder datasets`, and training on images of one's own."""

import hashlib
import json
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.builders import QUICK, call, refusal, settings, stamps, train
from tests.data.builders import gzipped, idx_files, write
from tests.data.pictures import classes, save
from tests.data.server import serve

from autodecoder.config import DATASETS
from autodecoder.data import load_dataset
from autodecoder.data.catalogue import SOURCES, IdxSource
from autodecoder.data.overview import list_datasets
from autodecoder.errors import DataWarning
from autodecoder.model import load_model
from autodecoder.study import load_study


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AUTODECODER_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.chdir(tmp_path)


def lines(out: str) -> dict[str, str]:
    return {line.split()[0]: line for line in out.splitlines() if line.split()[:1]}


def test_each_data_set_has_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "data" / "mnist", gzipped(idx_files()))
    assert call("datasets", "--data_dir", tmp_path / "data") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert set(DATASETS) <= set(lines(out))
    assert str(tmp_path / "data" / "mnist") in lines(out)["mnist"]
    assert "not here: 170 MB to download" in lines(out)["cifar10"]
    assert "comes with scikit-learn" in lines(out)["digits"]
    assert "folder:PATH" in out


def test_json_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("datasets", "--json") == 0
    out, err = capsys.readouterr()
    assert err == ""
    listed = {entry["name"]: entry for entry in json.loads(out)}
    assert listed["cifar100"] == {
        "name": "cifar100",
        "n_train": 50_000,
        "n_val": 10_000,
        "image_shape": [32, 32, 3],
        "n_classes": 100,
        "is_here": False,
        "folder": None,
        "download_megabytes": 169,
    }
    assert listed["digits"]["is_here"]


def test_what_is_told_of_digits_is_true() -> None:
    told, data = list_datasets()[0], load_dataset("digits")
    assert (told.n_train, told.n_val) == (len(data.train), len(data.val))
    assert (told.image_shape, told.n_classes) == (data.image_shape, len(data.class_names))


def test_what_is_told_of_mnist_is_true(shared_data: Path) -> None:
    for told in list_datasets(shared_data)[1:3]:
        data = load_dataset(told.name, data_dir=shared_data)
        assert (told.n_train, told.n_val) == (len(data.train), len(data.val))
        assert (told.image_shape, told.n_classes) == (data.image_shape, len(data.class_names))


def test_fetching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    published = gzipped(idx_files())
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in published.items()}
    source = SOURCES["mnist"]
    assert isinstance(source, IdxSource)
    with serve() as site:
        site.files |= {f"mnist/{name}": content for name, content in published.items()}
        monkeypatch.setitem(SOURCES, "mnist", replace(source, urls=(f"{site.url}/mnist",), md5=md5))
        for _ in range(2):
            assert call("datasets", "--fetch", "mnist", "--fetch=digits") == 0
        assert len(site.requests) == 4, "once"
    out, err = capsys.readouterr()
    assert err == ""
    assert str(tmp_path / "cache" / "autodecoder" / "mnist") in lines(out)["mnist"]
    (tmp_path / "cache" / "autodecoder" / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert call("datasets", "--fetch=mnist") == 2
    assert "error: mnist was not found in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--fetch=minst"], "fetch must be one of digits, .*'minst'; did you mean mnist"),
        (["--data_dir=nowhere"], "data_dir must be an existing folder, got nowhere"),
    ],
)
def test_wrong_words(flags: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("datasets", *flags) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(message, err)


# Images of one's own

FLAGS = (*QUICK[:2], "--examples_frac=0", "--executions_per_trial=1", "--lr=1e-2", "--seed=1")


@pytest.mark.slow
def test_files_of_12_bits_are_trained_on_and_encoded_by_their_range(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    levels = np.random.default_rng(0).integers(0, 4096, (12, 4, 5)).astype(np.uint16)
    for k, one in enumerate(levels):
        part = "dev" if k < 3 else "train"
        save(tmp_path / "scans" / part / f"{k}.png", Image.fromarray(one))
    (tmp_path / "scans" / "train" / "a.heic").write_bytes(b"x")
    own = ("--batch_size=4", "--dataset", "folder:scans", "--save_best_model")
    assert train(*FLAGS, *own, "--out=dark") == 0
    out = capsys.readouterr().out
    assert "warning: scans: 12 images of 16 bits without a value above 40" in out
    assert "13 files in train and dev: 1 passed over (.heic 1); one class, images 12\n" in out
    assert train(*FLAGS, *own, "--range=0:4095", "--out=bright") == 0
    assert "--range" not in capsys.readouterr().out
    flags = ("--images", "folder:scans/dev", "--out", "latents.npy", "--json")
    assert call("encode", "bright/best", *flags) == 0
    assert json.loads(capsys.readouterr().out)["n_images"] == 3
    images = load_dataset("folder:scans", pixel_range="0:4095").val.images
    model = load_model("bright/best")
    with pytest.warns(DataWarning, match="hold nothing above 25., where white is 4095"):
        model.infer(images)
    found = replace(model, pixel_range=None).infer(images)
    np.testing.assert_array_equal(np.load("latents.npy"), found.latents)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert call("encode", "dark/best", *flags) == 0
    assert "warning: images hold nothing above 1" in capsys.readouterr().err
    assert not np.allclose(np.load("latents.npy"), found.latents)


@pytest.mark.usefixtures("no_pictures")
def test_a_folder_is_trained_on_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = classes(tmp_path / "my pets", {"cat": 20, "_dog": 12})
    (folder / "cat" / "bad.png").write_bytes(b"")
    own = ("--batch_size=8", "--dataset", "folder:my pets", "--image_size=5x4")
    assert train(*FLAGS, *own, "--val_fraction=0.25") == 0
    out = capsys.readouterr().out
    assert "my pets: 1 of 33 files cannot be read: cat/bad.png (empty); left out." in out
    assert "my pets: 24 training and 8 validation images of 5 × 4 × 1" in out
    (study,) = (tmp_path / "runs").iterdir()
    assert study.name.startswith("my-pets-16-")
    recorded = settings(study)["data"]
    assert recorded["dataset"] == f"folder:{folder}"
    assert recorded["image_size"] == [5, 4]
    before = stamps(study)
    # From another folder, and strict once the bad file is gone: the same study.
    (folder / "cat" / "bad.png").unlink()
    monkeypatch.chdir(folder)
    own = ("--batch_size=8", "--dataset=folder:.", "--image_size=5x4", "--strict")
    assert train(*FLAGS, *own, "--val_fraction=0.25", "--out", study) == 0
    assert stamps(study) == before


@pytest.mark.usefixtures("no_pictures")
def test_further_columns_travel_to_the_model_and_the_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"cat": 20, "dog": 12}
    classes(tmp_path / "pets", counts)
    files = [f"{kind}/{k}.png" for kind, count in counts.items() for k in range(count)]
    lines = [f"{file},{file[:3]},<b>{file}</b>,{k % 3 or ''}\n" for k, file in enumerate(files)]
    Path("pets/list.csv").write_text("path,label,of,age\n" + "".join(lines))
    own = ("--batch_size=8", "--dataset", "csv:pets/list.csv", "--image_size=5x4")
    own = (*own, "--val_fraction=0.25")
    assert train(*FLAGS, *own, "--columns=of,site", "--out=study") == 2
    assert "among those of list.csv, of, age, got site." in refusal(capsys)
    assert train(*FLAGS, *own, "--out=study") == 0
    assert "with columns of, age\n" in capsys.readouterr().out
    study = load_study("study")
    for model in (load_model("study/best"), study.shown_model()):
        assert model is not None
        assert model.names is not None
        assert model.val_names is not None
        for names, columns in ((model.names, model.columns), (model.val_names, model.val_columns)):
            assert columns["of"].tolist() == [f"<b>{name}</b>" for name in names]
            wanted = [str(files.index(name) % 3 or "") for name in names]
            assert columns["age"].tolist() == wanted
    page = Path("study/report/index.html").read_text()
    assert "\\u003cb>cat/1.png\\u003c/b>" in page
    assert "<b>cat/1.png" not in page
    assert call("info", "study/best") == 0
    assert re.search(r"columns +of, age\n", capsys.readouterr().out)
    before = stamps(Path("study"))
    assert train(*FLAGS, *own, "--columns=none", "--out=study") == 0, "the same study"
    kept = load_study("study").shown_model()
    assert kept is not None
    assert kept.columns == {}
    changed = {name for name, when in stamps(Path("study")).items() if before.get(name) != when}
    assert not any("trials" in str(name) for name in changed)


@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.slow
def test_arrays_of_any_channels(
    tmp_path: Path, channels: int, capsys: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(0).random((40, 5, 4, channels))
    np.save("some.npy", images)
    own = ("--batch_size=8", "--dataset=npy:some.npy", "--visualize_freq=1")
    assert train(*FLAGS, *own, "--out=study") == 0
    assert (
        f"some: 32 training and 8 validation images of 5 × 4 × {channels}"
        in capsys.readouterr().out
    )
    assert (tmp_path / "study" / "report" / "reconstructions_val.png").exists()


def test_strict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = classes(tmp_path / "pets", {"cat": 20})
    (folder / "cat" / "bad.png").write_bytes(b"")
    assert train(*FLAGS, f"--dataset=folder:{folder}", "--strict", "--out=study") == 2
    assert "error: pets: 1 of 21 files cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "study").exists()
