"""The page of `autodecoder runs compare` in Chromium: maps that are linked."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from tests.cli.builders import call
from tests.report.browser import browser, open_tab

from autodecoder.report.comparison import turned
from autodecoder.report.plane import latent_plane
from autodecoder.study import load_study


def test_an_image_lights_up_on_all_maps(grid: tuple[Path, str], tmp_path: Path) -> None:
    for name in ("one", "other"):
        shutil.copytree(grid[0], tmp_path / name)
    page = tmp_path / "page.html"
    assert call("runs", "compare", tmp_path / "one", tmp_path / "other", "--out", page) == 0
    with browser() as chromium:
        tab = open_tab(chromium, 1280, 900)
        wrong: list[str] = []
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto(page.as_uri())
        assert tab.locator(".compared canvas.dots").count() == 2
        near = tab.evaluate(
            """() => {
              const [one, other] = window.autodecoder.maps, set = one.points.sets[0];
              one.map.moveTo(one.map.placeOfPoint({ set, k: 5 }));
              const told = ({ set, k }) => [set.name, set.rows[k]];
              return [told(one.map.near), told(other.map.near)];
            }"""
        )
        assert near[0] == near[1]
        texts = tab.locator(".compared .told").all_inner_texts()
        assert texts[0] == texts[1] != ""
        assert wrong == []


def test_a_map_is_turned_to_match_the_first(grid: tuple[Path, str]) -> None:
    model: Any = load_study(grid[0]).best_model()
    plane = latent_plane(model.latents)
    first = model.latents @ np.array([[0.0, 1.0], [1.0, 0.0]]) + 3  # mirrored and moved
    places = turned(plane, model, first).places(model.latents)
    np.testing.assert_allclose(places - places.mean(0), first - first.mean(0), atol=1e-4)
