"""Locks: one process at a time changes a study, and the dead hold nothing."""

import errno
import fcntl
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.study.builders import CONFIG, assert_same_study, stop_when

from autodecoder.data import Dataset
from autodecoder.errors import OutputError
from autodecoder.study import Study, run_study
from autodecoder.study.locks import (
    _start_of,
    drop_worker_lock,
    hold_worker_lock,
    is_alive,
    is_anyone_alive,
    living_workers,
    new_worker,
    study_lock,
)

HOLD = """
import sys
from pathlib import Path
from autodecoder.study.locks import hold_worker_lock, study_lock
folder = Path(sys.argv[1])
with study_lock(folder):
    lock = hold_worker_lock(folder, "other")
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_held_by_another_process_is_waited_for_in_vain(tmp_path: Path) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(OutputError, match="locked by another process"),
            study_lock(tmp_path, 0.1),
        ):
            pass
        assert is_alive(tmp_path, "other")
        assert is_anyone_alive(tmp_path)
        process.kill()
    with study_lock(tmp_path, 0.1):
        assert not is_anyone_alive(tmp_path)
        assert not is_alive(tmp_path, "other")
    assert [path.name for path in tmp_path.iterdir()] == [".lock"], "the dead's lock is removed"


def test_a_lock_is_free_again_whatever_happened(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with pytest.raises(ZeroDivisionError), study_lock(folder):
        _ = 1 / 0
    with study_lock(folder, 0.1):
        pass


def test_an_error_inside_is_not_mistaken_for_one_of_the_lock(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="mine"), study_lock(tmp_path):
        raise OSError("mine")


def test_a_process_is_alive_until_it_takes_leave(tmp_path: Path) -> None:
    lock = hold_worker_lock(tmp_path, "one")
    assert is_alive(tmp_path, "one")
    assert not is_alive(tmp_path, "two")
    drop_worker_lock(tmp_path, "one", lock)
    assert not is_alive(tmp_path, "one")
    assert not is_anyone_alive(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        message = "out must be a folder that can be written"
        with pytest.raises(OutputError, match=message), study_lock(folder):
            pass


def test_a_lock_that_is_only_tested_does_not_stop_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that looked who is alive made another one end with a traceback."""
    monkeypatch.setattr("autodecoder.study.locks._PATIENCE", 60.0)
    path = tmp_path / ".worker-one.lock"
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert living_workers(tmp_path) == [], "others may test the lock, too"
        release = threading.Timer(0.2, fcntl.flock, (file, fcntl.LOCK_UN))
        release.start()
        lock = hold_worker_lock(tmp_path, "one")
        release.join()
    assert living_workers(tmp_path) == ["one"]
    drop_worker_lock(tmp_path, "one", lock)
    monkeypatch.setattr("autodecoder.study.locks._PATIENCE", 0.1)
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(OutputError, match=r"worker-one\.lock is locked by another process"):
            hold_worker_lock(tmp_path, "one")


# A file system without locks


@pytest.fixture(params=["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        code = getattr(errno, request.param)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.usefixtures("no_locks")
def test_without_locks_one_process_at_a_time_runs_a_study(tmp_path: Path) -> None:
    start = time.monotonic()
    one, other = new_worker(), new_worker()
    with study_lock(tmp_path):
        lock = hold_worker_lock(tmp_path, one)
        assert is_alive(tmp_path, one)
        with pytest.raises(OutputError, match=rf"without locks.*process {os.getpid()} does"):
            hold_worker_lock(tmp_path, other)
    assert living_workers(tmp_path) == [one]
    drop_worker_lock(tmp_path, one, lock)
    assert living_workers(tmp_path) == []

    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    dead = f"0_{ended.pid}_{one.split('_')[2]}"
    (tmp_path / f".worker-{dead}.lock").touch()
    assert not is_alive(tmp_path, dead)
    elsewhere = f"0_{ended.pid}_elsewhere"
    (tmp_path / f".worker-{elsewhere}.lock").touch()
    with pytest.raises(OutputError, match=rf"{ended.pid} on elsewhere does.*remove .*elsewhere"):
        hold_worker_lock(tmp_path, other)
    assert time.monotonic() - start < 10


@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_number_of_a_former_process_is_not_mistaken(tmp_path: Path) -> None:
    """In a container that starts again, this process has the number that the dead one had."""
    unique, _, machine = new_worker().split("_")
    process, start, rest = unique.split("-")
    me, parent = os.getpid(), os.getppid()

    def is_there(worker: str) -> bool:
        (tmp_path / f".worker-{worker}.lock").touch()
        return is_alive(tmp_path, worker)

    assert is_there(new_worker())
    assert not is_there(f"00000000_{me}_{machine}")
    assert not is_there(f"00000000-{start}-{rest}_{me}_{machine}")
    assert not is_there(f"{process}-{start}-{rest}_{'9' * 30}_{machine}")
    assert is_there(f"00000000_{parent}_{machine}")
    if sys.platform == "linux":
        assert not is_there(f"00000000-1{start}-{rest}_{parent}_{machine}")
        now = _start_of(parent)
        assert is_there(f"00000000-{now}-{rest}_{parent}_{machine}")


@pytest.mark.slow
@pytest.mark.usefixtures("no_locks")
def test_without_locks_a_study_goes_on_where_it_was_cut_off(
    digits: Dataset, whole: Study, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run_study(CONFIG, digits, tmp_path, **stop_when(lambda report: report.epoch >= 4))
    (record,) = caplog.records
    assert "has no locks: run no second process" in record.getMessage()
    assert_same_study(run_study(CONFIG, digits, tmp_path), whole)
