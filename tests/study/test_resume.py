"""A study goes on where it was cut off, to the same end: killed, damaged, or on a full disk."""

import contextlib
import errno
import logging
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.study.builders import (
    CONFIG,
    EPOCHS,
    assert_finished_files,
    assert_same_history,
    assert_same_study,
    files,
    searching,
    stop_when,
)
from tests.study.recorder import Recorder
from tests.study.worker import Worker, save_images

from autodecoder.config import (
    DataConfig,
    DecoderConfig,
    FitConfig,
    LogConfig,
    Range,
    SearchConfig,
    StudyConfig,
)
from autodecoder.data import Dataset
from autodecoder.errors import OutputError, StorageError
from autodecoder.study import Progress, Study, load_study, load_study_data, run_study
from autodecoder.study.checkpoint import load_outcome
from autodecoder.study.ledger import Ledger
from autodecoder.study.locks import drop_worker_lock, hold_worker_lock, living_workers, tell_worker
from autodecoder.study.records import write_trial
from autodecoder.study.results import COMPLETE

LOG_RATES = Range(1e-4, 1e-1, log=True)
#: Two groups of four runs, one trial each.
GROUPS = replace(
    CONFIG,
    search=replace(CONFIG.search, runs_at_once=4),
    executions_per_trial=4,
)


