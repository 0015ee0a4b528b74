"""`autodecoder decode`, `interpolate`, `sample` and `info`: from a model to pictures and facts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence
from tests.cli.builders import call

from autodecoder.model import load_model, save_model
from autodecoder.report import images as written


@pytest.fixture(autouse=True)
def folder(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with the models, and latents of each."""
    monkeypatch.chdir(tmp_path)
    for path in models.iterdir():
        Path(path.name).symlink_to(path)
    for name in ("digits", "features"):
        np.save(f"{name}.npy", load_model(name).latents[:5])
    return tmp_path


def sentence(capsys: pytest.CaptureFixture[str]) -> str:
    """What an error says, and that it is all."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def arrays_of(path: str) -> dict[str, np.ndarray]:
    with np.load(path) as file:
        return dict(file)


def decoded(name: str) -> np.ndarray:
    return load_model(name).decode(np.load(f"{name}.npy"))


# Decoding


def test_latents_are_decoded_to_arrays(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(written, "_PIECE", 2)
    assert call("decode", "digits", "--latents", "digits.npy", "--out", "made/x.npy") == 0
    assert capsys.readouterr().out == "made/x.npy: 5 images of 8 × 8 × 1\n"
    np.testing.assert_allclose(np.load("made/x.npy"), decoded("digits"), atol=1e-6)
    assert call("decode", "digits", "--latents", "digits.npy", "--out", "x.npz") == 0
    arrays = arrays_of("x.npz")
    np.testing.assert_allclose(arrays["images"], decoded("digits"), atol=1e-6)
    np.testing.assert_array_equal(arrays["latents"], np.load("digits.npy"))
    # What `decode` and `encode` write is read back.
    assert call("decode", "digits", "--latents", "x.npz", "--out", "y.npy") == 0
    assert call("encode", "digits", "--images", "x.npz", "--out", "back.csv") == 0
    assert call("decode", "digits", "--latents", "back.csv", "--out", "z.npy") == 0
    np.testing.assert_array_equal(np.load("y.npy"), np.load("made/x.npy"))
    np.testing.assert_allclose(np.load("z.npy"), np.load("y.npy"), atol=0.05)


def test_latents_are_decoded_to_pictures() -> None:
    flags = ["--latents", "digits.npy", "--out"]
    pixels = np.rint(255 * decoded("digits")).astype(np.uint8)[..., 0]
    assert call("decode", "digits", *flags, "made") == 0
    for k in range(5):
        with Image.open(f"made/{k}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), pixels[k])
    assert call("decode", "digits", *flags, "grid.png") == 0
    with Image.open("grid.png") as picture:
        grid = np.asarray(picture)
    assert grid.shape == (2 * 66 - 2, 3 * 66 - 2), "each pixel is a square of 8, with gaps of 2"
    np.testing.assert_array_equal(grid[:64:8, :64:8], pixels[0])
    np.testing.assert_array_equal(grid[66::8, 66:130:8], pixels[4])
    assert (grid[66:, 132:] == 255).all()
    assert call("decode", "digits", *flags, "all.gif") == 0
    with Image.open("all.gif") as animation:
        assert [frame.size for frame in ImageSequence.Iterator(animation)] == [(64, 64)] * 5


def test_columns_are_told_apart_by_their_names() -> None:
    Path("turned.csv").write_text("latent_1,image,latent_0\n0.5,7,-0.25\n")
    assert call("decode", "digits", "--latents", "turned.csv", "--out", "turned.npy") == 0
    straight = load_model("digits").decode([[-0.25, 0.5]])
    np.testing.assert_array_equal(np.load("turned.npy"), straight)


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.csv"])
def test_features_are_decoded(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("decode", "features", "--latents", "features.npy", "--out", name) == 0
    assert "5 rows of features of 5" in capsys.readouterr().out
    if name.endswith("csv"):
        found = np.loadtxt(name, delimiter=",", skiprows=1)
    else:
        found = np.load(name) if name.endswith("npy") else arrays_of(name)["images"]
    np.testing.assert_allclose(found, decoded("features"), rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere", "--latents", "digits.npy", "--out", "x.npy"], "nowhere"),
        (["digits", "--latents", "nothing.npy", "--out", "x.npy"], "nothing.npy cannot be read"),
        (["digits", "--latents", "features.npy", "--out", "x.npy"], "numbers, (n, 2), got"),
        (["digits", "--latents", "broken.npy", "--out", "x.npy"], "row 1 is not"),
        (["digits", "--latents", "words.npy", "--out", "x.npy"], "must hold numbers"),
        (["digits", "--latents", "flat.npy", "--out", "x.npy"], "must hold numbers"),
        (["digits", "--latents", "other.csv", "--out", "x.npy"], "for each of latent_0, latent_1"),
        (["digits", "--latents", "twice.csv", "--out", "x.npy"], "for each of latent_0"),
        (["digits", "--latents", "vast.csv", "--out", "x.npy"], "row 1 is not"),
        (["digits", "--latents", "digits.npy", "--out", "x.jpg"], "out must end in .npy"),
        (["digits", "--latents", "digits.npy", "--out", "x.csv"], "out must end in .npy"),
        (["digits", "--latents", "digits.npy", "--out", "digits"], "digits is not empty"),
        (["digits", "--latents", "digits.npy", "--out", "digits.npy/x.png"], "cannot be"),
        (["digits", "--latents", "none.npy", "--out", "x.png"], "one image or more, got 0"),
        (["digits", "--latents", "many.npy", "--out", "x.png"], "50,000,000 pixels or fewer"),
        (["features", "--latents", "features.npy", "--out", "x.png"], "no pictures"),
        (["features", "--latents", "features.npy", "--out", "x"], "no pictures"),
        (["features", "--latents", "features.npy", "--out", "x.txt"], ".npy, .npz or .csv"),
    ],
)
def test_what_cannot_be_decoded_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    latents = np.load("digits.npy")
    latents[1, 0] = np.nan
    np.save("broken.npy", latents)
    np.save("words.npy", np.array([["a", "b"]]))
    np.save("flat.npy", np.zeros(2))
    Path("twice.csv").write_text("latent_0,latent_0\n1,2\n")
    Path("vast.csv").write_text("1,2\n1e300,3\n")
    np.save("none.npy", np.zeros((0, 2)))
    np.save("many.npy", np.zeros((20_000, 2)))
    Path("other.csv").write_text("a,b\n1,2\n")
    assert call("decode", *arguments) == 2
    assert message in sentence(capsys)
    assert not any(map(Path.exists, map(Path, ("x.npy", "x.png", "x.csv", "x"))))


# Interpolation


def test_a_way_is_decoded(capsys: pytest.CaptureFixture[str]) -> None:
    model = load_model("digits")
    flags = ["--from", "train:1", "--to", "val:2", "--n", "4"]
    for path in ("linear", "spherical", "data"):
        out = f"{path}.npz"
        assert call("interpolate", "digits", *flags, "--path", path, "--out", out) == 0
        made = model.interpolate(model.latents[1], model.val_latents[2], 4, path=path)
        np.testing.assert_allclose(arrays_of(out)["latents"], made.latents, rtol=1e-6)
    capsys.readouterr()
    assert call("interpolate", "digits", *flags, "--out", "row.png", "--json") == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out)
    assert found["shape"] == [4, 8, 8, 1]
    assert found["from"] == pytest.approx(model.latents[1].tolist())
    with Image.open("row.png") as picture:
        assert picture.size == (4 * 66 - 2, 64), "one row"
    assert call("interpolate", "digits", *flags, "--out", "way.gif") == 0


def test_the_ends_may_be_numbers_or_a_picture() -> None:
    image = np.load("images.npy")[0]
    Image.fromarray(image[..., 0]).save("end.png")
    flags = ["--from", "-0.5,2e-1", "--to", "end.png", "--n", "2"]
    assert call("interpolate", "digits", *flags, "--out", "x.npz") == 0
    first, last = arrays_of("x.npz")["latents"]
    np.testing.assert_allclose(first, [-0.5, 0.2])
    np.testing.assert_allclose(last, load_model("digits").infer(image[None]).latents[0], atol=1e-5)


def test_the_ends_may_be_names_of_images(capsys: pytest.CaptureFixture[str]) -> None:
    model = load_model("digits")
    names = np.array([f"cats/{k}.jpg" for k in range(len(model.latents))], object)
    val_names = np.array(["cats/3.jpg", *(f"dogs/{k}.jpg" for k in range(5))], object)
    save_model(replace(model, names=names, val_names=val_names), "named")
    flags = ["--from", "cats/7.jpg", "--to", "dogs/2.jpg", "--n", "2"]
    assert call("interpolate", "named", *flags, "--out", "x.npz") == 0
    made = arrays_of("x.npz")["latents"]
    np.testing.assert_allclose(made, [model.latents[7], model.val_latents[3]], rtol=1e-6)
    capsys.readouterr()
    flags[1] = "cats/3.jpg"
    assert call("interpolate", "named", *flags, "--out", "y.npz") == 2
    assert "from must name one image, but 'cats/3.jpg' names 2: train:3, val:0." in sentence(capsys)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--from", "train:999"], "from must be train: and an index from 0 to 143"),
        (["--from", "train:-1"], "got train:-1"),
        (["--from", "train:one"], "got train:one"),
        (["--to", "val:6"], "to must be val: and an index from 0 to 5"),
        (["--to", "0.1,2,3"], "a latent of 2 numbers, got 3"),
        (["--to", "0.1"], "a latent of 2 numbers, got 1"),
        (["--to", "nan,1"], "finite numbers, got nan, 1"),
        (["--to", "nothing.png"], "or an image file, got 'nothing.png'"),
        (["--to", "images.npy"], "one image, but images.npy holds 6"),
        (["--to", "wide.png"], "8 × 9 instead of 8 × 8"),
        (["--n", "0"], "n must be"),
        (["--n", "1"], "n must be"),
        (["--n", "2.5"], "whole number"),
        (["--path", "curved"], "path must be one of linear, spherical, data, got 'curved'"),
        (["--out", "x.bmp"], "out must end in"),
    ],
)
def test_what_cannot_be_interpolated_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    Image.new("L", (9, 8)).save("wide.png")
    given = {"--from": "train:0", "--to": "train:1", "--out": "x.npy"} | {flags[0]: flags[1]}
    assert call("interpolate", "digits", *(word for pair in given.items() for word in pair)) == 2
    assert message in sentence(capsys)
    assert not Path("x.npy").exists()


# Samples


def test_samples_are_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("sample", "digits", "--n", "3", "--seed", "4", "--out", "x.npy", "--json") == 0
    out, err = capsys.readouterr()
    assert err == ""
    told = {"seed": 4, "class": None, "temperature": 1.0}
    assert json.loads(out) == {"out": "x.npy", "n_images": 3, "shape": [3, 8, 8, 1], **told}
    made = load_model("digits").sample(3, seed=4).images
    np.testing.assert_allclose(np.load("x.npy"), made, atol=1e-6)
    assert call("sample", "features", "--n", "1", "--out", "one.csv") == 0
    assert call("sample", "digits", "--out", "grid.png") == 0
    with Image.open("grid.png") as picture:
        assert picture.size == (4 * 66 - 2, 4 * 66 - 2)


def test_samples_of_a_class_are_drawn_at_a_temperature(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = load_model("digits")
    labels = np.arange(len(model.latents), dtype=np.int32) % 4
    save_model(replace(model, labels=labels), "labelled")
    flags = ("--temperature", "0.5", "--n", "4", "--out", "threes.npy")
    assert call("sample", "labelled", "--class", "3", *flags) == 0
    made = load_model("labelled").sample(4, label=3, temperature=0.5).images
    np.testing.assert_allclose(np.load("threes.npy"), made, atol=1e-6)
    capsys.readouterr()
    assert call("sample", "labelled", "--class", "4", *flags) == 2
    assert "no training image has the class '4': the classes are 0, 1, 2, 3" in sentence(capsys)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--class", "3"], "a class needs a model with labels"),
        (["--temperature", "-1"], "temperature must not be negative, got -1"),
        (["--n", "0"], "n must be"),
        (["--n", "-3"], "n must be"),
        (["--seed", "-1"], "seed must"),
        (["--seed", "4294967296"], "seed must"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_a_sentence(
    capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert call("sample", "digits", *flags, "--out", "x.png") == 2
    assert message in sentence(capsys)


# Facts


def test_a_model_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("info", "digits") == 0
    out, err = capsys.readouterr()
    assert err == ""
    for part in ("8 × 8 × 1 pixels", "2 latent dimensions, then 16", "144 of training", "jax "):
        assert part in out
    assert call("info", "features", "--json") == 0
    out, err = capsys.readouterr()
    assert err == ""
    found = json.loads(out)
    assert (found["sample_shape"], found["latent_dims"], found["n_latents"]) == ([5], 3, 40)
    assert found["metrics"]["loss"] > 0
    assert found["versions"]["autodecoder"]
    assert found["bytes"] > 1000


def test_a_study_is_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    Path("study").mkdir()
    Path("study/config.json").write_text('{"schema": 2, "study": "mine"}')
    assert call("info", "study") == 2
    assert "its model is in study/best" in sentence(capsys)
    assert call("info", "nowhere") == 2
    assert "nowhere/config.json cannot be read" in sentence(capsys)
