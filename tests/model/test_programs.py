"""A process may work on any number of shapes: programs go before Linux ends it."""

from pathlib import Path

import numpy as np
import pytest

from autodecoder import (
    DecoderConfig,
    LogConfig,
    SearchConfig,
    StudyConfig,
    fit_config,
    fit_model,
    load_dataset,
    run_study,
)
from autodecoder.core.population import advance
from autodecoder.model import programs

IMAGES = np.random.default_rng(0).random((12, 4, 4, 1), np.float32)
FIT = fit_config("original", num_epochs=1, batch_size=6)


def _fit(latent_dims: int) -> None:
    decoder = DecoderConfig(arch=(5,), latent_dims=latent_dims, batch_norm=False)
    fit_model(IMAGES, decoder=decoder, fit=FIT)


@pytest.fixture
def few_regions(tmp_path: Path, monkeypatch) -> None:
    """As though this system allowed almost none."""
    (tmp_path / "most").write_text("16\n")
    monkeypatch.setattr(programs, "_MOST_REGIONS", tmp_path / "most")
    monkeypatch.setattr(programs, "_left", 0)


def _n_programs() -> int:
    return advance._cache_size()  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.thorough
def test_programs_are_kept_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_left", 10**9)  # whatever other tests of the process have taken
    _fit(1)
    before = _n_programs()
    _fit(2)
    assert _n_programs() == before + 1


@pytest.mark.thorough
@pytest.mark.usefixtures("few_regions")
def test_every_fit_of_another_shape_lets_the_others_go() -> None:
    for latent_dims in (1, 2):
        _fit(latent_dims)
        assert _n_programs() <= 1


@pytest.mark.usefixtures("few_regions")
@pytest.mark.slow
def test_so_does_every_group_of_a_study(tmp_path: Path) -> None:
    config = StudyConfig(
        fit=FIT,
        search=SearchConfig({"arch": ((4,), (5,)), "learning_rate": (1e-3,)}),
        log=LogConfig(tensorboard=False, visualize_freq=0),
        executions_per_trial=1,
    )
    study = run_study(config, load_dataset("digits"), tmp_path / "study")
    assert [trial.state for trial in study.trials] == ["complete"] * 2
    assert _n_programs() <= 1


def test_a_system_that_does_not_tell(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(programs, "_REGIONS", tmp_path / "absent")
    before = _n_programs()
    programs.limit_programs()
    assert _n_programs() == before
