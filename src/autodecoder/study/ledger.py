"""Which process runs which trial: the study's storage (Optuna), and locks that show living ones.

All processes of a study share its folder. They read the storage and claim trials under one lock
file. Each process also holds a lock file of its own while it lives. The trials of a process that is
gone are therefore recognised at once, and resumed by another.
"""

import contextlib
import itertools
import logging
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from autodecoder.config import OBJECTIVES, RunConfig, StudyConfig
from autodecoder.errors import DataError, OutputError, SearchError
from autodecoder.study.curves import Curve, mean_curve
from autodecoder.study.database import (
    add_curves,
    connect,
    count_running,
    describe,
    disconnect,
    secrets_of,
    storage_errors,
)
from autodecoder.study.locks import (
    drop_worker_lock,
    hold_worker_lock,
    is_alive,
    is_anyone_alive,
    new_worker,
    study_lock,
    sweep_worker_locks,
)
from autodecoder.study.records import execution_folder, read_history, read_trial_files
from autodecoder.study.results import COMPLETE, FAILED, PRUNED, Trial
from autodecoder.study.space import distributions, make_sampler, planned_trials, suggest, to_values
from autodecoder.text import count

_log = logging.getLogger(__name__)

#: Abort the search after this many consecutive failures.
MOST_FAILURES = 10

_ENDED = {
    COMPLETE: TrialState.COMPLETE,
    PRUNED: TrialState.PRUNED,
    FAILED: TrialState.FAIL,
}


@dataclass(frozen=True)
class Claim:
    """A trial that this process runs."""

    trial_id: str
    number: int
    values: Mapping[str, Any]
    group: str
    """Name of the group of trials that run together; it is kept when they resume."""


