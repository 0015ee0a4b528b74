"""Running claimed trials of one shape: one population, moved on in portions of half a second.

Between portions the host looks up: it records metrics, shows snapshots, writes checkpoints, drops
runs that have ended, and asks whether to stop. How the work is portioned has no influence on a
result.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from autodecoder.config import METRICS, RunConfig, StudyConfig
from autodecoder.core.epoch import LearningRates
from autodecoder.core.fit import (
    FRESH_METRICS,
    Images,
    Run,
    Snapshot,
    find_starts,
    history_names,
    take_snapshot,
)
from autodecoder.core.losses import criterion_of
from autodecoder.core.population import Population, init_population, take_run
from autodecoder.core.watch import RUNNING
from autodecoder.model.devices import Devices
from autodecoder.model.driver import Driver
from autodecoder.study.checkpoint import load_checkpoint, save_checkpoint
from autodecoder.study.ledger import Claim
from autodecoder.study.observer import Observer, RunInfo
from autodecoder.study.records import execution_folder, write_history
from autodecoder.study.results import UNFINISHED, Execution
from autodecoder.study.validate import fresh_metrics, validate_fresh

_log = logging.getLogger(__name__)

#: Longest interval between checkpoints. Shorter ones wait at least this many times as long as the
#: last write took, so that checkpoints of large decoders cost a small share of the time.
CHECKPOINT_SECONDS = 60.0
_CHECKPOINT_PAUSE = 10.0


@dataclass(frozen=True)
class Progress:
    """How far a group of trials has come."""

    stage: str
    """`compile`, `fit`, `fresh validation`, or `wait` for other processes."""
    done: int
    total: int
    """Epochs of all runs together while fitting, runs while validating."""
    epoch: int = 0
    """Epochs that every run under way has done."""
    num_epochs: int = 0
    loss: float = float("nan")
    """Training loss of the run that has the least of it."""
    val_loss: float = float("nan")
    """Co-trained validation loss, likewise."""


@dataclass(eq=False)
class Slot:
    """The host's notes on one run of a population."""

    info: RunInfo
    epoch: int = 0
    status: int = RUNNING
    seconds: float = 0.0
    recorded: int = 0
    """Last epoch that the observers know of."""
    shown: int = 0
    """Last epoch whose snapshot they have seen."""
    validated: int = 0
    """Last epoch whose fresh validation is noted."""
    saved: int = 0
    """Epoch of the last checkpoint."""
    settled: bool = False
    """Whether its result is written, and nothing is left to do."""

    @property
    def ended(self) -> bool:
        """Whether no epoch is left to do."""
        return self.status != RUNNING or self.epoch == self.info.config.fit.num_epochs


