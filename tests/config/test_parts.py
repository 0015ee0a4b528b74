"""Settings are checked when they are made, and each error names the rule and the value."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodecoder.config import (
    RECIPES,
    AugmentConfig,
    DataConfig,
    DecoderConfig,
    EarlyStoppingConfig,
    FitConfig,
    InferConfig,
    LogConfig,
    Range,
    SearchConfig,
    StudyConfig,
    arch_widths,
    fit_config,
    format_arch,
    learning_rate_for,
    parse_arch,
)
from autodecoder.errors import ConfigError


@given(st.lists(st.integers(1, 999_999), min_size=1, max_size=6).map(tuple))
def test_arch_reads_what_it_writes(widths: tuple[int, ...]) -> None:
    assert parse_arch(format_arch(widths)) == widths


@pytest.mark.parametrize(
    "text",
    [
        "",
        "500--500",
        "abc",
        "0",
        "-500",
        "500-",
        "5.5",
        "500,500",
        "5e2",
        "٣",
        "1000000",
        "9" * 5000,
    ],
)
def test_arch_refuses_what_is_no_list_of_widths(text: str) -> None:
    with pytest.raises(ConfigError, match="arch must be layer widths from 1 to 999999"):
        parse_arch(text)


@pytest.mark.parametrize("arch", ["-".join(["2"] * 1001), (2,) * 1001])
def test_arch_has_at_most_a_thousand_widths(arch: str | tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="arch must have at most 1,000 widths, got 1,001"):
        DecoderConfig(arch=arch)


@given(st.text(max_size=12))
def test_arch_never_fails_otherwise(text: str) -> None:
    try:
        widths = parse_arch(text)
    except ConfigError:
        return
    assert arch_widths(widths)
    assert all(width > 0 for width in arch_widths(widths))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        # DataConfig
        (lambda: DataConfig(dataset="minst"), "dataset must be one of .*'minst'; did you mean mni"),
        (lambda: DataConfig(scaler="log"), "scaler must be one of standard.*, got 'log'"),
        (lambda: DataConfig(examples_frac=1.5), "examples_frac must lie between 0 and 1.*got 1.5"),
        (lambda: DataConfig(examples_frac=-0.1), "examples_frac .*-0.1"),
        (
            lambda: DataConfig(val_fraction=1.0),
            "val_fraction must be at least 0 and below 1, got 1",
        ),
        (lambda: DataConfig(val_fraction=-0.1), "val_fraction must be at least 0 .*, got -0.1"),
        (lambda: DataConfig(examples_frac=math.nan), "examples_frac must be a finite number.*nan"),
        # DecoderConfig
        (lambda: DecoderConfig(arch=()), "arch must name at least one"),
        (lambda: DecoderConfig(arch=(5, 0)), "each width of arch must be a positive.*, got 0"),
        (lambda: DecoderConfig(arch=(2**31,)), "each width of arch must be at most 2147483647"),
        (lambda: DecoderConfig(latent_dims=0), "latent_dims must be a positive.*, got 0"),
        (
            lambda: DecoderConfig(latent_dims=100_001),
            "latent_dims must be at most 100000, got 1000",
        ),
        (
            lambda: DecoderConfig(activation="relux"),
            "activation must be one of .*; did you mean rel",
        ),
        (lambda: DecoderConfig(dropout_rate=1.0), "dropout_rate must be at least 0 .*, got 1.0"),
        (lambda: DecoderConfig(dropout_rate=-0.1), "dropout_rate must be at least 0 .*, got -0.1"),
        (lambda: DecoderConfig(dropout_rate=math.inf), "dropout_rate must be a finite number.*inf"),
        # FitConfig
        (lambda: FitConfig(num_epochs=0), "num_epochs must be a positive.*, got 0"),
        (
            lambda: FitConfig(num_epochs=1_000_001),
            "num_epochs must be at most 1000000, got 1000001",
        ),
        (lambda: FitConfig(batch_size=-1), "batch_size must be a positive.*, got -1"),
        (lambda: FitConfig(latent_spread=0.0), "latent_spread must be above 0.*, got 0.0"),
        (lambda: FitConfig(latent_spread=math.nan), "latent_spread must be .*nan"),
        (lambda: FitConfig(bias_spread=-1.0), "bias_spread must lie between 0.*, got -1.0"),
        (
            lambda: StudyConfig(
                fit=FitConfig(latent_start="som"), decoder=DecoderConfig(latent_dims=4)
            ),
            "som is for latents of up to 3 dimensions, got 4",
        ),
        (
            lambda: StudyConfig(
                fit=FitConfig(latent_start="neighbours"), decoder=DecoderConfig(latent_dims=4)
            ),
            "neighbours is for latents of up to 3 dimensions, got 4",
        ),
        (lambda: FitConfig(latent_start="ones"), "latent_start must be one of zeros.*, got 'ones'"),
        (lambda: FitConfig(schedule="step"), "schedule must be one of constant.*, got 'step'"),
        (
            lambda: FitConfig(latent_learning_rate=0.0),
            "latent_learning_rate must be greater .* 0.0",
        ),
        (
            lambda: FitConfig(latent_learning_rate=1e-60),
            "latent_learning_rate must be .*single prec",
        ),
        (
            lambda: FitConfig(latent_second_moment="rows"),
            "latent_second_moment must be one of coordinate, row, got 'rows'; did you mean row?",
        ),
        (
            lambda: FitConfig(latent_first_moment_dtype="float16"),
            "latent_first_moment_dtype must be one of float32, bfloat16, got 'float16'; did you",
        ),
        (lambda: fit_config("fastest"), "recipe must be one of fast, original.*, got 'fastest'"),
        # AugmentConfig
        (lambda: AugmentConfig(enabled=("flip",)), "augmentation must be one of .*, got 'flip'"),
        (
            lambda: AugmentConfig(enabled=("zoom", "zoom")),
            "each augmentation must be named once, g",
        ),
        (lambda: AugmentConfig(zoom=0.0), r"augment\.zoom must lie between 0 and 1, got 0.0"),
        (lambda: AugmentConfig(contrast=1.0), r"augment\.contrast must lie between .*, got 1.0"),
        (lambda: AugmentConfig(translation=-1.0), r"augment\.translation must lie .*, got -1.0"),
        (lambda: AugmentConfig(brightness=math.nan), r"augment\.brightness must be a finite .*nan"),
        # InferConfig
        (lambda: InferConfig(n_steps=0), "n_steps must be a positive.*, got 0"),
        (lambda: InferConfig(n_candidates=0), "n_candidates must be a positive.*, got 0"),
        (lambda: InferConfig(block_size=0), "block_size must be a positive.*, got 0"),
        (
            lambda: InferConfig(method="newton"),
            r"infer\.method must be one of auto.*, got 'newton'",
        ),
        (lambda: InferConfig(starts=("near",)), r"infer\.starts must be one of .*mean nearest"),
        (lambda: InferConfig(tolerance=-1.0), r"infer\.tolerance must not be negative, got -1.0"),
        (lambda: InferConfig(prior_weight=2e6), r"infer\.prior_weight must be at most 1e\+06"),
        (
            lambda: InferConfig(prior_weight=-1.0),
            r"infer\.prior_weight must not be negative",
        ),
        (
            lambda: InferConfig(prior_weight=math.inf),
            r"infer\.prior_weight must be a finite number, got inf",
        ),
        (lambda: InferConfig(fresh_every=-1), "fresh_every must be a whole number, 0 or more"),
        (lambda: StudyConfig(infer=InferConfig(starts=())), "must name at least one start"),
        (lambda: InferConfig(step_size=-0.1), "step_size must be greater than 0, got -0.1"),
        # EarlyStoppingConfig
        (
            lambda: EarlyStoppingConfig(min_delta=-1e-4),
            r"min_delta must not be negative, got -0.000",
        ),
        (
            lambda: EarlyStoppingConfig(min_delta=math.inf),
            r"min_delta must be a finite number.*inf",
        ),
        (lambda: EarlyStoppingConfig(patience=0.0), r"patience is a share .* 0 and 1, got 0.0"),
        (lambda: EarlyStoppingConfig(patience=20.0), r"patience is a share .* 0 and 1, got 20.0"),
        (
            lambda: EarlyStoppingConfig(start_epoch=-1),
            "start_epoch must be a whole number, 0 or more",
        ),
        # LogConfig
        (
            lambda: LogConfig(trackers=("gradient",)),
            "tracker must be one of gradients, .*did you me",
        ),
        (
            lambda: LogConfig(trackers=("gradients",) * 2),
            "each tracker must be named once, got grad",
        ),
        (
            lambda: LogConfig(histogram_freq=-1),
            "histogram_freq must be a whole number, 0 or more, g",
        ),
        (
            lambda: LogConfig(visualize_freq=-1),
            "visualize_freq must be a whole number, 0 or more, g",
        ),
        (lambda: LogConfig(checkpoint_every=0), "checkpoint_every must be a positive .*, got 0"),
        # StudyConfig
        (
            lambda: StudyConfig(objective="acc"),
            "objective must be one of loss.*val_error, got 'acc'",
        ),
        (lambda: StudyConfig(executions_per_trial=0), "executions_per_trial must be a positive.*0"),
        (
            lambda: StudyConfig(executions_per_trial=10_001),
            "executions_per_trial must be at most 10",
        ),
        (lambda: StudyConfig(seed=-1), "seed must lie between 0 and 4294967295, got -1"),
        (lambda: StudyConfig(seed=2**32), "seed must lie between 0 and 4294967295, got 4294967296"),
        (
            lambda: StudyConfig(
                fit=FitConfig(batch_size=1), decoder=DecoderConfig(batch_norm=True)
            ),
            "batch_size must be at least 2 with batch normalisation.*, got 1",
        ),
        (
            lambda: StudyConfig(
                search=SearchConfig({"learning_rate": (1e-3,), "batch_size": (128, 1)}),
                decoder=DecoderConfig(batch_norm=True),
            ),
            "batch_size must be at least 2 with batch normalisation.*, got 1",
        ),
    ],
)
def test_broken_rules_are_named(make, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: DataConfig(examples_frac=0.0),
        lambda: DataConfig(examples_frac=1.0),
        lambda: DecoderConfig(dropout_rate=0.0, latent_dims=100_000),
        lambda: FitConfig(num_epochs=1_000_000, latent_learning_rate=1e-30),
        lambda: AugmentConfig(enabled=("translation", "zoom", "contrast", "brightness")),
        lambda: EarlyStoppingConfig(min_delta=0.0, patience=1.0, start_epoch=0),
        lambda: LogConfig(histogram_freq=0, visualize_freq=0, checkpoint_every=1),
        lambda: StudyConfig(seed=2**32 - 1, executions_per_trial=10_000),
        lambda: StudyConfig(fit=FitConfig(batch_size=1)),
    ],
)
def test_the_ends_of_every_range_are_allowed(make) -> None:
    make()


@pytest.mark.usefixtures("as_shipped")
@pytest.mark.parametrize(
    ("kind", "name", "given", "plain"),
    [
        (DecoderConfig, "latent_dims", np.int64(3), 3),
        (DecoderConfig, "arch", np.array([8, 16]), (8, 16)),
        (DecoderConfig, "arch", (np.int32(8), 16), (8, 16)),
        (DecoderConfig, "batch_norm", np.bool_(False), False),
        (
            SearchConfig,
            "space",
            {"learning_rate": (1e-3,), "arch": np.array([[8, 4], [8, 8]])},
            {"learning_rate": (1e-3,), "arch": ((8, 4), (8, 8))},
        ),
        (Range, "high", np.float64(2), 2.0),
        (FitConfig, "latent_spread", np.float64(2), 2.0),
        (
            SearchConfig,
            "space",
            {"learning_rate": np.array([1e-3, 1e-2])},
            {"learning_rate": (1e-3, 1e-2)},
        ),
    ],
)
def test_numbers_of_numpy_are_numbers(kind: Any, name: str, given: Any, plain: Any) -> None:
    rest: Any = {"low": np.int64(1)} if kind is Range else {}
    config, expected = kind(**{name: given}, **rest), kind(**{name: plain}, **rest)
    assert config == expected
    assert repr(config) == repr(expected), "no type of NumPy is left, which no JSON would take"
    assert "np." not in repr(config)


def test_a_recipe_is_a_set_of_field_values_that_given_values_beat() -> None:
    assert fit_config("original") == FitConfig(**RECIPES["original"])
    assert fit_config("original").latent_start == "zeros"
    mixed = fit_config("original", latent_start="pca", num_epochs=3)
    assert (mixed.latent_start, mixed.num_epochs) == ("pca", 3)
    assert mixed.drop_last is fit_config("original").drop_last


def test_a_recipe_names_settings_of_the_fit_only() -> None:
    for recipe in RECIPES.values():
        assert set(recipe) <= set(FitConfig.__dataclass_fields__)


@pytest.mark.parametrize(
    ("start", "dims", "expected"),
    [
        ("auto", 1, ("som", 10)),
        ("auto", 2, ("som", 10)),
        ("auto", 3, ("pca", 3)),
        ("som", 3, ("som", 10)),
        ("neighbours", 3, ("neighbours", 10)),
        ("pca", 2, ("pca", 3)),
        ("auto", 16, ("pca", 3)),
        ("auto", 144, ("pca", 1)),
        ("auto", 576, ("pca", 0.5)),
    ],
)
def test_start_and_spread_follow_from_the_length(start: str, dims: int, expected: tuple) -> None:
    fit = FitConfig(latent_start=start)
    assert (fit.start_for(dims), fit.spread_for(dims)) == expected
    assert FitConfig(latent_start=start, latent_spread=2.0).spread_for(dims) == 2


@pytest.mark.parametrize(
    ("recipe", "arch", "expected"),
    [
        ("fast", (500, 500), 5e-3),
        ("fast", "conv:16/64-32", 1e-2),
        ("fast", "resconv:64", 1e-2),
        ("original", "conv:64", 1e-3),
    ],
)
def test_the_learning_rate_follows_from_recipe_and_kind(
    recipe: str, arch: Any, expected: float
) -> None:
    assert learning_rate_for(recipe, arch) == expected
