"""Studies whose runs learn a prior along, and Gaussian codes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.cli.builders import call
from tests.study.builders import CONFIG, searching

import autodecoder as ad
from autodecoder.config import SearchConfig
from autodecoder.data import Dataset
from autodecoder.report import write_study_page
from autodecoder.study import run_study

QUICK = ("--dataset=digits", "--examples_frac=0.2", "--arch=16", "--num_epochs=4", "--seed=1")
SEARCHED = replace(
    CONFIG,
    fit=replace(CONFIG.fit, n_components=3, prior_weight=5.0),
    search=SearchConfig({"learning_rate": (1e-2,), "prior": ("none", "mixture")}),
)
CODED = replace(
    searching(CONFIG, 1e-2),
    fit=replace(CONFIG.fit, prior="gaussian", codes="gaussian"),
    executions_per_trial=1,
)


def test_a_prior_is_a_setting_that_a_search_varies(digits: Dataset, tmp_path: Path) -> None:
    run_study(SEARCHED, digits, tmp_path)
    trials = ad.load_study(tmp_path).trials
    by = {trial.values["prior"]: trial.executions[0].history for trial in trials}
    assert set(by) == {"none", "mixture"}
    assert np.isfinite(by["mixture"]["log_prior"]).all()
    assert np.isfinite(by["mixture"]["val_log_prior"]).all()
    assert "log_prior" not in by["none"] or np.isnan(by["none"]["log_prior"]).all()
    assert by["none"]["loss"][-1] != by["mixture"]["loss"][-1]


def test_a_streamed_study_keeps_gaussian_codes(digits: Dataset, tmp_path: Path) -> None:
    """The codes of the best epoch are those in a file."""
    study = run_study(CODED, digits, tmp_path, rows="disk")
    assert "val_divergence" in write_study_page(study).read_text()
    (trial,) = ad.load_study(tmp_path).trials
    history = trial.executions[0].history
    assert np.isfinite(history["fresh_val_loss"][-1])
    assert np.isfinite(history["val_divergence"]).all()
    model = ad.load_model(tmp_path / "best")
    assert model.latent_deviations is not None
    assert model.latent_deviations.shape == model.latents.shape
    assert (model.latent_deviations > 0).all()


@pytest.mark.parametrize("flags", [("--codes=gaussian",), ("--tune=codes=point,gaussian",)])
def test_gaussian_codes_without_a_prior_end_before_the_training(
    flags: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("train", *QUICK, *flags, f"--out={tmp_path / 's'}") == 2
    assert "codes gaussian needs a prior: gaussian or mixture, got none" in capsys.readouterr().err


def test_too_many_components_end_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--prior=mixture", "--n_components=4000", f"--out={tmp_path / 's'}")
    assert call("train", *QUICK, *flags) == 2
    assert "n_components must not exceed the number of training images" in capsys.readouterr().err
