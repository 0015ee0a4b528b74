"""What of a study's settings is static in a run, and how its runs are watched."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodecoder.config import (
    METRIC_ALIASES,
    METRICS,
    TRACED,
    AugmentConfig,
    EarlyStoppingConfig,
    FitConfig,
    LogConfig,
    Range,
    SearchConfig,
    StudyConfig,
    WatchConfig,
)
from autodecoder.errors import ConfigError

SHAPE = (8, 8, 1)
VALUES = {"learning_rate": 1e-3}
STOPPING = EarlyStoppingConfig(enabled=True)


def watch(config: StudyConfig) -> WatchConfig:
    return config.run_config(VALUES, SHAPE).watch


@pytest.mark.parametrize(("alias", "metric"), METRIC_ALIASES.items())
def test_the_originals_names_of_metrics_are_accepted(alias: str, metric: str) -> None:
    assert StudyConfig(objective=alias).metric == metric
    assert metric in METRICS


@pytest.mark.parametrize("metric", METRICS)
def test_every_recorded_metric_can_be_the_objective(metric: str) -> None:
    config = StudyConfig(objective=metric)
    assert config.metric == metric
    assert watch(config).metric == config.epoch_metric
    assert config.epoch_metric in METRICS
    assert not config.epoch_metric.startswith("fresh_"), "that is not known every epoch"


# Early stopping, by the rules of the original


@pytest.mark.parametrize(
    ("objective", "patience", "start_epoch"),
    [
        ("loss", 30, 50),
        ("mae", 30, 50),
        ("error", 30, 50),
        ("psnr", 30, 50),
        ("val_loss", 60, 100),
        ("val_error", 60, 100),
        ("val_psnr", 60, 100),
        ("fresh_val_loss", 60, 100),
    ],
)
def test_patience_and_start_follow_the_objective(
    objective: str, patience: int, start_epoch: int
) -> None:
    config = StudyConfig(
        objective=objective, early_stopping=STOPPING, fit=FitConfig(num_epochs=300)
    )
    rule = watch(config)
    kept = not objective.startswith("fresh_")
    assert rule == WatchConfig(config.epoch_metric, patience, 1e-4, start_epoch, kept)


def test_patience_and_start_may_be_set() -> None:
    stopping = replace(STOPPING, patience=0.5, start_epoch=0, min_delta=1e-2)
    config = StudyConfig(early_stopping=stopping, fit=FitConfig(num_epochs=20))
    assert watch(config) == WatchConfig("val_loss", 10, 1e-2, 0, keep_best=True)
    stopping = replace(stopping, patience=0.001)
    assert watch(replace(config, early_stopping=stopping)).patience == 1, "not none at all"


def test_without_early_stopping_no_run_ends_early() -> None:
    stopping = EarlyStoppingConfig(patience=0.5, start_epoch=0)
    assert watch(StudyConfig(early_stopping=stopping)).patience is None


@pytest.mark.parametrize(
    ("objective", "kept"), [("loss", True), ("val_loss", True), ("fresh_val_loss", False)]
)
@pytest.mark.parametrize("stopping", [EarlyStoppingConfig(), STOPPING])
def test_the_best_epoch_is_kept_where_it_is_known_in_time(
    objective: str, kept: bool, stopping: EarlyStoppingConfig
) -> None:
    config = StudyConfig(objective=objective, early_stopping=stopping)
    assert watch(config).keep_best is kept
    assert not watch(replace(config, log=LogConfig(save_best_model=False))).keep_best


# What shares a program


@pytest.mark.thorough
@given(
    st.fixed_dictionaries({name: st.floats(1e-6, 1.0) for name in TRACED}),
    st.integers(0, 2**32 - 1),
)
def test_trials_that_differ_in_traced_values_share_a_program(
    values: dict[str, float], seed: int
) -> None:
    config = StudyConfig(seed=seed)
    one = config.run_config(values, SHAPE)
    other = StudyConfig().run_config(VALUES, SHAPE)
    assert one == other
    assert hash(one) == hash(other)


@pytest.mark.parametrize(
    "values",
    [
        {"latent_dims": 3},
        {"arch": (16,)},
        {"activation": "relu"},
        {"batch_norm": True},
        {"use_bias": False},
        {"dropout_rate": 0.1},
        {"batch_size": 64},
        {"latent_start": "pca"},
        {"schedule": "constant"},
        {"drop_last": False},
    ],
)
def test_trials_of_another_shape_have_a_program_of_their_own(values: dict) -> None:
    config = StudyConfig()
    assert config.run_config({**VALUES, **values}, SHAPE) != config.run_config(VALUES, SHAPE)


def test_a_run_knows_what_happens_inside_its_program() -> None:
    config = StudyConfig(
        augment=AugmentConfig(enabled=("zoom",)), log=LogConfig(trackers=("gradients",))
    )
    run = config.run_config(VALUES, SHAPE)
    assert run.augment.enabled == ("zoom",)
    assert run.track_gradients
    assert not StudyConfig().run_config(VALUES, SHAPE).track_gradients
    assert run.image_shape == SHAPE


def test_a_value_that_breaks_its_rule_names_no_run() -> None:
    with pytest.raises(ConfigError, match="latent_dims must be a positive"):
        StudyConfig().run_config({**VALUES, "latent_dims": 0}, SHAPE)


# What differs between trials


def test_the_learning_rate_is_always_told() -> None:
    space = {"learning_rate": (1e-3,), "latent_dims": (2, 3), "arch": ((16,),)}
    assert StudyConfig(search=SearchConfig(space)).searched == ("learning_rate", "latent_dims")
    space = {"latent_dims": Range(2, 3), "learning_rate": (1e-3,)}
    config = StudyConfig(search=SearchConfig(space, "tpe", 3))
    assert config.searched == ("latent_dims", "learning_rate")


# Searches that would vary nothing

RATE = {"learning_rate": (1e-3,)}


@pytest.mark.parametrize(
    ("space", "start"),
    [
        ({"latent_spread": (1.0, 3.0)}, "zeros"),
        ({"latent_spread": (1.0, 3.0), "latent_start": ("zeros", "normal")}, "auto"),
        ({"bias_spread": (0.0, 1.0), "use_bias": (False,)}, "auto"),
    ],
)
def test_a_search_that_varies_nothing_is_refused(space: dict, start: str) -> None:
    with pytest.raises(ConfigError, match=r"_spread is searched, but affects only"):
        StudyConfig(search=SearchConfig(space=RATE | space), fit=FitConfig(latent_start=start))


def test_a_search_of_spreads_needs_one_trial_that_they_matter_to() -> None:
    spreads = {"latent_spread": (1.0, 3.0), "bias_spread": (0.0, 1.0)}
    space = spreads | {"latent_start": ("zeros", "pca")}
    StudyConfig(search=SearchConfig(space=RATE | space))


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize("part", ["data", "decoder", "fit", "infer", "search", "log"])
def test_a_part_of_another_kind_is_refused(part: str) -> None:
    kind = type(getattr(StudyConfig(), part)).__name__
    other: Any = {part: None}
    with pytest.raises(ConfigError, match=f"{part} must be a {kind}, got None"):
        StudyConfig(**other)
