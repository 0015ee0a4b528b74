"""Settings that only save or log are no part of a study: it goes on with others."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.study.builders import (
    CONFIG,
    EPOCHS,
    all_runs,
    assert_same_study,
    by_rate,
    searching,
    stop_when,
)

from autodecoder import load_model
from autodecoder.config import LogConfig, StudyConfig
from autodecoder.data import Dataset
from autodecoder.study import Study, load_study, run_study
from autodecoder.study.best import keep_best
from autodecoder.study.records import execution_folder

ONE = searching(CONFIG, 1e-2)
#: One run, with seven windows in each epoch where its images come in windows.
IN_WINDOWS = replace(
    ONE, executions_per_trial=1, fit=replace(CONFIG.fit, batch_size=15, shuffle_buffer=60)
)
BARE, FULL = LogConfig(save_best_model=False), LogConfig(trackers=("gradients",))


def logging_as(log: LogConfig, config: StudyConfig = ONE) -> StudyConfig:
    return replace(config, log=replace(log, checkpoint_every=5))


def models(folder: Path) -> list[str]:
    """Where models lie, trials named by `*`."""
    paths = (path.relative_to(folder).parts[:-1] for path in folder.rglob("decoder.safetensors"))
    return sorted("/".join("*" if len(part) == 8 else part for part in path) for path in paths)


@pytest.mark.parametrize(
    "where",
    [{}, *(pytest.param({"rows": kind}, marks=pytest.mark.thorough) for kind in ("disk", "host"))],
    ids=str,
)
def test_a_study_under_way_goes_on_with_other_flags(
    where: dict[str, Any], digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In windows also within an epoch. What it computes is the same, but for rounding."""
    monkeypatch.setattr("autodecoder.model.stream.PORTION_SECONDS", 0.0)  # a window at a time
    config, share = (IN_WINDOWS, 0.37) if where else (ONE, 0.4)
    for name, logs in (("more", (BARE, FULL)), ("less", (FULL, BARE))):
        folder = tmp_path / name
        stop = stop_when(lambda report: report.done >= share * report.total)
        part = run_study(logging_as(logs[0], config), digits, folder, **where, **stop)
        assert part.best_trial is None
        run_study(logging_as(logs[1], config), digits, folder, **where)
    more, less = (load_study(tmp_path / name) for name in ("more", "less"))
    ours, theirs = (dict(study.trials[0].executions[0].history) for study in (more, less))
    norms = [name for name in ours if name.startswith("gradient_norm_")]
    assert len(norms) == 3
    assert not [name for name in theirs if name in norms]
    for name, values in ours.items():
        if name in norms:
            known = np.flatnonzero(values > 0)
            assert 5 <= known[0] < EPOCHS, "not tracked before"
            assert len(known) == EPOCHS - known[0]
        else:
            np.testing.assert_allclose(values, theirs[name], rtol=1e-5)
    assert models(more.folder) == ["best"]
    assert load_model(more.folder / "best").about["epoch"] == best_epoch(more)
    assert models(less.folder) == []


def best_epoch(study: Study) -> int | None:
    return study.trials[0].executions[0].best_epoch


def test_of_a_study_that_has_ended_the_last_epoch_is_kept(
    digits: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = run_study(logging_as(BARE), digits, tmp_path)
    assert models(tmp_path) == []
    with caplog.at_level(logging.WARNING):
        after = run_study(logging_as(FULL), digits, tmp_path)
        run_study(logging_as(FULL), digits, tmp_path)
    assert_same_study(before, after)
    assert [m for m in caplog.messages if "kept no model" in m] == [
        "the best run kept no model of its best epoch, because it ran without save_best_model: "
        "best/ holds the model after its last epoch"
    ]
    model, shown = load_model(tmp_path / "best"), after.shown_model()
    assert shown is not None
    assert model.about["epoch"] == EPOCHS
    np.testing.assert_array_equal(model.latents, shown.latents)


def test_one_model_is_kept_and_follows_the_best_trial(digits: Dataset, tmp_path: Path) -> None:
    """Also by a process that keeps none of its own."""
    config = searching(logging_as(LogConfig(), CONFIG), 1e-3, 1e-2, max_trials=1)
    study = run_study(config, digits, tmp_path)
    assert models(tmp_path) == ["best"]
    first = study.trials[0].trial_id
    assert load_model(tmp_path / "best").about["trial"] == first
    more = replace(config, search=replace(config.search, max_trials=2))
    more = logging_as(BARE, more)
    study = run_study(more, digits, tmp_path)
    best = by_rate(study, 1e-2)
    assert best is study.trials[0]
    assert best.trial_id != first, "else this shows nothing"
    assert models(tmp_path) == ["best"]
    about = load_model(tmp_path / "best").about
    assert (about["trial"], about["execution"]) == (best.trial_id, best.best_execution)
    assert len(all_runs(study)) == 4


def test_models_that_an_earlier_version_kept_stay(digits: Dataset, tmp_path: Path) -> None:
    study = run_study(logging_as(LogConfig(), CONFIG), digits, tmp_path)
    other = execution_folder(tmp_path, study.trials[1].trial_id, 0) / "model"
    other.parent.joinpath("model").mkdir()
    for path in (tmp_path / "best").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    about = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(about | {"began": 7}))
    run_study(logging_as(LogConfig(), CONFIG), digits, tmp_path)
    assert models(tmp_path) == ["best", "trials/*/execution-0/model"]
    (tmp_path / "config.json").write_text(json.dumps(about))
    keep_best(load_study(tmp_path))
    assert models(tmp_path) == ["best"]
