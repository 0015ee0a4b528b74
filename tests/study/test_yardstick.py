"""The errors of the mean image and of principal components in the folder of a study."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.study.builders import CONFIG, searching
from tests.study.small import SETTINGS, change, dots, idle_study

from autodecoder.config import DecoderConfig, FitConfig, Range, SearchConfig, StudyConfig
from autodecoder.data import Dataset, ImageSet
from autodecoder.errors import DataError
from autodecoder.measures.yardstick import Set, measure_yardstick
from autodecoder.model.metrics import compare_error, error_levels, model_metrics, yardstick_of
from autodecoder.report.model_pictures import image_losses
from autodecoder.report.page import model_page, write_study_page
from autodecoder.report.pictures import study_figures
from autodecoder.study import Study, load_study, run_study
from autodecoder.study.yardstick import FILE, load_yardstick


def test_a_study_and_its_models_have_it(whole: Study, digits: Dataset) -> None:
    found = whole.yardstick
    assert found is not None
    expected = measure_yardstick(
        Set(digits.train.flat), Set(digits.val.flat), [2], CONFIG.data.scaler
    )
    assert found == expected == load_yardstick(whole.folder)
    assert whole.best_trial is not None
    assert whole.errors_beside(whole.best_trial) == {
        "mean_image": found.mean_image,
        "components": found.components[2],
    }
    last = whole.shown_model()
    for model in (whole.best_model(), last):
        assert model is not None
        assert yardstick_of(model) == found
        assert error_levels(model)["val_loss"] == found.lines([2])
        (told,) = compare_error(model)
        assert told == (
            "Mean squared error of the validation images (pixels from -1 to 1): "
            f"{model.history['val_loss'][model.about['epoch'] - 1]:.4g}; the mean image has "
            f"{found.mean_image:.4g}, 2 principal components {found.components[2]:.4g}."
        )


def test_pages_and_figures_show_it(whole: Study, tmp_path: Path) -> None:
    shutil.copytree(whole.folder, tmp_path / "copy")  # other tests share the study
    copy = load_study(tmp_path / "copy")
    model = whole.best_model()
    assert model is not None
    (told,) = compare_error(model)
    for page in (write_study_page(copy).read_text(), model_page(model)):
        assert f'<p class="soft">{told}</p>' in page
        assert '<option value="val_loss" selected>' in page
    figure = study_figures(whole, None)["loss_curves"]
    training, validation = figure.axes
    names = [text.get_text() for text in validation.texts]
    assert whole.yardstick is not None
    assert ", ".join(names) == whole.yardstick.tell([2])
    assert not training.texts


def test_it_stays_when_a_study_goes_on(tmp_path: Path) -> None:
    idle_study(SETTINGS, dots(), tmp_path)
    before = (tmp_path / FILE).stat().st_mtime_ns, (tmp_path / FILE).read_bytes()
    study = idle_study(SETTINGS, dots(), tmp_path)
    assert ((tmp_path / FILE).stat().st_mtime_ns, (tmp_path / FILE).read_bytes()) == before
    assert study.yardstick is not None
    (tmp_path / FILE).unlink()  # as earlier versions left it
    assert load_study(tmp_path).yardstick is None
    assert load_study(tmp_path).levels == {}
    assert idle_study(SETTINGS, dots(), tmp_path).yardstick == study.yardstick


def test_a_study_that_starts_over_measures_again(tmp_path: Path) -> None:
    idle_study(SETTINGS, dots(), tmp_path)
    other = replace(dots(), val=replace(dots().val, images=dots().train.images[2:4]))
    before = (tmp_path / FILE).read_bytes()
    idle_study(SETTINGS, other, tmp_path, reset=True)
    assert (tmp_path / FILE).read_bytes() != before


@pytest.mark.parametrize(
    ("dims", "expected"), [((1, 2, 3), [1, 2, 3]), (Range(2, 4), [2, 3, 4]), (None, [5])]
)
def test_each_number_of_latent_dimensions_has_its_components(
    tmp_path: Path, dims: Any, expected: list[int]
) -> None:
    space: dict[str, Any] = {"learning_rate": (1e-3,)} | (
        {} if dims is None else {"latent_dims": dims}
    )
    sampler = {"sampler": "random", "max_trials": 2} if isinstance(dims, Range) else {}
    config = StudyConfig(
        decoder=DecoderConfig(arch=(4,), latent_dims=5), search=SearchConfig(space, **sampler)
    )
    study = idle_study(config, dots(), tmp_path)
    assert study.yardstick is not None
    assert list(study.yardstick.components) == expected


def test_missing_pixels_and_a_study_without_validation(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 4, 4, 1), np.uint8)
    mask = rng.random(images.shape) < 0.7
    train = ImageSet(images, np.zeros(40, int), mask=mask)
    none = ImageSet(images[:0], np.zeros(0, int), mask=mask[:0])
    study = idle_study(SETTINGS, Dataset("holed", train, none, ("a",)), tmp_path)
    found = study.yardstick
    assert found is not None
    assert found.part == "train"
    rows, known = images.reshape(40, 16), mask.reshape(40, 16)
    mean = np.array([rows[known[:, j], j].mean() for j in range(16)])
    errors = [((x - mean)[w] ** 2).mean() for x, w in zip(rows, known, strict=True)]
    assert found.mean_image == pytest.approx(np.mean(errors) * (2 / 255) ** 2, rel=1e-5)
    assert list(study.levels) == ["loss"]


def test_another_training_loss_leaves_the_errors_comparable(
    digits: Dataset, tmp_path: Path
) -> None:
    config = replace(
        searching(CONFIG, 1e-2),
        data=replace(CONFIG.data, scaler="zero_one"),
        fit=FitConfig(num_epochs=3, batch_size=100, loss="bce"),
        executions_per_trial=1,
    )
    study = run_study(config, digits, tmp_path)
    model = study.best_model()
    assert study.yardstick is not None
    assert model is not None
    assert set(study.levels) == {"val_loss", "fresh_val_loss"}, "and not val_bce"
    assert study.yardstick.mean_image == pytest.approx(
        ((digits.val.flat - digits.train.flat.mean(0)) ** 2).mean() / 255**2, rel=1e-5
    )
    own = image_losses(model, digits.val, model.val_latents).mean()
    assert model_metrics(model)["val_loss"] == pytest.approx(own, rel=0.2), "in the same unit"


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    idle_study(SETTINGS, dots(), tmp_path)
    change(tmp_path / FILE, lambda content: content.update(mean_image=None))
    with pytest.raises(DataError, match=r"yardstick\.json is damaged: its yardstick"):
        load_study(tmp_path)
    (tmp_path / FILE).write_text(json.dumps([]))
    with pytest.raises(DataError, match=r"yardstick\.json"):
        load_study(tmp_path)
