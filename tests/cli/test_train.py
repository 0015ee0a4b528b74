"""The command line as a user types it: real processes for the main paths, calls for the errors."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.data.builders import cifar100_files, tar, write

from autodecoder.cli import main

ROOT = Path(__file__).parent.parent.parent
QUICK = [
    "--arch=16",
    "--num_epochs=3",
    "--examples_frac=0.3",
    "--executions_per_trial=1",
    "--seed=1",
]


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["train", *arguments])
    code = exit_.value.code
    assert isinstance(code, int)
    return code


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, ROOT / "train.py", *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_history(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The default search, cut down, started by ./train.py; its folder and what it printed."""
    cwd = tmp_path_factory.mktemp("grid")
    process = start(*QUICK, "--out", "study", cwd=cwd)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return cwd / "study", out


def test_the_search_prints_a_table_best_first(grid: tuple[Path, str]) -> None:
    folder, out = grid
    summary = json.loads((folder / "summary.json").read_text())
    rates = [trial["learning_rate"] for trial in summary["trials"]]
    assert sorted(rates) == [1e-4, 1e-3, 1e-2, 1e-1]
    scores = [trial["score"] for trial in summary["trials"]]
    assert scores == sorted(scores)
    rows = re.findall(r"^ *(0\.\d+) +(\d\.\d{4})", out, flags=re.MULTILINE)
    assert [float(rate) for rate, _ in rows] == rates
    assert [score for _, score in rows] == [f"{score:.4f}" for score in scores]
    assert summary["best_trial"] == summary["trials"][0]["id"]


def test_the_folder_holds_what_is_promised(grid: tuple[Path, str]) -> None:
    folder, _ = grid
    config = json.loads((folder / "config.json").read_text())
    assert config["seed"] == 1
    assert config["decoder"]["arch"] == [16]
    histories = sorted(folder.glob("trials/*/execution-0/history.csv"))
    assert len(histories) == 4
    assert [row["epoch"] for row in read_history(histories[0])] == ["1", "2", "3"]
    assert {path.stem for path in (folder / "report").glob("*.png")} == {
        "learning_rates",
        "loss_curves",
        "latent_space_train",
        "latent_space_val",
        "reconstructions_train",
        "reconstructions_val",
    }


def test_one_learning_rate_equals_its_cell_of_the_grid(
    grid: tuple[Path, str], tmp_path: Path
) -> None:
    hyphens = [flag.replace("num_epochs", "num-epochs") for flag in QUICK]
    assert call(*hyphens, "--lr", "1e-2", "--out", str(tmp_path / "solo")) == 0
    cell = "trials/lr-0.01/execution-0/history.csv"
    assert (tmp_path / "solo" / cell).read_text() == (grid[0] / cell).read_text()


def test_the_seed_drawn_is_recorded_and_repeats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    flags = [flag for flag in QUICK if "seed" not in flag] + ["--lr=1e-2", "--nobatch-norm"]
    assert call(*flags, "--out=drawn") == 0
    seed = json.loads(Path("drawn/config.json").read_text())["seed"]
    assert call(*flags, f"--seed={seed}", "--out=again") == 0
    cell = "trials/lr-0.01/execution-0/history.csv"
    assert Path("drawn", cell).read_text() == Path("again", cell).read_text()


def test_cifar100_from_an_archive_in_the_published_layout(tmp_path: Path) -> None:
    """Two training images suffice; a hundred classes have no legend but a colour each."""
    write(tmp_path / "data" / "cifar100", {"cifar-100-binary.tar.gz": tar(cifar100_files())})
    flags = ["--dataset=cifar100", f"--data_dir={tmp_path / 'data'}", "--examples_frac=0."]
    flags += ["--num_epochs=2", "--batch_size=2", "--arch=8", "--lr=1e-3"]
    assert call(*flags, "--executions_per_trial=1", "--out", str(tmp_path / "study")) == 0
    config = json.loads((tmp_path / "study" / "config.json").read_text())
    assert config["image_shape"] == [32, 32, 3]
    assert (tmp_path / "study" / "report" / "latent_space_val.png").exists()


def test_the_default_folder_lies_below_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*QUICK, "--lr=1e-2") == 0
    assert len(list(tmp_path.glob("runs/digits-*/summary.json"))) == 1


