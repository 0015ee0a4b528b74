"""Running a study: one population for all its runs, moved on in portions of about half a second."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from autodecoder.config import METRICS, StudyConfig
from autodecoder.core.decoder import decode
from autodecoder.core.fit import EPOCH_METRICS, Images, RunState
from autodecoder.core.infer import Inference, infer_latents
from autodecoder.core.latents import fit_pca, pca_scores
from autodecoder.core.population import (
    Population,
    advance,
    init_population,
    study_runs,
    take_run,
)
from autodecoder.core.scaling import to_unit
from autodecoder.data import Dataset, load_dataset, subset
from autodecoder.errors import ConfigError, MemoryLimitError
from autodecoder.study.results import BestRun, Execution, StudyResult, Trial, rank, sign

#: How long the program runs before the host looks up: for progress, and for interruption.
_PORTION_SECONDS = 0.5
#: Images in each grid of reconstructions.
_N_SHOWN = 20


@dataclass(frozen=True)
class Progress:
    """How far a study has come."""

    stage: str
    """`compile`, `fit` or `fresh validation`."""
    done: int
    total: int
    """Epochs of all runs together while fitting, runs while validating."""
    epoch: int = 0
    """Epochs that every run has done."""
    loss: float = float("nan")
    """Training loss of the run that has the least of it."""
    val_loss: float = float("nan")
    """Co-trained validation loss, likewise."""


def load_study_data(config: StudyConfig, *, progress: bool = False) -> Dataset:
    """Load the images of a study: the configured share of its data set.

    Raises
    ------
    ConfigError
        If a batch would be larger than the training set.
    DataError
        If the data set cannot be had.
    """
    whole = load_dataset(config.data.dataset, data_dir=config.data.data_dir, progress=progress)
    dataset = subset(whole, config.data.examples_frac, seed=config.seed)
    if config.fit.batch_size > len(dataset.train):
        raise ConfigError(
            f"batch_size must not exceed the number of training images, {len(dataset.train)} "
            f"({config.data.dataset} with examples_frac {config.data.examples_frac:g}), "
            f"got {config.fit.batch_size}."
        )
    return dataset


def run_study(
    config: StudyConfig,
    dataset: Dataset,
    *,
    report: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> StudyResult:
    """Run every trial of a study, each `executions_per_trial` times, and rank them.

    Parameters
    ----------
    config : StudyConfig
    dataset : Dataset
        From `load_study_data`.
    report : callable
        Told how far the study has come, about twice a second.
    should_stop : callable
        Asked as often; when it says yes, the study ends with the epochs done so far, without
        fresh validation.

    Raises
    ------
    MemoryLimitError
        If the device has too little memory.
    """
    with contextlib.nullcontext() if config.use_xla else jax.disable_jit():
        try:
            return _run(config, dataset, report, should_stop)
        except (MemoryError, jax.errors.JaxRuntimeError) as error:
            if not re.search("out of memory|RESOURCE_EXHAUSTED", str(error), re.IGNORECASE):
                raise
            raise MemoryLimitError(
                "the study needs more memory than there is; lower arch, latent_dims, "
                "executions_per_trial or examples_frac."
            ) from error


def _run(
    config: StudyConfig,
    dataset: Dataset,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> StudyResult:
    images = Images(jnp.asarray(dataset.train.flat), jnp.asarray(dataset.val.flat))
    clock = _Clock()

    report(Progress("compile", 0, 1))
    with clock.time("compile"):
        population = _start(config, images)
        population = _advance(population, images, config, (0, 1, 0))
    with clock.time("fit"):
        population, epochs = _fit(population, images, config, report, should_stop)
    interrupted = bool(epochs.min() < config.fit.num_epochs)
    with clock.time("fresh_validation"):
        inferences: list[Inference | None] = [None] * len(population)
        for i in range(len(population)):
            if interrupted or should_stop():
                interrupted = True
                break
            report(Progress("fresh validation", i, len(population), epoch=int(epochs.min())))
            inferences[i] = _validate(take_run(population.states, i), images, config)
            jax.block_until_ready(inferences[i])

    metric = config.metric.removeprefix("fresh_") if interrupted else config.metric
    executions = _executions(population, epochs, inferences, config, metric)
    n = config.executions_per_trial
    trials = [
        Trial(f"lr-{rate!r}", rate, tuple(executions[k * n : (k + 1) * n]))
        for k, rate in enumerate(config.learning_rates)
    ]
    ranked = rank(trials, metric)
    best_run = None
    for trial, execution in _runs_best_first(ranked, metric):
        i = trials.index(trial) * n + execution
        state = take_run(population.states, i)
        if jnp.isfinite(state.train.values).all():
            best_run = _best_run(state, inferences[i], dataset, config, trial, execution)
            break
    return StudyResult(config, dataset, metric, ranked, best_run, clock.seconds, interrupted)


def _runs_best_first(ranked: tuple[Trial, ...], metric: str) -> Iterator[tuple[Trial, int]]:
    """Executions that did not diverge, of the best trial first, and in it the best first."""
    for trial in ranked:
        badness = [sign(metric) * execution.best for execution in trial.executions]
        for k in np.argsort(badness):
            if np.isfinite(badness[k]) and trial.executions[k].status != "diverged":
                yield trial, int(k)


class _Clock:
    """Wall-clock seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def time(self, stage: str):
        start = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - start


