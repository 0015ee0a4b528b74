"""The film of a run: which latents it shows, when, and what remains of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.study.builders import CONFIG, EPOCHS, searching, stop_when
from tests.study.recorder import Recorder

from autodecoder.config import LogConfig
from autodecoder.data import Dataset
from autodecoder.errors import OutputError
from autodecoder.report import film, write_pictures, write_study_page
from autodecoder.report.film import FilmWriter, choose_rows, read_film
from autodecoder.study import run_study
from autodecoder.study.records import execution_folder

FILMED = replace(searching(CONFIG, 1e-2), log=LogConfig(visualize_freq=8, checkpoint_every=5))


def test_a_film_holds_the_latents_of_the_best_execution(digits: Dataset, tmp_path: Path) -> None:
    recorder = Recorder()
    study = run_study(FILMED, digits, tmp_path, observers=[recorder, FilmWriter()])
    (trial,) = study.trials
    k = trial.best_execution
    assert k is not None
    frames = read_film(execution_folder(tmp_path, trial.trial_id, k))
    assert [frame.epoch for frame in frames] == list(range(EPOCHS + 1))
    for frame in frames:
        seen = recorder.snapshots[trial.trial_id, k, frame.epoch]
        np.testing.assert_array_equal(frame.train, seen.train_latents)
        np.testing.assert_array_equal(frame.val, seen.val_latents)
    assert read_film(execution_folder(tmp_path, trial.trial_id, 1 - k)) == []
    page = write_study_page(study).read_text(encoding="utf-8")
    assert f'id="film" min="0" max="{EPOCHS + 1}"' in page


@pytest.mark.thorough
def test_a_film_goes_on_after_a_stop(digits: Dataset, tmp_path: Path) -> None:
    stop = stop_when(lambda progress: progress.epoch >= 12)
    run_study(FILMED, digits, tmp_path, observers=[FilmWriter()], **stop)
    (trial,) = run_study(FILMED, digits, tmp_path, observers=[FilmWriter()]).trials
    frames = read_film(execution_folder(tmp_path, trial.trial_id, trial.best_execution or 0))
    assert [frame.epoch for frame in frames] == list(range(EPOCHS + 1))


def test_a_long_film_has_twenty_five_frames_and_the_first(digits: Dataset) -> None:
    writer = FilmWriter()
    for epochs, every in ((500, 20), (26, 2), (3, 1)):
        fit = replace(FILMED.fit, num_epochs=epochs)
        writer.begin_study(replace(FILMED, fit=fit), digits)
        assert writer.every == every
    writer.begin_study(replace(FILMED, log=LogConfig(visualize_freq=0)), digits)
    assert writer.every == 0


def test_of_many_latents_some_are_shown() -> None:
    rows = choose_rows("train", 60_000, 2)
    assert len(rows) == len(set(rows)) == 6000
    np.testing.assert_array_equal(rows, choose_rows("train", 60_000, 2))
    assert len(choose_rows("val", 10_000, 256)) == 60_000 // 256
    np.testing.assert_array_equal(choose_rows("val", 3, 2), [0, 1, 2])


def test_damaged_frames_are_left_out(digits: Dataset, tmp_path: Path) -> None:
    study = run_study(FILMED, digits, tmp_path, observers=[FilmWriter()])
    folder = execution_folder(
        tmp_path, study.trials[0].trial_id, study.trials[0].best_execution or 0
    )
    first, *_ = sorted((folder / "film").iterdir())
    first.write_bytes(first.read_bytes()[:-4])
    assert [frame.epoch for frame in read_film(folder)] == list(range(1, EPOCHS + 1))
    write_study_page(study)


@pytest.mark.thorough
def test_a_page_tells_of_pictures_that_are_not_there(digits: Dataset, tmp_path: Path) -> None:
    study = run_study(FILMED, digits, tmp_path)
    folder = tmp_path / "report"
    write_pictures(study, digits)
    (folder / "errors.png").write_bytes(b"no picture")
    page = write_study_page(study).read_text(encoding="utf-8")
    assert "<h2>Reconstructions of validation images</h2>" in page
    assert "<h2>Interpolations between images</h2>" in page
    assert "<h2>Errors by class</h2>" not in page
    assert "draws them from the images" not in page
    for path in folder.glob("*.png"):
        path.unlink()
    assert "draws them from the images" in write_study_page(study).read_text(encoding="utf-8")


def test_a_film_that_cannot_be_removed_is_told(
    digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(film.shutil, "rmtree", refuse)
    config = replace(FILMED, log=replace(FILMED.log, save_best_model=False))
    with pytest.raises(OutputError, match="film cannot be removed: Permission denied"):
        run_study(config, digits, tmp_path, observers=[FilmWriter()])
