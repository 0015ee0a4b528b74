"""A study whose runs learn a prior along."""

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


def test_too_many_components_end_before_the_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--prior=mixture", "--n_components=4000", f"--out={tmp_path / 's'}")
    assert call("train", *QUICK, *flags) == 2
    assert "n_components must not exceed the number of training images" in capsys.readouterr().err
