"""Studies whose groups run in other processes: the same results, whatever becomes of those."""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.study.builders import CONFIG, EPOCHS, assert_same_study, searching, stop_when

from autodecoder.data import Dataset
from autodecoder.errors import ConfigError, EngineError
from autodecoder.study import Progress, Study, load_study, run_study

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
#: One worker on all cores sums in the order of this process.
ALONE = {"engine": "processes", "workers": 1}

TWO_SHAPES = replace(
    CONFIG,
    search=replace(
        CONFIG.search,
        space={
            "learning_rate": (1e-2,),
            "latent_dims": (2, 3),
        },
    ),
)


def children() -> list[int]:
    """The worker processes of this one."""
    found = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "autodecoder.study.engines.child"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(line) for line in found.stdout.split()]


@pytest.fixture(autouse=True)
def no_worker_is_left() -> Iterator[None]:
    yield
    assert children() == []


@pytest.fixture
def local(undisturbed: tuple[Study, list[Progress]]) -> Study:
    return undisturbed[0]


def killer(when: Callable[[Progress], bool], times: int = 1) -> Callable[[Progress], None]:
    """Kills all workers at the first reports of that kind."""
    left = [times]

    def report(progress: Progress) -> None:
        if left[0] and when(progress):
            left[0] -= 1
            for pid in children():
                os.kill(pid, signal.SIGKILL)

    return report


STAGES = ["compile", "fit", "fresh validation", "end"]


def stages_of(reports: list[Progress]) -> list[str]:
    """The stages in the order in which each came first."""
    return [*dict.fromkeys(report.stage for report in reports)]


@pytest.mark.thorough
def test_a_worker_gives_the_results_of_this_process(
    local: Study, digits: Dataset, tmp_path: Path
) -> None:
    reports: list[Progress] = []
    study = run_study(CONFIG, digits, tmp_path, **ALONE, report=reports.append)
    assert_same_study(study, local)
    assert stages_of(reports) == STAGES


def test_a_killed_worker_costs_nothing_but_time(
    local: Study, digits: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It and its successor give the results of this process."""
    kill = killer(lambda progress: progress.stage == "fit" and progress.epoch > 6)
    reports: list[Progress] = []

    def report(progress: Progress) -> None:
        reports.append(progress)
        kill(progress)

    with caplog.at_level(logging.WARNING):
        study = run_study(CONFIG, digits, tmp_path, **ALONE, report=report)
    assert_same_study(study, local)
    _, successor = [i for i, one in enumerate(reports) if one.stage == "compile"]
    assert stages_of(reports[successor:]) == STAGES
    assert "ended with signal 9; its runs resume from their last checkpoints" in caplog.text


@pytest.mark.thorough
def test_workers_that_are_lost_again_and_again_end_the_study(
    digits: Dataset, tmp_path: Path
) -> None:
    report = killer(lambda progress: progress.stage == "compile", times=100)
    with pytest.raises(EngineError, match=r"ended with signal 9; so did 2 before it"):
        run_study(CONFIG, digits, tmp_path, **ALONE, report=report)


@pytest.mark.thorough
def test_an_interrupted_study_goes_on_with_any_engine(
    local: Study, digits: Dataset, tmp_path: Path
) -> None:
    stop = stop_when(lambda progress: progress.stage == "fit" and progress.epoch >= 5)
    part = run_study(CONFIG, digits, tmp_path, **ALONE, **stop)
    epochs = {e.epochs for trial in part.trials for e in trial.executions}
    assert max(epochs) >= 5
    assert min(epochs) < EPOCHS
    assert_same_study(run_study(CONFIG, digits, tmp_path), local)


@pytest.mark.thorough
@pytest.mark.skipif(CORES < 2, reason="needs two cores")
def test_shapes_run_side_by_side_and_as_one_after_the_other(
    digits: Dataset, tmp_path: Path
) -> None:
    one = {"engine": "processes", "worker_cores": 1}
    reports: list[Progress] = []
    both = run_study(TWO_SHAPES, digits, tmp_path / "both", **one, workers=2, report=reports.append)
    in_turn = run_study(TWO_SHAPES, digits, tmp_path / "in_turn", **one, workers=1)
    assert_same_study(both, in_turn)
    ends = [i for i, r in enumerate(reports) if r.stage == "end"]
    assert {r.group for r in reports[: ends[0]]} == {0, 1}, "both before either has ended"


@pytest.mark.thorough
@pytest.mark.skipif(CORES < 2, reason="needs two cores")
def test_trials_of_one_shape_are_shared_out(digits: Dataset, tmp_path: Path) -> None:
    groups: dict[int, int] = {}

    def report(progress: Progress) -> None:
        if progress.stage == "fit":
            groups[progress.group] = progress.total

    config = replace(searching(CONFIG, 1e-3, 3e-3, 1e-2), executions_per_trial=1)
    run_study(config, digits, tmp_path, engine="processes", workers=2, report=report)
    assert groups == {0: 2 * EPOCHS, 1: EPOCHS}


def test_an_error_of_a_worker_is_that_of_the_study(digits: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"9 devices asked for, but jax finds"):
        run_study(CONFIG, digits, tmp_path, **ALONE, devices=9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"engine": "rai"}, "engine must be one of local, processes, ray, got 'rai'; did you mean"),
        ({"workers": 2}, "workers is for the engines processes and ray, not for local"),
        ({"worker_cores": 2}, "worker_cores is for the engines processes and ray, not for local"),
        ({"engine": "processes", "workers": 0}, "workers must be a positive whole number, got 0"),
        ({"engine": "processes", "workers": 999}, "999 workers of 1 core each requested, but"),
        ({"engine": "processes", "worker_cores": 999}, "1 worker of 999 cores each requested"),
        ({"ray_address": "auto"}, "ray_address is for the engine ray, not for local"),
    ],
)
def test_what_cannot_be_had_is_said_at_once(
    digits: Dataset, tmp_path: Path, given: dict, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run_study(CONFIG, digits, tmp_path / "none", **given)
    assert not (tmp_path / "none").exists()


@pytest.mark.thorough
def test_a_study_without_a_guard_starts_workers(digits: Dataset, tmp_path: Path) -> None:
    """A script that calls `run_study` at its top level is not run again by each worker."""
    script = tmp_path / "script.py"
    script.write_text(
        "import autodecoder as ad\n"
        "from tests.study.builders import CONFIG\n"
        "print('begins')\n"
        f"ad.run_study(CONFIG, ad.load_study_data(CONFIG), {str(tmp_path / 'out')!r}, "
        "engine='processes', workers=1)\n"
    )
    found = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert found.stdout.count("begins") == 1
    assert len(load_study(tmp_path / "out").trials) == 2
