"""The page of `autodecoder runs compare` in Chromium: maps that are linked."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.builders import call
from tests.report.browser import browser, faults, open_tab

from autodecoder.report.comparison import turned, write_comparison
from autodecoder.report.plane import latent_plane
from autodecoder.study import load_study


@pytest.fixture
def tab(grid: tuple[Path, str], tmp_path: Path) -> Iterator[Any]:
    """The page of two copies of a study in Chromium."""
    for name in ("one", "other"):
        shutil.copytree(grid[0], tmp_path / name)
    page = tmp_path / "page.html"
    assert call("runs", "compare", tmp_path / "one", tmp_path / "other", "--out", page) == 0
    with browser() as chromium:
        tab = open_tab(chromium, 1280, 900)
        wrong: list[str] = []
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto(page.as_uri())
        yield tab
        assert wrong == []


def test_an_image_lights_up_on_all_maps(tab: Any) -> None:
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
    tab.evaluate("() => window.autodecoder.maps[0].map.moveTo([1e6, 1e6])")
    assert tab.locator(".compared .told").all_inner_texts() == ["", ""], "also on the other map"
    widths = tab.locator("canvas.decoded").evaluate_all("all => all.map(c => c.width)")
    assert widths[1] == 1
    tab.evaluate(
        """() => {
          const [one, other] = window.autodecoder.maps, set = one.points.sets[0];
          other.points.byRow[set.name].fill(-1);
          one.map.moveTo(one.map.placeOfPoint({ set, k: 5 }));
        }"""
    )
    assert tab.locator(".told").nth(1).inner_text().endswith(": not on this map")


def test_the_tools_act_on_all_maps(tab: Any, tmp_path: Path) -> None:
    zooms = "() => window.autodecoder.maps.map(({ map }) => map.zoom)"
    tab.click("button[data-zoom='2']")
    assert tab.evaluate(zooms) == [2, 2]
    tab.click("button[data-zoom='0']")
    assert tab.evaluate(zooms) == [1, 1]
    tab.click("button[data-mode=box]")
    box = tab.locator(".map").nth(1).bounding_box()
    tab.mouse.move(box["x"] + 2, box["y"] + 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] - 2, steps=4)
    tab.mouse.up()
    n, m = tab.evaluate("() => window.autodecoder.maps.map(({ map }) => map.selected.length)")
    assert m >= n > 2
    assert tab.locator("#selection-count").inner_text() == f"Selected: {m} images"
    with tab.expect_download() as download:
        tab.click("#selection-csv")
    assert len(Path(download.value.path()).read_text().splitlines()) == m + 1
    tab.click("#selection-clear")
    selected = "() => window.autodecoder.maps.map(({ map }) => map.selected.length)"
    assert tab.evaluate(selected) == [0, 0]
    tab.fill("#search", "train:3")
    tab.keyboard.press("Enter")
    assert tab.evaluate(selected) == [1, 1], "a click or a search selects an image"
    assert all(text.startswith("train:3") for text in tab.locator(".told").all_inner_texts())
    assert faults(tab, {"minor", "moderate"}) == []
    opened = tab.evaluate(
        """() => { const data = new DataTransfer(); data.items.add(new File(["any"], "mine.png"));
        return document.dispatchEvent(new DragEvent("drop", { dataTransfer: data,
          cancelable: true })) }"""
    )
    assert not opened, "the browser stays on the page"


def test_maps_of_other_classes_have_legends_of_their_own(
    grid: tuple[Path, str], tmp_path: Path
) -> None:
    for name, classes in (("one", ["a", "b"]), ("other", ["c", "d"])):
        shutil.copytree(grid[0], tmp_path / name)
        path = tmp_path / name / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"class_names": classes}))
    page = tmp_path / "page.html"
    write_comparison([load_study(tmp_path / name) for name in ("one", "other")], page)
    with browser() as chromium:
        tab = open_tab(chromium, 1280, 900)
        tab.goto(page.as_uri())
        assert tab.locator(".legend").count() == 2
        tab.locator(".legend").nth(1).locator("input").first.click()
        hidden = "() => window.autodecoder.maps.map(({ map }) => map.hidden.size)"
        assert tab.evaluate(hidden) == [0, 1]


def test_a_map_is_turned_to_match_the_first(grid: tuple[Path, str]) -> None:
    model: Any = load_study(grid[0]).best_model()
    plane = latent_plane(model.latents)
    first = model.latents @ np.array([[0.0, 1.0], [1.0, 0.0]]) + 3  # mirrored and moved
    places = turned(plane, model, first).places(model.latents)
    np.testing.assert_allclose(places - places.mean(0), first - first.mean(0), atol=1e-4)
