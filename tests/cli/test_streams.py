"""Nothing depends on what a terminal can show, nor on whether there is one."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.builders import QUICK, call, train

from autodecoder import load_study
from autodecoder.cli.main import app
from autodecoder.cli.streams import Console, Output, fit

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs the devices of Unix")
FULL = Path("/dev/full")
full = pytest.mark.skipif(not FULL.exists(), reason="needs a device that is full")


class Terminal:
    """Standard streams of an encoding; made in a test, as pytest sets its own before each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoding: str) -> None:
        encoding, _, errors = encoding.partition(":")
        self._bytes = io.BytesIO(), io.BytesIO()
        for name, raw in zip(("stdout", "stderr"), self._bytes, strict=True):
            stream = io.TextIOWrapper(raw, encoding=encoding, errors=errors or "strict")
            monkeypatch.setattr(sys, name, stream)
        self._encoding = encoding

    def shown(self) -> tuple[str, str]:
        """What it shows, on standard output and on standard error."""
        sys.stdout.flush()
        sys.stderr.flush()
        out, err = (raw.getvalue().decode(self._encoding) for raw in self._bytes)
        return out, err


any_encoding = pytest.mark.parametrize(
    "encoding", ["ascii", "cp437", "latin-1", "cp1252", "ascii:surrogateescape"]
)


