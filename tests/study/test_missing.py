"""A study of images with missing pixels: masks go along to the device, to fresh validation, into
the fingerprint and onto pictures."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.study.builders import CONFIG, searching

from autodecoder.config import AugmentConfig, DataConfig, FitConfig, LogConfig, StudyConfig
from autodecoder.data import Dataset, load_dataset
from autodecoder.errors import ConfigError
from autodecoder.report.model_pictures import draw_fit
from autodecoder.study import Study, load_study, load_study_data, run_study


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits that lack a third of their pixels."""
    digits = load_dataset("digits", examples_frac=0.3)
    path = tmp_path_factory.mktemp("data") / "holed.npz"
    known = np.random.default_rng(0).random(digits.train.images.shape) < 2 / 3
    noise = np.random.default_rng(1).integers(0, 256, known.shape, np.uint8)
    images = np.where(known, digits.train.images, noise)
    np.savez(path, images=images, labels=digits.train.labels, mask=known)
    return path


@pytest.fixture(scope="module")
def config(place: Path) -> StudyConfig:
    few = replace(
        searching(CONFIG, 1e-2),
        data=DataConfig(dataset=f"npz:{place}"),
        fit=FitConfig(num_epochs=4, batch_size=100),
        executions_per_trial=1,
    )
    return replace(few, log=LogConfig(visualize_freq=2, save_best_model=True))


@pytest.fixture(scope="module")
def dataset(config: StudyConfig) -> Dataset:
    return load_study_data(config)


@pytest.fixture(scope="module")
def study(config: StudyConfig, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return run_study(config, dataset, tmp_path_factory.mktemp("study") / "holed")


def test_validation_counts_what_is_known(study: Study, dataset: Dataset) -> None:
    model = study.best_model()
    assert model is not None
    history = study.trials[0].executions[0].history
    fresh = float(history["fresh_val_loss"][-1])
    free = replace(study.config.infer, prior_weight=0.0)  # as in studies
    found = model.infer(dataset.val.images, dataset.val.mask, config=free)
    assert fresh == pytest.approx(float(found.errors.loss.mean()), rel=0.05)
    every = np.ones_like(dataset.val.mask)
    over_all = model.infer(dataset.val.images, every, config=free).errors.loss.mean()
    assert fresh < 0.9 * over_all, "most of which is noise behind the mask"


def test_pictures_say_what_is_missing(study: Study, dataset: Dataset) -> None:
    model = study.best_model()
    assert model is not None
    figures = draw_fit(model, dataset, protocol="co-trained")
    assert {"reconstructions_train", "reconstructions_val", "errors"} <= set(figures)
    figure = figures["reconstructions_train"]
    assert "missing pixels in a blue pattern" in figure.caption
    (sheet,) = [image.get_array() for image in figure.axes[0].get_images()]
    assert sheet is not None
    is_blue = (np.asarray(sheet, int) * [-1, 0, 1]).sum(axis=2) > 100
    assert is_blue.any()
    assert not is_blue[9:17].any(), "reconstructions are whole"


@pytest.mark.thorough
def test_another_mask_is_another_data_set(
    study: Study, config: StudyConfig, dataset: Dataset, place: Path, tmp_path: Path
) -> None:
    assert study.about["data_fingerprint"] == dataset.fingerprint
    assert load_study(study.folder).about["data_fingerprint"] == dataset.fingerprint
    np.save(tmp_path / "mask.npy", np.arange(64).reshape(8, 8) % 2 == 0)
    other = load_study_data(replace(config, data=replace(config.data, mask=tmp_path / "mask.npy")))
    assert other.fingerprint != dataset.fingerprint
    with pytest.raises(ConfigError, match="other images"):
        run_study(config, other, study.folder)


def test_augmentation_does_not_go_with_missing_pixels(config: StudyConfig) -> None:
    with pytest.raises(ConfigError, match="augmentation moves pixels"):
        load_study_data(replace(config, augment=AugmentConfig(enabled=("zoom",))))
