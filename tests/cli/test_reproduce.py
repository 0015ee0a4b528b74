"""`autodecoder reproduce`."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.cli.builders import call, refusal

from autodecoder.errors import DataError


def test_a_study_is_repeated(
    grid: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    shutil.copytree(grid[0], study)
    assert call("reproduce", study) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if " 1 " in line]
    assert "Changed since" not in out
    assert (tmp_path / "study-again" / "config.json").exists()

    # The same folder goes on, which is at its end; one number is another by 10 %.
    (history,) = _of_best(study).glob("execution-0/history.csv")
    rows = [row.split(",") for row in history.read_text().splitlines()]
    column = rows[0].index("val_loss")
    for row in rows[1:]:
        row[column] = repr(1.1 * float(row[column]))
    history.write_text("".join(",".join(row) + "\n" for row in rows))
    assert call("reproduce", study, "--tolerance=0.2") == 0
    assert "epoch 1" in capsys.readouterr().out
    assert call("reproduce", study, "--tolerance=0.2", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["difference"] == pytest.approx(0.1 / 1.1, rel=1e-6)
    assert [run["differs_from"] for run in found["runs"]] == [1]
    # Programs that are compiled otherwise may give other bits of the model.
    assert all(run["differs_in"] in ([], ["model"]) for run in found["runs"])
    assert not found["exact"]
    assert call("reproduce", study) == 2
    assert "the largest difference is 9.1 %, and the tolerance 2 %." in refusal(capsys)
    assert "9.1" not in line


def test_images_are_named_as_for_a_report(
    grid: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their paths are kept in the repetition, which may go on from another folder."""
    given: dict[str, Any] = {}

    def repeat(*_: object, **options: Any) -> None:
        given.update(options)
        raise DataError("not here")

    monkeypatch.setattr("autodecoder.study.reproduce_study", repeat)
    monkeypatch.chdir(tmp_path)
    named = ("--dataset=npz:a.npz", "--split_by=s.csv", "--mask=m.npy", "--data_dir=data")
    assert call("reproduce", grid[0], *named) == 2
    assert given["dataset"] == f"npz:{tmp_path / 'a.npz'}"
    assert (given["split_by"], given["mask"]) == (tmp_path / "s.csv", tmp_path / "m.npy")
    assert given["data_dir"] == Path("data")


def test_images_of_a_stranger_are_not_opened(
    grid: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tmp_path / "study"
    shutil.copytree(grid[0], study)
    os.mkfifo(tmp_path / "pipe")
    content = json.loads((study / "config.json").read_text())
    content["settings"]["data"]["dataset"] = f"npy:{tmp_path / 'pipe'}"
    (study / "config.json").write_text(json.dumps(content))
    assert call("reproduce", study) == 2
    assert "is opened only where this account has trained on it" in refusal(capsys)
    assert not (tmp_path / "study-again").exists()


def _of_best(study: Path) -> Path:
    from autodecoder import load_study

    best = load_study(study).best_trial
    assert best is not None
    return study / "trials" / best.trial_id


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--tolerance=-1"], "tolerance must be 0 or more, got -1"),
        (["--tolerance=nan"], "tolerance must be a finite number"),
        (["--devices=0"], "devices"),
        (["--data_dir=nowhere"], "nowhere"),
    ],
)
def test_wrong_values(
    grid: tuple[Path, str],
    flags: list[str],
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("reproduce", grid[0], f"--out={tmp_path / 'again'}", *flags) == 2
    assert words in refusal(capsys)


def test_a_folder_without_a_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("reproduce", tmp_path) == 2
    assert "holds no study" in refusal(capsys)
    assert call("reproduce", tmp_path / "nowhere") == 2
    refusal(capsys)
