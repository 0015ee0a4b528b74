"""One process of a study: it claims trials, runs them together, and keeps their results."""

import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from autodecoder.config import StudyConfig
from autodecoder.core.fit import FRESH_METRICS
from autodecoder.core.runs import Snapshot
from autodecoder.data import Dataset
from autodecoder.errors import EngineError, OutputError, StorageError, is_out_of_memory
from autodecoder.files import refuse_links, sweep_temporary
from autodecoder.model import save_model
from autodecoder.study.best import drop_model, keep_best, keeps_one_model
from autodecoder.study.checkpoint import (
    Outcome,
    drop_checkpoints,
    drop_outcome,
    load_outcome,
    read_checkpoints,
    save_checkpoint,
    save_outcome,
)
from autodecoder.study.database import describe
from autodecoder.study.engines import Engine, Failed, Finished, Lost, Told
from autodecoder.study.events import BestSoFar, Checkpoint, Ended, Progress
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
from autodecoder.study.job import Job, known_curves, run_infos
from autodecoder.study.ledger import Claim, Ledger, delete_study
from autodecoder.study.locks import is_anyone_alive, study_lock
from autodecoder.study.models import make_model
from autodecoder.study.observer import Observer, RunInfo
from autodecoder.study.observers import Observers
from autodecoder.study.records import (
    execution_folder,
    read_history,
    read_trials,
    write_history,
    write_trial,
)
from autodecoder.study.reporter import Reporter
from autodecoder.study.results import (
    COMPLETE,
    FAILED,
    PRUNED,
    UNFINISHED,
    Execution,
    Trial,
    rank,
)
from autodecoder.study.saved import load_study, write_histories
from autodecoder.study.validate import show_run
from autodecoder.study.yardstick import keep_yardstick
from autodecoder.text import count

_log = logging.getLogger(__name__)

#: Interval at which a waiting process checks for dead processes and for a request to stop.
_SECONDS_TO_LOOK = 0.5
#: Abort when the worker of a group is lost this many times, without a checkpoint in between.
_MOST_LOSSES = 3


