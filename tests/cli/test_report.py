"""`autodecoder report`: a page for a study, and for a model."""

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.cli.builders import QUICK, call, train

from autodecoder.cli.inputs import data_of_model
from autodecoder.config import DataConfig
from autodecoder.data import load_dataset
from autodecoder.errors import DataError, OutputError
from autodecoder.model import load_model
from autodecoder.report import write_pictures, write_study_page
from autodecoder.study import load_study

#: What the studies of small images share, so that they share its programs: 32 images to train on
#: and 8 to validate, of 4 by 4 pixels.
SMALL = ("--arch=8", "--num_epochs=1", "--executions_per_trial=1", "--lr=1e-2", "--batch_size=80",
         "--examples_frac=1", "--seed=1", "--save_best_model")  # fmt: skip


def small_images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 4, 4), np.uint8)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its best model."""
    folder = tmp_path_factory.mktemp("kept") / "study"
    assert train(*QUICK, "--lr=1e-2", "--seed=1", "--save_best_model", "--out", folder) == 0
    return folder


def packed(page: Path) -> dict:
    """What the script of a page reads."""
    found = re.search(r'id="model">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_a_study_has_a_page(kept: Path) -> None:
    page = (kept / "report" / "index.html").read_text(encoding="utf-8")
    model = load_model(kept / "best")
    assert packed(kept / "report" / "index.html")["points"]["train"]["n"] == len(model.latents)
    pictures = {path.stem for path in (kept / "report").glob("*.png")}
    drawn = {"loss_curves", "latent_space_train", "latent_space_val", "latent_plane"}
    assert drawn <= pictures
    shown = set(re.findall(r'data-picture="(\w+)"', page))
    assert shown == pictures - drawn, "the others are drawn by the page itself"
    assert page.count("data:image/png;base64,") == len(shown)
    assert 'id="curves"' in page
    assert model.about["trial"] in page
    assert "&#34;latent_dims&#34;: 2" in page
    assert not re.search(r"(src|href)=.https?:", page)


def test_of_a_study_without_a_kept_model_the_page_shows_its_best_run(
    grid: tuple[Path, str],
) -> None:
    page = (grid[0] / "report" / "index.html").read_text(encoding="utf-8")
    study = load_study(grid[0])
    found = study.shown_model()
    assert found is not None
    told = packed(grid[0] / "report" / "index.html")
    assert told["points"]["val"]["n"] == len(found.val_latents)
    assert page.split("<h2>Trials</h2>")[1].split("</table>")[0].count("<tr") == 5
    assert '<tr class="best">' in page
    assert "  report/index.html  open it in a browser" in grid[1].splitlines()


@pytest.mark.slow
def test_a_page_is_written_anew(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = kept / "report" / "index.html"
    before = page.read_text(encoding="utf-8")
    page.unlink()
    assert call("report", kept) == 0
    assert page.read_text(encoding="utf-8") == before
    assert "index.html: " in capsys.readouterr().out


def test_a_model_has_a_page(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("report", kept / "best", "--out", tmp_path / "page.html", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"out": str(tmp_path / "page.html"), "bytes": told["bytes"]}
    assert (tmp_path / "page.html").stat().st_size == told["bytes"]
    assert "<title>Digits, 2-D, 16</title>" in (tmp_path / "page.html").read_text(encoding="utf-8")
    assert call("report", kept / "best") == 0
    assert (kept / "best" / "report" / "index.html").is_file()
    load_model(kept / "best")


@pytest.mark.slow
def test_pictures_that_were_lost_are_drawn_anew(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(kept, folder)
    before = {path.name: path.read_bytes() for path in (folder / "report").iterdir()}
    (folder / "report" / "errors.png").unlink()
    (folder / "report" / "reconstructions_val.png").write_bytes(b"damaged")
    assert call("report", folder) == 0
    after = {path.name: path.read_bytes() for path in (folder / "report").iterdir()}
    assert after == before
    assert "are not drawn again" not in capsys.readouterr().out


@pytest.mark.slow
def test_without_the_images_of_the_training_pages_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, folder = tmp_path / "mine.npy", tmp_path / "study"
    np.save(images, small_images())
    assert train(f"--dataset=npy:{images}", *SMALL, "--out", folder) == 0
    assert call("report", folder / "best") == 0
    told = capsys.readouterr()
    assert "Without" not in told.out
    page = (folder / "best" / "report" / "index.html").read_text(encoding="utf-8")
    with_images = page.count("data:image/png;base64,")
    kept = {path.name: path.read_bytes() for path in (folder / "report").glob("*.png")}
    np.save(images, np.zeros((40, 4, 4), np.uint8))
    assert call("report", folder / "best", "--json") == 0
    told = capsys.readouterr()
    assert "Without reconstructions: mine has changed since the training." in told.err
    assert set(json.loads(told.out)) == {"out", "bytes"}
    page = (folder / "best" / "report" / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == with_images - 4
    images.unlink()
    assert call("report", folder) == 0
    assert "The pictures are not drawn again: " in capsys.readouterr().out
    assert {p.name: p.read_bytes() for p in (folder / "report").glob("*.png")} == kept


def test_what_has_no_page(kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, message in (
        ((tmp_path / "nowhere",), "holds no study"),
        ((kept, "--out", tmp_path / "page.html"), "out is for a model's page"),
    ):
        assert call("report", *arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert message in err
        assert err.count("\n") == 1


def of_stranger(kept: Path, folder: Path, source: str, **about: Any) -> Path:
    """A model whose settings name a data set that this account has not trained on."""
    shutil.copytree(kept / "best", folder)
    content = json.loads((folder / "config.json").read_text())
    content["about"] |= about
    content["about"]["settings"]["data"]["dataset"] = source
    (folder / "config.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("kind", ["npy", "npz", "folder", "hf"])
def test_what_only_a_model_names_is_not_opened(
    kept: Path,
    tmp_path: Path,
    kind: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def opened(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("autodecoder.data.load.load_configured", opened)
    os.mkfifo(tmp_path / "pipe")
    model = of_stranger(kept, tmp_path / "model", f"{kind}:{tmp_path / 'pipe'}")
    if kind == "npy":  # the page takes longer than all else
        assert call("report", model) == 0
        assert f"the settings name {kind}:" in capsys.readouterr().out
    with pytest.raises(DataError, match="opened only where this account has trained"):
        data_of_model(load_model(model))


def test_a_published_data_set_is_not_looked_for_where_a_model_says(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def load(config: DataConfig, **_: object) -> None:
        asked.append(config)
        raise DataError("not here")

    monkeypatch.setattr("autodecoder.data.load.load_configured", load)
    model = load_model(kept / "best")
    settings = model.about["settings"]
    data = settings["data"] | {"data_dir": str(tmp_path)}
    strange = replace(model, about={**model.about, "settings": settings | {"data": data}})
    with pytest.raises(DataError, match="not here"):
        data_of_model(strange)
    assert asked[0].data_dir is None


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME names the cache on Linux")
@pytest.mark.usefixtures("no_pictures")
def test_ones_own_images_are_opened_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    images = small_images()
    np.savez(tmp_path / "mine.npz", images=images)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = f"npz:{tmp_path / 'mine.npz'}"
    study = tmp_path / "study"
    assert train(*SMALL, f"--dataset={source}", "--out", study) == 0
    assert "batch_size 80 exceeds the" in caplog.text
    caplog.clear()
    for folder in (study, study / "best"):
        capsys.readouterr()
        assert call("report", folder) == 0
        assert capsys.readouterr().out.count("\n") == 1, "nothing is missing"
    assert not caplog.text, "what is said of training is no matter of a page"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another account"))
    for folder in (study, study / "best"):
        assert call("report", folder) == 0
        assert f"the settings name {source}" in capsys.readouterr().out.replace("\n", "")
    assert call("report", study, "--dataset", source) == 0
    assert "settings name" not in capsys.readouterr().out
    assert call("report", study) == 0
    assert "settings name" not in capsys.readouterr().out, "it was named, and noted"
    np.savez(tmp_path / "other.npz", images=images[::-1])
    assert call("report", study, "--dataset", f"npz:{tmp_path / 'other.npz'}") == 2
    assert "has changed since the training" in capsys.readouterr().err


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME names the cache on Linux")
@pytest.mark.usefixtures("no_pictures")
def test_images_split_by_a_table_are_named_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", images=small_images())
    Path("split.csv").write_text(
        "".join(f"{i},{'val' if i % 5 == 0 else 'train'}\n" for i in range(40))
    )
    named = ("--dataset=npz:mine.npz", "--split_by=split.csv")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert train(*SMALL, *named, "--out=study") == 0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another account"))
    assert call("report", "study", "--split_by=split.csv") == 2
    assert "split_by needs dataset" in capsys.readouterr().err
    assert call("report", "study", "--dataset=npz:mine.npz") == 2, "it is split otherwise"
    assert call("report", "study", *named) == 0
    assert call("report", "study") == 0
    assert "settings name" not in capsys.readouterr().out, "they were named, and noted"


@pytest.mark.parametrize("which", ["study", "model"])
def test_a_page_is_not_written_through_a_link(
    kept: Path, tmp_path: Path, which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "index.html").write_text("mine")
    folder = tmp_path / "given"
    shutil.copytree(kept if which == "study" else kept / "best", folder)
    shutil.rmtree(folder / "report", ignore_errors=True)
    (folder / "report").symlink_to(tmp_path / "other")
    assert call("report", folder) == 2
    assert "is a link to" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["index.html"]
    assert (tmp_path / "other" / "index.html").read_text() == "mine"


@pytest.mark.parametrize("which", ["study", "model"])
def test_figures_are_not_written_through_a_link(
    kept: Path, tmp_path: Path, which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    folder = tmp_path / "given"
    shutil.copytree(kept if which == "study" else kept / "best", folder)
    (folder / "report").mkdir(exist_ok=True)
    (folder / "report" / "figures").symlink_to(tmp_path / "other")
    assert call("report", folder, "--figures=png") == 2
    assert "figures is a link to" in capsys.readouterr().err
    assert list((tmp_path / "other").iterdir()) == []


def test_nothing_is_written_through_a_link_from_python(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    folder = tmp_path / "given"
    shutil.copytree(kept, folder, ignore=shutil.ignore_patterns("report"))
    (folder / "report").symlink_to(tmp_path / "other")
    study = load_study(folder)
    with pytest.raises(OutputError, match="report is a link to"):
        write_pictures(study, load_dataset("digits"))
    with pytest.raises(OutputError, match="report is a link to"):
        write_study_page(study)
    assert list((tmp_path / "other").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["_\x1b[31m\x07\ud800\u202e", "$\\frac$" * 100_000])
def test_a_page_of_a_model_with_odd_names(
    kept: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    about = {"dataset": name, "class_names": [name] * 10, "trial": name}
    model = of_stranger(kept, tmp_path / "model", f"folder:{name}x", **about)
    for command in ("report", "info"):
        assert call(command, model) == 0
        told = capsys.readouterr()
        assert (told.out + told.err).replace("\n", "").isprintable()
        assert len(told.out + told.err) < 5000
    assert (model / "report" / "index.html").stat().st_size < 3_000_000


@pytest.mark.thorough
def test_images_of_another_shape_are_not_shown(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = of_stranger(kept, tmp_path / "model", "digits")
    content = json.loads((model / "config.json").read_text())
    content["image_shape"] = [64, 1, 1]
    (model / "config.json").write_text(json.dumps(content))
    assert call("report", model) == 0
    assert "have another shape" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
@pytest.mark.skipif(sys.platform != "linux", reason="other systems know no such names")
def test_images_in_a_folder_whose_name_is_no_utf_8(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The study, its page and its TensorBoard files are written, whatever the path is."""
    images = tmp_path / os.fsdecode(b"caf\xe9")
    for name, some in zip(("a", os.fsdecode(b"\xe9")), np.split(small_images(), 2), strict=True):
        (images / name).mkdir(parents=True)
        for k, pixels in enumerate(some):
            Image.fromarray(pixels).save(images / name / f"{k}.png")
    out = tmp_path / "study"
    data = (f"--dataset=folder:{images}", "--image_size=4")
    for json_ in ((), ("--json",)):
        assert call("train", *data, *SMALL, "--out", out, *json_) == 0
    assert "caf\ufffd" in (out / "report" / "index.html").read_text("utf-8")
    for command in (("report", out), ("report", out / "best"), ("info", out / "best")):
        assert call(*command) == 0
        assert call(*command, "--json") == 0
    assert capsys.readouterr().err.count("error") == 0
