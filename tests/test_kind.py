"""A kind of decoder is one file and one line of a table: all commands work on it."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.cli.builders import call, train

from autodecoder import load_dataset, load_model
from autodecoder.config import KINDS


@pytest.fixture(scope="module", autouse=True)
def kind() -> Iterator[None]:
    """The line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(KINDS, "skip", "tests.skip")
        yield


@pytest.fixture(scope="module")
def study(kind: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("skip") / "study"
    flags = ("--arch=skip:16", "--num_epochs=8", "--examples_frac=0.2", "--executions_per_trial=1")
    logs = ("--tracker=gradients", "--save_best_model", "--visualize_freq=0", "--lr=3e-3")
    assert train(*flags, *logs, "--seed=1", f"--out={folder}") == 0
    return folder


def test_it_is_trained_and_saved(study: Path) -> None:
    model = load_model(study / "best")
    assert type(model.decoder).__name__ == "SkipDecoder"
    (history,) = study.glob("trials/*/execution-*/history.csv")
    rows = list(csv.DictReader(history.read_text().splitlines()))
    assert float(rows[-1]["loss"]) < 0.8 * float(rows[0]["loss"])
    assert float(rows[-1]["fresh_val_loss"]) < float(rows[0]["val_loss"])
    for part in ("layer_1", "layer_2", "output"):
        assert float(rows[0][f"gradient_norm_{part}"]) > 0


def test_what_it_costs_is_told(study: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("info", study / "best", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n_weights"] == told["n_multiplications"] == 2 * 16 + 3 * 16 * 16 + 16 * 64
    assert "| multiplications a sample | 1,824 |" in (study / "best" / "README.md").read_text()


def test_images_are_placed_on_it(study: Path, tmp_path: Path) -> None:
    images = load_dataset("digits").val.images[:4]
    np.save(tmp_path / "images.npy", images)
    out = tmp_path / "latents.npy"
    assert call("encode", study / "best", "--images", tmp_path / "images.npy", "--out", out) == 0
    wanted = load_model(study / "best").infer(images).latents
    np.testing.assert_allclose(np.load(out), wanted, atol=1e-5)


def test_its_page_decodes(study: Path) -> None:
    page = (study / "report" / "index.html").read_text()
    assert '"kind": "Residual"' in page
    assert "so a page cannot run it" not in page


def test_it_leaves_python(study: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    assert call("export", study / "best", "--out", tmp_path / "skip.onnx") == 0
    model = load_model(study / "best")
    session = runtime.InferenceSession(tmp_path / "skip.onnx")
    (images,) = session.run(["images"], {"latents": model.latents[:9]})
    np.testing.assert_allclose(images, model.decode(model.latents[:9]), atol=1e-5)