def _start(config: StudyConfig, images: Images) -> Population:
    scores = None
    if config.fit.latent_start == "pca":
        pca = fit_pca(images.train, n_components=config.decoder.latent_dims)
        scores = (pca_scores(pca, images.train), pca_scores(pca, images.val))
    keys, rates = study_runs(
        jax.random.key(config.seed),
        config.learning_rates,
        config.executions_per_trial,
        config.fit,
    )
    return init_population(
        keys,
        rates,
        images,
        scores,
        decoder_config=config.decoder,
        fit=config.fit,
        scaler=config.data.scaler,
    )


def _advance(
    population: Population, images: Images, config: StudyConfig, portion: tuple[int, int, int]
) -> Population:
    moved = advance(
        population,
        images,
        *portion,
        fit=config.fit,
        scaler=config.data.scaler,
        side_by_side=_side_by_side(),
    )
    return jax.block_until_ready(moved)


def _side_by_side() -> bool:
    return jax.default_backend() != "cpu"


def _fit(
    population: Population,
    images: Images,
    config: StudyConfig,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> tuple[Population, np.ndarray]:
    """Move all runs to their last epoch, row by row of epochs, unless told to stop.

    Returns the population and how many epochs each run has done.
    """
    epochs = np.zeros(len(population), dtype=int)
    num_epochs = config.fit.num_epochs
    pace = _PORTION_SECONDS  # seconds an epoch of one run takes; the first portion is one epoch
    while epochs.min() < num_epochs and not should_stop():
        first, count, n_epochs = _portion(epochs, num_epochs, pace)
        start = time.perf_counter()
        population = _advance(population, images, config, (first, count, n_epochs))
        pace = (time.perf_counter() - start) / (count * n_epochs)
        epochs[first : first + count] += n_epochs
        report(
            Progress(
                "fit",
                int(epochs.sum()),
                num_epochs * len(epochs),
                epoch=int(epochs.min()),
                loss=_least(population.histories["loss"], epochs),
                val_loss=_least(population.histories["val_loss"], epochs),
            )
        )
    return population, epochs


def _portion(epochs: np.ndarray, num_epochs: int, pace: float) -> tuple[int, int, int]:
    """The next runs to move (first, how many) and by how many epochs.

    Runs that are behind catch up first, so that all stand at the same epoch again.
    """
    behind = np.flatnonzero(epochs == epochs.min())
    affordable = int(_PORTION_SECONDS / pace)
    if _side_by_side():
        return 0, len(epochs), int(np.clip(affordable, 1, num_epochs - epochs.min()))
    if affordable < len(epochs) or len(behind) < len(epochs):
        return int(behind[0]), int(np.clip(affordable, 1, len(behind))), 1
    n_epochs = affordable // len(epochs)
    return 0, len(epochs), int(np.clip(n_epochs, 1, num_epochs - epochs.min()))


def _least(history: jax.Array, epochs: np.ndarray) -> float:
    last = [float(row[n - 1]) for row, n in zip(np.asarray(history), epochs, strict=True) if n]
    finite = [value for value in last if np.isfinite(value)]
    return min(finite, default=float("nan"))


def _validate(state: RunState, images: Images, config: StudyConfig) -> Inference:
    """Fresh validation: latents of the validation images, inferred on the final decoder."""
    n_train = len(images.train)
    n_candidates = min(config.infer.n_candidates, n_train)
    drawn = jax.random.permutation(jax.random.fold_in(state.key, config.fit.num_epochs), n_train)
    return infer_latents(
        state.decoder,
        images.val,
        state.train.values[drawn[:n_candidates]],
        scaler=config.data.scaler,
        config=config.infer,
    )


def _executions(
    population: Population,
    epochs: np.ndarray,
    inferences: list[Inference | None],
    config: StudyConfig,
    metric: str,
) -> list[Execution]:
    histories = {name: np.asarray(population.histories[name]) for name in EPOCH_METRICS}
    executions = []
    for i, (n_epochs, inference) in enumerate(zip(epochs, inferences, strict=True)):
        history = {name: values[i, :n_epochs] for name, values in histories.items()}
        for name in METRICS:
            if name.startswith("fresh_val_"):
                history[name] = np.full(n_epochs, np.nan, dtype=np.float32)
                if inference is not None:
                    errors = getattr(inference.errors, name.removeprefix("fresh_val_"))
                    history[name][-1] = np.asarray(errors).mean()
        executions.append(Execution(history, metric, config.fit.num_epochs))
    return executions


def _best_run(
    state: RunState,
    inference: Inference | None,
    dataset: Dataset,
    config: StudyConfig,
    trial: Trial,
    execution: int,
) -> BestRun:
    train_latents = state.train.values
    val_latents = state.val.values if inference is None else inference.latents
    shown, reconstructions = [], []
    for labels, latents in (
        (dataset.train.labels, train_latents),
        (dataset.val.labels, val_latents),
    ):
        indices = _choose_shown(labels)
        outputs = to_unit(decode(state.decoder, latents[indices]), config.data.scaler)
        shown.append(indices)
        reconstructions.append(np.rint(np.nan_to_num(np.asarray(outputs)) * 255).astype(np.uint8))
    return BestRun(
        trial.trial_id,
        execution,
        np.asarray(train_latents),
        np.asarray(val_latents),
        "co-trained" if inference is None else "fresh",
        shown[0],
        reconstructions[0],
        shown[1],
        reconstructions[1],
    )


def _choose_shown(labels: np.ndarray) -> np.ndarray:
    """The first images of each class in turn: every class is seen before one is seen twice."""
    order = np.argsort(labels, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(labels[order]) > 0])
    position = np.arange(len(labels)) - np.repeat(starts, np.diff(np.r_[starts, len(labels)]))
    turn = np.lexsort((labels[order], position))
    return order[turn][:_N_SHOWN]
