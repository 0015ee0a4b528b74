"""The search space as Optuna knows it, and the trials that are known from the start."""

from dataclasses import replace
from typing import Any

import pytest
from tests.study.builders import CONFIG

from autodecoder.config import Range, SearchConfig, StudyConfig
from autodecoder.study.space import distributions, make_sampler, planned_trials, to_values

RATES = (1e-3, 1e-2)
SPACE = {
    "learning_rate": Range(1e-4, 1e-1, log=True),
    "dropout_rate": Range(0.0, 0.5),
    "latent_dims": Range(2.0, 8.0),
    "batch_size": Range(16.0, 64.0, log=True),
    "arch": ((16,), (8, 4)),
    "batch_norm": (True, False),
}


def searching(space: dict[str, Any], **search: Any) -> StudyConfig:
    return replace(CONFIG, search=SearchConfig(space, **search))


def values_of(config: StudyConfig) -> list[dict[str, Any]]:
    planned = planned_trials(config)
    assert planned is not None
    return [to_values(parameters) for parameters in planned]


def test_each_kind_of_setting_has_its_distribution() -> None:
    space = distributions(searching(SPACE, sampler="tpe", max_trials=1))
    assert [type(distribution).__name__ for distribution in space.values()] == [
        *["FloatDistribution"] * 2,
        *["IntDistribution"] * 2,
        *["CategoricalDistribution"] * 2,
    ]
    assert [getattr(d, "log", None) for d in space.values()] == [
        True,
        False,
        False,
        True,
        None,
        None,
    ]
    assert vars(space["arch"])["choices"] == ("16", "8-4")


def test_a_grid_is_planned_in_whole_and_comes_back() -> None:
    config = searching(
        {"learning_rate": RATES, "arch": ((16,), (8, 4)), "batch_norm": (True, False)}
    )
    values = values_of(config)
    assert values == list(config.search.cells())
    assert len({str(sorted(v.items())) for v in values}) == 8
    assert [v["learning_rate"] for v in values] == [*RATES] * 4, "rates vary fastest"
    assert values_of(replace(config, search=replace(config.search, max_trials=3))) == values[:3]


def test_random_draws_lie_in_the_space_differ_and_repeat() -> None:
    config = searching(SPACE, sampler="random", max_trials=40)
    values = values_of(config)
    assert len({str(v) for v in values}) == 40
    for v in values:
        assert 1e-4 <= v["learning_rate"] <= 1e-1
        assert 0 <= v["dropout_rate"] <= 0.5
        assert type(v["latent_dims"]) is type(v["batch_size"]) is int
        assert 16 <= v["batch_size"] <= 64
    assert {v["latent_dims"] for v in values} == set(range(2, 9))
    assert {v["arch"] for v in values} == {(16,), (8, 4)}
    assert {v["batch_norm"] for v in values} == {True, False}
    assert 10 < sum(v["learning_rate"] < 10**-2.5 for v in values) < 30, "on a logarithmic scale"
    assert values_of(config) == values
    other = {v["learning_rate"] for v in values_of(replace(config, seed=6))}
    assert other.isdisjoint(v["learning_rate"] for v in values)


def test_more_random_draws_begin_with_the_same() -> None:
    few, more = (values_of(searching(SPACE, sampler="random", max_trials=n)) for n in (3, 9))
    assert more[:3] == few


@pytest.mark.parametrize("max_trials", [3, 4, 50])
def test_random_draws_end_where_the_space_has_no_more(max_trials: int) -> None:
    space = {"learning_rate": RATES, "activation": ("relu", "tanh")}
    values = values_of(searching(space, sampler="random", max_trials=max_trials))
    assert len({str(v) for v in values}) == len(values) == min(max_trials, 4)


def test_a_sampler_that_learns_plans_nothing() -> None:
    assert planned_trials(searching(SPACE, sampler="tpe", max_trials=5)) is None
    config = replace(CONFIG, seed=2**32 - 1)
    assert make_sampler(config, 5) is not make_sampler(config, 5)


@pytest.mark.parametrize("name", ["shards", "warmup_steps", "base_width"])
def test_every_whole_number_is_drawn_as_one(name: str) -> None:
    drawn = searching({"learning_rate": RATES, name: Range(1, 64)}, sampler="random", max_trials=5)
    assert all(type(values[name]) is int for values in values_of(drawn))
