"""Trials that end early, since others of their group are better."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from tests.study.builders import (
    CONFIG,
    EPOCHS,
    assert_same_history,
    assert_same_study,
    searching,
    stop_when,
)
from tests.study.recorder import Recorder

from autodecoder.config import EarlyStoppingConfig, SearchConfig, StudyConfig
from autodecoder.data import Dataset
from autodecoder.errors import ConfigError
from autodecoder.model import driver
from autodecoder.study import Study, load_study, run_study
from autodecoder.study.pruning import find_losers, list_rungs

RATES = (1e-4, 1e-3, 3e-3, 1e-2)
PLAIN = searching(CONFIG, *RATES)
ASHA, MEDIAN = (searching(CONFIG, *RATES, prune=rule) for rule in ("asha", "median"))


def flat(**values: float) -> dict[str, np.ndarray]:
    """Curves that stay where they are, of ten epochs."""
    return {name: np.full(10, float(value)) for name, value in values.items()}


# The rules


@pytest.mark.parametrize(
    ("values", "lost"),
    [
        ({"a": 1}, ""),
        ({"a": 1, "b": 2}, "b"),
        ({"a": 1, "b": 2, "c": 3}, "bc"),
        ({"a": 4, "b": 3, "c": 2, "d": 1}, "ab"),
        ({"a": 1, "b": 1, "c": 1, "d": 2}, "d"),
        ({"a": 5, "b": 4, "c": 3, "d": 2, "e": 1}, "abc"),
        ({"a": 1, "b": math.nan, "c": 3, "d": 2}, "bcd"),
        ({"a": math.nan, "b": math.nan}, ""),
    ],
)
def test_successive_halving_keeps_the_better_half(values: Mapping[str, float], lost: str) -> None:
    assert find_losers("asha", "val_loss", 10, flat(**values)) == set(lost)
    negated = {name: -value for name, value in values.items()}
    assert find_losers("asha", "val_psnr", 10, flat(**negated)) == set(lost)


def test_successive_halving_compares_those_that_have_come_so_far() -> None:
    curves = flat(a=1, b=2, c=3, d=4) | {"e": np.zeros(9), "f": np.zeros(9)}
    assert find_losers("asha", "val_loss", 10, curves) == {"c", "d"}
    assert find_losers("asha", "val_loss", 9, curves) == {"b", "c", "d"}, "3 of 6"


def test_the_median_rule_keeps_half_of_all() -> None:
    curves = flat(a=1, b=2, c=3, d=4, e=5)
    assert find_losers("median", "val_loss", 10, curves) == {"d", "e"}
    assert find_losers("median", "val_psnr", 10, curves) == {"a", "b"}
    ended = curves | {"d": np.full(4, 4.0), "e": np.full(4, 5.0)}
    assert find_losers("median", "val_loss", 10, ended) == set(), "those that ended count"
    once_better = curves | {"e": np.r_[0.5, np.full(9, 5.0)]}
    assert find_losers("median", "val_loss", 10, once_better) == {"d"}, "by its best so far"
    assert find_losers("median", "val_loss", 10, flat(a=1, b=math.nan, c=2)) == {"b", "c"}
    assert find_losers("median", "val_loss", 10, flat(a=math.nan)) == set()


def test_rungs_lie_within_a_fit() -> None:
    assert list_rungs("asha", 20) == [2, 5, 10]
    assert list_rungs("asha", 3) == [1]
    assert list_rungs("asha", 1) == list_rungs("median", 1) == []
    assert list_rungs("median", 32) == list(range(2, 32, 2))
    assert list_rungs("median", 3) == [1, 2]


# Studies


@pytest.fixture(scope="module")
def full(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Without pruning."""
    return run_study(PLAIN, digits, tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def halved(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return run_study(ASHA, digits, tmp_path_factory.mktemp("halved"))


@pytest.fixture(scope="module")
def by_median(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return run_study(MEDIAN, digits, tmp_path_factory.mktemp("median"))


def ends_of(study: Study) -> dict[float, tuple[str, int]]:
    return {t.learning_rate: (t.state, t.executions[0].epochs) for t in study.trials}


def expected_ends(full: Study, rule: str) -> dict[float, tuple[str, int]]:
    """How trials end by a rule, found out on the whole curves."""
    curves = {
        trial.trial_id: np.mean([e.history["val_loss"].astype(float) for e in trial.executions], 0)
        for trial in full.trials
    }
    ends = dict.fromkeys(curves, EPOCHS)
    for rung in list_rungs(rule, EPOCHS):
        lost = find_losers(
            rule, "val_loss", rung, {i: c[: ends[i]][:rung] for i, c in curves.items()}
        )
        ends |= {i: rung for i in lost if ends[i] == EPOCHS}
    return {
        t.learning_rate: ("complete" if ends[t.trial_id] == EPOCHS else "pruned", ends[t.trial_id])
        for t in full.trials
    }


def test_trials_end_where_the_rule_says(full: Study, halved: Study, by_median: Study) -> None:
    assert ends_of(halved) == expected_ends(full, "asha")
    assert ends_of(by_median) == expected_ends(full, "median")
    states = [trial.state for trial in halved.trials]
    assert states == ["complete", "pruned", "pruned", "pruned"], "the best first"
    assert sorted(epochs for _, epochs in ends_of(halved).values()) == [2, 2, 5, EPOCHS]
    assert [t.state for t in by_median.trials].count("complete") >= 2


def test_until_its_end_a_pruned_run_is_the_same(full: Study, halved: Study) -> None:
    whole = {(t.learning_rate, k): e for t in full.trials for k, e in enumerate(t.executions)}
    for trial in halved.trials:
        for k, execution in enumerate(trial.executions):
            other = whole[trial.learning_rate, k]
            fresh = {n: v for n, v in execution.history.items() if n.startswith("fresh_")}
            history = {n: v for n, v in execution.history.items() if n not in fresh}
            assert_same_history(history, {n: other.history[n] for n in history}, execution.epochs)
            is_pruned = trial.state == "pruned"
            assert execution.status == ("pruned" if is_pruned else "finished")
            assert all(np.isnan(v[-1]) == is_pruned for v in fresh.values())


def test_it_is_told_as_pruned_everywhere(halved: Study) -> None:
    assert_same_study(load_study(halved.folder), halved)
    storage = optuna.storages.RDBStorage(f"sqlite:///{halved.folder}/study.db")
    loaded = optuna.load_study(study_name=halved.about["study"], storage=storage)
    states = {t.user_attrs["id"]: t.state.name for t in loaded.trials}
    storage.remove_session()
    storage.engine.dispose()
    assert states == {t.trial_id: t.state.upper() for t in halved.trials}
    left = [path.name for path in halved.folder.glob("trials/*/execution-*/*.safetensors")]
    assert left == ["outcome.safetensors"], "of the best run alone"


def cut(study_folder: Path, digits: Dataset, config: StudyConfig, **kwargs: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_study(config, digits, study_folder, **kwargs)


class Killer(Recorder):
    """Kills the study at its n-th call of a method."""

    def __init__(self, method: str, n: int) -> None:
        super().__init__()
        self._left = n
        setattr(self, method, self._count)

    def _count(self, *_: object) -> None:
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("method", "n"),
    [
        pytest.param("end_run", 1, marks=pytest.mark.thorough),
        pytest.param("end_run", 3, marks=pytest.mark.thorough),
        ("end_run", 5),
        pytest.param("end_trial", 2, marks=pytest.mark.thorough),
    ],
)
def test_killed_while_trials_are_pruned_the_same_ones_are(
    method: str, n: int, halved: Study, digits: Dataset, tmp_path: Path
) -> None:
    cut(tmp_path, digits, ASHA, observers=[Killer(method, n)])
    assert_same_study(run_study(ASHA, digits, tmp_path), halved)


@pytest.mark.parametrize("rule", ["asha", pytest.param("median", marks=pytest.mark.thorough)])
def test_interrupted_at_every_portion_the_same_trials_are_pruned(
    rule: str,
    halved: Study,
    by_median: Study,
    digits: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A portion is one run's epoch here, so runs stand at different epochs when they go on."""
    monkeypatch.setattr(driver, "PORTION_SECONDS", 1e-9)
    config, whole = (ASHA, halved) if rule == "asha" else (MEDIAN, by_median)
    for epoch in (1, 2, 3, 5):
        run_study(config, digits, tmp_path, **stop_when(lambda r, e=epoch: r.epoch >= e))
    assert_same_study(run_study(config, digits, tmp_path), whole)


def test_a_run_whose_newest_checkpoint_is_damaged_catches_up(
    halved: Study, digits: Dataset, tmp_path: Path
) -> None:
    part = run_study(ASHA, digits, tmp_path, **stop_when(lambda report: report.epoch >= 10))
    (trial,) = [t for t in part.trials if t.state == "unfinished"]
    for k in range(2):
        newest = max((tmp_path / "trials" / trial.trial_id / f"execution-{k}").glob("checkpoint-*"))
        if k:
            newest.write_bytes(b"damaged")
    assert_same_study(run_study(ASHA, digits, tmp_path), halved)


def test_images_in_windows_are_pruned_likewise(
    halved: Study, digits: Dataset, tmp_path: Path
) -> None:
    study = run_study(ASHA, digits, tmp_path, rows="host")
    assert ends_of(study) == ends_of(halved)


@pytest.mark.thorough
def test_worker_processes_prune_likewise(halved: Study, digits: Dataset, tmp_path: Path) -> None:
    study = run_study(ASHA, digits, tmp_path, engine="processes", workers=1)
    assert ends_of(study) == ends_of(halved)


ON_DEVICES = """
import json, sys
from tests.study.test_pruning import ASHA, ends_of
from autodecoder.study import load_study_data, run_study
study = run_study(ASHA, load_study_data(ASHA), sys.argv[1], mesh="data=2,runs=2")
print(json.dumps(list(ends_of(study).items())))
"""


@pytest.mark.thorough
def test_several_devices_prune_likewise(halved: Study, tmp_path: Path) -> None:
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", ON_DEVICES, tmp_path / "study"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    ends = {rate: tuple(end) for rate, end in json.loads(done.stdout.splitlines()[-1])}
    assert ends == ends_of(halved)


@pytest.mark.thorough
def test_with_early_stopping_executions_end_apart(digits: Dataset, tmp_path: Path) -> None:
    rule = EarlyStoppingConfig(enabled=True, patience=0.1, start_epoch=0, min_delta=0.05)
    study = run_study(replace(MEDIAN, early_stopping=rule), digits, tmp_path)
    assert {t.state: {e.status for e in t.executions} for t in study.trials} == {
        "complete": {"stopped early"},
        "pruned": {"pruned"},
    }


def test_a_pruned_trial_has_the_score_of_its_epochs(halved: Study) -> None:
    for trial in halved.trials:
        assert trial.score == np.mean([min(e.history["val_loss"]) for e in trial.executions])


def test_what_is_pruned_is_part_of_a_study(halved: Study, digits: Dataset) -> None:
    with pytest.raises(ConfigError, match="--prune was asha and is now median"):
        run_study(MEDIAN, digits, halved.folder)


def test_pruning_needs_trials_that_run_together() -> None:
    with pytest.raises(ConfigError, match=r"the sampler tpe runs one at a time"):
        SearchConfig(sampler="tpe", max_trials=3, prune="asha")
    with pytest.raises(ConfigError, match=r"prune must be one of asha, median, got 'hyperband'"):
        SearchConfig(prune="hyperband")
