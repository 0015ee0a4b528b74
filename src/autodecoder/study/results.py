"""What a study found: executions, trials, and their ranking."""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, UInt8

from autodecoder.config import METRICS, StudyConfig
from autodecoder.data import Dataset


@dataclass(frozen=True, eq=False)
class Execution:
    """One run: its history, and the objective's best value in it.

    Parameters
    ----------
    history : dict of (epochs,) arrays
        One value an epoch for each recorded metric, as far as the run came. Metrics of the fresh
        protocol are not a number in epochs after which it was not evaluated.
    metric : str
        The recorded metric that is the objective.
    num_epochs : int
        How many epochs the run should have had.
    """

    history: dict[str, Float[np.ndarray, " epochs"]]
    metric: str
    num_epochs: int

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return len(self.history["loss"])

    @property
    def status(self) -> str:
        """`finished`, `interrupted`, or `diverged` where a loss ceased to be a finite number."""
        if not all(np.isfinite(self.history[name]).all() for name in ("loss", "val_loss")):
            return "diverged"
        return "finished" if self.epochs == self.num_epochs else "interrupted"

    @cached_property
    def best_epoch(self) -> int | None:
        """The epoch, counted from 1, of the objective's best value; `None` if it has none."""
        badness = sign(self.metric) * self.history[self.metric]
        badness = np.where(np.isfinite(badness), badness, np.inf)
        if not np.isfinite(badness).any():
            return None
        return int(np.argmin(badness)) + 1

    @property
    def best(self) -> float:
        """The objective's best value over the epochs; not a number if it has none."""
        if self.best_epoch is None:
            return math.nan
        return float(self.history[self.metric][self.best_epoch - 1])


@dataclass(frozen=True, eq=False)
class Trial:
    """One hyperparameter configuration, run once or several times."""

    trial_id: str
    learning_rate: float
    executions: tuple[Execution, ...]

    @property
    def score(self) -> float:
        """Mean over the executions begun of each one's best value; not a number if one has none."""
        return float(np.mean(self._bests)) if self._bests else math.nan

    @property
    def spread(self) -> float:
        """Standard deviation of those values over the executions (0 for a single one)."""
        return float(np.std(self._bests)) if self._bests else math.nan

    @property
    def _bests(self) -> list[float]:
        """Interrupted within the first epoch, some executions have not begun: they do not count."""
        return [execution.best for execution in self.executions if execution.epochs]


@dataclass(frozen=True, eq=False)
class BestRun:
    """The run behind the pictures: the best execution of the best trial.

    Latents are `(n, latent_dims)`, reconstructions `(n, n_pixels)` uint8 of a few images each.
    """

    trial_id: str
    execution: int
    train_latents: Float[np.ndarray, "n_train dims"]
    val_latents: Float[np.ndarray, "n_val dims"]
    val_protocol: str
    """Where the validation latents come from: `fresh`, or `co-trained` if interrupted."""
    train_shown: np.ndarray
    """Indices of the training images reconstructed."""
    train_reconstructions: UInt8[np.ndarray, "train_shown pixels"]
    val_shown: np.ndarray
    val_reconstructions: UInt8[np.ndarray, "val_shown pixels"]


@dataclass(frozen=True, eq=False)
class StudyResult:
    """A study that ended, by itself or by interruption."""

    config: StudyConfig
    dataset: Dataset
    metric: str
    """What ranked the trials: the objective, or its co-trained counterpart where the objective is
    fresh and an interruption left it out."""
    trials: tuple[Trial, ...]
    """Best first; trials without a finite score last."""
    best_run: BestRun | None
    """`None` if every run that has a score diverged in the end, or none has one."""
    seconds: dict[str, float]
    """Wall-clock time of `compile`, `fit` and `fresh_validation`."""
    interrupted: bool


def sign(metric: str) -> int:
    """1 if less of a metric is better, -1 if more is."""
    return 1 if METRICS[metric] == "min" else -1


def rank(trials: list[Trial], metric: str) -> tuple[Trial, ...]:
    """Best first; trials without a finite score last, in the order given."""

    def badness(trial: Trial) -> float:
        return sign(metric) * trial.score if math.isfinite(trial.score) else math.inf

    return tuple(sorted(trials, key=badness))
