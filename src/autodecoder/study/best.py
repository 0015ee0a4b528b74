"""What is kept of the runs of a study once they have ended: the best one, with its model."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autodecoder.files import read_json, sweep_temporary
from autodecoder.model import Model, load_model, save_model
from autodecoder.study.checkpoint import drop_checkpoints, drop_outcome
from autodecoder.study.records import execution_folder
from autodecoder.study.results import UNFINISHED, Trial
from autodecoder.study.saved import Study

_log = logging.getLogger(__name__)


def drop_model(folder: Path) -> None:
    """Remove the model of an execution, by its folder."""
    if (folder / "model").is_dir():
        shutil.rmtree(folder / "model", ignore_errors=True)


def keep_best(study: Study) -> None:
    """Of all trials that have ended, keep what the best one's pictures need, and its model.

    The model goes to `best`, where the study keeps one, or has one from before. Of a run that kept
    no model of its best epoch it is that after the last one.

    Raises
    ------
    OutputError
        If it cannot be written.
    DataError
        If what is kept of the run is damaged.
    """
    best = study.best_trial
    for trial in study.trials:
        if trial.state == UNFINISHED:
            continue
        sweep_temporary(study.folder / "trials" / trial.trial_id)
        for k in range(len(trial.executions)):
            folder = execution_folder(study.folder, trial.trial_id, k)
            drop_checkpoints(folder)
            if trial is not best or k != trial.best_execution:
                drop_outcome(folder)
                if keeps_one_model(study.about):
                    drop_model(folder)
    if best is None or best.best_execution is None:
        return
    if study.config.log.save_best_model or (study.folder / "best" / "config.json").is_file():
        _keep_model(study, best, best.best_execution)


def keeps_one_model(about: Mapping[str, Any]) -> bool:
    """Whether models of single executions may go, by the `config.json` of a study: in one that an
    earlier version began, all of them are kept."""
    return "began" not in about


def _keep_model(study: Study, best: Trial, k: int) -> None:
    folder = execution_folder(study.folder, best.trial_id, k)
    if (folder / "model" / "config.json").is_file():
        model = replace(load_model(folder / "model"), history=best.executions[k].history)
    elif _is_kept(study.folder / "best", best.trial_id, k):
        return
    else:
        shown = study.shown_model()
        if shown is None:
            return
        model = shown
        _log.warning("%s", _tell(study, model))
    save_model(model, study.folder / "best")
    if keeps_one_model(study.about):
        drop_model(folder)


def _is_kept(folder: Path, trial_id: str, execution: int) -> bool:
    """Whether a folder holds the model of that run."""
    if not (folder / "config.json").is_file():
        return False
    about = read_json(folder / "config.json").get("about")
    return isinstance(about, dict) and (about.get("trial"), about.get("execution")) == (
        trial_id,
        execution,
    )


def _tell(study: Study, model: Model) -> str:
    """What is in `best` where the run kept no model of its best epoch."""
    n, n_train = len(model.latents), study.about.get("n_train")
    some = (
        f", with {n:,} of {n_train:,} latents" if isinstance(n_train, int) and n < n_train else ""
    )
    return (
        f"the best run kept no model of its best epoch, as it ran without save_best_model: best/ "
        f"is the model after its last epoch{some}"
    )
