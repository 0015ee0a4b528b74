"""Repeating a study: the same bits here, and what differs is told."""

import csv
import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.study.builders import CONFIG, execution, searching

from autodecoder import reproduce_study
from autodecoder.config import DataConfig, StudyConfig
from autodecoder.data import Dataset
from autodecoder.errors import ConfigError, DataError
from autodecoder.files import read_json, write_json
from autodecoder.study import Execution, RepeatedRun, Study, load_study, run_study
from autodecoder.study.checkpoint import load_outcome, save_outcome
from autodecoder.study.reproduce import _pair


def copy(study: Study, folder: Path) -> Path:
    shutil.copytree(study.folder, folder)
    return folder


def change_history(path: Path, metric: str, epoch: int, factor: float) -> None:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    column = rows[0].index(metric)
    rows[epoch][column] = repr(factor * float(rows[epoch][column]))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_the_best_trial_has_the_same_bits(whole: Study, tmp_path: Path) -> None:
    found = reproduce_study(whole.folder, tmp_path / "again")
    assert [run.execution for run in found.runs] == [0, 1]
    assert whole.best_trial is not None
    assert all(run.values == whole.best_trial.values for run in found.runs)
    assert [run.before for run in found.runs] == [e.best for e in whole.best_trial.executions]
    assert found.changed == {}
    assert found.is_exact
    assert found.difference == 0

    # The repetition has ended and is only compared; one weight is the next number.
    (path,) = (tmp_path / "again").rglob("outcome.safetensors")
    outcome = load_outcome(path.parent)
    assert outcome is not None
    assert outcome.shown is not None
    name, weights = next(iter(outcome.shown.decoder.items()))
    weights = weights.copy()
    weights.flat[0] = np.nextafter(weights.flat[0], np.float32(9))
    decoder = {**outcome.shown.decoder, name: weights}
    save_outcome(path.parent, replace(outcome, shown=replace(outcome.shown, decoder=decoder)))
    found = reproduce_study(whole.folder, tmp_path / "again")
    k = whole.best_trial.best_execution
    assert [run.differs_in for run in found.runs] == [("model",) if i == k else () for i in (0, 1)]
    assert {run.differs_from for run in found.runs} == {None}
    assert not found.is_exact
    assert found.difference == 0


def test_every_trial_of_a_random_search(digits: Dataset, tmp_path: Path) -> None:
    config = searching(CONFIG, 1e-3, 3e-3, 1e-2, sampler="random", max_trials=2)
    study = run_study(config, digits, tmp_path / "study")
    found = reproduce_study(study.folder, tmp_path / "again", every=True)
    assert {run.values["learning_rate"] for run in found.runs} == {
        trial.learning_rate for trial in study.trials
    }
    assert len(found.runs) == 4
    assert found.is_exact
    assert {path.name for path in (tmp_path / "again").iterdir()} == {"trial-0", "trial-1"}


def test_a_changed_history_is_found(whole: Study, tmp_path: Path) -> None:
    reproduce_study(whole.folder, tmp_path / "study")
    study = load_study(tmp_path / "study")
    assert study.best_trial is not None
    runs = tmp_path / "study" / "trials" / study.best_trial.trial_id
    change_history(runs / "execution-0" / "history.csv", "loss", 7, 1 + 1e-6)
    for epoch in range(1, CONFIG.fit.num_epochs + 1):
        change_history(runs / "execution-1" / "history.csv", "val_loss", epoch, 1.25)
    found = reproduce_study(tmp_path / "study", tmp_path / "again")
    assert [run.differs_from for run in found.runs] == [7, 1]
    assert found.runs[0].difference == 0
    assert found.runs[1].difference == pytest.approx(0.2, rel=1e-3)
    assert found.difference == found.runs[1].difference
    assert not found.is_exact


def test_versions_that_changed(whole: Study, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path / "study")
    text = (folder / "config.json").read_text()
    version = whole.about["versions"]["optax"]
    (folder / "config.json").write_text(text.replace(f'"optax": "{version}"', '"optax": "0.0.1"'))
    found = reproduce_study(folder, tmp_path / "again")
    assert found.changed == {"optax": ("0.0.1", version)}


