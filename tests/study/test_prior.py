"""Studies whose runs learn a prior along, and Gaussian codes."""

from pathlib import Path

import numpy as np
import pytest
from tests.cli.builders import call

import autodecoder as ad

QUICK = ("--dataset=digits", "--examples_frac=0.2", "--arch=16", "--num_epochs=4", "--seed=1")
PRIOR = ("--n_components=3", "--prior_weight=5", "--tune=prior=none,mixture")


def test_a_prior_is_a_setting_that_a_search_varies(tmp_path: Path) -> None:
    flags = ("--lr=1e-2", "--executions_per_trial=1", "--latent_dims=3", f"--out={tmp_path / 's'}")
    assert call("train", *QUICK, *PRIOR, *flags) == 0
    study = ad.load_study(tmp_path / "s")
    by = {trial.values["prior"]: trial.executions[0].history for trial in study.trials}
    assert set(by) == {"none", "mixture"}
    assert np.isfinite(by["mixture"]["log_prior"]).all()
    assert np.isfinite(by["mixture"]["val_log_prior"]).all()
    assert "log_prior" not in by["none"] or np.isnan(by["none"]["log_prior"]).all()
    assert by["none"]["loss"][-1] != by["mixture"]["loss"][-1]


def test_a_streamed_study_keeps_gaussian_codes(tmp_path: Path) -> None:
    """The codes of the best epoch are those in a file."""
    flags = ("--prior=gaussian", "--codes=gaussian", "--lr=1e-2", "--executions_per_trial=1")
    assert call("train", *QUICK, *flags, "--rows=disk", f"--out={tmp_path / 's'}") == 0
    (trial,) = ad.load_study(tmp_path / "s").trials
    history = trial.executions[0].history
    assert np.isfinite(history["fresh_val_loss"][-1])
    assert np.isfinite(history["val_divergence"]).all()
    model = ad.load_model(tmp_path / "s" / "best")
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
