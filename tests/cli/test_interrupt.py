"""Ctrl-C: what is done is saved, and the same command goes on as if nothing had happened."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.cli.builders import QUICK, call, heard_interrupts, history, ids, start, table, train
from tests.data.builders import idx_files, write

from autodecoder import load_study
from autodecoder.cli.console import interruptible, keeping_interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")

RATES = (1e-3, 1e-2)
FLAGS = (
    *("--dataset=mnist", "--arch=16", "--latent_dims=3", "--batch_size=2", "--examples_frac=0"),
    *("--executions_per_trial=1", "--num_epochs=3000", "--tune=lr=1e-3,1e-2", "--seed=1"),
    *("--histogram_freq=0", "--visualize_freq=0", "--checkpoint_every=100", "--notensorboard"),
)


def wait_for(process: subprocess.Popen[str], folder: Path, pattern: str) -> None:
    """Until a file is there, while the process is alive."""
    deadline = time.monotonic() + 120
    while not list(folder.glob(pattern)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no {pattern}"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_an_interrupted_study_goes_on_to_the_same_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "study"
    write(tmp_path / "data" / "mnist", idx_files())  # six images, which need no scikit-learn
    flags = (*FLAGS, f"--data_dir={tmp_path / 'data'}")
    process = start(*flags, "--out=study", cwd=tmp_path)
    wait_for(process, folder, "trials/*/execution-0/checkpoint-*")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert err == ""
    assert "stopping; what is done will be saved" in out
    assert "Interrupted: the same command in the same folder goes on from here." in out
    assert "0 of 2 trials ended" in out
    study = load_study(folder)
    for trial in study.trials:
        assert trial.state == "unfinished"
        assert 100 <= trial.executions[0].epochs < 3000
    assert abs(study.trials[0].executions[0].epochs - study.trials[1].executions[0].epochs) <= 1
    assert {path.name for path in (folder / "report").iterdir()} >= {"loss_curves.png"}
    assert not list(tmp_path.rglob("*.tmp"))
    assert call("runs", folder) == 0
    assert table(capsys.readouterr().out) == table(out)

    # The same command, to the end, though its reader leaves; beside it a study without either.
    process = start(*flags, "--out=study", cwd=tmp_path)
    assert process.stdout is not None
    assert "4 training and 2 validation images" in process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(timeout=120) == 0
    assert sorted(ids(load_study(folder))) == sorted(ids(study))
    assert train(*flags, "--out", tmp_path / "whole") == 0
    for rate in RATES:
        assert history(folder, rate) == history(tmp_path / "whole", rate)
    assert not list(folder.rglob("checkpoint-*"))


@pytest.fixture
def heard() -> Iterator[None]:
    """No signal is ignored, as Ctrl-C is where the tests are a script's job in the background, and
    the end of the terminal under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with heard_interrupts():
        yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_signal_asks_and_the_second_ends(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    signum = getattr(signal, name)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signum)
    with interruptible() as should_stop:
        assert not should_stop()
        signal.raise_signal(signum)
        assert should_stop()
        assert "stopping; what is done will be saved" in capsys.readouterr().out
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signum)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signum)) == before


@pytest.mark.usefixtures("heard")
def test_what_is_ignored_stays_ignored() -> None:
    """As Ctrl-C is by a script's jobs in the background, which are ended in other ways."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interruptible() as should_stop:
        signal.raise_signal(signal.SIGINT)
        assert not should_stop()
        signal.raise_signal(signal.SIGTERM)
        assert should_stop()
        signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.usefixtures("no_pictures")
def test_a_thread_of_another_program_may_run_it(tmp_path: Path) -> None:
    """Where Python lets no signal be handled; those of the program stay as they are."""
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    statuses = []
    flags = (*QUICK, "--lr=1e-2", "--seed=1", f"--out={tmp_path / 'study'}")
    thread = threading.Thread(target=lambda: statuses.append(train(*flags)))
    thread.start()
    thread.join()
    assert statuses == [0]
    assert load_study(tmp_path / "study").best_trial is not None
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    ("reset", "words"),
    [
        ((), "the same command goes on from here."),
        (("--reset-training",), "the same command without --reset_training goes on from here."),
    ],
)
def test_what_is_told_loses_no_work(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    reset: tuple[str, ...],
    words: str,
) -> None:
    """The command that removes a study and starts over would do so again."""
    flags = (*QUICK, "--lr=1e-2", "--checkpoint_every=1", f"--out={tmp_path / 'study'}")

    @contextlib.contextmanager
    def at_the_first_checkpoint() -> Iterator[Callable[[], bool]]:
        yield lambda: bool(list(tmp_path.glob("study/trials/*/*/checkpoint-*")))

    with monkeypatch.context() as patch:
        patch.setattr("autodecoder.cli.console.interruptible", at_the_first_checkpoint)
        assert train(*flags, *reset) == 130
    assert f"Interrupted: {words}" in capsys.readouterr().out
    (before,) = load_study(tmp_path / "study").trials
    assert 1 <= before.executions[0].epochs < 3
    assert train(*flags) == 0
    (after,) = load_study(tmp_path / "study").trials
    assert (after.trial_id, after.executions[0].epochs) == (before.trial_id, 3)


IN_A_CALLBACK = """
import gc, signal, time
from autodecoder.cli.console import keeping_interrupts

signal.signal(signal.SIGINT, signal.default_int_handler)

def interrupt(phase, _):
    gc.callbacks.clear()
    signal.raise_signal(signal.SIGINT)

gc.callbacks[:] = [interrupt]
try:
    with keeping_interrupts():
        gc.collect()
        time.sleep(20)
    print("lost")
except KeyboardInterrupt:
    print("kept")
"""


def test_an_interrupt_in_a_callback_of_the_garbage_collector_is_kept() -> None:
    run = subprocess.run(
        [sys.executable, "-c", IN_A_CALLBACK], capture_output=True, text=True, check=True
    )
    assert run.stdout == "kept\n"


def test_an_interrupt_during_an_import_is_an_interrupt() -> None:
    """Compiled modules say then that they cannot be initialised."""
    with pytest.raises(KeyboardInterrupt), keeping_interrupts():
        raise ImportError("initialization failed") from KeyboardInterrupt()
    with pytest.raises(ImportError), keeping_interrupts():
        raise ImportError("initialization failed") from OSError()