def test_without_xla_says_that_it_is_for_debugging(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--num_epochs=1", "--examples_frac=0.1", "--batch_size=64", "--arch=4", "--lr=1e-2"]
    code = call(*flags, "--executions_per_trial=1", "--nouse_xla", "--out", str(tmp_path / "slow"))
    assert code == 0
    assert "debugging" in capsys.readouterr().out


def test_a_reader_that_leaves_does_not_end_the_run(tmp_path: Path) -> None:
    process = start(*QUICK, "--lr=1e-2", "--out=study[/b]", cwd=tmp_path)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr:
        err = process.stderr.read()
    assert process.wait(timeout=120) == 0, err
    assert "Traceback" not in err
    assert (tmp_path / "study[/b]" / "summary.json").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
def test_ctrl_c_saves_what_is_done(tmp_path: Path) -> None:
    flags = [flag for flag in QUICK if "epochs" not in flag]
    process = start(*flags, "--num_epochs=100000", "--out=study", cwd=tmp_path)
    config = tmp_path / "study" / "config.json"
    deadline = time.monotonic() + 120
    while not config.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(15)  # to be in the midst of the epochs, behind the compilation
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "stopping; what is done will be saved" in out
    assert "Interrupted" in out
    assert "Traceback" not in err
    summary = json.loads((tmp_path / "study" / "summary.json").read_text())
    assert summary["interrupted"] is True
    for path in tmp_path.glob("study/trials/*/execution-0/history.csv"):
        rows = read_history(path)
        assert 0 < len(rows) < 100000
        assert rows[-1]["loss"]
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--dataset=minst"], "dataset must be one of digits, mnist.*'minst'"),
        (["--activation=relux"], "activation must be one of .*'relux'"),
        (["--objective=acc"], "objective must be one of .*'acc'"),
        (["--recipe=fastest"], "recipe must be one of original, got 'fastest'"),
        (["--scaler=log"], "scaler must be one of .*'log'"),
        (["--arch=500--500"], "arch must be .*'500--500'"),
        (["--arch=abc"], "arch must be .*'abc'"),
        (["--arch=0"], "arch must be .*'0'"),
        (["--examples_frac=1.5"], "examples_frac must lie between 0 and 1.*1.5"),
        (["--examples_frac=-0.1"], "examples_frac .*-0.1"),
        (["--lr=0"], "learning_rate must be greater than 0, got 0"),
        (["--lr=-1e-3"], "learning_rate must be greater than 0, got -0.001"),
        (["--lr", "-1e-3"], "learning_rate must be greater than 0, got -0.001"),
        (["--lr=nan"], "learning_rate must be a finite number, got nan"),
        (["--num_epochs=0"], "num_epochs must be a positive whole number, got 0"),
        (["--num_epochs=-5"], "num_epochs must be a positive whole number, got -5"),
        (["--batch_size=0"], "batch_size must be a positive whole number, got 0"),
        (["--latent_dims=0"], "latent_dims must be a positive whole number, got 0"),
        (["--executions_per_trial=0"], "executions_per_trial must be a positive"),
        (["--seed=-1"], "seed must lie between 0 and 4294967295, got -1"),
        (["--batch_size=5000"], "batch_size must not exceed .* 719 .*got 5000"),
        (["--dataset=mnist", "--data_dir=nowhere"], "data_dir must be an existing folder.*nowhere"),
        (["--bogus=1"], "--bogus"),
        (["--num_epochs=ten"], "num_epochs must be a whole number, got 'ten'"),
        (["--latent-dims=2.6"], "latent_dims must be a whole number, got '2.6'"),
        (["--num_epochs=1000000000000"], "num_epochs must be at most 1000000, got"),
        (["--lr=1e300"], "learning_rate must be a number of single precision, got 1e.300"),
        (["--lr=1e-60"], "learning_rate must be a number of single precision, got 1e-60"),
        (["--batch_size=1"], "batch_size must be at least 2 with batch normalisation"),
        (["--data_dir", "x" * 300, "--dataset=mnist"], "data_dir must be an existing folder"),
        (["--arch=200000-200000"], "needs more memory than there is"),
        (["--lr"], "--lr"),
        (["stray"], "stray"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    flags: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*flags) == 2
    _, err = capsys.readouterr()
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert re.search(words, err), err
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_output_folder_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert call("--out", str(tmp_path / "file" / "study")) == 2
    assert "out must be a folder that can be written" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "old").write_text("kept")
    assert call("--out", str(tmp_path / "full")) == 2
    assert "must be a new or an empty folder" in capsys.readouterr().err
    assert (tmp_path / "full" / "old").read_text() == "kept"


def test_train_py_and_the_console_script_are_one(tmp_path: Path) -> None:
    script = Path(sys.executable).with_name("autodecoder")
    if not script.exists():
        pytest.skip("the console script is not installed beside this Python")
    environment = {**os.environ, "COLUMNS": "100"}
    helps = [
        subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
        ).stdout
        for command in ([script, "train", "--help"], [sys.executable, ROOT / "train.py", "--help"])
    ]
    assert helps[0] == helps[1]
    assert "--learning_rate" in helps[0]
    assert "Example:" in helps[0]


def test_help_does_not_wait_for_jax() -> None:
    code = (
        "import sys\nfrom autodecoder.cli import main\n"
        "try: main(['train', '--help'])\nexcept SystemExit: pass\n"
        "assert not {'jax', 'matplotlib', 'sklearn', 'equinox'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