def test_other_images_are_refused(whole: Study, tmp_path: Path) -> None:
    folder = copy(whole, tmp_path / "study")
    text = (folder / "config.json").read_text()
    (folder / "config.json").write_text(text.replace(whole.about["data_fingerprint"], "0" * 64))
    with pytest.raises(DataError, match="the images are not those of the study"):
        reproduce_study(folder, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_images_that_only_the_study_names_are_not_opened(
    whole: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The study may come from a stranger, and name a pipe or a data set of the Hub."""
    asked: list[DataConfig] = []

    def load(config: StudyConfig) -> None:
        asked.append(config.data)
        raise DataError("not here")

    monkeypatch.setattr("autodecoder.study.reproduce.load_study_data", load)
    folder = copy(whole, tmp_path / "study")
    about = read_json(folder / "config.json")
    strange = {"dataset": "npy:/stranger/pipe", "mask": "/stranger/mask.npy"}
    about["settings"]["data"] |= strange
    write_json(folder / "config.json", about)
    with pytest.raises(DataError, match=r"settings name npy:/stranger/pipe, .* by --dataset"):
        reproduce_study(folder, tmp_path / "again")
    assert not asked
    with pytest.raises(DataError, match="not here"):
        reproduce_study(folder, tmp_path / "again", dataset="npz:mine.npz", split_by="mine.csv")
    about["settings"]["data"] |= {"dataset": "digits", "data_dir": "/stranger"}
    write_json(folder / "config.json", about)
    with pytest.raises(DataError, match="not here"):
        reproduce_study(folder, tmp_path / "again", data_dir=tmp_path)
    mine, published = asked
    assert (mine.dataset, mine.split_by, mine.mask) == ("npz:mine.npz", Path("mine.csv"), None)
    assert (published.data_dir, published.mask) == (tmp_path, None)
    assert not (tmp_path / "again").exists()


def test_folders_that_cannot_be(whole: Study, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="another folder than that of the study"):
        reproduce_study(whole.folder, whole.folder / "best" / "..")
    with pytest.raises(DataError, match="holds no study"):
        reproduce_study(tmp_path, tmp_path / "again")
    folder = copy(whole, tmp_path / "study")
    shutil.rmtree(folder / "trials")
    with pytest.raises(ConfigError, match="no trial that has ended"):
        reproduce_study(folder, tmp_path / "again")


def compared(before: Execution, now: Execution) -> RepeatedRun:
    return _pair({}, 0, before, now, None, None)


def test_a_repetition_that_ended_otherwise_is_not_exact() -> None:
    """The epochs that both have were compared alone."""
    whole = execution(3, 2, 1, seed=0)
    first = Execution({n: v[:2] for n, v in whole.history.items()}, whole.metric, "finished")
    assert compared(whole, whole).is_exact
    for before, now in ((whole, first), (first, whole)):
        found = compared(before, now)
        assert (found.differs_from, found.is_exact) == (3, False)
        assert found.difference == 0, "of the epochs that both have"
    found = compared(whole, replace(whole, status="stopped early"))
    assert (found.differs_from, found.differs_in, found.is_exact) == (None, ("status",), False)
    found = compared(whole, replace(first, status="diverged"))
    assert (found.differs_from, found.differs_in) == (3, ("status",))
    assert np.isnan(found.difference)
    # What was cut off may go on further, but not end earlier.
    for status in ("pruned", "unfinished"):
        assert compared(replace(first, status=status), whole).is_exact
        assert compared(replace(whole, status=status), first).differs_from == 3


def test_runs_that_diverged_alike_do_not_differ() -> None:
    nowhere = RepeatedRun({}, 0, math.nan, math.nan, None)
    assert nowhere.difference == 0
    assert np.isnan(RepeatedRun({}, 0, 1.0, math.nan, 3).difference)
    assert RepeatedRun({}, 0, 0.0, 1.0, 3).difference == math.inf
