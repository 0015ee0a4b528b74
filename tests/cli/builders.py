"""The command line as a user types it, in this process or in one of its own."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autodecoder import Study, load_study
from autodecoder.cli import main
from autodecoder.study import Trial

ROOT = Path(__file__).parent.parent.parent
#: One second of training.
QUICK = ("--arch=16", "--num_epochs=3", "--examples_frac=0.3", "--executions_per_trial=1")


def call(*arguments: str | Path) -> int:
    """Run `autodecoder` with these arguments; its exit status."""
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    code = exit_.value.code
    assert isinstance(code, int)
    return code


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """What a command has told: one sentence of an error and nothing else."""
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


@contextlib.contextmanager
def without_pictures() -> Iterator[None]:
    """Commands draw no pictures of their studies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("autodecoder.report.write_pictures", lambda _study, _dataset: [])
        yield


def train(*flags: str | Path) -> int:
    """Run `autodecoder train`; its exit status."""
    return call("train", *flags)


@contextlib.contextmanager
def heard_interrupts() -> Iterator[None]:
    """Processes started in the block hear Ctrl-C, though the tests may be a script's job in the
    background, which ignores it and has what it starts ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def start(*flags: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start `./train.py` as a process of its own."""
    with heard_interrupts():
        return subprocess.Popen(
            [sys.executable, ROOT / "train.py", *flags],
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "COLUMNS": "80"},
        )


def table(output: str) -> list[str]:
    """The lines of the table of trials, with its title."""
    lines = output.splitlines()
    first = next(k for k, line in enumerate(lines) if " by " in line and ", best first" in line)
    last = next(k for k, line in enumerate(lines) if line.endswith(" s each)"))
    return lines[first:last]


def trial_at(folder: Path, rate: float) -> Trial:
    """The trial of a learning rate."""
    (found,) = [trial for trial in load_study(folder).trials if trial.learning_rate == rate]
    return found


def history(folder: Path, rate: float, execution: int = 0) -> str:
    """The history file of an execution, in which every digit counts."""
    path = folder / "trials" / trial_at(folder, rate).trial_id / f"execution-{execution}"
    return (path / "history.csv").read_text()


def settings(folder: Path) -> dict:
    """The settings as recorded in `config.json`."""
    return json.loads((folder / "config.json").read_text())["settings"]


def stamps(folder: Path) -> dict[str, int]:
    """When each file of the trials was written last."""
    return {str(path): path.stat().st_mtime_ns for path in folder.glob("trials/**/*.*")}


def ids(study: Study) -> list[str]:
    """The trials, best first."""
    return [trial.trial_id for trial in study.trials]
