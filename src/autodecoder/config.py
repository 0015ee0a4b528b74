"""Every setting, grouped by the stage that it steers; checked once, when it is made.

The dataclasses are frozen and hashable: `DecoderConfig` and `FitConfig` hold only static values, so
that they can key a compiled program. Learning rates and seeds, which a search varies without a new
compilation, live in `StudyConfig`.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from autodecoder.errors import ConfigError

DATASETS = ("digits", "mnist", "fmnist", "cifar10", "cifar100")
SCALERS = ("standard", "zero_one", "identity")
ACTIVATIONS = (
    "relu",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "tanh",
    "sigmoid",
    "softplus",
    "swish",
    "silu",
    "mish",
)
LATENT_STARTS = ("zeros", "normal", "pca")
SCHEDULES = ("constant", "cosine")

# Normal numbers of single precision, in which all training runs.
_FLOAT32_LEAST, _FLOAT32_MOST = 1.2e-38, 3.4e38

#: The learning rates searched when none is given.
LEARNING_RATE_GRID = (1e-4, 1e-3, 1e-2, 1e-1)

#: Recorded metrics and whether less or more of each is better.
METRICS = MappingProxyType(
    {
        "loss": "min",
        "mae": "min",
        "psnr": "max",
        "val_loss": "min",
        "val_mae": "min",
        "val_psnr": "max",
        "fresh_val_loss": "min",
        "fresh_val_mae": "min",
        "fresh_val_psnr": "max",
    }
)
#: Other names under which two of them are accepted.
METRIC_ALIASES = MappingProxyType({"error": "loss", "val_error": "val_loss"})

#: A recipe is nothing but a named set of values of `FitConfig`.
RECIPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "original": MappingProxyType(
            {
                "latent_start": "zeros",
                "latent_learning_rate": None,
                "schedule": "constant",
                "drop_last": True,
            }
        ),
    }
)


@dataclass(frozen=True)
class DataConfig:
    """Which images, how many of them, and how their pixels are scaled."""

    dataset: str = "digits"
    data_dir: Path | None = None
    examples_frac: float = 0.5
    """Share of the training and of the validation images to use; 0 and 1 both mean all of them."""
    scaler: str = "standard"

    def __post_init__(self) -> None:
        _check_choice("dataset", self.dataset, DATASETS)
        _check_choice("scaler", self.scaler, SCALERS)
        _check_number("examples_frac", self.examples_frac)
        if not 0 <= self.examples_frac <= 1:
            raise ConfigError(
                f"examples_frac must lie between 0 and 1 (both ends mean all images), "
                f"got {self.examples_frac}."
            )


@dataclass(frozen=True)
class DecoderConfig:
    """The fully connected decoder: its widths from the latents to the last hidden layer."""

    arch: tuple[int, ...] = (128, 256, 512)
    latent_dims: int = 2
    activation: str = "leaky_relu"
    batch_norm: bool = True
    use_bias: bool = True
    dropout_rate: float = 0.0

    def __post_init__(self) -> None:
        if not self.arch:
            raise ConfigError("arch must name at least one hidden layer, for example 500-500.")
        for width in self.arch:
            _check_positive_int("each width of arch", width)
        _check_positive_int("latent_dims", self.latent_dims, most=100_000)
        _check_choice("activation", self.activation, ACTIVATIONS)
        _check_number("dropout_rate", self.dropout_rate)
        if not 0 <= self.dropout_rate < 1:
            raise ConfigError(
                f"dropout_rate must be at least 0 and below 1, got {self.dropout_rate}."
            )


@dataclass(frozen=True)
class FitConfig:
    """The joint fit of decoder and latents, without the values that a search varies freely."""

    num_epochs: int = 300
    batch_size: int = 128
    latent_start: str = "zeros"
    """`zeros`; `normal`, draws of standard deviation 0.1; `pca`, principal component scores of the
    images, scaled to unit variance."""
    latent_learning_rate: float | None = None
    """Step size of the latents; `None` uses the decoder's."""
    schedule: str = "constant"
    """`constant`, or `cosine`: both step sizes fall from their full value to 0 over the fit."""
    drop_last: bool = True
    """Leave out the images of an epoch that do not fill a batch (others in each epoch)."""

    def __post_init__(self) -> None:
        _check_positive_int("num_epochs", self.num_epochs, most=1_000_000)
        _check_positive_int("batch_size", self.batch_size)
        _check_choice("latent_start", self.latent_start, LATENT_STARTS)
        _check_choice("schedule", self.schedule, SCHEDULES)
        if self.latent_learning_rate is not None:
            _check_learning_rate("latent_learning_rate", self.latent_learning_rate)


