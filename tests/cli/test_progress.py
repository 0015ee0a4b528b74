"""A bar on a terminal; elsewhere a line every so often, in which nothing is unknown."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from tests.cli.builders import QUICK, call, train

from autodecoder.cli import progress
from autodecoder.cli.console import console, saying
from autodecoder.cli.streams import Output
from autodecoder.study import Progress

NEWS = (
    Progress("fit", 0, 6, 0, 3),
    Progress("compile", 0, 1),
    Progress("fit", 2, 6, 1, 3, 0.5, math.nan),
    Progress("fit", 4, 6, 2, 3, 0.25, 0.5),
    Progress("fresh validation", 0, 2),
)


def a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_force_terminal", True)
    monkeypatch.setattr(Output, "isatty", lambda _self: True)
    monkeypatch.setitem(console._environ, "TERM", "xterm")


def live() -> Any:
    """What is shown at present, whichever of the two the release of rich has."""
    return (getattr(console, "_live_stack", None) or [getattr(console, "_live", None)])[-1]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)


@pytest.mark.usefixtures("soon")
def test_lines_say_what_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.study_progress() as report:
        for news in NEWS:
            report(news)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition("  about ")[0] for line in lines] == [
        "epoch 0/3",
        "compiling",
        "epoch 1/3  loss 0.5000",
        "epoch 2/3  loss 0.2500  val_loss 0.5000",
        "fresh validation 1/2",
    ]
    assert lines[3].endswith(" left")


def test_they_come_every_so_often(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with progress.study_progress() as report:
        for epoch in range(1, 1001):
            now += 0.5
            report(Progress("fit", epoch, 1000, epoch, 1000, 0.5, 0.5))
    lines = capsys.readouterr().out.splitlines()
    later = 500 - progress.SECONDS_TO_FIRST_LINE
    assert len(lines) == 1 + later / progress.SECONDS_BETWEEN_LINES // 1
    assert lines[0] == "epoch 20/1000  loss 0.5000  val_loss 0.5000  about 8 min left"


def test_a_time_is_left_only_where_it_is_known(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_terminal(monkeypatch)
    with progress.study_progress() as report:
        report(Progress("compile", 0, 1))
        live().refresh()
        told = capsys.readouterr().out
        assert "compiling" in told
        assert "left" not in told
        for epoch in range(1, 4):
            report(Progress("fit", epoch, 100, epoch, 100, 0.5))
            live().refresh()
        told = capsys.readouterr().out
    assert re.search(r"0:\d\d:\d\d left", told)


def test_what_takes_a_while_is_said_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with saying("drawing figures"):
        pass
    assert capsys.readouterr().out == ""
    a_terminal(monkeypatch)
    with saying("drawing figures"):
        live().refresh()
    assert "drawing figures" in capsys.readouterr().out


@pytest.mark.usefixtures("soon")
def test_groups_that_run_at_once_have_names(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.study_progress() as report:
        for group, epoch in ((0, 1), (1, 1), (0, 2)):
            report(Progress("fit", epoch, 3, epoch, 3, 0.5, group=group))
        report(Progress("end", group=0))
        report(Progress("fit", 2, 3, 2, 3, 0.25, group=1))
    lines = [line.partition("  about ")[0] for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "epoch 1/3  loss 0.5000",
        "group 2  epoch 1/3  loss 0.5000",
        "group 1  epoch 2/3  loss 0.5000",
        "epoch 2/3  loss 0.2500",
    ]


@pytest.mark.usefixtures("soon", "no_pictures")
def test_a_study_tells_of_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = (*QUICK, "--lr=1e-2", "--seed=1")
    assert train(*flags, f"--out={tmp_path / 'one'}") == 0
    out, err = capsys.readouterr()
    assert "nan" not in out
    assert "epoch 0/0" not in out
    assert "\nepoch 3/3  loss 0." in out
    assert "\nfresh validation 1/1" in out
    assert err == ""
    assert train(*flags, f"--out={tmp_path / 'other'}", "--json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["n_ended"] == 1
    assert "\nepoch 3/3  loss 0." in err


def test_a_quick_study_says_nothing_more(grid: tuple[Path, str]) -> None:
    assert "epoch 0/" not in grid[1]
    assert "compiling" not in grid[1]
    assert "\n\n\n" not in grid[1]


@pytest.mark.usefixtures("soon")
def test_images_are_counted(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, out = models / "images.npy", tmp_path / "out.npy"
    assert call("encode", models / "digits", "--images", images, "--out", out) == 0
    assert "encoding: 6 of 6" in capsys.readouterr().out.splitlines()


def test_without_news_there_is_no_line(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not an empty one either."""
    images, out = models / "images.npy", tmp_path / "out.npy"
    assert call("encode", models / "digits", "--images", images, "--out", out) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{out}: 6 latents of 2")


def test_the_bar_of_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a_terminal(monkeypatch)
    with progress.study_progress() as report:
        for news in NEWS:
            report(news)
            live().refresh()
    out = capsys.readouterr().out
    assert "epoch 0/3" in out
    assert "loss 0.2500  val_loss 0.5000" in out
    assert "nan" not in out


def test_a_terminal_that_cannot_move_its_cursor_has_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "_force_terminal", True)
    monkeypatch.setattr(Output, "isatty", lambda _self: True)
    monkeypatch.setitem(console._environ, "TERM", "dumb")
    with progress.study_progress() as report:
        report(NEWS[-2])
    assert capsys.readouterr().out == ""
