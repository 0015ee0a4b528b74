"""All settings of a study, and the static settings of one run."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from autodecoder.config.fit import LOSSES, STARTS_FROM_IMAGES, FitConfig, check_loss
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

#: Recorded metrics, and whether less or more of each is better.
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
#: Metrics that may rank trials: `METRICS`, and the other losses, which are recorded only if the fit
#: minimises them.
OBJECTIVES = MappingProxyType(
    {**METRICS, **{f"{part}{loss}": "min" for loss in LOSSES[1:] for part in ("", "val_")}}
)
#: Other accepted names of two metrics.
METRIC_ALIASES = MappingProxyType({"error": "loss", "val_error": "val_loss"})

#: Grid cells that are checked before anything runs.
_CELLS_CHECKED = 10_000


@dataclass(frozen=True)
class WatchConfig:
    """The metric that is watched in a run, epoch by epoch, and the rule for stopping."""

    metric: str = "val_loss"
    patience: int | None = None
    """Epochs without improvement after which the run ends; `None` disables the rule."""
    min_delta: float = 1e-4
    start_epoch: int = 0
    keep_best: bool = False
    """Keep decoder and latents of the best epoch."""


@dataclass(frozen=True)
class RunConfig:
    """Static settings of a run. It is hashable: runs with equal configs share a program."""

    decoder: DecoderConfig
    fit: FitConfig
    """Its `latent_learning_rate` is ignored, since learning rates are traced."""
    scaler: str
    image_shape: tuple[int, int, int]
    """Height, width and channels."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    track_gradients: bool = False

    def __post_init__(self) -> None:
        check_loss(self.fit.loss, self.scaler)
        self.fit.check_codes()


@dataclass(frozen=True)
class StudyConfig(Settings):
    """One study: its trials, the executions of each, and the metric that ranks them."""

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
        "default val_loss, or loss without validation images.",
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
        "Seed of all random numbers. If none is given, the command line draws one and records it.",
        original="random seed",
        group="Search",
        check=check_seed,
    )
    use_xla: bool = setting(
        True,
        "Optimise the program with XLA. Off is for debugging and takes about twice as long on a "
        "CPU.",
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
            fit.check_codes()
            if fit.start_for(decoder.latent_dims) in STARTS_FROM_IMAGES:
                idle.discard("latent_spread")
            if decoder.use_bias:
                idle.discard("bias_spread")
        for name in sorted(idle):
            where = {
                "latent_spread": "starts pca, som and neighbours",
                "bias_spread": "decoders with biases",
            }
            raise ConfigError(
                f"{name} is searched, but affects only {where[name]}, and no trial has one."
            )

    @property
    def metric(self) -> str:
        """The recorded metric that the objective names."""
        objective = "val_loss" if self.objective is None else self.objective
        return METRIC_ALIASES.get(objective, objective)

    def with_objective(self, n_val: int) -> "StudyConfig":
        """The same configuration with the default objective filled in, if none is given.

        Raises
        ------
        ConfigError
            If the objective needs validation images and `n_val` is 0.
        """
        if n_val == 0 and self.objective is not None and "val_" in self.metric:
            raise ConfigError(
                "objective must be a metric of training if there are no validation images: loss, "
                f"mae or psnr, got {self.objective}."
            )
        if self.objective is not None:
            return self
        return replace(self, objective="val_loss" if n_val else "loss")

    @property
    def epoch_metric(self) -> str:
        """The metric watched every epoch: the objective, or its co-trained counterpart if the
        objective is a fresh one."""
        return self.metric.removeprefix("fresh_")

    @property
    def searched(self) -> tuple[str, ...]:
        """Settings that differ between trials; the learning rate is always included."""
        return tuple(
            name
            for name, values in self.search.space.items()
            if name == "learning_rate" or isinstance(values, Range) or len(values) > 1
        )

    def parts(self, values: Mapping[str, Any]) -> tuple[DecoderConfig, FitConfig]:
        """Decoder and fit of the trial with these values of the searched settings."""
        return apply_values(values, self.decoder, self.fit)

    def run_config(self, values: Mapping[str, Any], image_shape: tuple[int, int, int]) -> RunConfig:
        """Static settings of the runs of the trial with these values."""
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
        # A fresh objective is known only after the last epoch, so that epoch counts as the best.
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
