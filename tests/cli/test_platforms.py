"""A platform that jax does not find is told in a sentence, whatever the command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Runs each line of the input as a command; what it says follows its exit status.
COMMANDS = """
import shlex, sys
from autodecoder.cli import main
for line in sys.stdin:
    try:
        main(shlex.split(line))
    except SystemExit as error:
        print(error.code, line, end="", flush=True)
"""

#: And then trains from Python.
FIT = """
import autodecoder, numpy
try:
    autodecoder.fit_model(numpy.zeros((4, 2, 2)))
except autodecoder.ConfigError as error:
    print("error:", error, file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("JAX_PLATFORMS", "cuda"),
        ("JAX_PLATFORMS", "cpu,"),
        ("JAX_PLATFORM_NAME", "gpu"),
    ],
)
def test_a_platform_that_is_not_there(
    variable: str, name: str, models: Path, tmp_path: Path
) -> None:
    model, study = models / "digits", tmp_path / "study"
    study.mkdir()
    (study / "config.json").write_text("kept")
    need_jax = [
        f"train --dataset digits --out {tmp_path / 'new'}",
        f"train --dataset digits --out {study} --reset_training",
        f"tune --dataset digits --out {tmp_path / 'new'}",
        f"info {model}",
        f"info {model} --json",
        f"report {model} --out {tmp_path / 'new.html'}",
        f"encode {model} --images {models / 'images.npy'} --out {tmp_path / 'new.csv'}",
        f"sample {model} --n 2 --out {tmp_path / 'new.png'}",
    ]
    go_on = ["--help", "datasets"]
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS + FIT],
        input="\n".join(need_jax + go_on),
        env={**os.environ, "JAX_PLATFORMS": "", variable: name},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    codes = [line for line in done.stdout.splitlines() if line[:2] in ("0 ", "2 ")]
    assert codes == [f"2 {line}" for line in need_jax] + [f"0 {line}" for line in go_on]
    errors = done.stderr.splitlines()
    assert len(errors) == len(need_jax) + 1
    rule = f"error: jax must run on an available platform (cpu), got {variable} '{name}'"
    assert all(error.startswith(rule) for error in errors)
    assert list(tmp_path.iterdir()) == [study]
    assert (study / "config.json").read_text() == "kept"


@pytest.mark.parametrize("name", ["JAX_ENABLE_X64", "JAX_NUMPY_RANK_PROMOTION"])
def test_a_variable_of_jax_with_a_value_that_it_does_not_know(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        input="info model",
        env={**os.environ, name: "maybe"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("2 info")
    assert done.stderr == (
        f"error: {name} must have a value that jax accepts, got 'maybe': unset it.\n"
    )
