"""`autodecoder encode`, and images from files of pictures for `reconstruct` too."""

import csv
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.builders import call

from autodecoder.model import load_model, save_model
from autodecoder.report import placed


@pytest.fixture(autouse=True)
def folder(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the models, and pictures of the images."""
    monkeypatch.chdir(tmp_path)
    for path in models.iterdir():
        Path(path.name).symlink_to(path)
    Path("pictures").mkdir()
    for k, image in enumerate(np.load("images.npy")):
        Image.fromarray(image[..., 0]).save(f"pictures/{k}.png")
    return tmp_path


def wanted() -> np.ndarray:
    return load_model("digits").infer(np.load("images.npy")).latents


@pytest.mark.parametrize("name", ["latents.npy", "latents.npz", "made/latents.CSV"])
def test_latents_are_found_piece_by_piece(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placed, "_PIECE", 4)
    assert call("encode", "digits", "--images", "images.npy", "--out", name) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{name}: 6 latents of 2; mean squared error 0.")
    assert err == ""
    if name.endswith(".npy"):
        found = np.load(name)
        assert found.dtype == np.float32
    elif name.endswith(".npz"):
        with np.load(name) as file:
            arrays = dict(file)
        assert set(arrays) == {"latents", "loss", "mae", "psnr", "converged"}
        assert arrays["converged"].dtype == bool
        errors = load_model("digits").infer(np.load("images.npy")).errors
        np.testing.assert_allclose(arrays["loss"], errors.loss, rtol=1e-5)
        found = arrays["latents"]
    else:
        rows = list(csv.DictReader(Path(name).read_text().splitlines()))
        assert [row["image"] for row in rows] == list("012345")
        assert rows[0]["converged"] in ("yes", "no")
        found = np.array([[row["latent_0"], row["latent_1"]] for row in rows], np.float32)
    np.testing.assert_allclose(found, wanted(), atol=1e-5)


def test_a_doubt_about_images_is_told_as_all_else_is(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("dark.npy", (np.load("images.npy") > 127).astype(np.uint8))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert call("encode", "digits", "--images", "dark.npy", "--out", "x.npy", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["n_images"] == 6
    assert err.startswith("warning: images hold only 0 and 1, where white is 255; ")
    assert err.count("\n") == 1


def test_a_program_gets_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--images", "images.npy", "--out", "x.npy", "--json"]
    assert call("encode", "digits", *flags) == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    assert err == ""
    found = json.loads(out)
    assert (found["out"], found["n_images"], found["latents_shape"]) == ("x.npy", 6, [6, 2])
    assert 0 < found["loss"] < 1
    assert call("reconstruct", "digits", *flags[:2], "--out", "made", "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["loss"] == pytest.approx(found["loss"])
    assert again["n_not_reconstructed"] == 0


def test_a_mask_counts(capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.ones((6, 8, 8), bool)
    mask[1] = False
    np.save("mask.npy", mask)
    flags = ["--images", "images.npy", "--mask", "mask.npy", "--out", "x.npz"]
    assert call("encode", "digits", *flags) == 0
    with np.load("x.npz") as arrays:
        assert np.isnan(arrays["loss"]).tolist() == [k == 1 for k in range(6)]
    assert "mean squared error 0." in capsys.readouterr().out
    assert call("encode", "digits", *flags[:4], "--out", "x.csv", "--json") == 0
    mask[:] = False
    np.save("mask.npy", mask)
    capsys.readouterr()
    assert call("encode", "digits", *flags, "--json") == 0
    assert json.loads(capsys.readouterr().out)["loss"] is None


def test_pictures_are_images_too() -> None:
    assert call("encode", "digits", "--images", "folder:pictures", "--out", "x.npz") == 0
    with np.load("x.npz") as file:
        arrays = dict(file)
    assert arrays["names"].tolist() == [f"{k}.png" for k in range(6)]
    np.testing.assert_allclose(arrays["latents"], wanted(), atol=1e-5)
    assert call("reconstruct", "digits", "--images", "folder:pictures", "--out", "made") == 0
    lines = Path("made/errors.csv").read_text().splitlines()
    assert lines[1].startswith("0.png,0.")
    assert call("encode", "digits", "--images", "pictures/3.png", "--out", "one.npy") == 0
    np.testing.assert_allclose(np.load("one.npy"), wanted()[3:4], atol=1e-5)


def test_pictures_of_another_size_are_resized_if_that_is_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with Image.open("pictures/0.png") as small:
        small.resize((24, 16), Image.Resampling.NEAREST).convert("RGB").save("wide.jpg")
    flags = ["--images", "wide.jpg", "--out", "x.npy"]
    assert call("encode", "digits", *flags) == 2
    assert "wide.jpg (16 × 24 instead of 8 × 8; --resize crops" in capsys.readouterr().err
    assert call("encode", "digits", *flags, "--resize") == 0
    assert np.load("x.npy").shape == (1, 2)


@pytest.mark.parametrize("name", ["table.npy", "table.npz", "table.csv"])
def test_features_are_encoded(name: str) -> None:
    table = np.load("table.npy")
    np.savez("table.npz", images=table)
    np.savetxt("table.csv", table, delimiter=",", header="a,b,c,d,e", comments="")
    assert call("encode", "features", "--images", name, "--out", "x.npy") == 0
    np.testing.assert_allclose(
        np.load("x.npy"), load_model("features").infer(table).latents, atol=1e-4
    )


def test_features_are_reconstructed_without_a_picture() -> None:
    assert call("reconstruct", "features", "--images", "table.npy", "--out", "made") == 0
    assert np.load("made/reconstructions.npy").shape == (40, 5)
    assert not Path("made/reconstructions.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--images", "images.npy", "--out", "x.npy"], "nowhere"),
        (["digits", "--images", "nothing.npy", "--out", "x.npy"], "nothing.npy cannot be read"),
        (["digits", "--images", "nothing.png", "--out", "x.npy"], "nothing.png cannot be read"),
        (["digits", "--images", "broken.png", "--out", "x.npy"], "broken.png (no image"),
        (["digits", "--images", "folder:nowhere", "--out", "x.npy"], "does not exist"),
        (["digits", "--images", "folder:images.npy", "--out", "x.npy"], "is a file"),
        (["digits", "--images", "pictures", "--out", "x.npy"], "folder:pictures reads"),
        (["digits", "--images", "mixed.npy", "--out", "x.npy"], "image 1 lie between"),
        (["digits", "--images", "table.npy", "--out", "x.npy"], "images must be (n, 8, 8, 1)"),
        (["digits", "--images", "images.npy", "--out", "x.txt"], "out must end in .npz"),
        (["digits", "--images", "images.npy", "--out", "images.npy/x.npy"], "cannot be"),
        (["digits", "--images", "images.npy", "--out", "dir.npy"], "cannot be written"),
        (["digits", "--images", "images.npy", "--out", "x.npy", "--seed", "-1"], "seed must"),
        (["features", "--images", "pictures/0.png", "--out", "x.npy"], "takes rows of features"),
        (["features", "--images", "folder:pictures", "--out", "x.npy"], "takes rows of features"),
        (["features", "--images", "words.csv", "--out", "x.npy"], "line 2 must hold numbers"),
        (
            ["features", "--images", "short.csv", "--out", "x.npy"],
            "line 2 must have 5 columns",
        ),
        (["features", "--images", "narrow.csv", "--out", "x.npy"], "samples must be (n, 5)"),
        (["features", "--images", "empty.csv", "--out", "x.npy"], "no line of numbers"),
        (["features", "--images", "nothing.csv", "--out", "x.npy"], "nothing.csv cannot be read"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    Path("broken.png").write_bytes(b"no picture")
    Path("dir.npy").mkdir()
    np.save("mixed.npy", np.stack([np.zeros((8, 8)), np.full((8, 8), 3.0)]))
    good = "1,2,3,4,5\n"
    Path("words.csv").write_text(f"{good}1,2,3,4,five\n")
    Path("short.csv").write_text(f"{good}1,2,3,4\n")
    Path("narrow.csv").write_text("1,2\n")
    Path("empty.csv").write_text("a,b,c,d,e\n")
    assert call("encode", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert not Path("x.npy").exists()


@pytest.mark.parametrize("dtype", [np.uint16, np.int64, np.float64])
def test_arrays_are_read_in_the_range_of_the_training_and_pictures_as_they_are(dtype: type) -> None:
    trained = replace(load_model("digits"), pixel_range=(0.0, 4080.0))
    save_model(trained, Path("ranged"))
    np.save("wide.npy", np.load("images.npy").astype(dtype) * 16)
    for source in ("wide.npy", "folder:pictures"):
        assert call("encode", "ranged", "--images", source, "--out", "x.npy") == 0
        np.testing.assert_allclose(np.load("x.npy"), wanted(), atol=1e-3)
