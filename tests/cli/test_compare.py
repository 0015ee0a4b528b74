"""`autodecoder compare`: other methods on the same images."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cli.builders import call
from tests.report.browser import browser, open_tab

SMALL = {
    "dataset": "digits",
    "examples_frac": 0.2,
    "arch": 16,
    "batch_size": 50,
    "budget": "epochs=3",
    "lr": 1e-2,
    "seeds": "0,1",
}


def compare(out: Path, *flags: str, **values: Any) -> int:
    """Run a small comparison; values override its own."""
    given = {**SMALL, **values, "out": out}
    return call("compare", *(f"--{name}={value}" for name, value in given.items()), *flags)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare") / "out"
    assert compare(folder) == 0
    return folder


def test_files(compared: Path) -> None:
    content = json.loads((compared / "results.json").read_text())
    names = [row["name"] for row in content["rows"]]
    assert names == ["pca", "ae", "ae-refined", "vae", "gon", "auto-decoder"]
    assert content["settings"]["methods"]["ae"]["num_epochs"] == 3
    for row in content["rows"]:
        assert [score["seed"] for score in row["scores"]] == [0, 1]
        assert row["error"] == pytest.approx(np.mean([score["error"] for score in row["scores"]]))
        assert (row["ours_against_it"] is None) == (row["name"] == "auto-decoder")


def test_the_page_shows_maps_and_curves(compared: Path) -> None:
    with browser() as chromium:
        tab = open_tab(chromium, 1280, 900)
        wrong: list[str] = []
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.goto((compared / "index.html").as_uri())
        titles = tab.locator(".compared h2").all_inner_texts()
        assert titles[0] == "principal components"
        assert titles[-1] == "auto-decoder"
        assert len(titles) == 5
        assert tab.locator("#curves path").count() >= 4
        cells = tab.locator("#table tbody tr", has_text="error, unseen").locator("td")
        assert "±" in cells.nth(1).inner_text()
        near = tab.evaluate(
            """() => {
              const [one, other] = window.autodecoder.maps, set = one.points.sets[0];
              one.map.moveTo(one.map.placeOfPoint({ set, k: 5 }));
              return [one, other].map(({ map }) => map.near.set.rows[map.near.k]);
            }"""
        )
        assert near[0] == near[1]
        assert wrong == []


def test_the_same_command_goes_on(
    compared: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import autodecoder.compare.work as work

    def refuse(kind: str, *rest: Any) -> Any:
        assert kind == "pca", "nothing else is fitted again"
        return fit(kind, *rest)

    fit = work.fit_method
    monkeypatch.setattr(work, "fit_method", refuse)
    before = json.loads((compared / "results.json").read_text())
    assert compare(compared, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    errors = [[row["error"] for row in content["rows"]] for content in (before, told)]
    assert errors[0] == pytest.approx(errors[1])
    assert told["page"] == str(compared / "index.html")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"budget": "epochs=0"}, "budget must be above 0, got 'epochs=0'"),
        ({"budget": "hours=1"}, "budget must be epochs=N or seconds=N"),
        ({"budget": "epochs=2.5"}, "budget must have a whole number, got 'epochs=2.5'"),
        ({"budget": "seconds=-3"}, "budget must be above 0"),
        ({"seeds": "1,1"}, "seeds must differ, got 1, 1"),
        ({"seeds": "a"}, "seeds must be whole numbers joined by commas, got 'a'"),
        ({"methods": "pca,umap"}, "methods must be one of"),
        ({"lr": "1e-2;1e-3"}, "lr must be numbers joined by commas"),
        ({"prior": "mixture", "n_components": 4000}, "n_components must not exceed"),
    ],
)
def test_wrong_flags(
    values: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(tmp_path / "new", **values) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_another_comparison_in_the_folder(
    compared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(compared, arch=20) == 2
    assert "holds a comparison with another decoder" in capsys.readouterr().err
