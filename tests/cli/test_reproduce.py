"""`autodecoder reproduce`."""

import json
import shutil
from pathlib import Path

import pytest
from tests.cli.builders import call, refusal


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
    assert call("reproduce", study, "--tolerance=0.2", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["difference"] == pytest.approx(0.1 / 1.1, rel=1e-6)
    assert [run["differs_from"] for run in found["runs"]] == [1]
    assert not found["exact"]
    assert call("reproduce", study) == 2
    assert "the largest difference is 9.1 %, and the tolerance 2 %." in refusal(capsys)
    assert "9.1" not in line


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
