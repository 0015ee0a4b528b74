"""Studies that earlier versions wrote: their settings keep their meaning."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from autodecoder.cli import main
from autodecoder.config import (
    RECIPES,
    SCHEMA,
    StudyConfig,
    complete_settings,
    kept_settings,
    list_settings,
    to_dict,
)
from autodecoder.errors import ConfigError, DataError
from autodecoder.model import load_model
from autodecoder.study import load_study, load_study_data, run_study

FIXTURES = Path(__file__).parents[1] / "study_files"
#: What wrote the files: `autodecoder train` of an early and of the last commit of layout 2.
COMMAND = (
    *("train", "--dataset=digits", "--examples_frac=0.05", "--arch=6", "--num_epochs=2"),
    *("--executions_per_trial=1", "--seed=1", "--notensorboard", "--visualize_freq=0"),
    *("--batch_size=16", "--tune=lr=1e-3,1e-2"),
)
LAST = FIXTURES / "schema-2" / "last"


def train(*flags: str) -> object:
    with pytest.raises(SystemExit) as end:
        main([*COMMAND, *flags])
    return end.value.code


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("first", {**RECIPES["original"], "latent_start": "zeros"}),
        ("last", {**RECIPES["fast"], "clip_norm": None, "shards": 1, "shuffle_buffer": 0}),
        ("last-original", RECIPES["original"]),
    ],
)
def test_what_is_missing_means_what_it_meant(name: str, expected: dict[str, Any]) -> None:
    study = load_study(FIXTURES / "schema-2" / name)
    assert {key: getattr(study.config.fit, key) for key in expected} == expected
    assert study.config.decoder.batch_norm is True
    assert [trial.state for trial in study.trials] == ["complete"]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("last", ()),
        pytest.param("last-original", ("--recipe=original",), marks=pytest.mark.slow),
    ],
)
def test_the_same_command_goes_on_by_the_same_algorithm(
    name: str, flags: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(FIXTURES / "schema-2" / name, folder)
    before = load_study(folder)
    for k in range(2):  # also when the file is of today's layout, or of one between
        if k:
            about = json.loads((folder / "config.json").read_text())
            (folder / "config.json").write_text(json.dumps(about | {"schema": 4}))
        assert train(*flags, f"--out={folder}") == 0
        after = load_study(folder)
        assert replace(after.config, log=before.config.log) == before.config
        assert [trial.state for trial in after.trials] == ["complete"] * 2
        assert before.trials[0].trial_id in {trial.trial_id for trial in after.trials}
    about = json.loads((folder / "config.json").read_text())
    assert (about["schema"], about["began"]) == (SCHEMA, 2)
    best = load_study(folder).best_trial
    assert best is not None
    best_is_of_today = best.trial_id != before.trials[0].trial_id
    assert (folder / "best" / "config.json").exists() == best_is_of_today, "a model is kept today"


def test_another_algorithm_is_refused_by_what_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    shutil.copytree(LAST, folder)
    assert train(f"--out={folder}", "--clip_norm=0.3", "--nobatch_norm") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "--clip_norm was not set and is now 0.3" in told
    assert "--batch_norm was True and is now False" in told
    study = load_study(folder)
    config = replace(study.config, fit=replace(study.config.fit, clip_norm=0.3))
    with pytest.raises(ConfigError, match=r"clip_norm was not set and is now 0\.3"):
        run_study(config, load_study_data(config), folder)


def test_a_study_of_today_lacks_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(LAST, folder)
    about = json.loads((folder / "config.json").read_text())
    about["schema"] = SCHEMA
    (folder / "config.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match=r"damaged: it lacks the setting data\.\w+\."):
        load_study(folder)


def test_every_setting_has_a_meaning_in_earlier_files() -> None:
    # A setting that is new needs a layout of its own, and its meaning in files before that.
    settings = json.loads((LAST / "config.json").read_text())["settings"]
    completed = complete_settings(settings, 2, whole=True)
    config = to_dict(StudyConfig())
    assert {p for p in config if isinstance(config[p], dict)} <= set(completed)
    for setting in list_settings():
        part, _, name = setting.path.rpartition(".")
        assert name in (completed[part] if part else completed), setting.path
    assert kept_settings(completed, SCHEMA) == {}
    assert kept_settings(completed, 2)["fit"]["clip_norm"] is None


@pytest.mark.parametrize("settings", [None, 5, "x", []])
def test_settings_that_are_none_are_left_to_the_reader(settings: object) -> None:
    assert complete_settings(settings, 2, whole=True) == settings


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        (["grid", "learned", "zeros"], ["nearest", "zeros"]),
        (["zeros", "nearest", "grid"], ["zeros", "nearest"]),
        (["nearest", "nearest"], ["nearest", "nearest"]),  # told by its rule
        ([["x"], {}], [["x"], {}]),
    ],
)
def test_starts_that_went_are_the_nearest(stored: list[Any], meant: list[Any]) -> None:
    settings = to_dict(StudyConfig())
    settings["infer"]["starts"] = stored
    assert complete_settings(settings, SCHEMA, whole=True)["infer"]["starts"] == meant
    assert settings["infer"]["starts"] is stored, "what was read is left as it was"


@pytest.mark.parametrize(
    ("layout", "start", "dims", "spread"),
    [(10, "auto", 64, 3.0), (10, "som", 64, None), (10, "auto", 16, None), (11, "pca", 64, None)],
)
def test_a_default_spread_stays_what_it_was(
    layout: int, start: str, dims: int, spread: float | None
) -> None:
    settings = to_dict(StudyConfig())
    settings["fit"]["latent_start"], settings["decoder"]["latent_dims"] = start, dims
    assert complete_settings(settings, layout, whole=True)["fit"]["latent_spread"] == spread


@pytest.mark.parametrize("layout", range(3, SCHEMA + 1))
def test_studies_and_models_of_every_layout_are_read(layout: int) -> None:
    """Each was written by the last version of its layout, by COMMAND."""
    folder = FIXTURES / f"schema-{layout}"
    study, model = load_study(folder), load_model(folder / "best")
    assert json.loads((folder / "config.json").read_text())["schema"] == layout
    assert [trial.state for trial in study.trials] == ["complete"] * 2
    assert study.best_trial is not None
    assert study.best_trial.learning_rate == 1e-2
    assert study.best_trial.executions[0].epochs == 2
    assert study.config.fit.batch_size == 16
    weights = load_file(folder / "best" / "decoder.safetensors")
    hidden = model.latents @ weights["layers/0/weight"] + weights["layers/0/bias"]
    hidden = np.where(hidden > 0, hidden, 0.2 * hidden)
    images = np.tanh(hidden @ weights["layers/1/weight"] + weights["layers/1/bias"])
    made = model.decode(model.latents).reshape(len(images), -1)
    np.testing.assert_allclose(made, (images + 1) / 2, atol=1e-5)
