"""Missing pixels on the command line: a study of them, what is made of it, and what is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.cli.builders import call, train, without_pictures

from autodecoder import load_dataset, load_study

QUICK = ("--arch=16", "--num_epochs=3", "--executions_per_trial=1", "--lr=1e-2")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of digits as `images.npy`, and of masks of them as `mask.npy` and `frame.npy`."""
    folder = tmp_path_factory.mktemp("data")
    images = load_dataset("digits", examples_frac=0.2).train.images
    known = np.random.default_rng(0).random(images.shape) < 0.6
    np.save(folder / "images.npy", images)
    np.save(folder / "mask.npy", known)
    frame = np.zeros((8, 8), bool)
    frame[1:-1, 1:-1] = True
    np.save(folder / "frame.npy", frame)
    np.savez(folder / "holed.npz", images=images, mask=known)
    return folder


@pytest.fixture(scope="module")
def study(place: Path) -> Path:
    data = (f"--dataset=npy:{place / 'images.npy'}", f"--mask={place / 'mask.npy'}")
    with without_pictures():
        assert train(*QUICK, *data, f"--out={place / 'study'}", "--save_best_model") == 0
    return place / "study"


def test_train_says_how_much_is_missing(
    place: Path, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = (f"--dataset=npy:{place / 'images.npy'}", f"--mask={place / 'mask.npy'}")
    assert train(*QUICK, *data, f"--out={study}", "--save_best_model") == 0, "it goes on"
    out = capsys.readouterr().out
    assert re.search(r"missing pixels: [34]\S+ % of the training images and", out)
    assert (study / "report" / "reconstructions_val.png").is_file()
    assert load_study(study).config.data.mask == place / "mask.npy"


@pytest.mark.thorough
def test_pages_and_pictures_of_it(
    place: Path, study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (study / "report" / "reconstructions_val.png").unlink(missing_ok=True)
    named = (f"--dataset=npy:{place / 'images.npy'}", f"--mask={place / 'mask.npy'}")
    assert call("report", study, *named) == 0
    assert (study / "report" / "reconstructions_val.png").is_file()
    assert call("report", study / "best", "--out", place / "page.html") == 0
    assert "Without reconstructions" not in capsys.readouterr().out
    assert call("report", study, named[0]) == 0, "this account has trained on it by that mask"
    frame = f"--mask={place / 'frame.npy'}"
    assert call("report", study, named[0], frame) == 2
    assert "has changed since the training" in capsys.readouterr().err
    assert call("report", study, frame) == 2
    assert "mask needs dataset" in capsys.readouterr().err


@pytest.mark.slow
def test_reconstruct_and_encode_use_the_masks_of_a_file(place: Path, study: Path) -> None:
    """Of an .npz, of floats that are not a number, and by a flag: all alike."""
    images, known = np.load(place / "images.npy"), np.load(place / "mask.npy")
    np.save(place / "floats.npy", np.where(known, images / 255, np.nan))
    made = []
    flagged = ["images.npy", "--mask", place / "mask.npy"]
    for given in (["holed.npz"], ["floats.npy"], flagged):
        source, *mask = given
        out = place / f"out-{len(made)}"
        images_flag = ("--images", place / str(source))
        assert call("reconstruct", study / "best", *images_flag, *mask, "--out", out) == 0
        made.append(np.load(out / "reconstructions.npy"))
        assert np.isfinite(made[-1]).all()
        assert call("encode", study / "best", *images_flag, *mask, "--out", f"{out}.npy") == 0
        np.testing.assert_array_equal(np.load(f"{out}.npy"), np.load(out / "latents.npy"))
    np.testing.assert_allclose(made[0], made[1], atol=1e-3)
    np.testing.assert_array_equal(made[0], made[2])


@pytest.mark.slow
def test_alpha_of_the_training_is_alpha_of_what_is_reconstructed(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, known = np.load(place / "images.npy")[:40], np.load(place / "mask.npy")[:40]
    folder = place / "stickers"
    folder.mkdir()
    for k, (image, seen) in enumerate(zip(images, known, strict=True)):
        pixels = np.concatenate([image, np.where(seen, 255, 0).astype(np.uint8)], axis=2)
        Image.fromarray(pixels).save(folder / f"{k:02}.png")
    flags = (f"--dataset=folder:{folder}", "--alpha=mask", f"--out={place / 'alpha'}")
    assert train(*QUICK, *flags, "--save_best_model", "--batch_size=20") == 0
    assert "missing pixels: " in capsys.readouterr().out
    model = place / "alpha" / "best"
    for name, source in (("files", f"folder:{folder}"), ("array", place / "alpha.npy")):
        if name == "array":
            layers = [images, np.where(known, 255, 0).astype(np.uint8)]
            np.save(place / "alpha.npy", np.concatenate(layers, axis=3))
        assert call("encode", model, "--images", source, "--out", place / f"{name}.npy") == 0
    masked = ["--images", place / "first.npy", "--mask", place / "first-mask.npy"]
    np.save(place / "first.npy", images)
    np.save(place / "first-mask.npy", known)
    assert call("encode", model, *masked, "--out", place / "masked.npy") == 0
    expected = np.load(place / "masked.npy")
    for name in ("files", "array"):
        np.testing.assert_allclose(np.load(place / f"{name}.npy"), expected, atol=1e-4)


@pytest.mark.slow
def test_pixels_that_no_image_shows_are_warned_of(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = (f"--dataset=npy:{place / 'images.npy'}", f"--mask={place / 'frame.npy'}")
    assert train(*QUICK, *flags, f"--out={place / 'framed'}", "--json") == 0
    told = capsys.readouterr()
    assert "28 of 64 values of an image are missing from every training image" in told.err
    json.loads(told.out)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--dataset=digits", "--mask={}/mask.npy"], "mask is for npy: and npz:, not for digits"),
        (["--dataset=folder:{}", "--mask={}/mask.npy"], "mask is for npy: and npz:, not for fold"),
        (["--dataset=digits", "--alpha=mask"], "alpha is for images of your own"),
        (["--dataset=npy:{}/images.npy", "--alpha=mask"], "with an alpha channel"),
        (["--dataset=npy:{}/images.npy", "--alpha=black"], "alpha must be one of white, mask"),
        (["--dataset=npy:{}/images.npy", "--mask={}/none.npy"], "none.npy cannot be read"),
        (["--dataset=npy:{}/images.npy", "--mask={}/wide.npy"], "mask must be for"),
        (["--dataset=npy:{}/images.npy", "--mask={}/empty.npy"], "must have a known value"),
        (
            ["--dataset=npy:{}/images.npy", "--mask={}/mask.npy", "--augmentation=zoom"],
            "augmentation moves pixels and cannot be used with missing ones",
        ),
    ],
)
def test_bad_input_is_told_in_a_sentence(
    place: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    np.save(place / "wide.npy", np.ones((8, 9), bool))
    np.save(place / "empty.npy", np.zeros((8, 8), bool))
    flags = [flag.format(place) for flag in flags]
    assert train(*QUICK, *flags, f"--out={place / 'none'}") == 2
    error = " ".join(capsys.readouterr().err.split())
    assert message in error
    assert "Traceback" not in error
    assert not (place / "none").exists()
