"""Colours of classes and curves."""

from pathlib import Path

import pytest

from autodecoder import report
from autodecoder.report.classes import (
    LEAST_CONTRAST,
    PAPERS,
    contrast,
    page_colours,
    page_scale,
)


def test_contrast_of_known_pairs() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#ffffff", "#767676") == pytest.approx(4.54, abs=0.01)


def test_colours_are_readable_on_both_papers_of_a_page() -> None:
    for n in (*range(13), 30, 100):
        for made in (page_colours(n), page_scale(n)):
            for scheme, paper in PAPERS.items():
                assert all(contrast(c, paper) >= LEAST_CONTRAST for c in made[scheme]), (n, scheme)
    for n in (2, 10):
        for colours in page_colours(n).values():
            assert len(set(colours)) == n
    assert {len(part) for part in page_scale(30).values()} == {30}
    style = (Path(report.__file__).parent / "assets" / "page.css").read_text()
    assert {f"--paper: {paper};" in style for paper in PAPERS.values()} == {True}
    assert LEAST_CONTRAST >= 3, "of graphics, by WCAG 2.1"
