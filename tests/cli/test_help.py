"""`--help` of every command shows how it is used, and does not wait for heavy libraries."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.builders import ROOT, call

import autodecoder
from autodecoder.config import list_settings

COMMANDS = (
    ["map"],
    ["train"],
    ["tune"],
    ["runs"],
    ["runs", "compare"],
    ["tensorboard"],
    ["reconstruct"],
    ["encode"],
    ["decode"],
    ["interpolate"],
    ["sample"],
    ["info"],
    ["report"],
    ["evaluate"],
    ["explore"],
    ["datasets"],
    ["pack"],
    ["export"],
)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_an_example(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*command, "--help") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert f"Usage: autodecoder {' '.join(command)}" in out
    (example,) = re.findall(r"Example: (autodecoder .*)", out)
    assert example.startswith(" ".join(["autodecoder", *command]))


def test_every_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    out = capsys.readouterr().out
    for command in COMMANDS:
        if len(command) == 1:
            assert re.search(rf"│ {command[0]} +\w", out)
    assert call("runs", "--help") == 0
    assert re.search(r"│ compare +\w", capsys.readouterr().out)


def test_every_flag_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    """With its default, and a switch with its opposite."""
    assert call("train", "--help") == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for setting in list_settings():
        if setting.flag is None:
            continue
        assert f" --{setting.flag} " in text
        words = setting.meaning.split()[:3]
        assert " ".join(words) in text, setting.flag
        if isinstance(setting.default, bool):
            assert f" --no{setting.flag} " in text
            assert "[default: yes]" in text
    for flag in (
        "lr",
        "learning_rate",
        "recipe",
        "config",
        "out",
        "storage",
        "reset_training",
        "wait",
        "yes",
    ):
        assert f" --{flag} " in text
    assert "[default: 128-256-512]" in text
    assert "[default: None]" not in text
    assert "False]" not in text
    assert "()" not in text


def test_tune_has_the_flags_of_train_but_for_the_learning_rate(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = {}
    for command in ("train", "tune"):
        assert call(command, "--help") == 0
        flags[command] = set(re.findall(r"│ (--\w+)", capsys.readouterr().out))
    assert flags["train"] - flags["tune"] == {"--lr"}
    assert flags["tune"] <= flags["train"]
    assert call("tune", "--lr=1e-3") == 2
    assert "--lr" in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--version") == 0
    assert capsys.readouterr().out.strip() == autodecoder.__version__


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


def test_help_and_errors_do_not_wait_for_heavy_libraries() -> None:
    heavy = {
        "jax",
        "matplotlib",
        "optuna",
        "pandas",
        "tensorboard",
        "tensorboardX",
        "sklearn",
        "flask",
    }
    heavy |= {"onnx", "onnxruntime", "huggingface_hub"}
    lines = [["--help"], *([*command, "--help"] for command in COMMANDS), ["train", "--lr=0"]]
    code = (
        "import sys\nfrom autodecoder.cli import main\n"
        f"for line in {lines}:\n"
        "    try: main(line)\n"
        "    except SystemExit: pass\n"
        f"print(sorted({{*{sorted(heavy)}, 'equinox', 'sqlalchemy', 'PIL'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
