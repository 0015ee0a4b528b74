"""Learning curves in the storage: what Optuna's dashboard shows of trials."""

import math
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from tests.study.builders import CONFIG, EPOCHS, execution, stop_when
from tests.study.recorder import Recorder

from autodecoder.data import Dataset
from autodecoder.study import Progress, Study, reporter, run_study
from autodecoder.study.curves import Curve, mean_curve


def curves_in(study: Study) -> dict[str, Curve]:
    """What the storage holds, by trial."""
    storage = optuna.storages.RDBStorage(f"sqlite:///{study.folder}/study.db")
    loaded = optuna.load_study(study_name=study.about["study"], storage=storage)
    found = {t.user_attrs["id"]: t.intermediate_values for t in loaded.get_trials()}
    storage.remove_session()
    storage.engine.dispose()
    return found


def expected(study: Study, metric: str = "val_loss") -> dict[str, Curve]:
    found = {}
    for trial in study.trials:
        rows = [e.history[metric].astype(float) for e in trial.executions]
        values = np.mean([row[: min(map(len, rows))] for row in rows], axis=0)
        found[trial.trial_id] = dict(enumerate(values.tolist(), start=1))
    return found


@pytest.fixture(autouse=True)
def quiet_optuna() -> Iterator[None]:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(before)


def test_a_curve_is_the_mean_as_far_as_all_have_come() -> None:
    under_way, further = np.array([3.0, 2.0]), np.array([1.0, 4.0, 5.0])
    assert mean_curve([under_way, further], [False, False]).tolist() == [2, 3]
    assert mean_curve([under_way, further], [False, True]).tolist() == [2, 3]
    assert mean_curve([under_way, further], [True, False]).tolist() == [2, 3, 3.5], "its last value"
    assert mean_curve([under_way, further], [True, True]).tolist() == [2, 3, 3.5]
    assert mean_curve([under_way, np.zeros(0)], [True, False]).tolist() == []
    diverged = mean_curve([np.array([1.0, np.nan]), np.ones(3)], [True, True])
    np.testing.assert_array_equal(diverged, [1, np.nan, np.nan])
    assert mean_curve([], []).tolist() == []


def test_every_epoch_is_reported(undisturbed: tuple[Study, list[Progress]]) -> None:
    study, _ = undisturbed
    curves = curves_in(study)
    assert curves == expected(study)
    assert {tuple(curve) for curve in curves.values()} == {tuple(range(1, EPOCHS + 1))}


def test_cut_off_and_gone_on_with_nothing_is_lost_or_doubled(
    digits: Dataset, tmp_path: Path
) -> None:
    config = replace(CONFIG, objective="fresh_val_psnr")
    part = run_study(config, digits, tmp_path, **stop_when(lambda report: report.epoch >= 5))
    assert curves_in(part) == expected(part, "val_psnr")

    class Killer(Recorder):
        def record(self, run, epoch, metrics) -> None:
            if epoch == 11:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(config, digits, tmp_path, observers=[Killer()])
    (tmp_path / "study.db").rename(tmp_path / "lost")
    study = run_study(config, digits, tmp_path)
    assert curves_in(study) == expected(study, "val_psnr"), "also where the storage was lost"


@pytest.mark.thorough
def test_curves_of_ended_trials_are_read_back_from_the_folder(
    digits: Dataset, tmp_path: Path
) -> None:
    study = run_study(CONFIG, digits, tmp_path)
    (tmp_path / "study.db").unlink()
    again = run_study(CONFIG, digits, tmp_path)
    assert curves_in(again) == expected(study)


def test_a_storage_that_does_not_answer_gets_its_curves_later(
    digits: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(reporter, "_SECONDS", 0.0)
    monkeypatch.setattr(reporter, "_PAUSE", 0.0)
    names = ["trial_intermediate_values", "out_of_reach"]

    def rename(progress: Progress) -> None:
        if progress.stage == "fit" and progress.epoch in (5, 15):
            with sqlite3.connect(tmp_path / "study.db") as database:
                database.execute(f"ALTER TABLE {names[0]} RENAME TO {names[1]}")
            database.close()
            names.reverse()

    study = run_study(CONFIG, digits, tmp_path, report=rename)
    (said,) = [r.getMessage() for r in caplog.records if "curves" in r.getMessage()]
    assert said.startswith("learning curves are reported later: the storage ")
    assert "no such table" in said
    assert curves_in(study) == expected(study)


def test_a_mean_that_is_no_number_is_reported_as_such() -> None:
    curves = reporter.Reporter("val_loss")
    executions = [execution(1, math.nan, status="diverged"), execution(2, 4, 6)]
    curves.begin_trial("a", executions, 1)
    assert list(curves.news()) == ["a"]
    assert np.isnan(list(curves.news()["a"].values())).all()
    assert list(curves.news()["a"]) == [2, 3]
    curves.note_reported(curves.news())
    assert curves.news() == {}
