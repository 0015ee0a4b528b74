"""The `--json` output for studies and trials, as plain values."""

from typing import Any

from autodecoder.study import Study, Trial
from autodecoder.study.results import UNFINISHED
from autodecoder.study.space import to_parameter


def study_content(study: Study) -> dict[str, Any]:
    """A study with its trials, best first."""
    best = study.best_trial
    return {
        "folder": str(study.folder),
        "dataset": study.config.data.dataset,
        "objective": study.metric,
        "n_trials": study.config.search.n_trials,
        "n_ended": sum(trial.state != UNFINISHED for trial in study.trials),
        "yardstick": None if study.yardstick is None else study.yardstick.to_dict(),
        "best": None if best is None else trial_content(study, best),
        "trials": [trial_content(study, trial) for trial in study.trials],
    }


def trial_content(study: Study, trial: Trial) -> dict[str, Any]:
    """A trial. Each metric is the mean over its executions, after the last epoch of each."""
    executions = [execution for execution in trial.executions if execution.epochs]
    names = dict.fromkeys(name for execution in executions for name in execution.history)
    return {
        "trial": trial.trial_id,
        "state": trial.state,
        "values": {name: to_parameter(value) for name, value in trial.values.items()},
        "score": trial.score,
        "spread": trial.spread,
        "metrics": {
            name: sum(e.last(name) for e in executions) / len(executions) for name in names
        },
        "epochs": [execution.epochs for execution in trial.executions],
        "ended": [execution.status for execution in trial.executions],
        "seconds": sum(execution.seconds for execution in trial.executions),
        "error": trial.error,
        "yardstick": study.errors_beside(trial),
    }