class Group:
    """A population under way.

    Parameters
    ----------
    config : StudyConfig
    images : Images
    infos : sequence of RunInfo
        The runs; they share one `RunConfig`.
    devices : Devices
    observers : sequence of Observer
    report, should_stop : callable
        As in `run_study`.
    settle : callable
        What to do with a run that has ended: given its slot and itself.
    keep : callable
        What to do with the state of a run at the best epoch so far by a fresh objective.
    """

    def __init__(
        self,
        config: StudyConfig,
        images: Images,
        infos: Sequence[RunInfo],
        *,
        devices: Devices,
        observers: Sequence[Observer],
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
        settle: Callable[[Slot, Run], None],
        keep: Callable[[Snapshot, RunInfo], None],
    ) -> None:
        self.slots = [Slot(info) for info in infos]
        self._config = config
        self._images = images
        self._run_config = infos[0].config
        self._devices = devices
        self._observers = observers
        self._report = report
        self._should_stop = should_stop
        self._settle_run = settle
        self._keep = keep
        self._total = len(infos) * self._run_config.fit.num_epochs
        self._done = 0  # epochs of runs that are no longer in the population
        self._start()

    def run(self) -> bool:
        """Move all runs to their ends; returns whether it was told to stop before."""
        epochs = self._run_config.fit.num_epochs
        epoch = min(slot.epoch for slot in self.slots)
        self._report(Progress("fit", self._n_done(), self._total, epoch, epochs))
        last_saved, saving = time.monotonic(), 0.0
        while not all(slot.ended for slot in self.slots):
            if self._should_stop():
                return self._stop()
            seconds, driver = self.driver.move(self._next_due), self.driver
            news = zip(self.slots, seconds, driver.epochs, driver.statuses, strict=True)
            for slot, spent, epoch, status in news:
                slot.seconds += float(spent)
                slot.epoch, slot.status = int(epoch), int(status)
            self._tell()
            pause = time.monotonic() - last_saved
            if pause >= _CHECKPOINT_PAUSE * saving and self._is_checkpoint_due(pause):
                start = time.monotonic()
                self._save()
                last_saved = time.monotonic()
                saving = last_saved - start
            # Runs at their last epoch do not count: the others are about to be there, too.
            n_early = sum(slot.status != RUNNING for slot in self.slots)
            if n_early > len(self.slots) / 2 and not all(slot.ended for slot in self.slots):
                self._settle_ended()
                self._compact()
        self._save()  # what follows takes its time
        self._settle_ended()
        return self._stop() if self._should_stop() else False

    def _start(self) -> None:
        """Compile, and bring every run to its last checkpoint."""
        self._report(Progress("compile", 0, 1))
        infos = [slot.info for slot in self.slots]
        key = jax.random.key(self._config.seed)
        executions = np.asarray([info.execution for info in infos], np.uint32)
        rates = learning_rates(self._config, infos)
        starts = find_starts(self._images, self._run_config)
        population = init_population(key, executions, rates, self._images, starts, self._run_config)
        self.driver = Driver(
            self._restore(population),
            self._images,
            self._run_config,
            optimised=self._config.use_xla,
            devices=self._devices,
        )
        for slot in self.slots:
            for observer in self._observers:
                observer.begin_run(slot.info, slot.epoch)

    def _restore(self, population: Population) -> Population:
        runs, rates = population
        like = jax.eval_shape(lambda: take_run(runs, 0))
        for i, slot in enumerate(self.slots):
            found = load_checkpoint(slot.info.folder, like)
            if found is None:
                continue
            saved, slot.seconds = found
            runs = jax.tree.map(lambda all_, one, i=i: all_.at[i].set(one), runs, saved)
            slot.epoch = slot.recorded = slot.shown = slot.saved = int(saved.state.epoch)
            slot.validated = slot.epoch
            slot.status = int(saved.watch.status)
        return Population(runs, rates)

    def _next_due(self, epoch: int) -> int:
        log = self._config.log
        fresh_every = self._config.infer.fresh_every
        periods = (*_snapshot_periods(self._config), log.checkpoint_every, fresh_every)
        periods = [period for period in periods if period]
        return min([self._run_config.fit.num_epochs, *(epoch - epoch % s + s for s in periods)])

    def _tell(self) -> None:
        histories = self.driver.histories()
        for i, slot in enumerate(self.slots):
            if slot.epoch > slot.recorded:
                news = slice(slot.recorded, slot.epoch)
                metrics = {
                    name: rows[i, news]
                    for name, rows in histories.items()
                    if name not in FRESH_METRICS and (len(self._images.val) or name[:4] != "val_")
                }
                for observer in self._observers:
                    observer.record(slot.info, slot.recorded + 1, metrics)
                slot.recorded = slot.epoch
            if len(self._images.val):
                self._validate(i, slot)
            due = slot.ended or any(
                slot.epoch % s == 0 for s in _snapshot_periods(self._config) if s
            )
            if self._observers and due and slot.epoch > slot.shown:
                snapshot = take_snapshot(self.driver.take(i).state)
                for observer in self._observers:
                    observer.snapshot(slot.info, snapshot, slot.ended)
                slot.shown = slot.epoch
        epochs = [slot.epoch for slot in self.slots]
        self._report(
            Progress(
                "fit",
                self._n_done(),
                self._total,
                epoch=min(slot.epoch for slot in self.slots),
                num_epochs=self._run_config.fit.num_epochs,
                loss=_least(histories["loss"], epochs),
                val_loss=_least(histories["val_loss"], epochs),
            )
        )

    def _validate(self, i: int, slot: Slot) -> None:
        """Evaluate a run under way by the fresh protocol, where that is due."""
        every = self._config.infer.fresh_every
        if not every or slot.ended or slot.epoch % every or slot.epoch == slot.validated:
            return
        run = self.driver.take(i)
        metrics = fresh_metrics(
            validate_fresh(
                run,
                self._images,
                self._config,
                criterion_of(self._run_config),
                self._devices,
            )
        )
        self.driver.note(i, slot.epoch, metrics)
        slot.validated = slot.epoch
        for observer in self._observers:
            observer.record(slot.info, slot.epoch, {n: np.array([v]) for n, v in metrics.items()})
        kept = self._config.log.save_best_model and self._config.metric in FRESH_METRICS
        if kept and unfinished(self._config, slot, self.driver.take(i)).best_epoch == slot.epoch:
            self._keep(take_snapshot(run.state), slot.info)

    def _n_done(self) -> int:
        return self._done + sum(slot.epoch for slot in self.slots)

    def _is_checkpoint_due(self, pause: float) -> bool:
        if pause >= CHECKPOINT_SECONDS:
            return True
        active = [slot for slot in self.slots if not slot.ended]
        every = self._config.log.checkpoint_every
        return any(slot.epoch // every > slot.saved // every for slot in active) and (
            len({slot.epoch for slot in active}) == 1
        )

    def _save(self) -> None:
        """Write a checkpoint, and the history, of every run that has moved since its last one."""
        for i, slot in enumerate(self.slots):
            if slot.epoch > slot.saved and not slot.settled:
                run = self.driver.take(i)
                save_checkpoint(slot.info.folder, run, slot.seconds)
                write_history(slot.info.folder, unfinished(self._config, slot, run))
                slot.saved = slot.epoch

    def _settle_ended(self) -> None:
        for i, slot in enumerate(self.slots):
            if slot.ended and not slot.settled and not self._should_stop():
                self._report(Progress("fresh validation", i, len(self.slots)))
                self._settle_run(slot, self.driver.take(i))
                slot.settled = True

    def _compact(self) -> None:
        """Go on without the runs that are settled."""
        left = [i for i, slot in enumerate(self.slots) if not slot.settled]
        n_gone = len(self.slots) - len(left)
        _log.info("%d of %d runs have ended; the others go on", n_gone, len(self.slots))
        self._done += n_gone * self._run_config.fit.num_epochs
        self.slots = [self.slots[i] for i in left]
        self.driver.select(left)

    def _stop(self) -> bool:
        self._save()
        for slot in self.slots:
            for observer in self._observers if not slot.settled else ():
                observer.end_run(slot.info)
        return True


