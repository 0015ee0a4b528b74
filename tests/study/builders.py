"""Small studies, and how two of them are compared.

Compilation takes most of the time of these tests. Their configurations therefore share as many
programs as possible: a program belongs to a `RunConfig` and a number of runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autodecoder.config import (
    METRICS,
    DataConfig,
    DecoderConfig,
    FitConfig,
    InferConfig,
    LogConfig,
    SearchConfig,
    StudyConfig,
)
from autodecoder.study import Execution, Progress, Shown, Study, Trial
from autodecoder.study.results import COMPLETE

RATES = (1e-3, 1e-2)
EPOCHS = 20

#: Four runs.
CONFIG = StudyConfig(
    data=DataConfig(examples_frac=0.3),
    decoder=DecoderConfig(arch=(16,), batch_norm=True),
    fit=FitConfig(num_epochs=EPOCHS, batch_size=100),
    infer=InferConfig(n_candidates=100, n_steps=5),
    search=SearchConfig({"learning_rate": RATES}),
    log=LogConfig(checkpoint_every=5),
    executions_per_trial=2,
    seed=5,
)
#: Without batch normalisation or a bounded output, a step size can be too large to survive.
FRAIL = replace(
    CONFIG,
    data=DataConfig(examples_frac=0.3, scaler="identity"),
    decoder=DecoderConfig(arch=(16,), batch_norm=False),
    fit=FitConfig(num_epochs=3, batch_size=431, latent_start="normal"),
    executions_per_trial=1,
)


def searching(config: StudyConfig, *rates: float, **search: Any) -> StudyConfig:
    """The same study with other learning rates."""
    return replace(config, search=SearchConfig({"learning_rate": rates}, **search))


def execution(
    *values: float, metric: str = "val_loss", status: str = "finished", seed: int | None = None
) -> Execution:
    """An execution with the given objective, and a constant or noise in every other metric."""
    rng = None if seed is None else np.random.default_rng(seed)
    n = len(values)
    history = {
        name: (np.ones(n) if rng is None else np.exp(rng.normal(0, 20, n))).astype(np.float32)
        for name in METRICS
    }
    history[metric] = np.array(values, np.float32)
    return Execution(history, metric, status)


def trial(*executions: Execution, state: str = COMPLETE, number: int = 0, **values: Any) -> Trial:
    """A trial of these executions."""
    values = values or {"learning_rate": 1e-3}
    return Trial(f"{number:08x}", number, values, executions, state)


def by_rate(study: Study, rate: float) -> Trial:
    (found,) = [trial for trial in study.trials if trial.learning_rate == rate]
    return found


def all_runs(study: Study) -> dict[tuple[str, int], Execution]:
    """Every execution, by its trial's values and its number."""
    return {
        (str(sorted(trial.values.items())), k): execution
        for trial in study.trials
        for k, execution in enumerate(trial.executions)
    }


def assert_same_history(
    one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray], epochs: int | None = None
) -> None:
    """Equal bit for bit, perhaps as far as some epoch."""
    assert list(one) == list(other)
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name][:epochs], strict=True)


def assert_same_shown(one: Shown, other: Shown) -> None:
    """Equal bit for bit."""
    parts = [{**vars(shown), **shown.decoder} for shown in (one, other)]
    for name, values in parts[0].items():
        if name != "decoder":
            np.testing.assert_array_equal(values, parts[1][name], strict=True)


def assert_same_trial(one: Trial, other: Trial) -> None:
    """Equal values and histories bit for bit, whatever the trials are called."""
    assert one.values == other.values
    assert one.state == other.state
    for left, right in zip(one.executions, other.executions, strict=True):
        assert left.status == right.status
        assert_same_history(left.history, right.history)


def assert_same_study(one: Study, other: Study) -> None:
    """Equal tables of trials: the same order, states, scores and histories bit for bit."""
    for left, right in zip(one.trials, other.trials, strict=True):
        assert_same_trial(left, right)
        np.testing.assert_equal((left.score, left.spread), (right.score, right.spread))


def stop_when(reached: Callable[[Progress], bool]) -> dict[str, Any]:
    """`report` and `should_stop` that end a study as soon as a report meets a condition."""
    reports: list[Progress] = []
    return {
        "report": reports.append,
        "should_stop": lambda: bool(reports) and reached(reports[-1]),
    }


def files(folder: Path) -> set[str]:
    """Every file of a study, trials named by `*`, but for its database and lock."""
    found = set()
    for path in folder.rglob("*"):
        parts = list(path.relative_to(folder).parts)
        if path.is_file() and parts[-1] not in (".lock", "study.db"):
            if parts[0] == "trials":
                parts[1] = "*"
            found.add("/".join(parts))
    return found


def assert_finished_files(folder: Path, n_executions: int = 2) -> None:
    """Nothing is left of checkpoints, temporary files and the locks of processes."""
    expected = {"config.json", "yardstick.json", "histories.csv", "trials/*/trial.json"}
    expected |= {f"trials/*/execution-{k}/history.csv" for k in range(n_executions)}
    names = ("README.md", "config.json", "decoder.safetensors", "latents.safetensors")
    expected |= {f"best/{name}" for name in names}
    found = files(folder)
    outcomes = {name for name in found if name.endswith("/outcome.safetensors")}
    # Names of images are known where the data set has them.
    found -= outcomes | {"images.csv", "best/images.csv"}
    assert found == expected, sorted(found ^ expected)
    assert len(list(folder.glob("trials/*/*/outcome.safetensors"))) == 1
