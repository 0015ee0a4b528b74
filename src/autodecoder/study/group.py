"""Running a group of claimed trials of one shape: one population, moved in steps of half a second.

Between steps the host emits metrics, snapshots and checkpoints, drops ended runs, and checks
whether to stop. The division into steps does not affect results.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autodecoder.config import METRICS, StudyConfig
from autodecoder.core.fit import FRESH_METRICS, history_names
from autodecoder.core.infer import Inference
from autodecoder.core.losses import criterion_of
from autodecoder.core.runs import Images, Run, Snapshot, take_snapshot
from autodecoder.core.watch import DIVERGED as RUN_DIVERGED
from autodecoder.core.watch import PRUNED as RUN_PRUNED
from autodecoder.core.watch import RUNNING
from autodecoder.core.watch import STOPPED as RUN_STOPPED
from autodecoder.data.dataset import shown_rows
from autodecoder.model.devices import Devices
from autodecoder.model.memory import check_memory
from autodecoder.model.team import ALONE, Team
from autodecoder.study.checkpoint import Saved, write_shard
from autodecoder.study.drivers import Checkpoints, open_driver
from autodecoder.study.events import (
    Began,
    BestSoFar,
    Checkpoint,
    Ended,
    Event,
    Left,
    Progress,
    Recorded,
    Snapped,
)
from autodecoder.study.job import Job
from autodecoder.study.observer import frame_period
from autodecoder.study.pruning import Pruning
from autodecoder.study.results import (
    DIVERGED,
    FINISHED,
    PRUNED,
    STOPPED,
    UNFINISHED,
    Execution,
)
from autodecoder.study.slot import Slot
from autodecoder.study.validate import fresh_metrics, validate_fresh

_log = logging.getLogger(__name__)

#: Longest interval between checkpoints. Shorter ones wait at least this many times as long as the
#: last write took, so that checkpoints of large decoders cost a small share of the time.
CHECKPOINT_SECONDS = 60.0
_CHECKPOINT_PAUSE = 10.0


class Group:
    """A population of runs.

    Parameters
    ----------
    job : Job
    images : Images
    devices : Devices
    checkpoints : callable
        Returns the checkpoints of a run, newest first.
    should_stop : callable
        As in `run_study`.
    team : Team, optional
        The processes that own these devices. Each runs a group with the same job. The leader's
        events are complete.
    rows : str, optional
        Storage of the training images' rows if the images are streamed (see `model.memory`). By
        default everything is on the devices. With `disk`, rows are files in the folders of the
        runs. These, and parts of checkpoints, are the only files that a group writes.
    """

    def __init__(
        self,
        job: Job,
        images: Images,
        *,
        devices: Devices,
        checkpoints: Checkpoints,
        should_stop: Callable[[], bool],
        team: Team = ALONE,
        rows: str | None = None,
    ) -> None:
        self._team = team
        self._rows = rows
        self._in_parts = team is not ALONE and len(devices.chosen) > 1
        """Whether checkpoints are written in parts."""
        self._slots = [Slot(info) for info in job.infos]
        self._config = job.config
        self._is_observed = job.is_observed
        self._images = images
        self._run_config = job.infos[0].config
        self._devices = devices
        self._checkpoints = checkpoints
        self._should_stop = should_stop
        self._total = len(job.infos) * self._run_config.fit.num_epochs
        self._pruning: Pruning | None = None
        if job.config.search.prune is not None:
            metric, num_epochs = job.config.epoch_metric, self._run_config.fit.num_epochs
            self._pruning = Pruning(job.config.search.prune, metric, num_epochs, job.known)
        self._done = 0  # epochs of runs that have left the population
        self._driver: Any = None
        """A `Driver` or a `StreamDriver`."""

    def run(self) -> Iterator[Event]:
        """Move all runs until they end, or until it is told to stop."""
        try:
            yield from self._run()
        finally:
            if self._driver is not None:
                self._driver.close()

    def _run(self) -> Iterator[Event]:
        n = len(self._slots)
        lower = ["executions_per_trial"] if n > 1 else []
        if len({slot.info.trial_id for slot in self._slots}) > 1:
            lower = ["runs_at_once"]
        check_memory(self._run_config, len(self._images.train), n, lower)
        yield from self._start()
        epochs = self._run_config.fit.num_epochs
        epoch = min(slot.epoch for slot in self._slots)
        yield Progress("fit", self._n_done(), self._total, epoch, epochs)
        last_saved, saving = time.monotonic(), 0.0
        while not all(slot.ended for slot in self._slots):
            if self._is_told_to_stop():
                yield from self._stop()
                return
            seconds, driver = self._driver.move(self._next_due), self._driver
            news = zip(self._slots, seconds, driver.epochs, driver.statuses, strict=True)
            for slot, spent, epoch, status in news:
                slot.seconds += float(spent)
                slot.epoch, slot.status = int(epoch), int(status)
            self._prune()
            yield from self._tell()
            yield from self._settle_ended(RUN_PRUNED)
            pause = time.monotonic() - last_saved
            due = pause >= _CHECKPOINT_PAUSE * saving and self._is_checkpoint_due(pause)
            due = due or any(map(driver.must_save, range(len(self._slots))))
            if self._team.agree(due):
                start = time.monotonic()
                yield from self._save()
                last_saved = time.monotonic()
                saving = last_saved - start
            # Runs at their last epoch do not count, because the others are about to reach it.
            n_early = sum(slot.status != RUNNING for slot in self._slots)
            few = n_early > len(self._slots) / 2 and self._team is ALONE
            if few and not all(slot.ended for slot in self._slots):
                yield from self._settle_ended()
                self._compact()
        yield from self._save()  # because validation takes time
        yield from self._settle_ended()
        if self._is_told_to_stop():
            yield from self._stop()

    def _is_told_to_stop(self) -> bool:
        return self._team.agree(self._should_stop())

    def _start(self) -> Iterator[Event]:
        """Compile, and bring every run to its last checkpoint."""
        yield Progress("compile", 0, 1)
        self._driver, seconds = open_driver(
            self._config,
            [slot.info for slot in self._slots],
            self._images,
            self._checkpoints,
            devices=self._devices,
            team=self._team,
            rows=self._rows,
        )
        for i, slot in enumerate(self._slots):
            slot.seconds, slot.status = seconds[i], int(self._driver.statuses[i])
            slot.epoch = slot.recorded = slot.shown = slot.validated = int(self._driver.epochs[i])
            slot.saved = float(self._driver.progress[i])
            yield Began(slot.info, slot.epoch)
            if self._is_observed and slot.epoch == 0 and self._rows is None:
                yield Snapped(slot.info, thin(take_snapshot(self._driver.take(i).state)), False)
        self._prune()

    def _next_due(self, epoch: int) -> int:
        log = self._config.log
        fresh_every = self._config.infer.fresh_every
        periods = (*_snapshot_periods(self._config), log.checkpoint_every, fresh_every)
        due = [epoch - epoch % period + period for period in periods if period]
        rung = None if self._pruning is None else self._pruning.next_rung(epoch)
        return min([self._run_config.fit.num_epochs, *due, *([] if rung is None else [rung])])

    def _prune(self) -> None:
        """End the runs of pruned trials, if all runs have reached a rung."""
        if self._pruning is None:
            return
        pruned = self._pruning.judge(self._slots, self._curves())
        ending = [i for i, s in enumerate(self._slots) if s.info.trial_id in pruned and not s.ended]
        if ending:
            self._driver.end(ending, RUN_PRUNED)
        for i in ending:
            self._slots[i].status = RUN_PRUNED

    def _curves(self) -> np.ndarray:
        return self._driver.histories()[self._config.epoch_metric]

    def _tell(self) -> Iterator[Event]:
        histories = self._driver.histories()
        for i, slot in enumerate(self._slots):
            if slot.epoch > slot.recorded:
                news = slice(slot.recorded, slot.epoch)
                metrics = {
                    name: rows[i, news]
                    for name, rows in histories.items()
                    if name not in FRESH_METRICS and (len(self._images.val) or name[:4] != "val_")
                }
                yield Recorded(slot.info, slot.recorded + 1, metrics)
                slot.recorded = slot.epoch
            if len(self._images.val):
                yield from self._validate(i, slot)
            due = slot.ended or any(
                slot.epoch % s == 0 for s in _snapshot_periods(self._config) if s
            )
            if self._is_observed and due and slot.epoch > slot.shown:
                snapshot = take_snapshot(self._driver.take(i).state)
                yield Snapped(slot.info, thin(snapshot), slot.ended)
                slot.shown = slot.epoch
        epochs = [slot.epoch for slot in self._slots]
        yield Progress(
            "fit",
            self._n_done(),
            self._total,
            epoch=min(slot.epoch for slot in self._slots),
            num_epochs=self._run_config.fit.num_epochs,
            loss=_least(histories["loss"], epochs),
            val_loss=_least(histories["val_loss"], epochs),
        )

    def _validate(self, i: int, slot: Slot) -> Iterator[Event]:
        """Validate an unfinished run by the fresh protocol, if due."""
        every = self._config.infer.fresh_every
        if not every or slot.ended or slot.epoch % every or slot.epoch == slot.validated:
            return
        run = self._driver.take(i)
        metrics = self._team.agree(fresh_metrics(self._infer(run)) if self._team.is_leader else {})
        self._driver.note(i, slot.epoch, metrics)
        slot.validated = slot.epoch
        yield Recorded(slot.info, slot.epoch, {n: np.array([v]) for n, v in metrics.items()})
        kept = self._config.log.save_best_model and self._config.metric in FRESH_METRICS
        if kept and self._execution(slot, self._driver.take(i).history).best_epoch == slot.epoch:
            yield BestSoFar(slot.info, take_snapshot(run.state))

    def _infer(self, run: Run) -> Inference:
        criterion = criterion_of(self._run_config)
        return validate_fresh(run, self._images, self._config, criterion, self._devices)

    def _n_done(self) -> float:
        n_epochs, driver = self._run_config.fit.num_epochs, self._driver
        done = np.where(driver.statuses == RUNNING, driver.progress, n_epochs)
        return self._done + float(done.sum())

    def _is_checkpoint_due(self, pause: float) -> bool:
        if pause >= CHECKPOINT_SECONDS:
            return True
        active = [slot for slot in self._slots if not slot.ended]
        every = self._config.log.checkpoint_every
        return any(slot.epoch // every > slot.saved // every for slot in active) and (
            len({slot.epoch for slot in active}) == 1
        )

    def _save(self) -> Iterator[Event]:
        """Checkpoint every run that has moved since its last checkpoint."""
        for i, slot in enumerate(self._slots):
            progress = float(self._driver.progress[i])
            if progress > slot.saved and not slot.settled:
                saved = self._saved(i, slot)
                history = {name: rows[i] for name, rows in self._driver.histories().items()}
                yield Checkpoint(slot.info, saved, self._execution(slot, history))
                slot.saved = progress

    def _saved(self, i: int, slot: Slot) -> Saved:
        """The state of a run. If several processes share it and all see its folder, each writes its
        own rows there."""
        if self._in_parts:
            arrays, parts = self._driver.save_apart(i)
            folder, epoch = slot.info.folder, slot.epoch
            own = [write_shard(folder, epoch, first, rows) for first, rows in parts]
            with self._team.step():
                shards = [shard for some in self._team.collect(own) for shard in some]
            seen = all(shard.path.is_file() for shard in shards)
            self._in_parts = self._team.agree(seen)
            if self._in_parts:
                return Saved(epoch, slot.seconds, arrays, tuple(shards))
            for shard in own:
                shard.path.unlink(missing_ok=True)
        return Saved(slot.epoch, slot.seconds, self._driver.save(i))

    def _settle_ended(self, status: int | None = None) -> Iterator[Event]:
        """Emit the ends of ended runs, or only of those with a status."""
        for i, slot in enumerate(self._slots):
            due = slot.ended and not slot.settled and status in (None, slot.status)
            if due and not self._is_told_to_stop():
                yield Progress("fresh validation", i, len(self._slots))
                run = self._driver.take(i)
                if self._team.is_leader:
                    yield self._settle(slot, run)
                slot.settled = True

    def _settle(self, slot: Slot, run: Run) -> Ended:
        """Validate an ended run."""
        statuses = {RUN_DIVERGED: DIVERGED, RUN_STOPPED: STOPPED, RUN_PRUNED: PRUNED}
        execution = replace(
            self._execution(slot, run.history), status=statuses.get(slot.status, FINISHED)
        )
        if execution.status in (DIVERGED, PRUNED):
            return Ended(slot.info, execution, None, None, None)
        inference = None
        if len(self._images.val):
            inference = self._infer(run)
            for name, value in fresh_metrics(inference).items():
                execution.history[name][-1] = value
        last = best = take_snapshot(run.state)
        if run.best is not None and int(run.best.epoch):
            best = run.best.snapshot()
        elif execution.best_epoch != slot.epoch:
            best = None  # already sent
        kept = best if self._config.log.save_best_model else None
        return Ended(slot.info, execution, thin(last), inference, kept)

    def _compact(self) -> None:
        """Drop the settled runs from the population."""
        left = [i for i, slot in enumerate(self._slots) if not slot.settled]
        n_gone = len(self._slots) - len(left)
        if self._pruning is not None:
            self._pruning.keep(self._slots, self._curves())
        _log.info("%d of %d runs have ended; the others continue", n_gone, len(self._slots))
        self._done += n_gone * self._run_config.fit.num_epochs
        self._slots = [self._slots[i] for i in left]
        self._driver.select(left)

    def _stop(self) -> Iterator[Event]:
        yield from self._save()
        candidates = [
            (float(self._driver.take(i).watch.best), i)
            for i, slot in enumerate(self._slots)
            if slot.epoch and not slot.settled and slot.status not in (RUN_DIVERGED, RUN_PRUNED)
        ]
        best, i = min(candidates, default=(np.inf, 0))
        if np.isfinite(best):
            slot, run = self._slots[i], self._driver.take(i)
            execution = self._execution(slot, run.history)
            yield Ended(slot.info, execution, thin(take_snapshot(run.state)), None, None)
        for slot in self._slots:
            if not slot.settled:
                yield Left(slot.info)

    def _execution(self, slot: Slot, history: Mapping[str, Any]) -> Execution:
        """An unfinished run as an execution."""
        recorded = {name: np.asarray(rows)[: slot.epoch] for name, rows in history.items()}
        blank = np.full(slot.epoch, np.nan, np.float32)  # for metrics without a fresh value yet
        names = dict.fromkeys((*METRICS, *history_names(slot.info.config)))
        whole = {name: recorded.get(name, blank).copy() for name in names}
        return Execution(whole, self._config.metric, UNFINISHED, slot.seconds)


def thin(snapshot: Snapshot) -> Snapshot:
    """A snapshot with only the training latents that are shown (see `data.dataset.shown_rows`)."""
    latents: Any = snapshot.train_latents
    snapshot = snapshot._replace(train_deviations=None)
    rows = shown_rows(len(latents))
    if rows is not None:
        return snapshot._replace(train_latents=np.asarray(latents)[rows])
    if isinstance(latents, np.ndarray):  # the next window may overwrite it
        latents = np.array(latents)
    return snapshot._replace(train_latents=latents)


def _snapshot_periods(config: StudyConfig) -> tuple[int, ...]:
    return config.log.histogram_freq, config.log.visualize_freq, frame_period(config)


def _least(histories: np.ndarray, epochs: Sequence[int]) -> float:
    last = [float(row[n - 1]) for row, n in zip(histories, epochs, strict=True) if n]
    finite = [value for value in last if np.isfinite(value)]
    return min(finite, default=float("nan"))