def run_infos(folder: Path, claims: Sequence[Claim], config: RunConfig, n: int) -> list[RunInfo]:
    """The runs of claimed trials: trials outside, executions inside."""
    return [
        RunInfo(c.trial_id, k, c.values, config, execution_folder(folder, c.trial_id, k))
        for c in claims
        for k in range(n)
    ]


def learning_rates(config: StudyConfig, infos: Sequence[RunInfo]) -> LearningRates:
    """The step sizes of runs, `(runs,)` each."""
    decoder, latents = [], []
    for info in infos:
        rate = info.values["learning_rate"]
        own = config.parts(info.values)[1].latent_learning_rate
        decoder.append(rate)
        latents.append(rate if own is None else own)
    rates = (np.asarray(part, np.float32) for part in (decoder, latents))
    return LearningRates(*map(jax.device_put, rates))


def unfinished(config: StudyConfig, slot: Slot, run: Run) -> Execution:
    """A run under way as an execution."""
    recorded = {name: np.asarray(rows)[: slot.epoch] for name, rows in run.history.items()}
    blank = np.full(slot.epoch, np.nan, np.float32)  # where the fresh protocol has no value yet
    names = dict.fromkeys((*METRICS, *history_names(slot.info.config)))
    history = {name: recorded.get(name, blank).copy() for name in names}
    return Execution(history, config.metric, UNFINISHED, slot.seconds)


def _snapshot_periods(config: StudyConfig) -> tuple[int, int]:
    return config.log.histogram_freq, config.log.visualize_freq


def _least(histories: np.ndarray, epochs: Sequence[int]) -> float:
    last = [float(row[n - 1]) for row, n in zip(histories, epochs, strict=True) if n]
    finite = [value for value in last if np.isfinite(value)]
    return min(finite, default=float("nan"))
