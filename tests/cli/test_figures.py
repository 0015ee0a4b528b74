"""`autodecoder report --figures`: figures for print, with their data."""

import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from tests.cli.builders import QUICK, call, train, without_pictures

from autodecoder.model import load_model

NAMES = {
    "loss_curves", "latent_space_train", "latent_space_val", "reconstructions_train",
    "reconstructions_val", "reconstructions_extreme", "errors", "latent_plane", "interpolations",
}  # fmt: skip
OF_IMAGES = {
    name for name in NAMES if name.startswith(("reconstructions", "inter", "latent_plane"))
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with its best model, whose pictures are drawn when they are asked for."""
    folder = tmp_path_factory.mktemp("figures") / "study"
    with without_pictures():
        assert train(*QUICK, "--lr=1e-2", "--seed=1", "--out", folder) == 0
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_figure_of_a_study_is_a_pdf_of_vectors_with_its_data(
    kept: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "thesis" / "figures"
    assert call("report", kept, "--figures", "pdf", "--out", out) == 0
    printed = capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {
        f"{name}.{kind}" for name in NAMES for kind in ("pdf", "csv")
    }
    for name in NAMES:
        content = (out / f"{name}.pdf").read_bytes()
        assert content.startswith(b"%PDF-")
        assert (b"/Subtype /Image" in content) == (name in OF_IMAGES)
        assert re.search(rf"^{name}\.pdf +\w", printed, re.MULTILINE), "a caption"
    assert printed.endswith(f"{out}: 9 figures, each with its data as CSV\n")
    model = load_model(kept / "best")
    points = rows(out / "latent_space_val.csv")
    places = [[float(row[f"latent dimension {k}"]) for k in (1, 2)] for row in points]
    assert np.shape(places) == model.val_latents.shape
    assert list(points[0]) == ["index", "name", "latent dimension 1", "latent dimension 2", "class"]
    assert model.val_names is not None
    assert [row["name"] for row in points] == list(map(str, model.val_names))
    curves = rows(out / "loss_curves.csv")
    # Then a row for each dashed line: the mean image, and the principal components.
    assert [row["epoch"] for row in curves] == [*["1", "2", "3"] * 2, "", ""]
    shown = {row["index"]: row for row in rows(out / "errors.csv")}
    for row in rows(out / "reconstructions_extreme.csv"):
        assert float(row["mean squared error"]) == pytest.approx(
            float(shown[row["index"]]["mean squared error"]), rel=1e-3
        )
    assert len(rows(out / "latent_plane.csv")) == 400
    assert len(rows(out / "interpolations.csv")) == 50


def test_a_model_has_its_figures_as_svg_with_text(
    kept: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("report", kept / "best", "--figures=svg", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    out = Path(told["out"])
    assert out == kept / "best" / "report" / "figures"
    assert set(told["figures"]) == {f"{name}.svg" for name in NAMES - {"loss_curves"}}
    drawn = ElementTree.parse(out / "latent_space_train.svg").getroot()
    spaces = [element.tag.rpartition("}")[2] for element in drawn.iter()]
    assert "image" not in spaces
    assert spaces.count("use") > 400, "a point each"


def test_without_their_images_reconstructions_are_left_out(
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: object) -> None:
        from autodecoder.errors import DataError

        raise DataError("digits has changed since the training.")

    monkeypatch.setattr("autodecoder.cli.report.data_of", refuse)
    assert call("report", kept, "--figures=png", "--out", tmp_path / "some") == 0
    assert "Without reconstructions: digits has changed since" in capsys.readouterr().out
    left = {"errors"} | {name for name in NAMES if name.startswith("reconstructions")}
    assert {path.stem for path in (tmp_path / "some").glob("*.png")} == NAMES - left


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--figures=jpg"], 'Choose from: "pdf", "svg", "png"'),
        (
            ["--figures=pdf", "--umap"],
            "umap adds a map to a page and cannot be combined with figures",
        ),
    ],
)
def test_what_cannot_be_drawn(
    kept: Path, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("report", kept, *flags) == 2
    assert words in capsys.readouterr().err


def test_the_help_leads_to_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("report", "--help") == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "With --figures they are PDF, SVG or PNG for print" in text
    assert "--figures pdf --out thesis/figures" in text
