"""One process at work on a study: claim trials, run them together, keep what comes of them."""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from autodecoder.config import StudyConfig
from autodecoder.core.fit import FRESH_METRICS, Images, Run, Snapshot, take_snapshot
from autodecoder.core.losses import criterion_of
from autodecoder.core.watch import DIVERGED as RUN_DIVERGED
from autodecoder.core.watch import STOPPED as RUN_STOPPED
from autodecoder.data import Dataset
from autodecoder.errors import (
    OutputError,
    StorageError,
    is_out_of_memory,
)
from autodecoder.files import refuse_link, sweep_temporary
from autodecoder.model import load_model, save_model
from autodecoder.model.devices import Devices
from autodecoder.model.programs import limit_programs
from autodecoder.study.checkpoint import (
    Outcome,
    drop_checkpoints,
    drop_outcome,
    load_outcome,
    save_outcome,
)
from autodecoder.study.database import describe
from autodecoder.study.folder import (
    check_storage,
    clear_folder,
    discard_folder,
    is_worth_keeping,
    open_folder,
    read_about,
    refuse_foreign,
    sweep_folder,
)
from autodecoder.study.group import Group, Progress, Slot, run_infos, unfinished
from autodecoder.study.ledger import Claim, Ledger, delete_study
from autodecoder.study.locks import is_anyone_alive, study_lock
from autodecoder.study.models import make_model
from autodecoder.study.observer import Observer, RunInfo
from autodecoder.study.records import execution_folder, read_history, read_trials, write_trial
from autodecoder.study.results import (
    COMPLETE,
    DIVERGED,
    FAILED,
    FINISHED,
    STOPPED,
    UNFINISHED,
    Execution,
    Trial,
)
from autodecoder.study.saved import Study, load_study, write_histories
from autodecoder.study.validate import fresh_metrics, show_run, validate_fresh

_log = logging.getLogger(__name__)

#: How often a process that waits looks whether others have died, or it is told to stop.
_SECONDS_TO_LOOK = 0.5