class Ledger:
    """The trials of a study, seen from one of its processes.

    It is a context manager; on exit, claimed but unfinished trials are free for other processes. It
    must be created under the study's lock.

    Parameters
    ----------
    folder : Path
        Folder of the study.
    name : str
        Name of the study in the storage.
    config : StudyConfig
    image_shape : (height, width, channels)
    storage : str, optional
        SQLAlchemy URL of a database; by default `study.db` in the folder.

    Raises
    ------
    StorageError
        From every method, if the storage cannot be reached, read or written.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        config: StudyConfig,
        image_shape: tuple[int, int, int],
        storage: str | None = None,
    ) -> None:
        self._folder = folder
        self._config = config
        self._image_shape = image_shape
        self._worker = new_worker()
        self._space = distributions(config)
        self.most: int = max(1, config.search.runs_at_once // config.executions_per_trial)
        """Most trials of one claim."""
        self._claimed: dict[str, FrozenTrial] = {}
        self._where = describe(folder / "study.db", storage)
        self._hidden = secrets_of(storage)
        self._storage: Any = None
        sweep_worker_locks(folder)
        self._lock = hold_worker_lock(folder, self._worker)
        try:
            with self._errors():
                self._open(name, storage)
        except BaseException:
            self._leave()
            raise

    def _open(self, name: str, storage: str | None) -> None:
        self._storage = connect(self._folder, storage)
        self._study = optuna.create_study(
            storage=self._storage,
            study_name=name,
            direction="minimize" if OBJECTIVES[self._config.metric] == "min" else "maximize",
            load_if_exists=True,
        )
        trials = self._trials()
        if self._restore(trials):
            trials = self._trials()
        self._plan(trials)

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        if self._storage is not None:
            disconnect(self._storage)
        drop_worker_lock(self._folder, self._worker, self._lock)

    def claim(self, n_groups: int = 1) -> list[Claim]:
        """Claim the next trials: those of a lost process, otherwise new ones of one shape.

        Parameters
        ----------
        n_groups : int
            Number of groups that can run at once. The trials of a shape are divided among them.

        Returns
        -------
        list of Claim
            Trials of one `RunConfig`, to run as one population; empty if there are none.

        Raises
        ------
        SearchError
            If the last ten trials have failed.
        """
        with self._errors(), study_lock(self._folder):
            trials = self._trials()
            orphans = [t for t in trials if t.state is TrialState.RUNNING and self._is_orphan(t)]
            if orphans:
                group = orphans[0].user_attrs.get("group")
                whole = [t for t in orphans if t.user_attrs.get("group") == group]
                chosen = whole[: self.most if group else 1]
                is_part = len(chosen) < len(whole) and self._config.search.prune is not None
                if group is None or is_part:  # pruning compares trials of one group
                    group = secrets.token_hex(4)
                return [self._sign(t, group) for t in chosen]
            self._check_failures(trials)
            return self._claim_new(trials, n_groups)

    def finish(self, trial: Trial) -> None:
        """Record the score of a trial, or its failure."""
        with self._errors():
            self._study.tell(
                self._claimed[trial.trial_id].number,
                trial.score if trial.state == COMPLETE else None,
                _ENDED[trial.state],
            )

    def ended_with(self, claims: Sequence[Claim]) -> list[str]:
        """Ended trials of the same groups."""
        groups = {claim.group for claim in claims}
        with self._errors():
            ended = [t.user_attrs for t in self._trials() if t.state.is_finished()]
        return [about["id"] for about in ended if about.get("group") in groups]

    def report(self, curves: Mapping[str, Curve]) -> None:
        """Append to the learning curves of claimed trials."""
        with self._errors():
            add_curves(
                self._storage, {self._claimed[i]._trial_id: curve for i, curve in curves.items()}
            )

    def n_reported(self, trial_id: str) -> int:
        """Epochs of a claimed trial that were reported before the claim."""
        return max(self._claimed[trial_id].intermediate_values, default=0)

    def is_alone(self) -> bool:
        """Whether no other process works on the study."""
        return not is_anyone_alive(self._folder, but=self._worker)

    def has_others(self, claims: Sequence[Claim]) -> bool:
        """Whether there are other trials that have not failed."""
        numbers = {claim.number for claim in claims}
        with self._errors():
            return any(
                t.state is not TrialState.FAIL and t.number not in numbers for t in self._trials()
            )

    def is_done(self) -> bool:
        """Whether no process runs any trial."""
        with self._errors():
            return not count_running(self._storage, self._study._study_id)

    def delete(self) -> None:
        """Remove the study from the storage."""
        with self._errors():
            optuna.delete_study(study_name=self._study.study_name, storage=self._storage)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    # New trials

    def _plan(self, trials: Sequence[FrozenTrial]) -> None:
        """Enqueue the initially known trials that the storage lacks."""
        planned = planned_trials(self._config)
        if planned is None:
            return
        there = {frozenset(trial.params.items()) for trial in trials}
        missing = [one for one in planned if frozenset(one.items()) not in there]
        # Trials of one shape are adjacent; within a shape they keep the planned order.
        shapes: dict[RunConfig, list[Mapping[str, Any]]] = {}
        for parameters in missing:
            shapes.setdefault(self._shape(to_values(parameters)), []).append(parameters)
        for parameters in itertools.chain.from_iterable(shapes.values()):
            self._add_waiting(parameters, secrets.token_hex(4))

    def _add_waiting(self, parameters: Mapping[str, Any], trial_id: str) -> None:
        """Enqueue a trial with its values, so that claiming it is cheap."""
        self._study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=dict(parameters),
                distributions=self._space,
                user_attrs={"id": trial_id},
            )
        )

    def _claim_new(self, trials: list[FrozenTrial], n_groups: int) -> list[Claim]:
        waiting = [t for t in trials if t.state is TrialState.WAITING]
        search = self._config.search
        group = secrets.token_hex(4)
        if not waiting:
            if search.sampler != "tpe" or len(trials) >= search.n_trials:
                return []
            self._study.sampler = make_sampler(self._config, len(trials))
            asked = self._study.ask(self._space)  # only one, as the next depends on its result
            return [self._sign(self._storage.get_trial(asked._trial_id), group)]
        shape = self._shape(to_values(waiting[0].params))
        most = self.most
        if n_groups > 1:
            # Each group compiles its shapes, so divide by shapes first. Running trials count, so
            # that the first group of a shape does not take more than the last.
            shapes = [self._shape_of(t) for t in trials if not t.state.is_finished()]
            n_parts = -(-n_groups // len(set(shapes)))
            most = min(most, -(-shapes.count(shape) // n_parts))
        claims = []
        for trial in waiting[:most]:
            if self._shape(to_values(trial.params)) != shape:
                break
            # `ask` would read all trials each time, which takes minutes for hundreds.
            self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
            claims.append(self._sign(trial, group))
        return claims

    def _shape(self, values: Mapping[str, Any]) -> RunConfig:
        return self._config.run_config(values, self._image_shape)

    def _shape_of(self, trial: FrozenTrial) -> RunConfig | None:
        known = set(trial.params) == set(self._space)
        return self._shape(to_values(trial.params)) if known else None

    def _sign(self, trial: FrozenTrial, group: str) -> Claim:
        """Mark a trial as run by this process."""
        trial_id = trial.user_attrs.get("id") or secrets.token_hex(4)
        self._claimed[trial_id] = trial
        for name, value in (("id", trial_id), ("worker", self._worker), ("group", group)):
            if trial.user_attrs.get(name) != value:
                self._storage.set_trial_user_attr(trial._trial_id, name, value)
        return Claim(trial_id, trial.number, self._values_of(trial), group)

    def _values_of(self, trial: FrozenTrial) -> dict[str, Any]:
        parameters = trial.params
        if set(parameters) != set(self._space):
            # A process died between choosing the trial and storing its values; store them now.
            self._study.sampler = make_sampler(self._config, trial.number)
            live = optuna.trial.Trial(self._study, trial._trial_id)
            parameters = {name: suggest(live, name, d) for name, d in self._space.items()}
        return to_values({name: parameters[name] for name in self._space})

    def _check_failures(self, trials: list[FrozenTrial]) -> None:
        ended = [t for t in trials if t.state.is_finished()]
        last = ended[-MOST_FAILURES:]
        goes_on = len(ended) < max(len(trials), self._config.search.n_trials)
        failed = [t for t in last if t.state is TrialState.FAIL]
        if goes_on and len(failed) == MOST_FAILURES:
            raise SearchError(
                f"the last {MOST_FAILURES} trials failed, so the search is aborted; smaller "
                "learning rates diverge less."
            )

    # Other processes

    def _is_orphan(self, trial: FrozenTrial) -> bool:
        worker = trial.user_attrs.get("worker")
        return worker is None or (worker != self._worker and not is_alive(self._folder, worker))

    # Restoring the storage

    def _restore(self, trials: Sequence[FrozenTrial]) -> bool:
        """Add trials that are in the folder but not in a new or lost storage. Returns whether there
        are any."""
        known = {trial.user_attrs.get("id") for trial in trials}
        contents = [content for _, content in read_trial_files(self._folder)]
        self._warn_of_lost_files(trials, {content["id"] for content in contents})
        lost = [content for content in contents if content["id"] not in known]
        for content in lost:
            try:
                create_trial(params=content["values"], distributions=self._space, value=0.0)
            except ValueError as error:
                name = self._folder / "trials" / content["id"] / "trial.json"
                raise DataError(f"{name} is damaged: its values are of another search.") from error
        for content in sorted(lost, key=lambda content: content["number"]):
            state = _ENDED.get(content["state"])
            if state is None:
                self._add_waiting(content["values"], content["id"])
                continue
            self._study.add_trial(
                create_trial(
                    state=state,
                    value=content["score"] if state is TrialState.COMPLETE else None,
                    params=content["values"],
                    distributions=self._space,
                    user_attrs={"id": content["id"]},
                    intermediate_values=self._read_curve(content),
                )
            )
        if lost:
            _log.warning("restored from the folder into the storage: %s", count(len(lost), "trial"))
        return bool(lost)

    def _read_curve(self, content: Mapping[str, Any]) -> Curve:
        """The learning curve of an ended trial, from its files."""
        curves = []
        for k in range(len(content["executions"])):
            history = read_history(execution_folder(self._folder, content["id"], k), self._config)
            curves.append(history.get(self._config.epoch_metric, np.zeros(0)))
        values = mean_curve(curves, [True] * len(curves))
        return dict(enumerate(map(float, values), start=1))

    def _warn_of_lost_files(self, trials: Sequence[FrozenTrial], there: set[str]) -> None:
        ended = {t.user_attrs.get("id") for t in trials if t.state.is_finished()}
        for trial_id in sorted(i for i in ended - there if i is not None):
            _log.warning(
                "the trial %s has ended, but its files are missing in %s; it is not run again",
                trial_id,
                self._folder / "trials",
            )

    def _errors(self) -> contextlib.AbstractContextManager[None]:
        return storage_errors(self._where, self._hidden)


def delete_study(folder: Path, name: str, storage: str | None) -> None:
    """Remove a study from its storage, unless one of its processes is alive.

    Raises
    ------
    OutputError
        If a process is alive.
    StorageError
        If the storage cannot be used.
    """
    if is_anyone_alive(folder):
        raise OutputError(f"{folder} is in use by another process and is not cleared.")
    if storage is not None:  # a database in the folder is removed with it
        errors = storage_errors(describe("study.db", storage), secrets_of(storage))
        with errors, contextlib.suppress(KeyError):
            opened = connect(folder, storage)
            try:
                optuna.delete_study(study_name=name, storage=opened)
            finally:
                disconnect(opened)
