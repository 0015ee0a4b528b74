"""Compiled programs are kept, and the same command makes the same numbers with them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.builders import QUICK, ROOT
from tests.study.builders import assert_same_history

from autodecoder.study import load_study

ONE_PROGRAM = """
import jax
from autodecoder.cli.programs import keep_programs
keep_programs()
jax.jit(lambda x: x + 1)(1.0)
"""

SHOW_CACHE = f"""{ONE_PROGRAM}
import sys
print(jax.config.values["jax_compilation_cache_dir"], file=sys.stderr, end="")
"""


def python(*arguments: str | Path, **environment: str) -> str:
    """Run this where no setting of jax is inherited; what it says on stderr."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=kept | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stderr


def run(out: Path, **environment: str) -> str:
    train = (ROOT / "train.py", *QUICK, "--lr=1e-2", "--seed=3", "--out", out)
    return python(*train, JAX_DISABLE_MOST_OPTIMIZATIONS="1", **environment)


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME names the cache on Linux")
@pytest.mark.slow
def test_programs_are_kept_and_make_the_same_numbers(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    assert run(tmp_path / "first", XDG_CACHE_HOME=str(cache)) == ""
    programs = {*(cache / "autodecoder" / "programs").glob("*/*-cache")}
    assert any("advance" in path.name for path in programs)
    assert run(tmp_path / "second", XDG_CACHE_HOME=str(cache)) == ""
    assert {*(cache / "autodecoder" / "programs").glob("*/*-cache")} == programs
    first, second = (load_study(tmp_path / name).trials[0] for name in ("first", "second"))
    assert_same_history(first.executions[0].history, second.executions[0].history)


def test_the_user_may_name_the_folder(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    mine = tmp_path / "mine"
    python(*("-c", ONE_PROGRAM), XDG_CACHE_HOME=str(cache), JAX_COMPILATION_CACHE_DIR=str(mine))
    assert list(mine.glob("*-cache"))
    assert not (cache / "autodecoder" / "programs").exists()


@pytest.mark.thorough
@pytest.mark.parametrize("content", [b"", b"broken"])
def test_programs_that_cannot_be_read_are_made_anew(content: bytes, tmp_path: Path) -> None:
    environment = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
    python(*("-c", ONE_PROGRAM), **environment)
    (kept,) = tmp_path.glob("*lambda*-cache")
    whole = kept.read_bytes()
    kept.write_bytes(content)
    assert python("-W", "error", "-c", ONE_PROGRAM, **environment) == ""
    assert len(kept.read_bytes()) == pytest.approx(len(whole), rel=0.1)


TWO_PROGRAMS = f"""{ONE_PROGRAM}
jax.jit(lambda x: x - 1)(1.0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="takes a folder in which nobody may write")
def test_programs_that_cannot_be_written_are_told_of_once(tmp_path: Path) -> None:
    """jax warns of each of them."""
    folder = {"JAX_COMPILATION_CACHE_DIR": "/proc/self/fdinfo", "PYTHONWARNINGS": "error"}
    told = python("-c", TWO_PROGRAMS, **folder)
    assert told.startswith("Compiled programs are not kept: ")
    assert told.count("\n") == 1


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME names the cache on Linux")
def test_a_program_half_kept_does_not_keep_others_out(tmp_path: Path) -> None:
    """As a process leaves it that is killed meanwhile: jax would warn of each program for ever."""
    assert python("-c", ONE_PROGRAM, XDG_CACHE_HOME=str(tmp_path)) == ""
    (kept,) = tmp_path.glob("autodecoder/programs/*/*lambda*-cache")
    kept.with_name(kept.name.replace("-cache", "-atime")).unlink()
    assert python("-c", TWO_PROGRAMS, XDG_CACHE_HOME=str(tmp_path)) == ""
    assert len(list(kept.parent.glob("*lambda*-cache"))) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME names the cache on Linux")
@pytest.mark.parametrize(
    "code",
    [
        "ENOSYS",
        pytest.param("ENOLCK", marks=pytest.mark.thorough),
        pytest.param("EWOULDBLOCK", marks=pytest.mark.thorough),
    ],
)
def test_a_cache_that_cannot_be_locked_is_left_alone(tmp_path: Path, code: str) -> None:
    """Else jax waits ten seconds for the lock at every program."""
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, fcntl, os\n"
        f"def flock(*_): raise OSError(errno.{code}, os.strerror(errno.{code}))\n"
        "fcntl.flock = flock\n"
    )
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src")])
    told = python("-c", SHOW_CACHE, PYTHONPATH=path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert told == "None"
