"""`autodecoder evaluate`: a table, JSON, and a section in the page."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.builders import QUICK, call, refusal, train, without_pictures

import autodecoder as ad
from autodecoder.measures.evaluation import TITLES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of digits, with its best model and without pictures."""
    folder = tmp_path_factory.mktemp("evaluated") / "study"
    with without_pictures():
        assert train(*QUICK, "--lr=1e-2", "--seed=1", "--notensorboard", "--out", folder) == 0
    return folder


def test_the_validation_images_are_evaluated(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("evaluate", folder / "best") == 0
    out = capsys.readouterr().out
    assert "digits, validation: 108 evaluated; 431 training latents;" in out
    for title in ("PSNR in dB, mean over images", "trustworthiness, 5 neighbours", "coverage"):
        (line,) = [line for line in out.splitlines() if title in line]
        assert 1 <= len(line.removeprefix(f" {title}").split()) <= 2, line
    assert " class   images   samples   reconstructions" in out
    assert "Left out, since images of 11 × 11 pixels or more are needed: ssim." in out
    path = folder / "best" / "evaluation.json"
    assert f"Results in {path}; " in out
    content = json.loads(path.read_text(encoding="utf-8"))
    loss = ad.load_model(folder / "best").history["fresh_val_loss"][-1]
    assert content["reconstruction"]["mse_standard"] == pytest.approx(loss, rel=0.02)
    assert set(content["generation"]) == set(TITLES["generation"])
    assert content["sizes"]["n_classifier"] == 431


@pytest.mark.usefixtures("no_pictures")
def test_the_page_shows_it(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "study")
    best = tmp_path / "study" / "best"
    page = tmp_path / "page.html"
    (best / "evaluation.json").unlink(missing_ok=True)
    assert call("report", best, "--out", page) == 0
    assert 'id="evaluation"' not in page.read_text(encoding="utf-8")
    assert call("evaluate", best, "--n_images=40") == 0
    assert call("report", best, "--out", page) == 0
    for path in (page, tmp_path / "study" / "report" / "index.html"):
        if path is not page:
            assert call("report", tmp_path / "study") == 0
        text = path.read_text(encoding="utf-8")
        section = text.split('id="evaluation"')[1].split("</section>")[0]
        assert section.count("<table") == 4
        assert "trustworthiness, 5 neighbours" in section
        assert "digits, validation: 40 evaluated" in section
        assert '<a href="#evaluation">Evaluation</a>' in text


def test_a_model_that_is_replaced_meanwhile_gets_no_evaluation_of_the_former_one(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    best = tmp_path / "best"
    shutil.copytree(folder / "best", best)
    (best / "evaluation.json").unlink(missing_ok=True)
    evaluate = ad.Model.evaluate

    def replaced(model: ad.Model, *given: Any, **values: Any) -> Any:
        ad.save_model(replace(model, latents=model.latents + 1), best)
        return evaluate(model, *given, **values)

    monkeypatch.setattr(ad.Model, "evaluate", replaced)
    assert call("evaluate", best, "--n_images=40") == 2
    assert "was replaced by another model while it was evaluated" in refusal(capsys)
    assert not (best / "evaluation.json").exists()
    assert call("evaluate", best, "--n_images=40", "--out", tmp_path / "kept.json") == 0


def test_a_damaged_result_is_told(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(folder / "best", tmp_path / "best")
    (tmp_path / "best" / "evaluation.json").write_text("{}")
    assert call("report", tmp_path / "best") == 2
    assert "it is no evaluation of a model" in refusal(capsys)


def test_images_and_labels_of_ones_own(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = ad.load_dataset("digits", examples_frac=0.3)
    given, out = tmp_path / "mine.npz", tmp_path / "found.json"
    np.savez(given, images=digits.val.images, labels=digits.val.labels)
    flags = ("--images", given, "--labels", given, "--out", out, "--json")
    assert call("evaluate", folder / "best", *flags) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("out") == str(out)
    assert json.loads(out.read_text(encoding="utf-8")) == told
    assert told["images"].endswith("mine.npz")
    assert told["sizes"]["n_classifier"] == 54
    assert told["structure"]["accuracy_5nn"] > 0.2


def test_a_mask_and_no_labels(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = ad.load_dataset("digits", examples_frac=0.3)
    np.save(tmp_path / "x.npy", digits.val.images)
    np.save(tmp_path / "mask.npy", np.arange(64).reshape(8, 8) > 30)
    flags = ("--images", tmp_path / "x.npy", "--mask", tmp_path / "mask.npy", "--json")
    assert call("evaluate", folder / "best", *flags, "--out", tmp_path / "found.json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["left_out"]["recall"] == "pixels of the images are missing or weighted"
    assert told["left_out"]["silhouette"] == "no labels are given"
    assert not (folder / "best" / "evaluation.json").exists() or told["sizes"]["n_images"] == 108


def test_what_is_refused(
    folder: Path, tmp_path: Path, models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    best = folder / "best"
    np.save(tmp_path / "x.npy", np.zeros((30, 8, 8), np.uint8))
    np.save(tmp_path / "y.npy", np.zeros(29, int))
    for arguments, message in (
        ((best, "--labels", tmp_path / "y.npy"), "labels must come with images"),
        ((best, "--images", tmp_path / "x.npy", "--dataset", "digits"), "give one of them"),
        (
            (best, "--images", tmp_path / "x.npy", "--labels", tmp_path / "y.npy"),
            "labels must be 30 whole numbers, got int64 of (29)",
        ),
        ((best, "--images", tmp_path / "x.npy", "--labels", tmp_path / "no.npy"), "no.npy"),
        ((models / "digits",), "does not say what it was trained on; or name images by --images."),
        ((best, "--seed=-1"), "seed must lie between 0 and 4294967295, got -1"),
        ((best, "--n_images=0"), "n_images must be a positive whole number, got 0"),
        ((best, "--out", tmp_path / "x.npy" / "found.json"), "cannot be written"),
        ((tmp_path / "nowhere",), "nowhere"),
    ):
        assert call("evaluate", *arguments) == 2, arguments
        assert message in refusal(capsys)


def test_a_study_without_validation_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], no_pictures: None
) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (40, 4, 4), np.uint8))
    flags = ("--val_fraction=0", "--arch=8", "--num_epochs=1", "--lr=1e-2", "--notensorboard")
    out = ("--executions_per_trial=1", "--out", tmp_path / "study")
    assert train(f"--dataset=npy:{tmp_path / 'x.npy'}", *flags, *out) == 0
    capsys.readouterr()
    assert call("evaluate", tmp_path / "study" / "best") == 2
    assert "has no validation images; name others by --images." in refusal(capsys)
