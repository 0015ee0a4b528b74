"""Every setting, grouped by the stage that it steers; checked once, when it is made.

The dataclasses are frozen. `StudyConfig` holds all of them. `RunConfig` holds what is static in one
run, and keys its compiled program; learning rates and seeds, which a search varies without a new
compilation, are no part of it.
"""

from autodecoder.config.arch import (
    KINDS,
    OWN,
    Arch,
    arch_kind,
    arch_widths,
    format_arch,
    parse_arch,
    read_arch,
)
from autodecoder.config.earlier import SCHEMA, complete_settings, kept_settings
from autodecoder.config.fit import (
    LATENT_STARTS,
    RECIPE_BATCH_NORM,
    RECIPE_LEARNING_RATES,
    RECIPES,
    SCHEDULES,
    FitConfig,
    fit_config,
)
from autodecoder.config.infer import INFER_METHODS, INFER_STARTS, InferConfig
from autodecoder.config.notation import parse_range, parse_size
from autodecoder.config.parts import (
    ACTIVATIONS,
    AUGMENTATIONS,
    COLOURS,
    SCALERS,
    TRACKERS,
    AugmentConfig,
    DataConfig,
    DecoderConfig,
    EarlyStoppingConfig,
    LogConfig,
)
from autodecoder.config.plain import (
    FREE_SETTINGS,
    Setting,
    differences,
    list_settings,
    read_toml,
    study_config,
    to_dict,
)
from autodecoder.config.search import (
    LEARNING_RATE_GRID,
    SAMPLERS,
    TRACED,
    TUNABLE,
    TUNABLE_ALIASES,
    Range,
    SearchConfig,
    Values,
    format_value,
    parse_tune,
    read_value,
)
from autodecoder.config.sources import DATASETS, OWN_SOURCES, split_hub, split_source
from autodecoder.config.study import (
    METRIC_ALIASES,
    METRICS,
    RunConfig,
    StudyConfig,
    WatchConfig,
)

__all__ = [
    "ACTIVATIONS",
    "AUGMENTATIONS",
    "COLOURS",
    "DATASETS",
    "FREE_SETTINGS",
    "INFER_METHODS",
    "INFER_STARTS",
    "KINDS",
    "LATENT_STARTS",
    "LEARNING_RATE_GRID",
    "METRICS",
    "METRIC_ALIASES",
    "OWN",
    "OWN_SOURCES",
    "RECIPES",
    "RECIPE_BATCH_NORM",
    "RECIPE_LEARNING_RATES",
    "SAMPLERS",
    "SCALERS",
    "SCHEDULES",
    "SCHEMA",
    "TRACED",
    "TRACKERS",
    "TUNABLE",
    "TUNABLE_ALIASES",
    "Arch",
    "AugmentConfig",
    "DataConfig",
    "DecoderConfig",
    "EarlyStoppingConfig",
    "FitConfig",
    "InferConfig",
    "LogConfig",
    "Range",
    "RunConfig",
    "SearchConfig",
    "Setting",
    "StudyConfig",
    "Values",
    "WatchConfig",
    "arch_kind",
    "arch_widths",
    "complete_settings",
    "differences",
    "fit_config",
    "format_arch",
    "format_value",
    "kept_settings",
    "list_settings",
    "parse_arch",
    "parse_range",
    "parse_size",
    "parse_tune",
    "read_arch",
    "read_toml",
    "read_value",
    "split_hub",
    "split_source",
    "study_config",
    "to_dict",
]
