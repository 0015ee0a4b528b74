"""`autodecoder train`: what it prints, what it leaves, and what happens when it is said again."""

import contextlib
import csv
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.cli.builders import (
    QUICK,
    call,
    history,
    ids,
    settings,
    stamps,
    table,
    train,
    trial_at,
    without_pictures,
)
from tests.compilation import compiled_quickly

from autodecoder import load_model, load_study
from autodecoder.config import METRICS
from autodecoder.study.locks import drop_worker_lock, hold_worker_lock, new_worker

ONE = (*QUICK, "--lr=1e-2")


# The search


def test_the_search_prints_a_table_best_first(grid: tuple[Path, str]) -> None:
    folder, out = grid
    trials = load_study(folder).trials
    assert sorted(trial.learning_rate for trial in trials) == [1e-4, 1e-3, 1e-2, 1e-1]
    scores = [trial.score for trial in trials]
    assert scores == sorted(scores)
    rows = re.findall(r"^ *([0-9a-f]{8}) +(0\.\d+) +(\d\.\d{4})", out, flags=re.MULTILINE)
    assert rows == [
        (trial.trial_id, f"{trial.learning_rate:g}", f"{trial.score:.4f}") for trial in trials
    ]
    assert "Trials by val_loss, best first" in out
    assert "seed 1" in out


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    ("n_open", "others", "words"),
    [
        (1, 0, "1 trial did not end, because a process died: run this again."),
        (2, 1, "Another process ({0}) has all remaining trials (2): wait with --wait, or run"),
        (2, 2, "Other processes ({0}, {0}) have all remaining trials (2): wait with --wait"),
    ],
)
def test_trials_that_others_still_run_are_told(
    grid: tuple[Path, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    n_open: int,
    others: int,
    words: str,
) -> None:
    folder, _ = grid
    study = load_study(folder)
    ended, under_way = study.trials[n_open:], study.trials[:n_open]
    trials = (*ended, *(replace(trial, state="unfinished") for trial in under_way))
    monkeypatch.setattr(
        "autodecoder.study.run_study", lambda *_, **__: replace(study, trials=trials)
    )
    with contextlib.ExitStack() as stack:
        for worker in (new_worker() for _ in range(others)):
            lock = hold_worker_lock(folder, worker)
            stack.callback(drop_worker_lock, folder, worker, lock)
        assert train(*QUICK, "--seed=1", "--out", folder) == 0
        assert words.format(os.getpid()) in capsys.readouterr().out
        assert train(*QUICK, "--seed=1", "--out", folder, "--reset_training") == 0
        assert "run this again without --reset_training." in capsys.readouterr().out
        assert train(*QUICK, "--seed=1", "--out", folder, "--json") == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["others"] == [str(os.getpid())] * others
    assert told["n_trials"] - told["n_ended"] == n_open
    assert words.format(os.getpid()) in captured.err


def test_the_folder_holds_what_is_promised(grid: tuple[Path, str]) -> None:
    folder, out = grid
    recorded = settings(folder)
    assert recorded["seed"] == 1
    assert recorded["decoder"]["arch"] == [16]
    study = load_study(folder)
    for trial in study.trials:
        rows = list(csv.DictReader(io.StringIO(history(folder, trial.learning_rate))))
        assert [row["epoch"] for row in rows] == ["1", "2", "3"]
        assert set(rows[0]) >= {"epoch", *METRICS}
        assert trial.executions[0].status == "finished"
    assert len(study.histories) == 12
    assert (folder / "histories.csv").read_text() == study.histories.to_csv(index=False)
    pictures = {path.relative_to(folder) for path in (folder / "report").iterdir()}
    assert {path.name for path in pictures} == {
        "index.html",
        "learning_rates.png",
        "loss_curves.png",
        "latent_space_train.png",
        "latent_space_val.png",
        "reconstructions_train.png",
        "reconstructions_val.png",
        "reconstructions_extreme.png",
        "errors.png",
        "latent_plane.png",
        "interpolations.png",
    }
    assert f"Results in {folder}\n" in out
    assert "  report/index.html  open it in a browser\n" in out
    assert "  report             10 pictures, PNG\n" in out
    for rate in ("0.0001", "0.001", "0.01", "0.1"):
        place = folder / "tensorboard" / f"lr={rate}" / "execution-0"
        assert list(place.glob("events.out.tfevents.*"))
    assert not list(folder.rglob("*.tmp"))
    assert not list(folder.rglob("checkpoint-*"))


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_one_learning_rate_equals_its_cell_of_the_grid(tmp_path: Path) -> None:
    """And flags may be written with hyphens."""
    hyphens = [flag.replace("_", "-") for flag in QUICK]
    with compiled_quickly(False):
        assert train(*QUICK, "--seed=1", "--out", tmp_path / "grid") == 0
        assert train(*hyphens, "--seed=1", "--lr", "1e-2", "--out", tmp_path / "solo") == 0
    assert history(tmp_path / "solo", 1e-2) == history(tmp_path / "grid", 1e-2)
    assert trial_at(tmp_path / "solo", 1e-2).trial_id != trial_at(tmp_path / "grid", 1e-2).trial_id


@pytest.mark.usefixtures("no_pictures")
def test_the_same_command_again_runs_nothing_again(
    grid: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = grid
    before, written = ids(load_study(folder)), stamps(folder)
    assert train(*QUICK, "--seed=1", "--nosave_best_model", "--out", folder) == 0
    assert ids(load_study(folder)) == before
    assert stamps(folder) == written
    assert table(capsys.readouterr().out) == table(out)


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_other_settings_join_the_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tune = ("--tune=latent_lr=0.001,0.1", "--tune", "activation=leaky_relu")
    assert train(*QUICK, "--lr=1e-2", *tune, "--out", tmp_path / "study") == 0
    trials = load_study(tmp_path / "study").trials
    assert {trial.values["latent_learning_rate"] for trial in trials} == {0.001, 0.1}
    assert {trial.values["activation"] for trial in trials} == {"leaky_relu"}
    out = capsys.readouterr().out
    searched = "learning rate 0.01; latent learning rate 0.001, 0.1"
    assert f"{searched}; 1 execution each, 3 epochs" in out
    for trial in trials:
        rate = trial.values["latent_learning_rate"]
        assert re.search(rf"{trial.trial_id} +0\.01 +{rate:g} +\d\.\d{{4}} ", out), out
    assert trials[0].score < trials[1].score


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_samplers_draw_from_ranges(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sampler: str
) -> None:
    folder = tmp_path / "study"
    tune = ("--tune=lr=log:1e-4:1e-1", "--tune=latent_lr=lin:0.1:1", "--seed=3")
    assert train(*QUICK, *tune, "--sampler", sampler, "--max_trials=2", f"--out={folder}") == 0
    trials = load_study(folder).trials
    assert len({trial.learning_rate for trial in trials}) == 2
    assert all(1e-4 <= trial.learning_rate <= 1e-1 for trial in trials)
    assert all(0.1 <= trial.values["latent_learning_rate"] <= 1 for trial in trials)
    out = capsys.readouterr().out
    assert "learning rate 0.0001 to 0.1 (logarithmic); latent learning rate 0.1 to 1; " in out
    assert f"; 2 trials by {sampler}; 1 execution each" in out


@pytest.mark.thorough
@pytest.mark.usefixtures("no_pictures")
def test_a_search_may_go_on_with_more_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    flags = (*QUICK, "--seed=1", "--tune=lr=1e-3,1e-2", f"--out={folder}")
    assert train(*flags, "--max_trials=1") == 0
    (first,) = ids(load_study(folder))
    assert "of 2 trials" not in capsys.readouterr().out
    written = next(folder.glob("trials/*/execution-0/history.csv")).stat().st_mtime_ns
    assert train(*flags) == 0
    assert first in ids(load_study(folder))
    assert len(load_study(folder).trials) == 2
    path = folder / "trials" / first / "execution-0" / "history.csv"
    assert path.stat().st_mtime_ns == written


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.slow
def test_ten_failures_in_a_row_end_the_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With all that is known of it, and the status of an error."""
    frail = ("--scaler=identity", "--nobatch_norm", "--runs_at_once=6", "--seed=1")
    tune = ("--tune=lr=log:1e20:1e34:10", f"--out={tmp_path / 'study'}")
    assert train(*QUICK, *frail, *tune) == 2
    out, err = capsys.readouterr()
    assert "12 trials failed: no finite val_loss" in out
    assert "12 of 15 trials ended" in out
    assert err.startswith("error: the last 10 trials failed, so the search is aborted")
    assert {trial.state for trial in load_study(tmp_path / "study").trials} == {"failed"}


# Seeds, folders, and the same command again


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_the_seed_drawn_is_recorded_and_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(*ONE, "--out=drawn") == 0
    seed = settings(Path("drawn"))["seed"]
    assert train(*ONE, f"--seed={seed}", "--out=again") == 0
    assert history(Path("drawn"), 1e-2) == history(Path("again"), 1e-2)
    written = stamps(Path("drawn"))
    assert train(*ONE, "--out=drawn") == 0, "goes on with the seed drawn before"
    assert settings(Path("drawn"))["seed"] == seed
    assert stamps(Path("drawn")) == written
    assert train(*ONE, "--out=drawn", "--reset_training") == 0
    assert settings(Path("drawn"))["seed"] != seed


@pytest.mark.thorough
@pytest.mark.usefixtures("no_pictures")
def test_the_default_folder_lies_below_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command finds the same folder; other settings have another one."""
    monkeypatch.chdir(tmp_path)
    assert train(*ONE) == 0
    (folder,) = tmp_path.glob("runs/digits-16-*")
    before = ids(load_study(folder))
    assert train(*ONE) == 0
    assert list(tmp_path.glob("runs/*")) == [folder]
    assert ids(load_study(folder)) == before
    assert train(*ONE, "--seed=1") == 0
    assert len(list(tmp_path.glob("runs/digits-16-*"))) == 2


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    "flag", ["--reset_training", pytest.param("--reset-training", marks=pytest.mark.thorough)]
)
def test_a_reset_starts_over(tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str) -> None:
    folder = tmp_path / "study"
    assert train(*ONE, "--seed=1", "--out", folder) == 0
    before, text = ids(load_study(folder)), history(folder, 1e-2)
    (folder / "report" / "old.png").touch()
    assert train(*ONE, "--seed=1", flag, "--out", folder) == 0
    assert ids(load_study(folder)) != before
    assert history(folder, 1e-2) == text, "the same seed repeats it"
    assert not (folder / "report" / "old.png").exists()
    assert train(*ONE, "--seed=1", flag, "--out", tmp_path / "new") == 0, "nothing to clear"


def test_a_reset_clears_no_folder_but_a_study(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    assert train(*ONE, "--reset_training", "--out", tmp_path) == 2
    assert (tmp_path / "thesis.tex").read_text() == "precious"
    assert (
        "out must be a new or empty folder, or the folder of the same study"
        in capsys.readouterr().err
    )


def test_a_changed_setting_is_refused_with_the_difference(
    grid: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = grid

    def times() -> dict[Path, int]:  # but of locks, which a reader touches
        files = (path for path in folder.rglob("*") if path.is_file())
        return {p: p.stat().st_mtime_ns for p in files if not p.name.endswith(".lock")}

    written = times()
    changed = ("--seed=1", "--activation=tanh", "--num_epochs=4", "--out", folder)
    assert train(*(flag for flag in QUICK if "epochs" not in flag), *changed) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {folder} holds a study with other settings (")
    assert "--activation was leaky_relu and is now tanh; " in err
    assert "--num_epochs was 3 and is now 4" in err
    assert "other images" not in err
    assert "--out" in err
    assert "--reset_training" in err
    assert err.count("\n") == 1
    for flags, told in (
        (("--seed=2",), "--seed was 1 and is now 2"),
        (("--seed=1", "--lr=1e-3"), "--lr was 0.0001, 0.001, 0.01, 0.1 and is now 0.001"),
        (("--seed=1", "--examples_frac=0.31"), "--examples_frac was 0.3 and is now 0.31"),
        (("--seed=1", "--arch=16-8"), "--arch was 16 and is now 16-8"),
    ):
        own = () if "--arch=16-8" in flags else QUICK[:1]
        assert train(*own, *QUICK[1:2], *QUICK[3:], *flags, "--out", folder) == 2
        err = capsys.readouterr().err
        assert told in err
        assert ") and other images. Name another folder" in err, "of another share or seed"
    assert times() == written


@pytest.mark.usefixtures("no_pictures")
def test_settings_that_touch_nothing_done_may_change(
    grid: tuple[Path, str],
) -> None:
    folder, _ = grid
    written = stamps(folder)
    flags = ("--checkpoint_every=1", "--runs_at_once=2", "--notensorboard", "--histogram_freq=0")
    flags += ("--svg", "--visualize_freq=1", "--tracker=gradients")
    assert train(*QUICK, "--seed=1", "--nosave_best_model", *flags, "--out", folder) == 0
    assert stamps(folder) == written


# What single flags do


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of everything that a program can have besides; its second trial does not learn.

    Together, since each would need a program of its own.
    """
    folder = tmp_path_factory.mktemp("watched")
    (folder / "rule.toml").write_text("early_stopping = {patience = 0.1, start_epoch = 2}")
    flags = [flag for flag in QUICK if "epochs" not in flag]
    flags += ["--num_epochs=40", "--tune=lr=1e-2,1e-30", f"--config={folder / 'rule.toml'}"]
    flags += ["--use_early_stopping", "--tracker=gradients", "--seed=1"]
    flags += ["--augmentation=translation", "--augmentation", "brightness", "--visualize_freq=0"]
    flags += ["--recipe=original"]
    with without_pictures():
        assert train(*flags, "--out", folder / "study") == 0
    return folder / "study"


@pytest.mark.thorough
def test_the_gradient_tracker_adds_columns(watched: Path) -> None:
    study = load_study(watched)
    for trial in study.trials:
        history = trial.executions[0].history
        names = [name for name in history if name.startswith("gradient_norm_")]
        assert len(names) >= 3, "hidden layer, output layer and latents"
        assert any("latents" in name for name in names)
        assert set(names) <= set(study.histories.columns)
        assert "gradient_norm" in (watched / "histories.csv").read_text().splitlines()[0]
        for name in names:
            assert (history[name] >= 0).all()
            assert np.isfinite(history[name]).all()
            assert history[name][-1] > 0


def test_without_the_tracker_there_are_none(grid: tuple[Path, str]) -> None:
    assert not any("gradient" in name for name in load_study(grid[0]).histories.columns)


@pytest.mark.thorough
def test_augmentations_change_what_is_learnt(watched: Path, grid: tuple[Path, str]) -> None:
    assert settings(watched)["augment"]["enabled"] == ["translation", "brightness"]
    plain, changed = (trial_at(folder, 1e-2).executions[0].history for folder in (grid[0], watched))
    assert (plain["loss"] != changed["loss"][:3]).all()


def test_early_stopping_ends_a_run_that_does_not_improve(
    watched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the rule of a file, which the flag switches on."""
    stopped = trial_at(watched, 1e-30)
    assert stopped.state == "complete"
    assert stopped.executions[0].status == "stopped early"
    assert stopped.executions[0].epochs == 2 + 1 + 4, "start, a first, and a tenth of 40"
    assert trial_at(watched, 1e-2).executions[0].epochs > 7
    assert call("runs", watched) == 0
    assert re.search(rf"{stopped.trial_id}.* stopped early", capsys.readouterr().out)


def test_the_best_model_is_kept(watched: Path) -> None:
    study = load_study(watched)
    assert study.best_trial is not None
    best = load_model(watched / "best")
    assert best.decoder.config.arch == (16,)
    assert best.image_shape == (8, 8, 1)
    assert best.latents.shape == (study.about["n_train"], 2)
    assert best.about["trial"] == study.best_trial.trial_id
    assert not list(watched.glob("trials/**/model")), "one model is enough"


def test_no_model_is_kept_where_none_is_wanted(grid: tuple[Path, str]) -> None:
    assert not (grid[0] / "best").exists()
    assert not list(grid[0].rglob("model"))


@pytest.mark.usefixtures("no_pictures")
def test_tensorboard_files_can_be_left_out(tmp_path: Path) -> None:
    assert train(*ONE, "--notensorboard", "--out", tmp_path / "study") == 0
    assert list(tmp_path.rglob("events.out.*")) == []


@pytest.mark.thorough
@pytest.mark.usefixtures("no_pictures")
def test_trials_may_be_kept_in_another_database(tmp_path: Path) -> None:
    """And another study may share it."""
    url = f"--storage=sqlite:///{tmp_path / 'trials.db'}"
    for name in ("one", "other"):
        assert train(*ONE, "--seed=1", url, "--out", tmp_path / name) == 0
        assert not (tmp_path / name / "study.db").exists()
    written = stamps(tmp_path / "one")
    assert train(*ONE, "--seed=1", url, "--out", tmp_path / "one") == 0
    assert stamps(tmp_path / "one") == written
    assert history(tmp_path / "one", 1e-2) == history(tmp_path / "other", 1e-2)
