"""The files of a study: exact, strict, whole or absent, and never over anything else."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.study.builders import (
    CONFIG,
    EPOCHS,
    assert_same_study,
    execution,
    files,
    searching,
    trial,
)
from tests.study.small import SETTINGS, SPACE, VALUES, WHERE, change, content_of, idle_study

from autodecoder.config import (
    METRICS,
    SCHEMA,
    DecoderConfig,
    FitConfig,
    InferConfig,
    LogConfig,
    SearchConfig,
    StudyConfig,
    to_dict,
)
from autodecoder.data import Dataset
from autodecoder.errors import ConfigError, DataError, OutputError
from autodecoder.study import Study, load_study, run_study, write_histories
from autodecoder.study.folder import open_folder
from autodecoder.study.records import read_history, write_history, write_trial
from autodecoder.study.results import Trial


def strictly(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


# config.json


def test_the_configuration_repeats_everything(dataset: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    returned = open_folder(folder, SETTINGS, dataset, WHERE)
    about = strictly((folder / "config.json").read_text(encoding="utf-8"))
    assert about == returned
    assert about["settings"] == strictly(json.dumps(to_dict(SETTINGS)))
    assert about["settings"]["seed"] == 7
    assert about["settings"]["decoder"]["arch"] == [16, 8]
    assert about["settings"]["data"]["data_dir"] == str(Path("some/where"))
    assert about["schema"] == SCHEMA
    assert about["study"].startswith("mine-"), "its name in the storage"
    assert about["data_fingerprint"] == dataset.fingerprint
    assert (about["n_train"], about["n_val"]) == (6, 2)
    assert about["image_shape"] == [2, 3, 1]
    assert about["class_names"] == ["even", "odd"]
    packages = {"autodecoder", "python", "jax", "jaxlib", "numpy", "optax", "optuna"}
    assert set(about["versions"]) == packages
    assert all(about["versions"].values())
    assert about["device"]
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_settings_come_back_as_they_were(dataset: Dataset, tmp_path: Path) -> None:
    for sampler in ("grid", "random"):
        search = SearchConfig(SPACE, sampler=sampler, max_trials=3)
        settings = replace(SETTINGS, search=search)
        folder = tmp_path / sampler
        folder.mkdir()
        open_folder(folder, settings, dataset, WHERE)
        assert load_study(folder).config == settings
        open_folder(folder, settings, dataset, WHERE)


def test_names_in_the_storage_differ(dataset: Dataset, tmp_path: Path) -> None:
    names = set()
    for k in range(2):
        folder = tmp_path / str(k) / "study"
        folder.mkdir(parents=True)
        names.add(open_folder(folder, SETTINGS, dataset, WHERE)["study"])
    assert len(names) == 2


# Where a study may live


def test_a_folder_with_something_in_it_is_left_alone(digits: Dataset, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for reset in (False, True):
        with pytest.raises(OutputError, match="new or empty folder"):
            run_study(CONFIG, digits, tmp_path, reset=reset)
        assert content_of(tmp_path) == {tmp_path / "mine.txt": b"precious"}


def test_another_programs_config_is_left_alone(digits: Dataset, tmp_path: Path) -> None:
    for content in ('{"versions": ["a"]}', '{"schema": "x"}', "[]", "schema = 1", ""):
        (tmp_path / "config.json").write_text(content)
        for reset in (False, True):
            with pytest.raises(DataError, match=r"damaged|not of a study"):
                run_study(CONFIG, digits, tmp_path, reset=reset)
            assert (tmp_path / "config.json").read_text() == content


@pytest.mark.parametrize("below", [".", "study", "study/below"])
def test_a_file_is_no_folder(digits: Dataset, tmp_path: Path, below: str) -> None:
    file = tmp_path / "file"
    file.write_text("precious")
    for reset in (False, True):
        with pytest.raises(OutputError, match="out must be a folder"):
            run_study(CONFIG, digits, file / below, reset=reset)
    assert file.read_text() == "precious"


def test_a_start_that_was_cut_off_is_no_obstacle(digits: Dataset, tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    (tmp_path / ".config.json.0a1b2c3d.tmp").write_text("{")
    idle_study(CONFIG, digits, tmp_path)
    assert load_study(tmp_path).trials == ()
    assert files(tmp_path) == {"config.json", "histories.csv", "images.csv", "yardstick.json"}


def test_hidden_files_of_others_are_no_less_precious(digits: Dataset, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("precious")
    for reset in (False, True):
        with pytest.raises(OutputError, match="holds other files"):
            run_study(CONFIG, digits, tmp_path, reset=reset)
        assert content_of(tmp_path) == {tmp_path / ".git" / "HEAD": b"precious"}


def test_what_others_put_into_a_studys_folder_survives(digits: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "study"

    def fail(_: object) -> None:
        (folder / ".notes").write_text("precious")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(CONFIG, digits, folder, report=fail)
    assert content_of(folder) == {folder / ".notes": b"precious"}


def test_a_study_that_came_to_nothing_leaves_no_folder(digits: Dataset, tmp_path: Path) -> None:
    def fail(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(CONFIG, digits, tmp_path / "study", report=fail)
    assert list(tmp_path.iterdir()) == []


def test_starting_over_clears_the_study_and_nothing_else(
    written: tuple[Path, list[Trial]], digits: Dataset
) -> None:
    folder, _ = written
    name = load_study(folder).about["study"]
    (folder / "notes.txt").write_text("precious")
    (folder / "report").mkdir()
    (folder / "report" / "picture.png").touch()
    idle_study(CONFIG, digits, folder, reset=True)
    ours = {"config.json", "histories.csv", "images.csv", "yardstick.json"}
    assert files(folder) == {*ours, "notes.txt"}
    fresh = load_study(folder)
    assert fresh.trials == ()
    assert fresh.about["study"] != name


# The same study, or another one


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (replace(CONFIG, seed=6), r"--seed was 5 and is now 6"),
        (replace(CONFIG, objective="loss"), r"--objective was val_loss and is now loss"),
        (
            replace(CONFIG, decoder=DecoderConfig(arch=(500, 500), batch_norm=True)),
            r"--arch was 16 and is now 500-500",
        ),
        (
            searching(CONFIG, 1e-3, 3e-3),
            r"--lr was 0\.001, 0\.01 and is now 0\.001, 0\.003",
        ),
        (
            replace(CONFIG, search=SearchConfig({**CONFIG.search.space, "latent_dims": (2, 3)})),
            r"--latent_dims was not set and is now 2, 3",
        ),
        (
            replace(CONFIG, fit=FitConfig(num_epochs=9, batch_size=50)),
            rf"--num_epochs was {EPOCHS} and is now 9; --batch_size was 100 and is now 50",
        ),
    ],
)
def test_a_changed_setting_is_refused_and_shown(
    digits: Dataset, tmp_path: Path, changed: StudyConfig, message: str
) -> None:
    open_folder(tmp_path, CONFIG, digits, WHERE)
    before = content_of(tmp_path)
    with pytest.raises(ConfigError, match=message) as error:
        run_study(changed, digits, tmp_path)
    assert "--reset_training" in str(error.value)
    assert content_of(tmp_path).items() >= before.items()
    assert content_of(tmp_path).keys() - before.keys() <= {tmp_path / ".lock"}


def test_other_images_are_refused(digits: Dataset, tmp_path: Path) -> None:
    open_folder(tmp_path, CONFIG, digits, WHERE)
    fewer = replace(digits, train=digits.train.take(np.arange(400)))
    with pytest.raises(ConfigError, match=r"holds a study with other images\."):
        run_study(CONFIG, fewer, tmp_path)


def test_what_has_no_influence_may_change(digits: Dataset, tmp_path: Path) -> None:
    open_folder(tmp_path, CONFIG, digits, WHERE)
    free = replace(
        CONFIG,
        data=replace(CONFIG.data, data_dir=Path("else/where")),
        log=replace(CONFIG.log, checkpoint_every=7),
        search=replace(CONFIG.search, max_trials=9, runs_at_once=1),
    )
    assert idle_study(free, digits, tmp_path).trials == ()


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (SCHEMA + 1, "a newer version.*update autodecoder"),
        (1, "an earlier version.*another folder"),
    ],
)
def test_another_versions_study_is_refused(
    written: tuple[Path, list[Trial]], digits: Dataset, schema: int, message: str
) -> None:
    folder, _ = written

    def edit(about: dict[str, Any]) -> None:
        about["schema"] = schema
        about["versions"]["autodecoder"] = "9.8.7"

    change(folder / "config.json", edit)
    before = content_of(folder)
    for attempt in (
        lambda: load_study(folder),
        lambda: run_study(CONFIG, digits, folder),
        lambda: run_study(CONFIG, digits, folder, reset=True),
    ):
        with pytest.raises(DataError, match=rf"{message}") as error:
            attempt()
        assert "9.8.7" in str(error.value)
    assert content_of(folder).items() >= before.items()


# trial.json and history.csv


def test_a_study_reads_back_as_it_was_written(written: tuple[Path, list[Trial]]) -> None:
    folder, trials = written
    study = load_study(folder)
    assert [t.number for t in study.trials] == [1, 0, 2], "complete, unfinished, failed"
    expected = Study(folder, SETTINGS, study.about, tuple(trials[i] for i in (0, 2, 1)))
    assert_same_study(study, expected)
    assert study.trials[0].values == VALUES
    assert study.best_trial is study.trials[0]
    assert [t.trial_id for t in study.trials] == [t.trial_id for t in expected.trials]


def test_a_history_reads_back_to_the_same_numbers(written: tuple[Path, list[Trial]]) -> None:
    folder, trials = written
    for each in trials:
        for k, run in enumerate(each.executions):
            path = folder / "trials" / each.trial_id / f"execution-{k}" / "history.csv"
            assert path.exists() == (run.epochs > 0)
            if not path.exists():
                continue
            with path.open(encoding="utf-8", newline="") as file:
                header, *rows = csv.reader(file)
            assert header == ["epoch", *METRICS]
            assert [row[0] for row in rows] == [str(i + 1) for i in range(run.epochs)]
            for column, name in enumerate(METRICS, start=1):
                read = np.array([np.float32(row[column] or "nan") for row in rows], np.float32)
                np.testing.assert_array_equal(read, run.history[name], strict=True)
                blank = [row[column] == "" for row in rows]
                np.testing.assert_array_equal(blank, np.isnan(run.history[name]))
                assert (np.signbit(read) == np.signbit(run.history[name])).all()


def test_a_history_of_other_metrics(tmp_path: Path) -> None:
    run = execution(3, 1, 2)
    run.history["gradient_norm_output"] = np.array([1e-30, 0.1, 1e30], np.float32)
    write_history(tmp_path, run)
    read = read_history(tmp_path, StudyConfig())
    assert list(read) == [*METRICS, "gradient_norm_output"]
    np.testing.assert_array_equal(read["gradient_norm_output"], run.history["gradient_norm_output"])


def test_a_trial_is_strict_json(written: tuple[Path, list[Trial]]) -> None:
    folder, (good, wild, _) = written
    about = strictly((folder / "trials" / good.trial_id / "trial.json").read_text())
    assert about["id"] == good.trial_id
    assert about["number"] == 1
    assert about["state"] == "complete"
    assert about["error"] is None
    assert about["values"] == {"learning_rate": 1e-2, "arch": "16-8", "batch_norm": True}
    assert (about["score"], about["spread"]) == (2.5, 1.5)
    assert [(e["best"], e["best_epoch"]) for e in about["executions"]] == [(1, 2), (4, 3)]
    assert {e["status"] for e in about["executions"]} == {"finished"}
    assert {e["epochs"] for e in about["executions"]} == {3}
    assert about["executions"][0]["last"]["val_loss"] == 2
    about = strictly((folder / "trials" / wild.trial_id / "trial.json").read_text())
    assert (about["state"], about["score"], about["spread"]) == ("failed", None, None)
    diverged, hopeless = about["executions"]
    assert (diverged["status"], diverged["best"], diverged["best_epoch"]) == ("diverged", 0.5, 1)
    assert (diverged["epochs"], diverged["last"]["loss"]) == (3, None)
    assert (hopeless["best"], hopeless["best_epoch"]) == (None, None)


def test_the_table_has_a_row_for_every_epoch_of_every_run(
    written: tuple[Path, list[Trial]],
) -> None:
    folder, trials = written
    study = load_study(folder)
    table = study.histories
    assert list(table)[:6] == ["trial", "execution", "learning_rate", "arch", "batch_norm", "epoch"]
    assert list(table["trial"]) == [
        t.trial_id
        for t in (trials[2], trials[0], trials[1])
        for e in t.executions
        for _ in range(e.epochs)
    ]
    assert set(table["arch"]) == {"16-8", "4"}
    write_histories(study)
    read = pd.read_csv(folder / "histories.csv", dtype=dict.fromkeys(METRICS, np.float32))
    for name in METRICS:
        np.testing.assert_array_equal(read[name], table[name])


def test_a_study_without_trials(dataset: Dataset, tmp_path: Path) -> None:
    open_folder(tmp_path, SETTINGS, dataset, WHERE)
    study = load_study(tmp_path)
    assert study.trials == ()
    assert study.best_trial is None
    assert study.shown_run() is None
    assert study.histories.empty
    write_histories(study)


def test_nothing_temporary_stays(written: tuple[Path, list[Trial]]) -> None:
    folder, _ = written
    assert files(folder) == {
        "config.json",
        "trials/*/trial.json",
        "trials/*/execution-0/history.csv",
        "trials/*/execution-1/history.csv",
    }


# Where nothing can be written


def test_a_name_that_is_taken_by_a_folder(dataset: Dataset, tmp_path: Path) -> None:
    each = trial(execution(1))
    (tmp_path / "trials" / each.trial_id / "trial.json").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"trial\.json cannot be written"):
        write_trial(tmp_path, each)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_folder_whose_name_is_taken_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "trials").write_text("precious")
    with pytest.raises(OutputError, match="cannot be written"):
        write_trial(tmp_path, trial(execution(1)))
    assert (tmp_path / "trials").read_text() == "precious"


def test_a_study_is_moved_like_any_folder(written: tuple[Path, list[Trial]]) -> None:
    folder, _ = written
    before = load_study(folder)
    there = folder.with_name("there")
    shutil.move(folder, there)
    after = load_study(there)
    assert_same_study(after, before)
    assert after.folder == there


def test_settings_of_the_log_are_kept(dataset: Dataset, tmp_path: Path) -> None:
    settings = replace(SETTINGS, log=LogConfig(trackers=("gradients",), histogram_freq=0))
    open_folder(tmp_path, settings, dataset, WHERE)
    assert load_study(tmp_path).config.log == settings.log


# What is not ours


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("name", ["report/thesis.tex", "trials/mine.txt", "best/x", "study.db"])
def test_files_of_our_names_but_not_of_a_study_are_left_alone(
    dataset: Dataset, tmp_path: Path, name: str, reset: bool
) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine")
    with pytest.raises(OutputError, match="holds other files"):
        idle_study(SETTINGS, dataset, tmp_path, reset=reset)
    assert content_of(tmp_path) == {path: b"mine"}


def test_a_reset_is_refused_where_the_trials_lie_elsewhere(
    dataset: Dataset, tmp_path: Path
) -> None:
    folder, url = tmp_path / "study", f"sqlite:///{tmp_path / 'trials.db'}"
    idle_study(SETTINGS, dataset, folder, storage=url)
    before = content_of(folder)
    with pytest.raises(ConfigError, match="give the same --storage"):
        idle_study(SETTINGS, dataset, folder, reset=True)
    assert content_of(folder) == before
    idle_study(SETTINGS, dataset, folder, storage=url, reset=True)


@pytest.mark.parametrize("name", ["best", "report", "trials", "trials/0123abcd", ".lock"])
def test_nothing_is_written_through_a_link_out_of_the_folder(
    dataset: Dataset, tmp_path: Path, name: str
) -> None:
    config = replace(CONFIG, infer=InferConfig())
    other, folder = tmp_path / "other", tmp_path / "mine"
    other.mkdir()
    (other / "config.json").write_text("mine")
    open_folder(folder, config, dataset, WHERE)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to(other / "lock" if name == ".lock" else other)
    (other / ".mine.0123abcd.tmp").write_text("mine")
    before, others = files(folder), files(other)
    with pytest.raises(OutputError, match=f"{name} is a link to"):
        run_study(config, dataset, folder)
    assert files(folder) == before
    assert (other / "config.json").read_text() == "mine"
    assert files(other) == others
