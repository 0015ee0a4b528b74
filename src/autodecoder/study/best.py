"""Files that a study keeps of its ended runs: the outcome and the model of the best one."""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autodecoder.files import read_json, sweep_temporary
from autodecoder.model import Model, load_model, save_model
from autodecoder.model.saving import holds_model, model_file
from autodecoder.study.checkpoint import drop_checkpoints, drop_outcome
from autodecoder.study.records import execution_folder
from autodecoder.study.results import UNFINISHED, Trial
from autodecoder.study.saved import Study

_log = logging.getLogger(__name__)


def drop_model(folder: Path) -> None:
    """Remove the model in the folder of an execution."""
    if (folder / "model").is_dir():
        shutil.rmtree(folder / "model", ignore_errors=True)


def keep_best(study: Study) -> None:
    """Of the ended trials, keep only the outcome and the model of the best execution.

    The model is saved to `best` if the study keeps one or already has one there. If the run kept no
    model of its best epoch, the model after its last epoch is saved.

    Raises
    ------
    OutputError
        If the files cannot be written.
    DataError
        If a file of the run is damaged.
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
    if study.config.log.save_best_model or holds_model(study.folder / "best"):
        _keep_model(study, best, best.best_execution)


def keeps_one_model(about: Mapping[str, Any]) -> bool:
    """Whether models of other executions may be removed, by the `config.json` of a study. A study
    of an earlier version keeps all of them."""
    return "began" not in about


def _keep_model(study: Study, best: Trial, k: int) -> None:
    folder = execution_folder(study.folder, best.trial_id, k)
    if holds_model(folder / "model"):
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
    """Whether a folder holds the model of this run."""
    if not holds_model(folder):
        return False
    about = read_json(model_file(folder, "config.json")).get("about")
    return isinstance(about, dict) and (about.get("trial"), about.get("execution")) == (
        trial_id,
        execution,
    )


def _tell(study: Study, model: Model) -> str:
    """A warning about the model in `best` of a run that kept no model of its best epoch."""
    n, n_train = len(model.latents), study.about.get("n_train")
    some = (
        f", with {n:,} of {n_train:,} latents" if isinstance(n_train, int) and n < n_train else ""
    )
    return (
        "the best run kept no model of its best epoch, because it ran without save_best_model: "
        f"best/ holds the model after its last epoch{some}"
    )
