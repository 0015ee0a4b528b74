"""Settings are checked when they are made, and each error names rule and value."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodecoder.config import (
    RECIPES,
    DataConfig,
    DecoderConfig,
    FitConfig,
    InferConfig,
    StudyConfig,
    fit_config,
    parse_arch,
    to_dict,
)
from autodecoder.errors import ConfigError


@given(st.lists(st.integers(1, 9999), min_size=1, max_size=6))
def test_arch_reads_what_it_writes(widths: list[int]) -> None:
    assert parse_arch("-".join(map(str, widths))) == tuple(widths)


@pytest.mark.parametrize(
    "text", ["", "500--500", "abc", "0", "-500", "500-", "5.5", "500,500", "5e2", "٣", "9" * 5000]
)
def test_arch_refuses_what_is_no_list_of_widths(text: str) -> None:
    with pytest.raises(ConfigError, match="arch must be layer widths from 1 to 999999"):
        parse_arch(text)


@given(st.text(max_size=12))
def test_arch_never_fails_otherwise(text: str) -> None:
    try:
        widths = parse_arch(text)
    except ConfigError:
        return
    assert widths
    assert all(width > 0 for width in widths)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataConfig(dataset="minst"), "dataset must be one of digits, mnist.*'minst'"),
        (lambda: DataConfig(scaler="log"), "scaler must be one of standard.*'log'"),
        (lambda: DataConfig(examples_frac=1.5), "examples_frac must lie between 0 and 1.*1.5"),
        (lambda: DataConfig(examples_frac=-0.1), "examples_frac.*-0.1"),
        (lambda: DataConfig(examples_frac=float("nan")), "examples_frac.*nan"),
        (lambda: DecoderConfig(arch=()), "arch must name at least one"),
        (lambda: DecoderConfig(arch=(5, 0)), "arch must be a positive whole number, got 0"),
        (lambda: DecoderConfig(latent_dims=0), "latent_dims must be a positive.*0"),
        (lambda: DecoderConfig(activation="relux"), "activation must be one of relu.*'relux'"),
        (lambda: DecoderConfig(dropout_rate=1.0), "dropout_rate must be at least 0.*1.0"),
        (lambda: FitConfig(num_epochs=0), "num_epochs must be a positive.*0"),
        (lambda: FitConfig(batch_size=-1), "batch_size must be a positive.*-1"),
        (lambda: FitConfig(latent_start="ones"), "latent_start must be one of zeros.*'ones'"),
        (lambda: FitConfig(schedule="step"), "schedule must be one of constant.*'step'"),
        (lambda: FitConfig(latent_learning_rate=0.0), "latent_learning_rate must be greater.*0"),
        (lambda: InferConfig(n_steps=0), "n_steps must be a positive.*0"),
        (lambda: StudyConfig(objective="acc"), "objective must be one of loss.*'acc'"),
        (lambda: StudyConfig(learning_rates=()), "learning_rates must hold at least one"),
        (lambda: StudyConfig(learning_rates=(0.0,)), "learning_rate must be greater than 0, got 0"),
        (lambda: StudyConfig(learning_rates=(-1e-3,)), "learning_rate must be greater.*-0.001"),
        (lambda: StudyConfig(executions_per_trial=0), "executions_per_trial must be a positive"),
        (lambda: StudyConfig(seed=-1), "seed must lie between 0 and 4294967295, got -1"),
        (lambda: fit_config("fastest"), "recipe must be one of original, got 'fastest'"),
    ],
)
def test_broken_rules_are_named(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_recipe_is_a_set_of_field_values_that_given_values_beat() -> None:
    assert fit_config("original") == FitConfig(**RECIPES["original"])
    assert fit_config("original").latent_start == "zeros"
    assert fit_config("original", latent_start="pca", num_epochs=3) == dataclasses.replace(
        fit_config("original"), latent_start="pca", num_epochs=3
    )


def test_configurations_become_json_and_aliases_resolve() -> None:
    config = StudyConfig(objective="val_error")
    assert config.metric == "val_loss"
    plain = json.loads(json.dumps(to_dict(config)))
    assert plain["decoder"]["arch"] == [128, 256, 512]
    assert plain["learning_rates"] == [1e-4, 1e-3, 1e-2, 1e-1]
