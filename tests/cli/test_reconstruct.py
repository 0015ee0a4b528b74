"""`autodecoder reconstruct`: files in, files out, and a sentence where that cannot be."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.builders import call
from tests.data.builders import idx
from tests.model.test_files import make

from autodecoder.model import load_model, save_model


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a model and images of it."""
    monkeypatch.chdir(tmp_path)
    model = make(arch=(8,))
    save_model(model, tmp_path / "model")
    images = np.rint(255 * model.decode(model.val_latents)).astype(np.uint8)
    np.save("images.npy", images)
    np.savez("images.npz", images=images)
    np.save("mask.npy", np.array([[1, 1, 0], [1, 1, 1]], bool))
    Path("images-idx3-ubyte").write_bytes(idx(images[..., 0]))
    return tmp_path


@pytest.mark.parametrize("name", ["images.npy", "images.npz", "images-idx3-ubyte"])
def test_images_are_reconstructed(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert call("reconstruct", "model", "--images", name, "--out", "out") == 0
    out = capsys.readouterr().out
    assert "3 images; mean squared error 0.00" in out
    images = np.load("images.npy")
    np.testing.assert_allclose(np.load("out/reconstructions.npy"), images / 255, atol=0.02)
    found = load_model("model").infer(images)
    np.testing.assert_allclose(np.load("out/latents.npy"), found.latents, atol=1e-5)


def test_several_reconstructions_are_drawn(folder: Path) -> None:
    model = replace(load_model("model"), history={"loss": np.array([1e-3])})
    save_model(model, folder / "known")
    flags = ["--images", "images.npy", "--mask", "mask.npy", "--draws", "3", "--seed", "2"]
    assert call("reconstruct", "known", *flags, "--out", "out") == 0
    images = np.load("images.npy")
    drawn = model.draw(images, np.load("mask.npy"), 3, seed=2).images
    assert drawn.shape == (3, 3, *images.shape[1:])
    np.testing.assert_allclose(np.load("out/draws.npy"), drawn, atol=1e-5)
    with Image.open("out/draws.png") as picture:
        width, height = picture.size  # rows of: known pixels, best, 3 draws, standard deviation
        assert width / height == pytest.approx(
            (6 * images.shape[2]) / (3 * images.shape[1]), rel=0.3
        )


def test_missing_pixels_are_filled_in(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = np.load("images.npy")
    images[:, 0, 2] = 0
    np.save("damaged.npy", images)
    flags = ["--images", "damaged.npy", "--mask", "mask.npy", "--n-starts", "3"]
    flags += ["--starts", "nearest, zeros", "--method", "lm", "--seed", "4"]
    assert call("reconstruct", "model", *flags, "--out", "out") == 0
    filled = np.load("out/reconstructions.npy")
    np.testing.assert_allclose(filled, np.load("images.npy") / 255, atol=0.15)
    with Image.open("out/reconstructions.png") as picture:
        height, width = images.shape[1:3]
        rows_of_three = (3 * height + 2) / (3 * width + 2)  # a pixel between two images
        assert picture.size[1] / picture.size[0] == pytest.approx(rows_of_three, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--images", "images.npy", "--out", "out"], "nowhere"),
        (["model", "--images", "nothing.npy", "--out", "out"], "nothing.npy cannot be read"),
        (["model", "--images", "model/config.json", "--out", "out"], "is it the right file"),
        (["model", "--images", "mask.npy", "--out", "out"], "images must be"),
        (["model", "--images", "images.npy", "--out", "model"], "model is not empty"),
        (["model", "--images", "images.npy", "--out", "images.npy"], "cannot be written"),
        (["model", "--images", "images.npy", "--mask", "images.npz", "--out", "o"], "array mask"),
        (["model", "--images", "images.npy", "--mask", "wide.npy", "--out", "o"], "mask must be"),
        (["model", "--images", "objects.npy", "--out", "o"], "holds Python objects"),
        (["model", "--images", "images.npy", "--out", "o", "--method", "sgd"], "infer.method"),
        (["model", "--images", "images.npy", "--out", "o", "--starts", "here"], "one of nearest"),
        (["model", "--images", "images.npy", "--out", "o", "--n-steps", "0"], "n_steps must be"),
        (["model", "--images", "images.npy", "--out", "o", "--n-steps", "2.7"], "whole number"),
        (["model", "--images", "images.npy", "--out", "o", "--seed", "99999999999"], "seed must"),
        (["model", "--images", "number.npy", "--out", "o"], "images must be"),
        (["study", "--images", "images.npy", "--out", "o"], "its model is in study/best"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    np.save("wide.npy", np.ones((9, 9), bool))
    np.save("number.npy", np.float32(0.5))
    Path("study").mkdir()
    Path("study/config.json").write_text('{"schema": 2, "study": "mine"}')
    np.save("objects.npy", np.array([{}, None]), allow_pickle=True)
    assert call("reconstruct", *arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_an_image_without_a_pixel_that_counts_is_marked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mask = np.ones((3, 2, 3), bool)
    mask[1] = False
    np.save("hidden.NPY", mask)
    Path("hidden.NPY.npy").rename("hidden.NPY")
    flags = ["--images", "images.npy", "--mask", "hidden.NPY", "--out", "out"]
    assert call("reconstruct", "model", *flags) == 0
    assert "1 image without a pixel that counts" in capsys.readouterr().out
    made = np.load("out/reconstructions.npy")
    assert np.isnan(made).all(axis=(1, 2, 3)).tolist() == [False, True, False]
    assert Path("out/errors.csv").read_text().splitlines()[2].startswith("1,,,,")


def test_weights_that_are_not_finite_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make(arch=(8,))
    first = model.decoder.trainable()[0]
    layers = (first._replace(weight=first.weight * np.nan), *model.decoder.trainable()[1:])
    broken = replace(model, decoder=model.decoder.with_trainable(layers))
    save_model(broken, folder / "broken")
    assert call("reconstruct", "broken", "--images", "images.npy", "--out", "out") == 2
    assert "not finite" in capsys.readouterr().err


def test_a_model_of_a_later_layout_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": 99}))
    assert call("reconstruct", "model", "--images", "images.npy", "--out", "out") == 2
    assert "update autodecoder" in capsys.readouterr().err
