"""`autodecoder tensorboard` starts the viewer, which answers, and ends with it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.cli.builders import call, heard_interrupts

posix = pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")


@contextmanager
def viewer(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process group of its own, and its address, when it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", "from autodecoder.cli import main; main()", "tensorboard"]
    with heard_interrupts():
        process = subprocess.Popen(
            [*command, folder, f"--port={port}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        yield process, f"http://127.0.0.1:{port}/"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def get(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=30) as answer:
        assert answer.status == 200
        return answer.read()


def get_at_last(url: str, process: subprocess.Popen[str]) -> bytes:
    deadline = time.monotonic() + 90
    while True:
        assert process.poll() is None, process.communicate()[0]
        try:
            return get(url)
        except OSError:
            assert time.monotonic() < deadline, "no answer"
            time.sleep(0.2)


@posix
@pytest.mark.parametrize("whole_group", [True, False], ids=["Ctrl-C", "kill -INT"])
@pytest.mark.slow
def test_tensorboard_answers_and_ends_on_request(runs: Path, whole_group: bool) -> None:
    pytest.importorskip("tensorboard")
    with viewer(runs) as (process, url):
        assert b"<title>TensorBoard</title>" in get_at_last(url, process)
        assert b"scalars" in get(f"{url}data/plugins_listing")
        # A terminal sends Ctrl-C to all processes in front of it.
        (os.killpg if whole_group else os.kill)(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert "Traceback" not in out
    assert "lost" not in out


@posix
def test_tensorboard_does_not_outlive_the_command(runs: Path) -> None:
    pytest.importorskip("tensorboard")
    with viewer(runs) as (process, url):
        get_at_last(url, process)
        process.terminate()
        process.communicate(timeout=60)
        with pytest.raises(OSError, match="refused"):
            get(url)


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="needs the extra tensorboard")
def test_runs_of_a_single_study_are_named_by_their_values_alone(
    grid: tuple[Path, str], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr("autodecoder.cli.runs.import_module", lambda _name: None)
    monkeypatch.setattr(os, "execv", lambda _, command: started.append(command[3]))
    for folder in (grid[0], runs):
        assert call("tensorboard", folder) == 0
    assert started == [f"--logdir={grid[0] / 'tensorboard'}", f"--logdir={runs}"]
    assert (grid[0] / "tensorboard" / "lr=0.01" / "execution-0").is_dir()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "tensorboard needs an existing folder, got nowhere"),
        ([], "tensorboard needs an existing folder, got runs"),
        ([".", "--port=99999"], "port must lie between 0 and 65535, got 99999"),
        ([".", "--port=ten"], "--port"),
    ],
)
def test_what_cannot_be_viewed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    pytest.importorskip("tensorboard")
    monkeypatch.chdir(tmp_path)
    assert call("tensorboard", *arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert words in err
    assert err.count("\n") == 1


def test_without_the_viewer_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("autodecoder.cli.runs.find_spec", lambda _name: None)
    assert call("tensorboard", tmp_path) == 2
    assert "pip install 'autodecoder[tensorboard]'" in capsys.readouterr().err


def test_a_viewer_that_does_not_start_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As TensorBoard 2.20 beside setuptools 82, which has no `pkg_resources` any more."""
    package = tmp_path / "tensorboard"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "main.py").write_text("import nothing_of_this_name")
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    assert call("tensorboard", tmp_path) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: the installed TensorBoard does not start")
    assert "No module named 'nothing_of_this_name'" in err
    assert "pip install --upgrade 'autodecoder[tensorboard]'" in err
    assert err.count("\n") == 1
    for name in ("tensorboard", "tensorboard.main"):
        sys.modules.pop(name, None)
