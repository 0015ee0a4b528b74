"""`autodecoder export`: a model in, an ONNX file out, and a sentence where that cannot be."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.cli.builders import ROOT, call
from tests.model.test_files import make

from autodecoder.model import load_model, save_model

runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a model."""
    monkeypatch.chdir(tmp_path)
    save_model(make(arch=(8,)), Path("model"))
    return tmp_path


def test_a_decoder_is_exported(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("export", "model", "--out", "made/decoder.onnx") == 0
    n_bytes = Path("made/decoder.onnx").stat().st_size
    said = capsys.readouterr()
    assert (
        said.out == f"made/decoder.onnx: latents of 3 to images of 2 × 3 × 1, {n_bytes:,} bytes\n"
    )
    assert said.err == ""
    model = load_model("model")
    session = runtime.InferenceSession("made/decoder.onnx")
    (images,) = session.run(["images"], {"latents": model.val_latents})
    np.testing.assert_allclose(images, model.decode(model.val_latents), rtol=0, atol=1e-5)


def test_a_program_gets_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a-long-name" * 15 + ".onnx"  # wider than any terminal
    assert call("export", "model", "--out", name, "--json") == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 1
    assert json.loads(said.out) == {
        "out": name,
        "bytes": Path(name).stat().st_size,
        "latent_dims": 3,
        "image_shape": [2, 3, 1],
        "scaler": "standard",
    }
    assert said.err == ""


def test_the_python_of_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("export", "model", "--out", "decoder.onnx") == 0
    capsys.readouterr()
    page = (ROOT / "docs/export.md").read_text(encoding="utf-8")
    block, printed = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", page, re.DOTALL)[0]
    exec(block, {})
    # The page has a model of digits.
    assert capsys.readouterr().out == printed.replace("8, 8, 1", "2, 3, 1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--out", "x.onnx"], "nowhere/config.json cannot be read"),
        (["study", "--out", "x.onnx"], "its model is in study/best"),
        (["model", "--out", "model"], "model cannot be written: Is a directory"),
        (["model", "--out", "model/config.json/x.onnx"], "cannot be written"),
        (["model"], "--out"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("study").mkdir()
    Path("study/config.json").write_text('{"schema": 2, "study": "mine"}')
    assert call("export", *arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert message in said.err
    assert not Path("x.onnx").exists()


def test_without_the_extra_it_says_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert call("export", "model", "--out", "x.onnx") == 2
    assert "pip install 'autodecoder[onnx]'" in capsys.readouterr().err
