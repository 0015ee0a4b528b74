"""`autodecoder runs` and `runs compare`: studies as tables, whatever state they are in."""

import json
import re
import shutil
from pathlib import Path

import pytest
from tests.cli.builders import call, refusal, table

from autodecoder import DecoderConfig, SearchConfig, Study, StudyConfig, load_study
from autodecoder.cli.tables import print_studies
from autodecoder.config import Range


def damaged(source: Path, target: Path, content: str) -> None:
    """A copy of a study in which `config.json` is something else."""
    shutil.copytree(source, target)
    (target / "config.json").write_text(content)


def line_of(out: str, name: str) -> str:
    (line,) = [line for line in out.splitlines() if name in line]
    return line


# One study


def test_a_study_is_shown_as_when_it_ended(
    grid: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("runs", grid[0]) == 0
    out, err = capsys.readouterr()
    assert table(out) == table(grid[1])
    yardstick = load_study(grid[0]).yardstick
    assert yardstick is not None
    line = f"errors of the validation images: {yardstick.tell([2])}."
    assert f"For comparison, mean squared {line}\n" in out
    assert line in grid[1]
    assert err == ""
    assert call("runs", grid[0], "--json") == 0
    for trial in json.loads(capsys.readouterr().out):
        assert trial["yardstick"] == {
            "mean_image": yardstick.mean_image,
            "components": yardstick.components[2],
        }


def test_a_table_tells_settings_scores_and_spread(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("runs", runs / "two") == 0
    out = capsys.readouterr().out
    (trial,) = load_study(runs / "two").trials
    assert "mean ± standard deviation over 2 executions" in out
    row = line_of(out, trial.trial_id)
    assert f"{trial.score:.4f} ± {trial.spread:.4f}" in row
    assert trial.spread > 0
    for metric in ("loss", "val_loss", "fresh_val_loss"):
        mean = sum(execution.last(metric) for execution in trial.executions) / 2
        assert f" {mean:.4f} " in row
    assert row.split()[-1] == "finished"
    assert "6 epochs in " in out


def test_more_is_better_for_a_psnr(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("runs", runs / "tuned") == 0
    out = capsys.readouterr().out
    study = load_study(runs / "tuned")
    scores = [trial.score for trial in study.trials]
    assert scores == sorted(scores, reverse=True)
    assert "Trials by psnr, best first" in out
    for trial in study.trials:
        row = line_of(out, trial.trial_id).split()
        assert float(row[1]) == trial.learning_rate
        assert row[2] == "-".join(map(str, trial.values["arch"]))
        assert row[3] == f"{trial.score:.4f}"


def test_of_many_trials_the_best_ten_are_shown(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "many"
    shutil.copytree(runs / "two", folder)
    about = json.loads((folder / "config.json").read_text())
    rates = [0.01 * (k + 1) for k in range(12)]
    about["settings"]["search"]["space"]["learning_rate"] = rates
    (folder / "config.json").write_text(json.dumps(about))
    (first,) = (folder / "trials").iterdir()
    content = json.loads((first / "trial.json").read_text())
    for k, rate in enumerate(rates[1:], start=1):
        copy = folder / "trials" / f"{k:08x}"
        shutil.copytree(first, copy)
        changed = {"id": copy.name, "number": k, "values": {"learning_rate": rate}}
        (copy / "trial.json").write_text(json.dumps({**content, **changed}))
    assert call("runs", folder) == 0
    out = capsys.readouterr().out
    assert "The best 10 of 12 trials" in out
    assert len(re.findall(r"^ *[0-9a-f]{8} +0\.", out, re.MULTILINE)) == 10
    assert "72 epochs in" in out


@pytest.mark.parametrize("left", ["nothing", "a trial under way", "a trial not begun"])
def test_a_study_under_way_is_shown_as_far_as_it_is(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], left: str
) -> None:
    folder = tmp_path / "early"
    shutil.copytree(runs / "two", folder)
    (trial,) = (folder / "trials").iterdir()
    if left == "nothing":
        shutil.rmtree(folder / "trials")
    else:
        content = json.loads((trial / "trial.json").read_text())
        content["state"] = "unfinished"
        for execution in content["executions"]:
            execution["status"] = "unfinished"
        (trial / "trial.json").write_text(json.dumps(content))
        (trial / "execution-1" / "history.csv").unlink()
        if left == "a trial not begun":
            (trial / "execution-0" / "history.csv").unlink()
    assert call("runs", folder) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert "0 of 1 trial ended" in out
    assert ("unfinished" in out) is (left != "nothing")
    assert call("runs", tmp_path) == 0
    assert "none yet" in line_of(capsys.readouterr().out, "early")
    assert call("runs", "compare", folder, runs / "two", "--out", tmp_path / "page.html") == 0


# A folder of several


def test_each_study_has_a_line(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever else lies in the folder; what cannot be read is told."""
    folder = tmp_path / "runs"
    shutil.copytree(runs, folder)
    damaged(runs / "two", folder / "torn", '{"schema": 2, "settin')
    damaged(runs / "two", folder / "newer", '{"schema": 99, "versions": {"autodecoder": "9.9"}}')
    (folder / "notes.txt").write_text("mine")
    (folder / "empty").mkdir()
    assert call("runs", folder) == 0
    out, err = capsys.readouterr()
    assert err == ""
    two, tuned = load_study(folder / "two"), load_study(folder / "tuned")
    assert two.best_trial is not None
    assert tuned.best_trial is not None
    row = line_of(out, "/two ")
    assert f"{two.best_trial.score:.4f} ± {two.best_trial.spread:.4f}" in row
    for word in ("digits", "16", "1 of 1", "val_loss"):
        assert f" {word} " in row
    row = line_of(out, "/tuned ")
    for word in ("digits", "16, 8-8", "4 of 8", "psnr", f"{tuned.best_trial.score:.4f}"):
        assert f" {word} " in row
    assert "config.json is damaged" in line_of(out, "/torn: ")
    assert "newer version" in line_of(out, "/newer: ")
    assert "empty" not in out
    assert "notes" not in out


def test_long_names_are_shown_in_full(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / ("long-" * 30)
    shutil.copytree(runs, folder)
    assert call("runs", folder) == 0
    out = capsys.readouterr().out
    assert f"{folder / 'two'} " in out
    assert f"{folder / 'tuned'} " in out
    page = tmp_path / "page.html"
    assert call("runs", "compare", folder / "two", folder / "tuned", "--out", page) == 0
    assert f"{folder / 'two'} " in capsys.readouterr().out


def test_without_an_argument_the_folder_is_runs(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(runs.parent)
    assert call("runs") == 0
    assert "runs/two " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere", "runs needs an existing folder, got .*nowhere"),
        ("file", "runs needs an existing folder, got .*file"),
        ("empty", "empty holds no study"),
    ],
)
def test_folders_without_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    assert call("runs", tmp_path / name) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"error: {'.*' if words.startswith('empty') else ''}{words}.*\n", err)


def test_a_setting_that_is_searched_is_shown_with_its_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not with the one beside the search, which no trial has."""
    space = {"learning_rate": (1e-3,), "latent_dims": Range(3, 9), "arch": ((8,), (16, 16))}
    search = SearchConfig(space, sampler="random", max_trials=2)
    config = StudyConfig(
        decoder=DecoderConfig(arch=(99,), latent_dims=77, batch_norm=True), search=search
    )
    print_studies([Study(tmp_path, config, {}, ())], [])
    out = capsys.readouterr().out
    assert "  8, 16-16  " in out
    assert "  3 to 9  " in out
    assert "99" not in out
    assert "77" not in out


# Two side by side


def test_two_studies_are_compared(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    assert call("runs", "compare", runs / "two", runs / "tuned", "--out", page) == 0
    out = capsys.readouterr().out
    assert f"{page}: " in out
    one, other = load_study(runs / "two"), load_study(runs / "tuned")
    assert one.best_trial is not None
    assert other.best_trial is not None
    header = out.splitlines()[1].split()
    assert header == [str(runs / "two"), str(runs / "tuned")]
    assert re.search(r"^ *objective +val_loss +psnr", out, re.MULTILINE)
    score = f"{one.best_trial.score:.4f} ± {one.best_trial.spread:.4f}"
    assert re.search(rf"best score +{score} +{other.best_trial.score:.4f}", out)
    best = other.best_trial.values
    assert re.search(rf"its learning rate +0\.01 +{best['learning_rate']:g}", out)
    assert re.search(rf"its arch +– +{'-'.join(map(str, best['arch']))}", out)
    assert re.search(r"decoder\.batch_norm +False +True", out)
    assert one.yardstick is not None
    error = f"{one.yardstick.mean_image:.4f}"
    assert re.search(rf"mean image +{error} +{error}", out)
    assert re.search(r"executions_per_trial +2 +1", out)
    assert re.search(r"seed +1 +2", out)
    assert "decoder.activation" not in out, "the same in both"
    content = page.read_text(encoding="utf-8")
    assert content.count('class="compared"') == 1
    assert content.count(f"<td>{error}</td>") == 2
    assert "tuned has no map: the outcome in" in content


def test_a_study_differs_not_from_itself(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    three = [runs / "two"] * 3
    assert call("runs", "compare", *three, "--out", tmp_path / "page.html") == 0
    out = capsys.readouterr().out
    assert "best score" in out
    assert "decoder." not in out
    assert "seed" not in out


def test_only_studies_can_be_compared(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for pair in ((runs / "two", tmp_path), (tmp_path / "nowhere", runs / "two")):
        assert call("runs", "compare", *pair) == 2
        assert re.match(r"error: .* holds no study", capsys.readouterr().err)
    assert call("runs", "compare", runs / "two") == 2
    assert refusal(capsys) == "error: runs compare needs two studies or more, got 1.\n"
