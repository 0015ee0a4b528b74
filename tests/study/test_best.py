"""The model in `best`, also of a study whose process was killed while it moved the files there."""

from pathlib import Path

import pytest
from tests.model.test_files import make
from tests.study.small import write_small_study

from autodecoder.model import load_model, save_model
from autodecoder.study import load_study
from autodecoder.study.best import keep_best
from autodecoder.study.records import execution_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_small_study(tmp_path / "study")
    return tmp_path / "study"


def leave(folder: Path) -> None:
    """Save a model as a process does that is killed before it moves the files up."""
    save_model(make(), folder.parent / "other")
    folder.mkdir(parents=True)
    (folder.parent / "other").rename(folder / ".whole")


def test_a_best_model_that_is_not_moved_up_is_found(folder: Path) -> None:
    leave(folder / "best")
    model = load_study(folder).best_model()
    assert model is not None
    assert model.about == make().about


def test_a_model_of_a_run_that_is_not_moved_up_is_kept(folder: Path) -> None:
    """Instead of the model after the last epoch."""
    study = load_study(folder)
    best = study.best_trial
    assert best is not None
    assert best.best_execution is not None
    leave(execution_folder(folder, best.trial_id, best.best_execution) / "model")
    keep_best(study)
    assert load_model(folder / "best").about == make().about
