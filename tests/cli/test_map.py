"""`autodecoder map`, and what the command line chooses from images where no flag says it."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from tests.cli.builders import call, refusal, settings, train

from autodecoder import load_model
from autodecoder.cli.chosen import PAGE_WEIGHTS, choose, look_at, tell
from autodecoder.config import DataConfig, DecoderConfig
from autodecoder.core.decoders import shape_decoder
from autodecoder.study import load_study


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs as people have them: of any size, kind and depth, in folders within folders."""
    root, rng = tmp_path_factory.mktemp("pictures") / "photos", np.random.default_rng(0)
    for k in range(24):
        height, width = rng.integers(12, 40, 2)
        channels = {0: 3, 1: 4, 2: 1}[k % 3]
        pixels = rng.integers(0, 256, (height, width, channels), np.uint8)
        folder = root / ("summer" if k % 2 else "winter/2019")
        folder.mkdir(parents=True, exist_ok=True)
        kind = ("jpg", "png", "webp")[k % 3]
        Image.fromarray(pixels.squeeze()).save(folder / f"IMG_{k:02}.{kind}")
    (root / "summer" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    (root / "summer" / "phone.heic").write_bytes(b"ftypheic")
    return root


def test_photographs_are_mapped_at_the_first_try(
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    assert call("map", f"folder:{photos}", "--num_epochs=3", "--open") == 0
    out = capsys.readouterr().out
    (folder,) = Path("runs").iterdir()
    page = folder / "report" / "index.html"
    assert out.splitlines()[-1] == f"Map: {page}"
    assert opened == [page.resolve().as_uri()]
    side = load_model(folder / "best").image_shape[0]
    assert (
        f"Chosen from the images: --examples_frac 1 --image_size {side}x{side} --arch 500-500 "
        "--lr 0.01 --batch_size 19 (give a flag to change its value)\n"
    ) in out
    assert out.count("phone") == 0
    assert out.count("broken.jpg") == 1, "said once, though looked at twice"
    assert "\nFor comparison, mean squared errors of the validation images: mean image 0." in out
    for command in ("explore", "reconstruct", "report"):
        assert f"\n  autodecoder {command} {folder}" in out
    study = load_study(folder)
    assert study.config.data.image_size == (side, side)
    assert (study.config.fit.batch_size, study.config.fit.num_epochs) == (19, 3)
    assert len(study.trials) == 1
    assert study.config.decoder.latent_dims == 2
    # A map is to be looked at: it keeps the decoder that draws the training images best.
    assert study.metric == "loss"
    model, (run,) = load_model(folder / "best"), study.trials[0].executions
    at = model.about["epoch"] - 1
    assert run.history["loss"][at] == min(run.history["loss"])
    errors = [run.history[name][at] for name in ("loss", "val_loss")]
    assert (
        f"Mean squared error (pixels from -1 to 1): training images {errors[0]:.4f}, validation "
        f"images {errors[1]:.4f}; epoch {at + 1}"
    ) in out
    # The same command goes on with it, and chooses the same again.
    monkeypatch.setattr("autodecoder.report.write_pictures", lambda _study, _dataset: [])
    assert call("map", f"folder:{photos}", "--num_epochs=3", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["folder"], told["page"]) == (str(folder), str(page))
    assert len(list(Path("runs").iterdir())) == 1


@pytest.mark.usefixtures("no_pictures")
def test_errors_are_those_of_the_model_that_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--examples_frac=0.05", "--arch=64-64", "--num_epochs=300", "--seed=1", "--lr=1e-2")
    early = ("--dataset=digits", "--executions_per_trial=1", "--out", tmp_path / "early")
    assert train(*early, *few) == 0
    out = capsys.readouterr().out
    study = load_study(tmp_path / "early")
    (run,) = study.trials[0].executions
    best = run.best_epoch
    assert best is not None
    assert best < 300, "few images: their validation error rises again"
    which = f"epoch {best} of 300, where val_loss was least"
    assert f"  the best model: {which}\n" in out
    assert f"\n  autodecoder tensorboard {tmp_path / 'early'} " in out
    page = (tmp_path / "early" / "report" / "index.html").read_text(encoding="utf-8")
    assert f"Map: {which}. Figures: the same run after its last epoch." in page
    assert f'<output id="epoch">epoch {best}</output>' in page
    error, fresh = f"{run.history['loss'][best - 1]:.4g}", f"{run.last('fresh_val_loss'):.4g}"
    assert f'<th scope="row">loss</th><td>{error}</td>' in page
    assert f'<th scope="row">fresh_val_loss after epoch 300</th><td>{fresh}</td>' in page
    assert call("info", tmp_path / "early" / "best") == 0
    told = capsys.readouterr().out
    facts = dict(re.split(r" {2,}", line, maxsplit=1) for line in told.splitlines())
    assert (facts["epoch"], facts["loss"]) == (which.removeprefix("epoch "), error)
    assert facts["fresh_val_loss after epoch 300"] == fresh
    assert call("info", tmp_path / "early" / "best", "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert study.yardstick is not None
    assert content["yardstick"] == study.yardstick.to_dict()
    assert facts["for comparison"].startswith(study.yardstick.tell([2]))
    metrics = content["metrics"]
    assert metrics["loss"] == pytest.approx(run.history["loss"][best - 1])
    assert "fresh_val_loss" not in metrics


@pytest.mark.thorough
@pytest.mark.usefixtures("no_pictures")
def test_photographs_need_no_flags_in_training_either(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    flags = ("--lr=1e-2", "--arch=8", "--executions_per_trial=1", "--seed=1", "--num_epochs=2")
    assert train(f"--dataset=folder:{photos}", *flags, "--out", folder) == 0
    out = capsys.readouterr().out
    assert "Chosen from the images: --examples_frac 1 --image_size " in out
    assert "--batch_size 19 (give" in out
    recorded = settings(folder)
    assert recorded["data"]["examples_frac"] == 1
    assert recorded["data"]["image_size"][0] <= 64
    given = (*flags, "--image_size=16", "--batch_size=5", "--examples_frac=0.5")
    assert train(f"--dataset=folder:{photos}", *given, "--out", tmp_path / "given") == 0
    assert "Chosen" not in capsys.readouterr().out
    recorded = settings(tmp_path / "given")
    assert (recorded["data"]["image_size"], recorded["fit"]["batch_size"]) == ([16, 16], 5)
    # Those of an earlier version go on with what they have.
    about = json.loads((tmp_path / "given" / "config.json").read_text())
    (tmp_path / "given" / "config.json").write_text(json.dumps(about | {"schema": 7}))
    assert train(f"--dataset=folder:{photos}", *flags, "--out", tmp_path / "given") == 0
    assert settings(tmp_path / "given") == recorded


@pytest.mark.parametrize(
    ("n", "batch_size", "epochs", "of_map"),
    [(8, 8, 500, 500), (127, 127, 500, 500), (1280, 128, 500, 150), (64_000, 128, 20, 8)],
)
def test_few_images_get_enough_steps(
    n: int, batch_size: int, epochs: int, of_map: int, tmp_path: Path
) -> None:
    np.save(tmp_path / "images.npy", np.zeros((n, 1, 1), np.uint8))
    data = {"data": {"dataset": f"npy:{tmp_path / 'images.npy'}", "val_fraction": 0.0}}
    chosen = choose(data, (), for_map=False)
    assert chosen == {
        "data.examples_frac": 1.0,
        "fit.batch_size": batch_size,
        "fit.num_epochs": epochs,
    }
    assert choose(data, (), for_map=True)["fit.num_epochs"] == of_map
    small = choose(data | {"fit": {"batch_size": 4}}, (), for_map=True)
    assert small["fit.num_epochs"] == {8: 500, 127: 49}.get(n, 8)


def test_what_is_given_or_searched_is_not_chosen() -> None:
    digits = {"data": {"dataset": "digits"}}
    assert choose(digits, (), for_map=False) == {}, "of a published data set"
    chosen = choose(digits, (), for_map=True)
    assert chosen["decoder.arch"] == (500, 500)
    assert chosen["search.space"] == {"learning_rate": [1e-2]}
    left = choose(digits, ("learning_rate", "arch", "batch_size"), for_map=True)
    assert set(chosen) - set(left) == {"search.space", "decoder.arch", "fit.batch_size"}
    given = {"decoder": {"arch": "8"}, "fit": {"num_epochs": 100}, "log": {"visualize_freq": 0}}
    left = choose(digits | given, (), for_map=True)
    assert set(chosen) - set(left) == {"decoder.arch", "fit.num_epochs", "log.visualize_freq"}
    original = choose(digits | {"recipe": "original"}, (), for_map=True)
    assert original["search.space"] == {"learning_rate": [1e-3]}
    assert "executions" not in tell(chosen)


def test_a_decoder_of_large_images_fits_into_a_page(tmp_path: Path) -> None:
    path = tmp_path / "images.npy"
    np.save(path, np.zeros((4, 64, 64, 3), np.uint8))
    arch = choose({"data": {"dataset": f"npy:{path}"}}, (), for_map=True)["decoder.arch"]
    decoder = shape_decoder(DecoderConfig(arch=arch), (64, 64, 3), "tanh")
    weights = sum(part.size for part in jax.tree.leaves(decoder))
    assert 0.95 * PAGE_WEIGHTS < weights <= PAGE_WEIGHTS


def test_published_data_sets_are_not_read_to_choose() -> None:
    assert look_at(DataConfig("fmnist", examples_frac=1)) == (60_000, (28, 28, 1))
    assert look_at(DataConfig("mnist", examples_frac=0.5)).n_train == 30_000


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("photos", "got the folder 'photos': use folder:photos for a folder of image files"),
        ("folder:nowhere", "nowhere must be a folder of images, but does not exist"),
        ("folder:photos/empty", "but holds none (.heic 1 passed over)"),
        ("mnst", "did you mean mnist?"),
    ],
)
def test_what_cannot_be_mapped_is_told_in_a_sentence(
    dataset: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "empty").mkdir(parents=True)
    (tmp_path / "photos" / "empty" / "a.heic").touch()
    assert call("map", dataset) == 2
    assert words in refusal(capsys)
    assert not (tmp_path / "runs").exists()
