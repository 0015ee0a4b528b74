"""Ctrl-C: what is done is saved, and the same command goes on as if nothing had happened."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.cli.builders import call, history, ids, start, table, train
from tests.data.builders import idx_files, write

from autodecoder import load_study
from autodecoder.cli.console import interruptible

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
    assert "0 of 2 trials have ended" in out
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


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "kill"])
def test_the_first_signal_asks_and_the_second_ends(
    capsys: pytest.CaptureFixture[str], signum: int
) -> None:
    with interruptible() as should_stop:
        assert not should_stop()
        signal.raise_signal(signum)
        assert should_stop()
        assert "stopping; what is done will be saved" in capsys.readouterr().out
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signum)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
