"""Studies whose images come window by window, with their latents in memory or in files."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.study.builders import (
    CONFIG,
    all_runs,
    assert_finished_files,
    assert_same_study,
    stop_when,
)

from autodecoder.data import Dataset
from autodecoder.data import dataset as datasets
from autodecoder.errors import ConfigError
from autodecoder.model.hollow import WINDOW
from autodecoder.report import write_pictures, write_study_page
from autodecoder.report.tensorboard import TensorBoardWriter
from autodecoder.study import Study, run_study
from autodecoder.study.checkpoint import read_checkpoints

EPOCHS = 6
#: Two runs, with seven windows in each epoch.
STREAMED = replace(
    CONFIG,
    fit=replace(CONFIG.fit, num_epochs=EPOCHS, batch_size=15, shuffle_buffer=60),
    executions_per_trial=1,
)


@pytest.fixture(scope="module")
def on_disk(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return run_study(STREAMED, digits, tmp_path_factory.mktemp("disk"), rows="disk")


def test_the_end_of_a_study_is_that_of_one_in_memory(
    on_disk: Study, digits: Dataset, tmp_path: Path
) -> None:
    assert_finished_files(on_disk.folder, 1)
    assert not list(on_disk.folder.glob("trials/*/*/rows*"))
    resident = run_study(STREAMED, digits, tmp_path)
    for found, expected in zip(on_disk.trials, resident.trials, strict=True):
        assert found.values == expected.values
        for ours, theirs in zip(found.executions, expected.executions, strict=True):
            assert ours.epochs == theirs.epochs == EPOCHS
            for name in ("loss", "val_loss"):
                np.testing.assert_allclose(ours.history[name], theirs.history[name], rtol=2e-2)


def windows_done(folder: Path) -> list[int]:
    """How many windows of its present epoch each run has done, by its newest checkpoint."""
    newest = (next(read_checkpoints(path)) for path in folder.glob("trials/*/execution-0"))
    return [int(saved.arrays.get(WINDOW, 0)) for saved in newest]


@pytest.fixture
def in_small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run moves by one window at a time."""
    monkeypatch.setattr("autodecoder.model.stream.PORTION_SECONDS", 0.0)


@pytest.mark.usefixtures("in_small_steps")
@pytest.mark.parametrize("rows", ["disk", pytest.param("host", marks=pytest.mark.thorough)])
def test_stopped_within_epochs_it_goes_on_to_the_same_end(
    rows: str, on_disk: Study, digits: Dataset, tmp_path: Path
) -> None:
    for share in (0.1, 0.4, 0.42, 0.7):
        stop = stop_when(lambda report, share=share: report.done > share * 2 * EPOCHS)
        part = run_study(STREAMED, digits, tmp_path, rows=rows, **stop)
        assert part.best_trial is None
        assert sum(window > 0 for window in windows_done(tmp_path)) == 1
    assert list(tmp_path.glob("trials/*/*/rows")) if rows == "disk" else True
    assert_same_study(run_study(STREAMED, digits, tmp_path, rows=rows), on_disk)
    assert_finished_files(tmp_path, 1)


@pytest.fixture
def within(digits: Dataset, tmp_path: Path, in_small_steps: None) -> Path:
    """A study that was left within an epoch, with its latents on the disk."""
    run_study(
        STREAMED, digits, tmp_path, rows="disk", **stop_when(lambda report: report.done > 2.2)
    )
    return tmp_path


def test_left_on_the_disk_it_does_not_go_on_elsewhere(within: Path, digits: Dataset) -> None:
    for rows in ("host", "device"):
        with pytest.raises(ConfigError, match="rows must be disk as before"):
            run_study(STREAMED, digits, within, rows=rows)
    study = run_study(STREAMED, digits, within)  # where they are, as nothing else is said
    assert [execution.epochs for execution in all_runs(study).values()] == [EPOCHS] * 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"rows": "tape"}, "rows must be one of"),
        ({"memory": "much"}, "memory must be a number of bytes"),
        ({"memory": "1MB"}, "memory must be at least"),
        ({"rows": "disk", "engine": "processes"}, "are for the engine local, not for processes"),
    ],
)
def test_what_cannot_be(
    arguments: dict[str, Any], problem: str, digits: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=problem):
        run_study(STREAMED, digits, tmp_path / "new", **arguments)


@pytest.fixture
def few_are_shown(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(datasets, "MOST_SHOWN", 100)
    return 100


def test_pictures_and_pages_show_some_of_many_images(
    few_are_shown: int, digits: Dataset, tmp_path: Path
) -> None:
    small = replace(STREAMED, log=replace(STREAMED.log, save_best_model=True))
    numbers = np.array([f"no. {k}" for k in range(len(digits.train))], object)
    digits = replace(digits, train=replace(digits.train, columns={"number": numbers}))
    study = run_study(small, digits, tmp_path, rows="disk", observers=[TensorBoardWriter()])
    logged = EventAccumulator(str(next(tmp_path.glob("tensorboard/*/execution-0"))))
    drawn = set(logged.Reload().Tags()["images"])
    assert drawn >= {"latent_space/train", "reconstructions/train", "reconstructions/validation"}
    shown = study.shown_run()
    assert shown is not None
    assert shown[2].shown is not None
    assert shown[2].shown.train_latents.shape == (few_are_shown, 2)
    model = study.best_model()
    assert model is not None
    assert len(model.latents) == len(digits.train)
    shown_model = study.shown_model()
    assert shown_model is not None
    rows = np.arange(few_are_shown) * len(digits.train) // few_are_shown
    np.testing.assert_allclose(shown_model.latents, model.latents[rows], atol=1e-6)
    if shown_model.names is not None and model.names is not None:
        assert shown_model.names.tolist() == model.names[rows].tolist()
    assert model.columns["number"].tolist() == numbers.tolist()
    assert shown_model.columns["number"].tolist() == numbers[rows].tolist()
    assert any(path.name == "reconstructions_train.png" for path in write_pictures(study, digits))
    page = write_study_page(study).read_text()
    assert "It draws 100 of" in page