@dataclass(frozen=True)
class InferConfig:
    """Latent inference by Adam from the nearest decoded candidate."""

    n_candidates: int = 1000
    """How many training latents are decoded in the search for starts."""
    n_steps: int = 40
    step_size: float = 0.05
    """First step of the cosine decay, in standard deviations of the candidates."""
    block_size: int = 1000
    """Images placed at once: a bound on memory, without influence on the result."""

    def __post_init__(self) -> None:
        _check_positive_int("n_candidates", self.n_candidates)
        _check_positive_int("n_steps", self.n_steps)
        _check_learning_rate("step_size", self.step_size)
        _check_positive_int("block_size", self.block_size)


@dataclass(frozen=True)
class StudyConfig:
    """One study: the trials to run, how often each, and the metric that ranks them."""

    data: DataConfig = field(default_factory=DataConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    infer: InferConfig = field(default_factory=InferConfig)
    objective: str = "val_loss"
    learning_rates: tuple[float, ...] = LEARNING_RATE_GRID
    executions_per_trial: int = 3
    seed: int = 0
    use_xla: bool = True

    def __post_init__(self) -> None:
        _check_choice("objective", self.objective, (*METRICS, *METRIC_ALIASES))
        if not self.learning_rates:
            raise ConfigError("learning_rates must hold at least one value.")
        for learning_rate in self.learning_rates:
            _check_learning_rate("learning_rate", learning_rate)
        if len(set(self.learning_rates)) < len(self.learning_rates):
            raise ConfigError(f"learning_rates must differ, got {self.learning_rates}.")
        _check_positive_int("executions_per_trial", self.executions_per_trial, most=10_000)
        if self.decoder.batch_norm and self.fit.batch_size == 1:
            raise ConfigError(
                "batch_size must be at least 2 with batch normalisation, which compares the images "
                "of a batch, got 1."
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ConfigError(f"seed must be a whole number, got {self.seed!r}.")
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"seed must lie between 0 and 4294967295, got {self.seed}.")

    @property
    def metric(self) -> str:
        """The recorded metric that the objective names."""
        return METRIC_ALIASES.get(self.objective, self.objective)


def parse_arch(text: str) -> tuple[int, ...]:
    """Read widths written as `500-500`.

    Raises
    ------
    ConfigError
        If a part is no positive whole number.

    Examples
    --------
    >>> parse_arch("128-256-512")
    (128, 256, 512)
    """
    parts = text.strip().split("-")
    if not all(re.fullmatch(r"0*[1-9][0-9]{0,5}", part) for part in parts):
        raise ConfigError(
            "arch must be layer widths from 1 to 999999 joined by single hyphens, "
            f"for example 500-500, got {text!r}."
        )
    return tuple(int(part) for part in parts)


def fit_config(recipe: str, **values: Any) -> FitConfig:
    """Build a `FitConfig` from a recipe; values given by name win over the recipe's.

    Raises
    ------
    ConfigError
        If no recipe has that name, or a value breaks its rule.
    """
    _check_choice("recipe", recipe, RECIPES)
    return FitConfig(**{**RECIPES[recipe], **values})


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a configuration into plain values that JSON can hold."""
    return {f.name: _plain(getattr(config, f.name)) for f in fields(config)}


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return to_dict(value)
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def _check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    choices = tuple(choices)
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {value!r}.")


def _check_number(name: str, value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, got {value!r}.")


def _check_positive_int(name: str, value: int, most: int = 2**31 - 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} must be a positive whole number, got {value!r}.")
    if value > most:
        raise ConfigError(f"{name} must be at most {most}, got {value}.")


def _check_learning_rate(name: str, value: float) -> None:
    _check_number(name, value)
    if value <= 0:
        raise ConfigError(f"{name} must be greater than 0, got {value}.")
    if not _FLOAT32_LEAST <= value <= _FLOAT32_MOST:
        raise ConfigError(f"{name} must be a number of single precision, got {value}.")
