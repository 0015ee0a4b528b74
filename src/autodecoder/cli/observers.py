"""Observers of studies on the command line: TensorBoard files, film, experiment trackers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from autodecoder.cli.flags import GROUPS
from autodecoder.config import StudyConfig

if TYPE_CHECKING:
    from autodecoder.study import Observer


@dataclass(frozen=True, kw_only=True)
class ObserverFlags:
    """Flags for logging runs elsewhere. They are not settings of a study."""

    mlflow: Annotated[
        str | None,
        Parameter(
            group=GROUPS["Log"],
            help="Log every run to MLflow at this tracking URI, for example http://localhost:5000 "
            "or sqlite:///mlflow.db.",
        ),
    ] = None
    wandb: Annotated[
        str | None,
        Parameter(
            group=GROUPS["Log"],
            help="Log every run to this Weights & Biases project. Without an API key, runs are "
            "logged offline.",
        ),
    ] = None


def make_observers(config: StudyConfig, flags: ObserverFlags) -> "list[Observer]":
    """Make the observers that the settings and flags request.

    Raises
    ------
    ConfigError
        If a tracker is not installed or does not answer.
    """
    observers: list[Observer] = []
    if config.log.tensorboard:
        from autodecoder.report.tensorboard import TensorBoardWriter

        observers.append(TensorBoardWriter())
    if config.log.visualize_freq:
        from autodecoder.report.film import FilmWriter

        observers.append(FilmWriter())
    if flags.mlflow is not None:
        from autodecoder.report.mlflow import MLflowLogger

        observers.append(MLflowLogger(flags.mlflow))
    if flags.wandb is not None:
        from autodecoder.report.wandb import WandbLogger

        observers.append(WandbLogger(flags.wandb))
    return observers