@pytest.mark.slow
@any_encoding
@pytest.mark.usefixtures("no_pictures")
def test_a_study_runs_on_any_terminal(
    encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(monkeypatch, encoding)
    flags = ("--arch=4", "--num_epochs=1", "--examples_frac=0.1", "--executions_per_trial=2")
    assert train(*flags, "--lr=1e-2", "--seed=1", f"--out={tmp_path / 'study'}") == 0
    out, err = terminal.shown()
    assert err == ""
    assert "images of 8 x 8 x 1" in out or "images of 8 × 8 × 1" in out
    assert "mean +/- standard" in out or "mean ± standard" in out
    assert load_study(tmp_path / "study").best_trial is not None


@pytest.mark.slow
@any_encoding
def test_every_command_ends_well_on_any_terminal(
    encoding: str, models: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(monkeypatch, encoding)
    model, images = models / "digits", models / "images.npy"
    out = tmp_path / "latents.csv"
    lines = [
        ("sample", model, "--n=2", "--out", tmp_path / "drawn.png"),
        ("encode", model, "--images", images, "--out", out),
        ("decode", model, "--latents", out, "--out", tmp_path / "decoded"),
        ("interpolate", model, "--from=train:0", "--to=val:1", "--out", tmp_path / "way.gif"),
        ("reconstruct", model, "--images", images, "--out", tmp_path / "reconstructed"),
        ("info", model),
        ("runs", runs),
        ("runs", runs / "two"),
        ("runs", "compare", runs / "two", runs / "tuned", "--out", tmp_path / "compared.html"),
        ("datasets",),
        ("train", "--help"),
        ("--version",),
    ]
    for line in lines:
        assert call(*line) == 0, line
    assert terminal.shown()[1] == ""
    assert call("train", "--dataset=folder:/café–×") == 2
    assert terminal.shown()[1].startswith("error: ")


def test_what_an_encoding_lacks_is_written_alike() -> None:
    assert fit("8 × 8, 0.1 ± 0.2 – …", "ascii") == "8 x 8, 0.1 +/- 0.2 - ..."
    assert fit("8 × 8 – ü", "latin-1") == "8 × 8 - ü"
    assert fit("caf\udce9 �", "ascii") == "caf? ?"
    assert fit("caf\udce9", "utf-8") == "caf?"
    assert fit("形", "ascii") == "\\u5f62"


@pytest.mark.parametrize("columns", ["1", "10", "0", "-5", "wide"])
def test_however_wide_it_is(
    columns: str, models: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(app, "console", Console(soft_wrap=False))  # it asks when it is made
    for line in (("train", "--help"), ("runs", runs), ("info", models / "digits")):
        assert call(*line) == 0


def test_a_table_is_aligned_in_the_characters_that_are_shown(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(monkeypatch, "ascii")
    assert call("runs", runs / "two") == 0
    lines = terminal.shown()[0].splitlines()
    head = next(line for line in lines if "learning rate" in line)
    row = next(line for line in lines if "+/-" in line and "standard" not in line)
    assert len(head) == len(row)


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("gone", [("stdout",), ("stderr",), ("stdout", "stderr")], ids="-".join)
def test_streams_that_are_closed(
    gone: tuple[str, ...], models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in gone:
        monkeypatch.setattr(sys, name, None)  # as Python has it then
    flags = (*QUICK, "--lr=1e-2", f"--out={tmp_path / 'study'}")
    assert train(*flags) == 0
    assert load_study(tmp_path / "study").best_trial is not None
    images, out = models / "images.npy", tmp_path / "latents.npy"
    assert call("encode", models / "digits", "--images", images, "--out", out) == 0
    assert call("info", models / "digits", "--json") == 0
    assert call("--help") == 0
    assert train("--lr=0") == 2


@posix
def test_files_do_not_take_the_place_of_closed_streams() -> None:
    """Else messages of libraries would go into them."""
    code = (
        "import os; from autodecoder.cli import main\n"
        "try: main(['--version'])\n"
        "except SystemExit as exit_: status = exit_.code\n"
        "number = os.open(os.devnull, os.O_RDONLY)\n"
        "os._exit(status if number > 2 else 9)"
    )
    line = f'"{sys.executable}" -c "$CODE" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", line], env={**os.environ, "CODE": code})
    assert done.returncode == 0


@pytest.mark.thorough
@full
@pytest.mark.usefixtures("no_pictures")
def test_a_full_disk_under_the_log_costs_the_log_alone(
    tmp_path: Path, runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = "error: standard output could not be written: No space left on device.\n"
    lines = [
        ("train", *QUICK, "--lr=1e-2", f"--out={tmp_path / 'study'}"),
        ("runs", runs),
        ("runs", runs, "--json"),
        ("--help",),
        ("--version",),
    ]
    for line in lines:
        stream = FULL.open("w")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream)
            assert call(*line) == 2, line
        with contextlib.suppress(OSError):
            stream.close()
        assert capsys.readouterr().err == told
    assert load_study(tmp_path / "study").best_trial is not None
    assert call("--version") == 0


@full
def test_python_itself_does_not_complain_of_it() -> None:
    program = [sys.executable, "-m", "autodecoder", "--help"]
    with FULL.open("w") as stream:
        done = subprocess.run(program, stdout=stream, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "error: standard output could not be written: No space left on device.\n"


@pytest.mark.thorough
@full
def test_a_result_is_whole_though_messages_cannot_be_written(models: Path) -> None:
    program = [sys.executable, "-m", "autodecoder", "info", models / "digits", "--json"]
    with FULL.open("w") as stream:
        done = subprocess.run(program, stdout=subprocess.PIPE, stderr=stream, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["dataset"] is None


def test_a_stream_of_another_program(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which has the command run more than once, and takes what it says."""
    said = []
    for _ in range(2):
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stdout", stream)
        assert call("info", models / "digits") == 0
        said.append(stream.getvalue())
    assert said[0] == said[1]
    assert "decoder" in said[0]


def test_a_stream_is_tried_again_by_the_next_command(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.StringIO):
        broken = True

        def write(self, text: str) -> int:
            if self.broken:
                raise OSError(28, "No space left on device")
            return super().write(text)

    stream = Broken()
    monkeypatch.setattr(sys, "stdout", stream)
    output = Output("stdout")
    output.write("one")
    stream.broken = False
    output.write("two")
    failure = output.take_failure()
    assert failure is not None
    assert failure.errno == 28
    output.write("three")
    assert stream.getvalue() == "three"
    assert output.take_failure() is None
