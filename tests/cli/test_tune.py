"""`autodecoder tune`, and studies as JSON."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.cli.builders import QUICK, call

from autodecoder import load_study
from autodecoder.cli.tables import _beyond
from autodecoder.config import Range, Values


@pytest.fixture(autouse=True)
def _alone(no_pictures: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_a_search_ends_with_the_command_that_trains_at_its_best(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("some.toml").write_text(
        '[search]\nsampler = "random"\nmax_trials = 2\n[search.space]\n'
        "learning_rate = {low = 1e-3, high = 1e-2, log = true}\nbatch_norm = [false]\n"
    )
    flags = [*QUICK, "--config=some.toml", "--tune=arch=8-8,16-8", "--out=study"]
    flags.remove("--arch=16")
    assert call("tune", *flags, "--seed=3") == 0
    best = load_study("study").best_trial
    assert best is not None
    *lines, command = capsys.readouterr().out.splitlines()
    assert any(line.startswith(f"Best trial {best.trial_id}: learning rate ") for line in lines)
    words = shlex.split(command.removeprefix("To train with these values: "))
    assert words[:2] == ["autodecoder", "train"]
    assert not {"--tune", "--out", "--max_trials"} & set(words)
    assert call(*words[1:], "--out=again") == 0
    study = load_study("again")
    (trial,) = study.trials
    assert trial.values["learning_rate"] == best.values["learning_rate"]
    assert study.config.parts(trial.values) == load_study("study").config.parts(best.values)
    assert study.config.decoder.batch_norm is False or trial.values["batch_norm"] is False


@pytest.mark.parametrize(
    ("value", "values", "told"),
    [
        (0.1, (1e-3, 1e-2, 1e-1), "higher"),
        (1e-3, (1e-3, 1e-2, 1e-1), "lower"),
        (1e-2, (1e-3, 1e-2, 1e-1), None),
        (1e-2, (1e-2,), None),
        ("tanh", ("relu", "tanh"), None),
        (True, (False, True), None),
        (0.09, Range(1e-4, 1e-1, log=True), "higher"),
        (0.09, Range(1e-4, 1.0), None),
        (2, Range(2, 64), "lower"),
    ],
)
def test_a_value_at_the_end_of_the_search_is_noticed(
    value: Any, values: Values, told: str | None
) -> None:
    assert _beyond(value, values) == told


def test_tune_tells_that_its_best_rate_is_the_largest(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("tune", "--tune=lr=1e-6,1e-2", *QUICK, "--out=two", "--seed=1") == 0
    out = capsys.readouterr().out
    assert (
        "learning rate 0.01 is at the end of the searched values: higher ones may be better." in out
    )
    assert out.splitlines()[-1].startswith("To train with these values: ")


def test_studies_are_told_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--tune=lr=1e-3,1e-2", *QUICK, "--out=several/one"]
    assert call("tune", *flags, "--json") == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    tuned = json.loads(out)
    assert tuned["command"].startswith("autodecoder train --examples_frac 0.3")
    assert tuned["interrupted"] is False
    assert [trial["score"] for trial in tuned["trials"]] == [
        trial.score for trial in load_study("several/one").trials
    ]
    assert tuned["best"]["values"]["learning_rate"] in (1e-3, 1e-2)
    assert tuned["best"]["metrics"]["fresh_val_loss"] > 0
    assert call("train", *flags, "--json") == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained == {name: value for name, value in tuned.items() if name != "command"}
    Path("several/two").mkdir()
    Path("several/two/config.json").write_text("{}")
    assert call("runs", "several", "--json") == 0
    out, err = capsys.readouterr()
    assert err == ""
    one, two = json.loads(out)
    assert one["best"] == tuned["best"]
    assert set(two) == {"folder", "error"}
    assert call("runs", "several/one", "--json") == 0
    assert json.loads(capsys.readouterr().out) == tuned["trials"]
    assert call("runs", "compare", "several/one", "several/one", "--json") == 0
    compared = json.loads(capsys.readouterr().out)
    assert compared == {"studies": [one, one], "settings": {}, "out": "comparison.html"}


@pytest.mark.thorough
def test_pruned_trials_are_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--tune=lr=1e-4,1e-3,3e-3,1e-2", *QUICK, "--num_epochs=8", "--prune=asha"]
    flags.remove("--num_epochs=3")
    assert call("tune", *flags, "--out=study") == 0
    out = capsys.readouterr().out
    assert "3 trials pruned by the rule asha: worse than the trials that ran with them." in out
    rows = [line.split() for line in out.splitlines() if line.split()[-1:] == ["pruned"]]
    assert [row[-3] for row in rows] == ["2", "1", "1"], "epochs"
    assert "trials ended" not in out
    assert "--prune" not in out.splitlines()[-1], "of the command"
    assert call("tune", *flags, "--out=study", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n_ended"] == told["n_trials"] == 4
    assert [trial["state"] for trial in told["trials"]] == ["complete", *["pruned"] * 3]
    assert call("runs", ".") == 0
    assert "4 of 4" in capsys.readouterr().out
    page = Path("study/report/index.html").read_text(encoding="utf-8")
    assert page.count("<td>pruned</td>") == 3


def test_a_search_without_a_score_has_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    frail = ["--scaler=identity", "--nobatch_norm", "--tune=lr=1e30"]
    flags = [*frail, *QUICK, "--out=bad", "--json"]
    status = call("tune", *flags)
    found = json.loads(capsys.readouterr().out)
    assert status == 0
    assert found["best"] is None
    assert found["command"] is None
    assert found["trials"][0]["score"] is None
