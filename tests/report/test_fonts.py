"""Letters that matplotlib's own font lacks are drawn by an installed font, or told."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager

from autodecoder.report import fonts
from autodecoder.report.drawing import default_style
from autodecoder.report.figures import plot_latent_space
from autodecoder.report.pictures import draw_figure

DOG, CAT = "\u72ac", "\u732b"


def forget() -> None:
    fonts.font_families.cache_clear()
    fonts._letters.cache_clear()
    fonts._told.clear()
    fonts._missing.clear()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No installed font but matplotlib's own."""
    monkeypatch.setattr(fonts, "_FALLBACKS", ("Of Dogs",))
    forget()
    yield
    forget()


def draw(names: list[str], kind: str) -> bytes:
    latents = np.random.default_rng(0).normal(size=(20, 2))
    figure = plot_latent_space(latents, np.arange(20) % 2, names, title="", names=("1", "2"))
    content = draw_figure(figure, kind)
    fonts.tell_missing()
    return content


@pytest.mark.filterwarnings("error")
def test_letters_without_a_font_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        for kind in ("png", "svg"):
            draw([f"{DOG}{CAT}{DOG}", "\u041a\u043e\u0448\u043a\u0438"], kind)
    (record,) = caplog.records
    assert f"no font for {DOG}{CAT} is installed: figures show boxes instead." in record.message


@pytest.mark.filterwarnings("error")
def test_an_installed_font_draws_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fontManager, "ttflist", [*fontManager.ttflist])
    fontManager.addfont(make_font(tmp_path / "dogs.ttf", "Of Dogs"))
    with caplog.at_level(logging.WARNING):
        with default_style():
            assert fonts.with_boxes(f"a{DOG}{CAT}") == f"a{DOG}\u25a1"
        fonts._missing.clear()
        drawn = draw([DOG, "b"], "pdf")
    assert not caplog.records
    assert b"OfDogs" in drawn


def test_figures_of_the_user_are_left_alone() -> None:
    assert fonts.with_boxes(DOG) == DOG


def make_font(path: Path, family: str) -> Path:
    """A font with one letter, a square."""
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    names = [".notdef", "dog"]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(DOG): "dog"})
    builder.setupGlyf(dict.fromkeys(names, pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (900, 100)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    told = {"familyName": family, "styleName": "Regular", "psName": family.replace(" ", "")}
    builder.setupNameTable(told)
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)
    return path