@pytest.fixture(scope="module")
def images(digits: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_images(digits, tmp_path_factory.mktemp("images") / "digits.npz")


def checkpoints(folder: Path) -> dict[tuple[str, int], list[int]]:
    """The epochs of the checkpoints of every run that has not ended, newest first."""
    found = {}
    for path in folder.glob("trials/*/execution-*"):
        outcome = load_outcome(path)
        epochs = [int(p.stem.split("-")[1]) for p in path.glob("checkpoint-*.safetensors")]
        if epochs and not (outcome and outcome.ended):
            found[path.parent.name, int(path.name.split("-")[1])] = sorted(epochs, reverse=True)
    return found


def trials_in(folder: Path) -> list[tuple[int, str]]:
    """Number and state of every trial in the storage."""
    if not (folder / "study.db").exists():
        return []
    with contextlib.closing(sqlite3.connect(folder / "study.db")) as connection:
        return connection.execute("SELECT number, state FROM trials ORDER BY number").fetchall()


def reached(epoch: int):
    return stop_when(lambda report: report.stage == "fit" and report.epoch >= epoch)


# Killed


def kill_again_and_again(
    images: Path, config: StudyConfig, folder: Path, n_kills: int, seed: int
) -> None:
    """Run a study in processes killed at random moments, and look at what each left; then to its
    end.

    The moments lie between the first look at the folder and some epochs of the fit; the last one,
    while finished runs are validated.
    """
    rng = np.random.default_rng(seed)
    ids: set[str] = set()
    waiting = Worker(images, config, folder)  # the next one, while the one before it is at work
    for attempt in range(n_kills + 1):
        left = checkpoints(folder)
        worker = waiting
        worker.begin()
        if attempt < n_kills:
            waiting = Worker(images, config, folder)
        if attempt < n_kills:
            if attempt < n_kills - 1:
                n_before = 4 + len(trials_in(folder)) * config.executions_per_trial
                alive = worker.follow(int(rng.integers(2, n_before + 5)))
            else:
                alive = worker.follow(until="ended")
            time.sleep(rng.uniform(0, 0.05))
            worker.kill()
            assert alive, "killed too late"
        else:
            worker.end()
        for run, epoch in worker.begun().items():
            assert epoch == left.get(run, [0])[0], "goes on at the newest checkpoint"
        now = {path.parent.name for path in folder.glob("trials/*/trial.json")}
        assert ids <= now, "no trial is lost"
        ids = now
    assert {trial.trial_id for trial in load_study(folder).trials} == ids


@pytest.mark.thorough
@pytest.mark.parametrize("n_kills", [2, pytest.param(7, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_the_same(
    whole: Study, images: Path, tmp_path: Path, n_kills: int
) -> None:
    config = replace(CONFIG, log=replace(CONFIG.log, checkpoint_every=1))
    kill_again_and_again(images, config, tmp_path, n_kills=n_kills, seed=1)
    assert_same_study(load_study(tmp_path), whole)
    assert trials_in(tmp_path) == [(0, "COMPLETE"), (1, "COMPLETE")]
    assert_finished_files(tmp_path)


@pytest.mark.slow  # MNIST, eleven processes
@pytest.mark.usefixtures("full_optimisation")
def test_killed_ten_times_on_mnist_it_ends_the_same(shared_data: Path, tmp_path: Path) -> None:
    config = StudyConfig(
        data=DataConfig("mnist", shared_data, examples_frac=0.1),
        decoder=DecoderConfig(arch=(500, 500), batch_norm=False),
        fit=FitConfig(num_epochs=12),
        search=SearchConfig({"learning_rate": (1e-3, 1e-2)}),
        log=LogConfig(checkpoint_every=1),
        executions_per_trial=1,
    )
    dataset = load_study_data(config)
    images = save_images(dataset, tmp_path / "mnist.npz")
    folder = tmp_path / "killed"
    kill_again_and_again(images, config, folder, n_kills=10, seed=0)
    undisturbed = Worker(images, config, tmp_path / "whole")
    undisturbed.begin()
    undisturbed.end()
    assert_same_study(load_study(folder), load_study(tmp_path / "whole"))
    assert trials_in(folder) == [(0, "COMPLETE"), (1, "COMPLETE")]
    assert_finished_files(folder, n_executions=1)


@pytest.mark.slow
def test_processes_share_a_study_and_take_over_from_a_dead_one(
    digits: Dataset, images: Path, tmp_path: Path
) -> None:
    config = searching(
        replace(CONFIG, executions_per_trial=1), 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, runs_at_once=1
    )
    alone = run_study(config, digits, tmp_path / "alone")
    folder = tmp_path / "shared"
    workers = [Worker(images, config, folder) for _ in range(3)]
    for worker in workers:
        worker.begin()
    *living, dying = workers
    assert dying.follow(until="compile")  # it has claimed a trial
    dying.kill()
    for worker in living:
        worker.end()
    assert_same_study(load_study(folder), alone)
    assert trials_in(folder) == [(number, "COMPLETE") for number in range(5)]
    begun = [worker.begun().keys() for worker in living]
    assert all(begun), "both took part"
    assert not begun[0] & begun[1]
    assert len(begun[0] | begun[1]) == 5
    assert_finished_files(folder, n_executions=1)


@pytest.mark.slow
def test_one_that_waits_takes_over_when_the_other_dies(
    digits: Dataset, images: Path, whole: Study, tmp_path: Path
) -> None:
    other = Worker(images, CONFIG, tmp_path)
    other.begin()
    assert other.follow(until="compile")  # it has claimed both trials
    part = run_study(CONFIG, digits, tmp_path)
    assert [trial.state for trial in part.trials] == ["unfinished"] * 2
    (worker,) = living_workers(tmp_path)
    assert tell_worker(worker) == str(other.process.pid)

    stages: list[str] = []

    def kill(progress: Progress) -> None:
        stages.append(progress.stage)
        if stages == ["wait"] * 3:
            other.kill()

    study = run_study(CONFIG, digits, tmp_path, wait=True, report=kill)
    assert {"wait", "fit"} == set(stages) - {"compile", "fresh validation", "end"}
    assert_same_study(study, whole)
    assert_finished_files(tmp_path)


def test_one_that_waits_ends_with_the_others(digits: Dataset, whole: Study, tmp_path: Path) -> None:
    """However they end; and at once when it is told to stop."""
    part = run_study(CONFIG, digits, tmp_path, should_stop=lambda: True)
    stages: list[str] = []
    with Ledger(tmp_path, part.about["study"], CONFIG, digits.image_shape) as ledger:
        claims = ledger.claim()

        def end(progress: Progress) -> None:
            stages.append(progress.stage)
            if len(stages) == 2:
                for claim in claims:
                    (trial,) = [t for t in whole.trials if t.values == claim.values]
                    trial = replace(trial, trial_id=claim.trial_id, number=claim.number)
                    write_trial(tmp_path, trial)
                    ledger.finish(trial)

        stop = {"should_stop": lambda: bool(stages), "report": lambda p: stages.append(p.stage)}
        stopped = run_study(CONFIG, digits, tmp_path, wait=True, **stop)
        assert stages == ["wait"]
        assert stopped.best_trial is None
        stages.clear()
        study = run_study(CONFIG, digits, tmp_path, wait=True, report=end)
    assert stages == ["wait"] * 2
    assert_same_study(study, whole)


def test_a_study_that_is_running_is_not_cleared(digits: Dataset, tmp_path: Path) -> None:
    part = run_study(CONFIG, digits, tmp_path, should_stop=lambda: True)
    before = files(tmp_path)
    with (
        Ledger(tmp_path, part.about["study"], CONFIG, digits.image_shape),
        pytest.raises(OutputError, match="in use by another process"),
    ):
        run_study(CONFIG, digits, tmp_path, reset=True)
    assert files(tmp_path) == before
    run_study(CONFIG, digits, tmp_path, reset=True, should_stop=lambda: True)
    assert load_study(tmp_path).about["study"] != part.about["study"]


def test_a_process_that_fails_leaves_the_study_to_the_others(
    digits: Dataset, tmp_path: Path
) -> None:
    """Though nothing has come of it yet; alone, it leaves nothing."""

    def fail(_: Progress) -> None:
        raise KeyboardInterrupt

    def fail_beside_another(_: Progress) -> None:
        stack.callback(drop_worker_lock, folder, "other", hold_worker_lock(folder, "other"))
        raise KeyboardInterrupt

    folder = tmp_path / "shared"
    with contextlib.ExitStack() as stack:
        with pytest.raises(KeyboardInterrupt):
            run_study(CONFIG, digits, folder, report=fail_beside_another)
        assert [state for _, state in trials_in(folder)] == ["RUNNING", "RUNNING"]
        assert (folder / "config.json").exists()
    with pytest.raises(KeyboardInterrupt):
        run_study(CONFIG, digits, tmp_path / "alone", report=fail)
    assert not (tmp_path / "alone").exists()


@pytest.mark.slow
def test_a_trial_whose_end_the_storage_has_missed_is_not_run_again(
    whole: Study, digits: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: object) -> None:
        raise StorageError("the server went away.")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "finish", lost)
        with pytest.raises(StorageError, match="went away"):
            run_study(CONFIG, digits, tmp_path)
    assert [state for _, state in trials_in(tmp_path)] == ["RUNNING", "RUNNING"]
    (ended,) = [t.trial_id for t in load_study(tmp_path).trials if t.state == COMPLETE]
    recorder = Recorder()
    study = run_study(CONFIG, digits, tmp_path, observers=[recorder])
    assert ended not in {trial_id for trial_id, *_ in recorder.begun}
    assert [state for _, state in trials_in(tmp_path)] == ["COMPLETE", "COMPLETE"]
    assert_same_study(study, whole)


def test_a_trial_whose_files_are_gone_is_named(
    whole: Study, digits: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(whole.folder, tmp_path, dirs_exist_ok=True)
    lost = whole.trials[1].trial_id
    shutil.rmtree(tmp_path / "trials" / lost)
    study = run_study(CONFIG, digits, tmp_path)
    assert f"the trial {lost} has ended, but its files are missing" in caplog.text
    assert [trial.trial_id for trial in study.trials] == [whole.trials[0].trial_id]


def test_what_a_process_left_that_was_killed_in_the_end_is_cleared(
    whole: Study, digits: Dataset, tmp_path: Path
) -> None:
    """After a trial was recorded, before its checkpoints were removed."""
    folder = tmp_path / "study"
    shutil.copytree(whole.folder, folder)
    for execution in folder.glob("trials/*/execution-*"):
        (execution / "checkpoint-0000012.safetensors").touch()
        (execution / ".checkpoint-0000010.safetensors.0123abcd.tmp").touch()
        (execution / "outcome.safetensors").touch()
    (folder / ".worker-0123abcd.lock").touch()
    (folder / ".histories.csv.0123abcd.tmp").touch()
    shutil.copytree(whole.folder / "trials", folder / "trials", dirs_exist_ok=True)
    assert_same_study(run_study(CONFIG, digits, folder), whole)
    assert_finished_files(folder)


@pytest.mark.thorough
def test_starting_over_runs_everything_anew(digits: Dataset, whole: Study, tmp_path: Path) -> None:
    part = run_study(CONFIG, digits, tmp_path, **reached(4))
    recorder = Recorder()
    anew = run_study(CONFIG, digits, tmp_path, reset=True, observers=[recorder])
    assert {epoch for _, _, epoch in recorder.begun} == {0}
    assert_same_study(anew, whole)
    assert not {t.trial_id for t in anew.trials} & {t.trial_id for t in part.trials}
    assert_finished_files(tmp_path)


# Damaged


@pytest.mark.thorough
def test_a_damaged_storage_is_moved_away_and_the_study_goes_on(
    digits: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    uncut = run_study(GROUPS, digits, tmp_path / "uncut")
    folder = tmp_path / "study"
    n_groups = 0

    def count(progress: Progress) -> None:
        nonlocal n_groups, epoch
        n_groups += progress.stage == "compile"
        epoch = progress.epoch if progress.stage == "fit" else 0

    epoch = 0
    part = run_study(
        GROUPS, digits, folder, report=count, should_stop=lambda: n_groups == 2 and epoch >= 2
    )
    done, begun = part.trials
    assert (done.state, begun.state) == ("complete", "unfinished")
    done_files = [p for p in (folder / "trials" / done.trial_id).rglob("*") if p.is_file()]
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in done_files}
    left = checkpoints(folder)

    (folder / "study.db").write_bytes(b"garbage" * 5000)
    for _ in range(2):
        with pytest.raises(StorageError, match=r"study\.db is damaged.*Move it away"):
            run_study(GROUPS, digits, folder)
        assert (folder / "study.db").read_bytes() == b"garbage" * 5000
    assert checkpoints(folder) == left

    (folder / "study.db").rename(tmp_path / "damaged.db")
    recorder = Recorder()
    with caplog.at_level(logging.WARNING):
        result = run_study(GROUPS, digits, folder, observers=[recorder])
    assert "restored from the folder into the storage: 2 trials" in caplog.text
    assert {(trial, k): epoch for trial, k, epoch in recorder.begun} == {
        (begun.trial_id, k): left[begun.trial_id, k][0] for k in range(4)
    }
    assert {t.trial_id for t in result.trials} == {done.trial_id, begun.trial_id}
    assert_same_study(result, uncut)
    outcome = (folder / "trials" / done.trial_id).glob("*/outcome.safetensors")
    kept = before.keys() - {path for path in done_files if not path.exists()}
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept} == {
        path: before[path] for path in kept
    }
    assert len(before) - len(kept) <= 1 - len(list(outcome)), "only what pictures need may go"
    assert trials_in(folder) == [(0, "COMPLETE"), (1, "COMPLETE")]


def test_where_checkpoints_are_damaged_it_goes_on_from_sound_ones(
    whole: Study, digits: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One run has lost its newest, one has lost both, and one has lost an old one."""
    run_study(CONFIG, digits, tmp_path, **reached(10))
    left = checkpoints(tmp_path)
    assert len(left) == 4
    assert all(len(epochs) == 2 for epochs in left.values())
    first, second, third, fourth = left

    def damage(run: tuple[str, int], epoch: int) -> None:
        folder = tmp_path / "trials" / run[0] / f"execution-{run[1]}"
        path = folder / f"checkpoint-{epoch:07d}.safetensors"
        content = bytearray(path.read_bytes())
        content[-50] ^= 1
        path.write_bytes(content)

    damage(first, left[first][0])
    for epoch in left[second]:
        damage(second, epoch)
    damage(third, left[third][1])
    recorder = Recorder()
    with caplog.at_level(logging.WARNING):
        result = run_study(CONFIG, digits, tmp_path, observers=[recorder])
    assert {(trial, k): epoch for trial, k, epoch in recorder.begun} == {
        first: left[first][1],
        second: 0,
        third: left[third][0],
        fourth: left[fourth][0],
    }
    warnings = [message for message in caplog.messages if "cannot be used" in message]
    assert len(warnings) == 3
    assert all("checksum" in message for message in warnings)
    assert_same_study(result, whole)
    assert_finished_files(tmp_path)


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no small file system can be mounted here: {error}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Take all the space that is left."""
    with path.open("wb") as file, contextlib.suppress(OSError):
        while True:
            os.write(file.fileno(), bytes(1024))


@pytest.mark.parametrize("epoch", [0, 10, EPOCHS])
@pytest.mark.slow
def test_on_a_full_disk_the_last_checkpoints_survive(
    whole: Study, digits: Dataset, small_disk: Path, epoch: int
) -> None:
    """It fills before the first checkpoint, between two, or when the runs are at their ends."""
    folder, filler = small_disk / "study", small_disk / "filler"

    def watch(progress: Progress) -> None:
        if progress.stage == "fit" and progress.epoch >= epoch and not filler.exists():
            fill(filler)

    with pytest.raises((OutputError, StorageError), match=os.strerror(errno.ENOSPC)) as error:
        run_study(CONFIG, digits, folder, report=watch)
    assert "Move it away" not in str(error.value)
    assert not list(small_disk.rglob("*.tmp"))
    left = checkpoints(folder)
    assert len(left) == (4 if epoch else 0)
    filler.unlink()

    recorder = Recorder()
    result = run_study(CONFIG, digits, folder, observers=[recorder])
    assert {(trial, k): epoch for trial, k, epoch in recorder.begun} == {
        (trial, k): left.get((trial, k), [0])[0] for trial, k, _ in recorder.begun
    }
    assert_same_study(result, whole)
    assert_finished_files(folder)


# A search that draws


def test_a_search_that_was_cut_off_goes_on_as_if_it_had_not_been(
    digits: Dataset, tmp_path: Path
) -> None:
    """With the scores of real runs, of which each choice is made."""
    search = replace(CONFIG.search, space={"learning_rate": LOG_RATES}, sampler="tpe", max_trials=3)
    config = replace(CONFIG, search=search)
    uncut = run_study(config, digits, tmp_path / "uncut")
    assert len({trial.learning_rate for trial in uncut.trials}) == 3
    folder = tmp_path / "cut"
    reports: list[Progress] = []

    def is_in_second() -> bool:
        stages = [report.stage for report in reports]
        return stages.count("compile") == 2 and reports[-1].epoch >= 2

    part = run_study(config, digits, folder, report=reports.append, should_stop=is_in_second)
    assert [trial.state for trial in part.trials] == ["complete", "unfinished"]
    result = run_study(config, digits, folder)
    assert_same_study(result, uncut)
    for one, other in zip(result.trials, uncut.trials, strict=True):
        assert one.number == other.number
        assert_same_history(one.executions[0].history, other.executions[0].history)
