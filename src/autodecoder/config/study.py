"""The whole of a study's settings, and what of them is static in one run."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from autodecoder.config.fit import LOSSES, FitConfig, check_loss
from autodecoder.config.infer import InferConfig
from autodecoder.config.parts import (
    AugmentConfig,
    DataConfig,
    DecoderConfig,
    EarlyStoppingConfig,
    LogConfig,
)
from autodecoder.config.rules import check_seed, one_of, positive_up_to
from autodecoder.config.search import Range, SearchConfig, apply_values
from autodecoder.config.setting import Settings, part, parts_of, setting
from autodecoder.errors import ConfigError
from autodecoder.text import told

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
#: What may rank trials: these, and losses other than the mean squared error, each of which is
#: recorded where it is what a fit minimises.
OBJECTIVES = MappingProxyType(
    {**METRICS, **{f"{part}{loss}": "min" for loss in LOSSES[1:] for part in ("", "val_")}}
)
#: Other names under which two of them are accepted.
METRIC_ALIASES = MappingProxyType({"error": "loss", "val_error": "val_loss"})

#: Cells of a grid that are checked one by one before anything runs.
_CELLS_CHECKED = 10_000


@dataclass(frozen=True)
class WatchConfig:
    """What is watched of a run, epoch by epoch."""

    metric: str = "val_loss"
    patience: int | None = None
    """Epochs without improvement after which the run ends; `None` never ends it."""
    min_delta: float = 1e-4
    start_epoch: int = 0
    keep_best: bool = False
    """Keep decoder and latents of the best epoch."""


@dataclass(frozen=True)
class RunConfig:
    """What is static in a run; hashable, so that runs that share it share a compiled program."""

    decoder: DecoderConfig
    fit: FitConfig
    """Its `latent_learning_rate` is not looked at: rates are traced."""
    scaler: str
    image_shape: tuple[int, int, int]
    """Height, width and channels."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    track_gradients: bool = False

    def __post_init__(self) -> None:
        check_loss(self.fit.loss, self.scaler)


@dataclass(frozen=True)
class StudyConfig(Settings):
    """One study: the trials to run, how often each, and the metric that ranks them."""

    data: DataConfig = part(DataConfig, "Images")
    decoder: DecoderConfig = part(DecoderConfig, "Decoder")
    fit: FitConfig = part(FitConfig, "Joint fit")
    augment: AugmentConfig = part(AugmentConfig, "Images")
    infer: InferConfig = part(InferConfig, "Log")
    early_stopping: EarlyStoppingConfig = part(EarlyStoppingConfig, "Joint fit")
    search: SearchConfig = part(SearchConfig, "Search")
    log: LogConfig = part(LogConfig, "Log")
    objective: str | None = setting(
        None,
        f"Metric that ranks the trials: one of {', '.join((*OBJECTIVES, *METRIC_ALIASES))}; by "
        "default val_loss, or loss where there are no validation images.",
        original="objective",
        group="Search",
        check=one_of((*OBJECTIVES, *METRIC_ALIASES)),
    )
    executions_per_trial: int = setting(
        3,
        "Runs of each trial.",
        original="executions per trial",
        group="Search",
        check=positive_up_to(10_000),
    )
    seed: int = setting(
        0,
        "Whole number from which everything random follows; the command line draws and records "
        "one where none is given.",
        original="random seed",
        group="Search",
        check=check_seed,
    )
    use_xla: bool = setting(
        True,
        "Let XLA optimise the program; without that, on a CPU, it takes about twice as long, for "
        "debugging.",
        original="use xla",
        group="Joint fit",
    )

    def __post_init__(self) -> None:
        for name, kind in parts_of(type(self)).items():
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise ConfigError(f"{name} must be a {kind.__name__}, got {told(value)}.")
        super().__post_init__()
        check_loss(self.fit.loss, self.data.scaler)
        term = self.metric.removeprefix("val_")
        if term in LOSSES and term != self.fit.loss:
            raise ConfigError(
                f"objective {self.metric} needs the loss {term}, got {self.fit.loss}."
            )
        if not self.infer.starts:
            raise ConfigError("infer.starts must name at least one start.")
        idle = {"latent_spread", "bias_spread"} & set(self.searched)
        for values in itertools.islice(self.search.combinations(), _CELLS_CHECKED):
            decoder, fit = self.parts(values)
            decoder.check_drawn()
            if fit.start_for(decoder.latent_dims) in ("pca", "som"):
                idle.discard("latent_spread")
            if decoder.use_bias:
                idle.discard("bias_spread")
        for name in sorted(idle):
            where = {"latent_spread": "starts pca and som", "bias_spread": "decoders with biases"}
            raise ConfigError(
                f"{name} is searched, but matters to {where[name]} only, and no trial has one."
            )

    @property
    def metric(self) -> str:
        """The recorded metric that the objective names."""
        objective = "val_loss" if self.objective is None else self.objective
        return METRIC_ALIASES.get(objective, objective)

    def with_objective(self, n_val: int) -> "StudyConfig":
        """The same with the objective that goes with so many validation images, if none is given.

        Raises
        ------
        ConfigError
            If one is given that they would be needed for.
        """
        if n_val == 0 and self.objective is not None and "val_" in self.metric:
            raise ConfigError(
                f"objective must be a metric of training, as there are no validation images: loss, "
                f"mae or psnr, got {self.objective}."
            )
        if self.objective is not None:
            return self
        return replace(self, objective="val_loss" if n_val else "loss")

    @property
    def epoch_metric(self) -> str:
        """The metric watched every epoch: the objective's, or its co-trained counterpart where
        the objective is fresh."""
        return self.metric.removeprefix("fresh_")

    @property
    def searched(self) -> tuple[str, ...]:
        """Settings that differ between trials; the learning rate always counts."""
        return tuple(
            name
            for name, values in self.search.space.items()
            if name == "learning_rate" or isinstance(values, Range) or len(values) > 1
        )

    def parts(self, values: Mapping[str, Any]) -> tuple[DecoderConfig, FitConfig]:
        """Decoder and fit of the trial in which the searched settings have these values."""
        return apply_values(values, self.decoder, self.fit)

    def run_config(self, values: Mapping[str, Any], image_shape: tuple[int, int, int]) -> RunConfig:
        """What is static in the runs of that trial."""
        decoder, fit = self.parts(values)
        return RunConfig(
            decoder=decoder,
            fit=replace(fit, latent_learning_rate=None),
            scaler=self.data.scaler,
            image_shape=image_shape,
            augment=self.augment,
            watch=self._watch(fit.num_epochs),
            track_gradients="gradients" in self.log.trackers,
        )

    def _watch(self, num_epochs: int) -> WatchConfig:
        # A fresh objective is known after the last epoch only: that epoch is the best.
        keep_best = self.log.save_best_model and self.metric == self.epoch_metric
        rule = self.early_stopping
        if not rule.enabled:
            return WatchConfig(self.epoch_metric, keep_best=keep_best)
        share, start = (0.2, 100) if self.epoch_metric.startswith("val_") else (0.1, 50)
        share = share if rule.patience is None else rule.patience
        return WatchConfig(
            self.epoch_metric,
            patience=max(1, int(share * num_epochs + 1e-9)),  # 0.29 of 100 is 29
            min_delta=rule.min_delta,
            start_epoch=start if rule.start_epoch is None else rule.start_epoch,
            keep_best=keep_best,
        )
