"""Studies of which no image is held out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.study.builders import CONFIG, assert_same_study, searching, stop_when
from tests.study.recorder import Recorder

from autodecoder.config import DataConfig, EarlyStoppingConfig, FitConfig, LogConfig, StudyConfig
from autodecoder.data import Dataset
from autodecoder.errors import ConfigError
from autodecoder.model import load_model
from autodecoder.report import write_pictures, write_study_page
from autodecoder.report.film import FilmWriter
from autodecoder.report.tensorboard import TensorBoardWriter
from autodecoder.study import load_study, load_study_data, run_study

ALONE = replace(
    searching(CONFIG, 1e-2),
    log=LogConfig(save_best_model=True, checkpoint_every=5, histogram_freq=5, visualize_freq=5),
    infer=replace(CONFIG.infer, fresh_every=5),
)


@pytest.fixture(scope="module")
def alone(digits: Dataset) -> Dataset:
    return replace(digits, val=digits.val.take(np.arange(0)))


def test_trials_are_ranked_by_the_training_loss(alone: Dataset, tmp_path: Path) -> None:
    recorder = Recorder()
    observers = [TensorBoardWriter(), FilmWriter(), recorder]
    study = run_study(ALONE, alone, tmp_path, observers=observers)
    assert study.config.objective == study.metric == "loss"
    best = study.best_trial
    assert best is not None
    for execution in best.executions:
        assert execution.status == "finished"
        for name, values in execution.history.items():
            assert np.isnan(values).all() == ("val_" in name), name
        assert execution.best == execution.history["loss"].min()
    for told in recorder.metrics.values():
        assert not [name for name in told if "val_" in name], "blank is no finding"
    header, first, *_ = (tmp_path / "histories.csv").read_text().splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert [name for name, value in row.items() if not value] == [n for n in row if "val_" in n]
    model = load_model(tmp_path / "best")
    assert model.about["epoch"] == best.executions[best.best_execution or 0].best_epoch
    assert model.val_latents.shape == (0, 2)
    names = {path.stem for path in write_pictures(study, alone)}
    assert names == {
        *("loss_curves", "latent_space_train", "reconstructions_train", "latent_plane"),
        "interpolations",
    }
    page = write_study_page(study).read_text()
    assert "validation (0)" not in page
    assert "<th>val_loss</th>" not in page


@pytest.mark.thorough
def test_early_stopping_watches_the_training_loss(alone: Dataset, tmp_path: Path) -> None:
    rule = EarlyStoppingConfig(enabled=True, min_delta=100.0, patience=0.1, start_epoch=3)
    config = replace(searching(CONFIG, 1e-2), early_stopping=rule)
    study = run_study(config, alone, tmp_path)
    ended = [(e.status, e.epochs) for trial in study.trials for e in trial.executions]
    assert ended == [("stopped early", 6)] * 2, "two epochs after the first that counts"


@pytest.mark.thorough
def test_an_interrupted_study_goes_on(alone: Dataset, tmp_path: Path) -> None:
    config = searching(CONFIG, 1e-2)
    whole = run_study(config, alone, tmp_path / "whole")
    stop = stop_when(lambda progress: progress.epoch >= 5)
    parts = run_study(config, alone, tmp_path / "parts", **stop)
    assert parts.trials[0].state == "unfinished"
    assert parts.shown_model() is not None
    assert_same_study(run_study(config, alone, tmp_path / "parts"), whole)


@pytest.mark.parametrize("objective", ["val_loss", "val_error", "fresh_val_psnr"])
def test_an_objective_of_validation_is_refused(
    alone: Dataset, tmp_path: Path, objective: str
) -> None:
    config = replace(ALONE, objective=objective)
    with pytest.raises(ConfigError, match=rf"objective must be .* training.*, got {objective}\."):
        run_study(config, alone, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_without_an_objective_it_is_the_validation_loss(digits: Dataset) -> None:
    assert StudyConfig().with_objective(len(digits.val)).objective == "val_loss"
    assert StudyConfig(objective="mae").with_objective(0).objective == "mae"


def test_all_of_a_file_are_trained_on(tmp_path: Path) -> None:
    np.save(tmp_path / "some.npy", np.arange(40 * 16, dtype=np.uint8).reshape(40, 4, 4))
    data = DataConfig(f"npy:{tmp_path / 'some.npy'}", examples_frac=1.0, val_fraction=0.0)
    config = StudyConfig(data, fit=FitConfig(batch_size=20), objective="val_loss")
    with pytest.raises(ConfigError, match="objective must be a metric of training"):
        load_study_data(config)
    dataset = load_study_data(replace(config, objective=None))
    assert (len(dataset.train), len(dataset.val)) == (40, 0)


@pytest.mark.thorough
def test_a_study_tells_which_image_is_which(digits: Dataset, tmp_path: Path) -> None:
    config = searching(replace(CONFIG, executions_per_trial=1), 1e-2)
    study = run_study(config, digits, tmp_path)
    lines = (tmp_path / "images.csv").read_text().splitlines()
    assert len(lines) == 1 + len(digits.train) + len(digits.val)
    assert digits.train.names is not None
    of = digits.class_names[digits.train.labels[17]]
    assert lines[18] == f"train,17,{digits.train.names[17]},{of}"
    model = study.shown_model()
    assert model is not None
    assert model.names is not None
    assert model.names.tolist() == digits.train.names.tolist()
    (tmp_path / "images.csv").unlink()  # as in a study of an earlier version
    before = load_study(tmp_path).shown_model()
    assert before is not None
    assert before.names is None
    run_study(config, digits, tmp_path)
    assert (tmp_path / "images.csv").read_text().splitlines() == lines
    run_study(config, digits, tmp_path, reset=True)
    assert (tmp_path / "images.csv").is_file()