class Worker:
    """A process that runs a study, alone or with others: it claims trials, runs them on an engine,
    and writes the results.

    Parameters
    ----------
    config : StudyConfig
    dataset : Dataset
    folder : Path
    engine : Engine
    observers, report, should_stop
        As in `run_study`.
    """

    def __init__(
        self,
        config: StudyConfig,
        dataset: Dataset,
        folder: Path,
        engine: Engine,
        observers: Sequence[Observer],
        report: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self._config = config
        self._dataset = dataset
        self._shown = dataset.thinned()
        self._folder = folder
        self._engine = engine
        self._observers = Observers(observers)
        self._reporter = Reporter(config.epoch_metric)
        self._name = ""
        """Name of the study."""
        self._report = report
        self._should_stop = should_stop
        self._groups: dict[int, list[Claim]] = {}
        """Trials of each running group."""
        self._waiting: list[list[Claim]] = []
        """Claimed trials that wait for memory."""
        self._losses: dict[str, int] = {}
        """Consecutive losses of the worker of each trial."""
        self._n_groups = 0
        self._open: dict[str, Claim] = {}
        self._ledger: Ledger | None = None
        self._seconds: dict[Path, float] = {}
        """Seconds spent on unfinished executions."""
        self._known: dict[Path, Execution] = {}
        """Ended executions, as read from their folders."""
        self._keeps_one_model = True
        self._best: Trial | None = None
        """Best of the trials that ended in this process."""

    def run(self, storage: str | None, reset: bool, wait: bool) -> None:
        if not reset and (self._folder / "config.json").exists():  # a reset removes links itself
            refuse_links(self._folder)
        refuse_foreign(self._folder)
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
                self._name = about["study"]
                self._keeps_one_model = keeps_one_model(about)
                shape = self._dataset.image_shape
                ledger = Ledger(self._folder, self._name, self._config, shape, storage)
                self._ledger = stack.enter_context(ledger)
            self._work(ledger, wait)

    def _discard_on_error(self, kind: object, *_: object) -> None:
        """Remove a new study without results after an error, unless another process works on it."""
        if kind is None:
            return
        # Report the original error, not one of the removal.
        with contextlib.suppress(OutputError, StorageError), study_lock(self._folder):
            if is_worth_keeping(self._folder) or is_anyone_alive(self._folder):
                return
            if self._ledger is not None:
                self._ledger.delete()
            discard_folder(self._folder)

    def _work(self, ledger: Ledger, wait: bool) -> None:
        self._yardstick = keep_yardstick(self._folder, self._config, self._dataset)
        self._observers.tell(lambda one: one.begin_study(self._config, self._shown))
        try:
            self._run_trials(ledger, wait)
        finally:
            self._observers.close()
            with study_lock(self._folder):
                study = load_study(self._folder)
                keep_best(study)
                write_histories(study)
                sweep_folder(self._folder)

    def _run_trials(self, ledger: Ledger, wait: bool) -> None:
        is_empty = False  # whether the last claim was empty
        while True:
            while (
                (self._waiting or not is_empty)
                and len(self._engine.running) < self._engine.most
                and not self._should_stop()
            ):
                claims = self._waiting.pop(0) if self._waiting else ledger.claim(self._engine.most)
                is_empty = not claims
                if claims:
                    self._begin_group(claims, ledger)
            if not self._engine.running:
                if self._should_stop() or not wait or ledger.is_done():
                    return
                self._report(Progress("wait"))
                time.sleep(_SECONDS_TO_LOOK)
                is_empty = False
                continue
            for group, told in self._engine.events():
                self._take(group, told, ledger)
                is_empty = is_empty and group in self._groups

    def _begin_group(self, claims: list[Claim], ledger: Ledger) -> None:
        """Start the unfinished trials of one shape on the engine."""
        n = self._config.executions_per_trial
        config = self._config.run_config(claims[0].values, self._dataset.image_shape)
        claims = [claim for claim in claims if not self._is_recorded(claim, ledger)]
        self._open |= {claim.trial_id: claim for claim in claims}
        for claim in claims:
            sweep_temporary(self._folder / "trials" / claim.trial_id)
            trial = self._unfinished(claim)
            write_trial(self._folder, trial)
            reported = ledger.n_reported(claim.trial_id)
            self._reporter.begin_trial(claim.trial_id, trial.executions, reported)
        infos = run_infos(self._folder, self._name, claims, config, n)
        left = [info for info in infos if self._ended(info.folder) is None]
        for claim in claims:
            self._finish_if_done(claim, ledger)
        if left:
            known = {}
            if self._config.search.prune is not None:
                ids = [*(c.trial_id for c in claims), *ledger.ended_with(claims)]
                known = known_curves(self._folder, self._config, ids)
            job = Job(self._config, tuple(left), bool(self._observers), known)
            self._groups[self._n_groups] = claims
            self._engine.start(self._n_groups, job, lambda info: read_checkpoints(info.folder))
            self._n_groups += 1

    def _take(self, group: int, told: Told, ledger: Ledger) -> None:
        """Handle an event of a group."""
        if isinstance(told, Progress):
            self._report(replace(told, group=group))
            self._reporter.report_in_time(ledger)
        elif isinstance(told, Checkpoint):
            self._seconds[told.info.folder] = told.saved.seconds
            self._losses.pop(told.info.trial_id, None)
            # The history first, so that a checkpoint has no epochs that the history lacks.
            write_history(told.info.folder, told.execution)
            save_checkpoint(told.info.folder, told.saved)
        elif isinstance(told, BestSoFar):
            self._save_model(told.snapshot, told.info)
        elif isinstance(told, Ended):
            self._settle(told, ledger)
        elif isinstance(told, Finished | Failed | Lost):
            self._report(Progress("end", group=group))
            self._reporter.report_in_time(ledger, now=True)
            self._end_group(self._groups.pop(group), told, ledger)
        else:
            self._reporter.take(told)
            self._observers.take(told)

    def _end_group(
        self, claims: list[Claim], told: Finished | Failed | Lost, ledger: Ledger
    ) -> None:
        """Handle the end of a group: its trials have ended, or must be resumed."""
        left = [claim for claim in claims if claim.trial_id in self._open]
        if isinstance(told, Failed):
            if len(left) > 1 and is_out_of_memory(told.error):
                self._divide(left, ledger)
                return
            # A trial that is too large fails, unless another process may hold the memory.
            alone = len(claims) == 1 and not self._groups and is_out_of_memory(told.error)
            if not (alone and ledger.has_others(claims) and ledger.is_alone()):
                raise told.error
            self._fail(claims[0], ledger)
        elif isinstance(told, Lost) and left and not self._should_stop():
            for claim in left:
                self._losses[claim.trial_id] = self._losses.get(claim.trial_id, 0) + 1
            if max(self._losses.values()) >= _MOST_LOSSES:
                raise EngineError(
                    f"{told.reason}; so did {_MOST_LOSSES - 1} before it, without a checkpoint in "
                    "between: there may be too little memory; lower runs_at_once or workers."
                )
            _log.warning("%s; its runs resume from their last checkpoints", told.reason)
            self._begin_group(left, ledger)
        else:
            for claim in left:
                write_trial(self._folder, self._unfinished(claim))

    def _divide(self, claims: list[Claim], ledger: Ledger) -> None:
        """Run trials that do not fit into memory together fewer at once, also those that follow."""
        ledger.most = min(ledger.most, len(claims) // 2)
        _log.warning(
            "%s need more memory together than is available; now at most %d at once",
            count(len(claims), "trial"),
            ledger.most,
        )
        starts = range(0, len(claims), ledger.most)
        self._waiting += [claims[k : k + ledger.most] for k in starts]

    def _is_recorded(self, claim: Claim, ledger: Ledger) -> bool:
        """Whether the files of a trial show its end. If so, it is recorded in the storage."""
        for trial in read_trials(self._folder, self._config, claim.trial_id):
            if trial.state != UNFINISHED:
                ledger.finish(trial)
                return True
            for k, execution in enumerate(trial.executions):
                folder = execution_folder(self._folder, trial.trial_id, k)
                self._seconds[folder] = execution.seconds
        return False

    def _settle(self, ended: Ended, ledger: Ledger) -> None:
        """Write the results of an ended run. If the study was told to stop, the run is unfinished
        and its outcome serves the pictures of a study without better ones."""
        info, execution = ended.info, ended.execution
        shown = None
        if ended.snapshot is not None:
            shown = show_run(ended.snapshot, ended.inference, self._shown)
        if ended.best is not None:
            self._save_model(ended.best, info)
        protocol = "co-trained" if execution.status == UNFINISHED else "fresh"
        # Observers first: after an interruption here, they receive the end twice rather than never.
        if execution.status != UNFINISHED:
            fresh = {name: execution.history[name][-1:] for name in FRESH_METRICS}
            if len(self._dataset.val):
                self._observers.tell(lambda one: one.record(info, execution.epochs, fresh))
            self._observers.end_run(info, execution)
            self._reporter.end_run(info)
        outcome = Outcome(execution.history, execution.status, execution.seconds, shown, protocol)
        save_outcome(info.folder, outcome)
        if outcome.ended:
            self._finish_if_done(self._open[info.trial_id], ledger)

    def _finish_if_done(self, claim: Claim, ledger: Ledger) -> None:
        """Record a trial if all its executions have outcomes."""
        folders = [
            execution_folder(self._folder, claim.trial_id, k)
            for k in range(self._config.executions_per_trial)
        ]
        ended = [self._ended(folder) for folder in folders]
        executions = [execution for execution in ended if execution is not None]
        if len(executions) < len(folders):
            return
        trial = Trial(claim.trial_id, claim.number, claim.values, tuple(executions), COMPLETE)
        if any(execution.status == PRUNED for execution in executions):
            trial = replace(trial, state=PRUNED)
        elif not np.isfinite(trial.score):
            trial = replace(trial, state=FAILED)
        self._record(trial, claim, ledger)
        self._open.pop(claim.trial_id, None)
        for k, folder in enumerate(folders):
            drop_checkpoints(folder)
            if k != trial.best_execution:
                drop_outcome(folder)
        self._drop_models(trial)

    def _drop_models(self, trial: Trial) -> None:
        """Remove all models of trials that ended here, except that of the best execution."""
        if not self._keeps_one_model:
            return
        ended = [trial] if self._best is None else [self._best, trial]
        self._best, *others = rank(ended, self._config.metric)
        for other in ended:
            for k in range(len(other.executions)):
                if other in others or k != other.best_execution:
                    drop_model(execution_folder(self._folder, other.trial_id, k))

    def _record(self, trial: Trial, claim: Claim, ledger: Ledger) -> None:
        write_trial(self._folder, trial)
        folder = self._folder / "trials" / trial.trial_id
        self._observers.tell(lambda one: one.end_trial(trial, folder))
        self._reporter.report(ledger, trial.trial_id)
        self._reporter.end_trial(trial.trial_id)
        ledger.finish(trial)

    def _fail(self, claim: Claim, ledger: Ledger) -> None:
        """Record a trial as too large for the memory."""
        _log.warning("trial %s needs more memory than is available", claim.trial_id)
        self._record(
            replace(self._unfinished(claim), state=FAILED, error="out of memory"), claim, ledger
        )

    def _unfinished(self, claim: Claim) -> Trial:
        """A trial with the progress of its executions on disk."""
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
        """The execution in a folder if its outcome is final, otherwise `None`."""
        if folder not in self._known:
            outcome = load_outcome(folder)
            if outcome is None or not outcome.ended:
                return None
            self._known[folder] = Execution(
                outcome.history, self._config.metric, outcome.status, outcome.seconds
            )
        return self._known[folder]

    def _save_model(self, snapshot: Snapshot, info: RunInfo) -> None:
        model = make_model(snapshot, info, self._dataset, self._config, self._yardstick)
        save_model(model, info.folder / "model")