class Worker:
    """One process at work on a study."""

    def __init__(
        self,
        config: StudyConfig,
        dataset: Dataset,
        folder: Path,
        devices: Devices,
        observers: Sequence[Observer],
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._config = config
        self._dataset = dataset
        self._folder = folder
        self._devices = devices
        self._observers = observers
        self._report = report
        self._should_stop = should_stop
        self._images = Images(
            *(devices.own(part.flat) for part in (dataset.train, dataset.val)),
            *(
                None if part.flat_mask is None else devices.own(part.flat_mask)
                for part in (dataset.train, dataset.val)
            ),
        )
        self._open: dict[str, Claim] = {}
        self._ledger: Ledger | None = None
        self._seconds: dict[Path, float] = {}
        """Spent on executions that have not ended."""
        self._known: dict[Path, Execution] = {}
        """Those that have ended, as read from their folders."""

    def run(self, storage: str | None, reset: bool, wait: bool) -> None:
        refuse_foreign(self._folder)
        for name in () if reset else ("best", "report"):  # a reset removes links themselves
            refuse_link(self._folder, name)
        where = describe("study.db", storage)
        with contextlib.ExitStack() as stack:
            with study_lock(self._folder):
                about = read_about(self._folder)
                if reset and about is not None:
                    check_storage(about, where, self._folder)
                    delete_study(self._folder, about["study"], storage)
                if reset:
                    clear_folder(self._folder)
                if reset or about is None:
                    stack.push(self._discard_on_error)
                about = open_folder(self._folder, self._config, self._dataset, where)
                shape = self._dataset.image_shape
                ledger = Ledger(self._folder, about["study"], self._config, shape, storage)
                self._ledger = stack.enter_context(ledger)
            self._work(ledger, wait)

    def _discard_on_error(self, kind: object, *_: object) -> None:
        """Leave nothing behind where nothing has come of a new study, and no one else is at it."""
        if kind is None:
            return
        # The error under way is the one to tell.
        with contextlib.suppress(OutputError, StorageError), study_lock(self._folder):
            if is_worth_keeping(self._folder) or is_anyone_alive(self._folder):
                return
            if self._ledger is not None:
                self._ledger.delete()
            discard_folder(self._folder)

    def _work(self, ledger: Ledger, wait: bool) -> None:
        for observer in self._observers:
            observer.begin_study(self._config, self._dataset)
        try:
            self._run_trials(ledger, wait)
        finally:
            with study_lock(self._folder):
                study = load_study(self._folder)
                self._keep_best(study)
                write_histories(study)
                sweep_folder(self._folder)

    def _run_trials(self, ledger: Ledger, wait: bool) -> None:
        while not self._should_stop():
            claims = ledger.claim()
            if not claims:
                if not wait or ledger.is_done():
                    break
                self._report(Progress("wait", 0, 0))
                time.sleep(_SECONDS_TO_LOOK)
                continue
            try:
                if self._run_group(claims, ledger):
                    break
            except (MemoryError, jax.errors.JaxRuntimeError) as error:
                # A single trial that is too large fails; of several, fewer at once may do.
                # Where another process is at work, it may be the one that holds the memory.
                alone = len(claims) == 1 and ledger.has_others(claims) and ledger.is_alone()
                if not (alone and is_out_of_memory(error)):
                    raise
                self._fail(claims[0], ledger)

    def _run_group(self, claims: list[Claim], ledger: Ledger) -> bool:
        """Run trials of one shape; returns whether it was told to stop."""
        n = self._config.executions_per_trial
        config = self._config.run_config(claims[0].values, self._dataset.image_shape)
        claims = [claim for claim in claims if not self._is_recorded(claim, ledger)]
        self._open = {claim.trial_id: claim for claim in claims}
        for claim in claims:
            sweep_temporary(self._folder / "trials" / claim.trial_id)
            write_trial(self._folder, self._unfinished(claim))
        infos = run_infos(self._folder, claims, config, n)
        left = [info for info in infos if self._ended(info.folder) is None]
        for claim in claims:
            self._finish_if_done(claim, ledger)
        if not left:
            return False
        limit_programs()
        group = Group(
            self._config,
            self._images,
            left,
            devices=self._devices,
            observers=self._observers,
            report=self._report,
            should_stop=self._should_stop,
            settle=lambda slot, run: self._settle(slot, run, ledger),
            keep=self._save_model,
        )
        stopped = group.run()
        if stopped:
            self._seconds |= {slot.info.folder: slot.seconds for slot in group.slots}
            self._keep_unfinished(group)
            for claim in self._open.values():
                write_trial(self._folder, self._unfinished(claim))
        return stopped

    def _is_recorded(self, claim: Claim, ledger: Ledger) -> bool:
        """Whether a trial has ended, by its files; the storage, which missed it, is told."""
        for trial in read_trials(self._folder, self._config, claim.trial_id):
            if trial.state != UNFINISHED:
                ledger.finish(trial)
                return True
            for k, execution in enumerate(trial.executions):
                folder = execution_folder(self._folder, trial.trial_id, k)
                self._seconds[folder] = execution.seconds
        return False

    def _settle(self, slot: Slot, run: Run, ledger: Ledger) -> None:
        """Validate a run that has ended, and write what it was."""
        info = slot.info
        execution = unfinished(self._config, slot, run)
        history = dict(execution.history)
        shown = None
        if slot.status == RUN_DIVERGED:
            status = DIVERGED
        else:
            status = STOPPED if slot.status == RUN_STOPPED else FINISHED
            inference = None
            if len(self._images.val):
                criterion = criterion_of(info.config)
                inference = validate_fresh(
                    run, self._images, self._config, criterion, self._devices
                )
                for name, value in fresh_metrics(inference).items():
                    history[name][-1] = value
            shown = show_run(take_snapshot(run.state), inference, self._dataset)
        if self._config.log.save_best_model and status != DIVERGED:
            ended = Execution(history, self._config.metric, status)
            if run.best is not None:
                self._save_model(run.best, info)
            elif ended.best_epoch == slot.epoch:  # else its best epoch's lies there already
                self._save_model(take_snapshot(run.state), info)
        save_outcome(info.folder, Outcome(history, status, slot.seconds, shown, "fresh"))
        fresh = {name: history[name][-1:] for name in FRESH_METRICS}
        for observer in self._observers:
            if len(self._images.val):
                observer.record(info, slot.epoch, fresh)
            observer.end_run(info)
        self._finish_if_done(self._open[info.trial_id], ledger)

    def _finish_if_done(self, claim: Claim, ledger: Ledger) -> None:
        """Record a trial of which every execution has an outcome."""
        folders = [
            execution_folder(self._folder, claim.trial_id, k)
            for k in range(self._config.executions_per_trial)
        ]
        ended = [self._ended(folder) for folder in folders]
        executions = [execution for execution in ended if execution is not None]
        if len(executions) < len(folders):
            return
        trial = Trial(claim.trial_id, claim.number, claim.values, tuple(executions), COMPLETE)
        if not np.isfinite(trial.score):
            trial = replace(trial, state=FAILED)
        self._record(trial, claim, ledger)
        self._open.pop(claim.trial_id, None)
        for k, folder in enumerate(folders):
            drop_checkpoints(folder)
            if k != trial.best_execution:
                drop_outcome(folder)

    def _record(self, trial: Trial, claim: Claim, ledger: Ledger) -> None:
        write_trial(self._folder, trial)
        for observer in self._observers:
            observer.end_trial(trial, self._folder / "trials" / trial.trial_id)
        ledger.finish(trial)

    def _fail(self, claim: Claim, ledger: Ledger) -> None:
        """Record that a trial is too large."""
        _log.warning("trial %s needs more memory than there is", claim.trial_id)
        self._record(
            replace(self._unfinished(claim), state=FAILED, error="out of memory"), claim, ledger
        )

    def _keep_unfinished(self, group: Group) -> None:
        """Write what pictures need of the best run so far, for a study that has nothing better."""
        candidates = [
            (float(group.driver.take(i).watch.best), i)
            for i, slot in enumerate(group.slots)
            if slot.epoch and not slot.settled and slot.status != RUN_DIVERGED
        ]
        best, i = min(candidates, default=(np.inf, 0))
        if np.isfinite(best):
            slot, run = group.slots[i], group.driver.take(i)
            shown = show_run(take_snapshot(run.state), None, self._dataset)
            history = unfinished(self._config, slot, run).history
            outcome = Outcome(history, UNFINISHED, slot.seconds, shown, "co-trained")
            save_outcome(slot.info.folder, outcome)

    def _unfinished(self, claim: Claim) -> Trial:
        """A trial as far as its executions have come on disk."""
        executions = []
        for k in range(self._config.executions_per_trial):
            folder = execution_folder(self._folder, claim.trial_id, k)
            execution = self._ended(folder)
            if execution is None:
                history = read_history(folder, self._config)
                seconds = self._seconds.get(folder, 0.0)
                execution = Execution(history, self._config.metric, UNFINISHED, seconds)
            executions.append(execution)
        return Trial(claim.trial_id, claim.number, claim.values, tuple(executions), UNFINISHED)

    def _ended(self, folder: Path) -> Execution | None:
        """An execution that has a final outcome."""
        if folder not in self._known:
            outcome = load_outcome(folder)
            if outcome is None or not outcome.ended:
                return None
            self._known[folder] = Execution(
                outcome.history, self._config.metric, outcome.status, outcome.seconds
            )
        return self._known[folder]

    def _save_model(self, snapshot: Snapshot, info: RunInfo) -> None:
        model = make_model(snapshot, info, self._dataset, self._config)
        save_model(model, info.folder / "model")

    def _keep_best(self, study: Study) -> None:
        """Of all complete trials, keep what the best one's pictures need, and its model."""
        best = study.best_trial
        for trial in study.trials:
            if trial.state == UNFINISHED:
                continue
            sweep_temporary(self._folder / "trials" / trial.trial_id)
            for k in range(len(trial.executions)):
                folder = execution_folder(self._folder, trial.trial_id, k)
                drop_checkpoints(folder)
                if trial is not best or k != trial.best_execution:
                    drop_outcome(folder)
        if best is None or best.best_execution is None:
            return
        if self._config.log.save_best_model:
            folder = execution_folder(self._folder, best.trial_id, best.best_execution)
            history = best.executions[best.best_execution].history
            model = replace(load_model(folder / "model"), history=history)
            save_model(model, self._folder / "best")
