"""Observers that fail: they are named and left out, and the study goes on."""

import logging
from pathlib import Path
from typing import Any

import pytest
from tests.study.builders import CONFIG, assert_same_study
from tests.study.recorder import Recorder

from autodecoder.data import Dataset
from autodecoder.errors import OutputError
from autodecoder.study import Observer, Study, run_study
from autodecoder.study.observers import Observers

METHODS = ("begin_study", "begin_run", "record", "snapshot", "end_run", "end_trial")


def failing(method: str, error: BaseException) -> Observer:
    """An observer one of whose methods raises an error, and counts how often it is called."""

    class Failing(Observer):
        n_calls = 0

    def fail(self: Failing, *_: object) -> None:
        self.n_calls += 1
        raise error

    setattr(Failing, method, fail)
    return Failing()


def test_a_study_goes_on_without_observers_that_fail(
    digits: Dataset,
    whole: Study,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder()
    observers = [failing(method, ValueError(f"in\n{method}.")) for method in METHODS]
    without_methods = type("Silent", (Observer,), {})()
    every: list[Any] = [*observers, without_methods, recorder]
    study = run_study(CONFIG, digits, tmp_path, observers=every)
    assert_same_study(study, whole)
    runs = sorted((trial.trial_id, k) for trial in study.trials for k in range(2))
    assert sorted(recorder.ended) == runs, "the last observer is told everything"
    assert len(recorder.trials) == 2
    said = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert sorted(said) == sorted(
        f"the observer Failing failed with ValueError: in {method}; it is no longer called, and "
        "the study goes on"
        for method in METHODS
    )
    assert [vars(observer)["n_calls"] for observer in observers] == [1] * len(METHODS)


def test_runs_are_ended_also_where_an_error_ends_the_study(digits: Dataset, tmp_path: Path) -> None:
    recorder = Recorder()
    full = failing("record", OutputError("disk full."))
    with pytest.raises(OutputError, match="disk full"):
        run_study(CONFIG, digits, tmp_path, observers=[recorder, full])
    assert len(recorder.begun) == 4
    assert sorted(recorder.ended) == sorted((trial, k) for trial, k, _ in recorder.begun)


@pytest.mark.parametrize("error", [OutputError("disk full."), KeyboardInterrupt()])
def test_what_ends_a_study_passes_its_observers(error: BaseException) -> None:
    told: Any = None
    observers = Observers([failing("end_run", error)])
    with pytest.raises(type(error)):
        observers.tell(lambda one: one.end_run(told, None))
    assert observers
