"""What a release holds: the package with its assets, types and licence, and nothing else."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import pytest

import autodecoder

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "autodecoder"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A wheel and a source archive."""
    if not PACKAGE.is_dir():
        pytest.skip("the tests of an installed wheel have no source to build")
    pytest.importorskip("hatchling", reason="hatchling is not installed (pip install hatchling)")
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "--directory", folder]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, source


def test_the_wheel_holds_the_package_and_nothing_else(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        names = set(archive.namelist())
    about = f"autodecoder-{autodecoder.__version__}.dist-info"
    ours = {
        f"autodecoder/{path.relative_to(PACKAGE).as_posix()}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if not name.startswith(about)} == ours
    assert "autodecoder/py.typed" in names
    assert any(name.endswith(".js") for name in names)
    assert {name.removeprefix(f"{about}/") for name in names if name.startswith(about)} == {
        *("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"),
    }


def test_the_metadata_are_those_of_the_project(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("/METADATA")]
        about = HeaderParser().parsestr(archive.read(name).decode())
    assert about["Version"] == autodecoder.__version__
    assert about["License-Expression"] == "MIT"
    assert about["Requires-Python"] == ">=3.11"
    base = [line for line in about.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert any(line.startswith("jax>=") for line in base)
    assert not [line for line in base if line.startswith(("torch", "tensorflow")) or "cuda" in line]


def test_the_source_archive_can_run_the_tests(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[1]) as archive:
        members = archive.getmembers()
    names = {member.name.partition("/")[2] for member in members}
    assert {"pyproject.toml", "Makefile", "LICENSE", "README.md", "train.py"} <= names
    assert {"tests/conftest.py", "docs/cli.md", "src/autodecoder/py.typed"} <= names
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]
    assert not [
        name for name in names if name.startswith((".venv", "runs/", "dist/", "docs/_build"))
    ]
    assert all(member.isfile() for member in members)  # no links that lead elsewhere
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:  # a checkout
        assert not names - set(listed.stdout.splitlines()) - {"PKG-INFO"}


#: The base of the estimator is scikit-learn's, which has no types; programs of jax have their own.
_UNTYPED = {
    "autodecoder.AutoDecoder",
    "autodecoder.estimator.AutoDecoder",
    "autodecoder.estimator.estimator.AutoDecoder",
    "autodecoder.estimator.estimator.AutoDecoder.__sklearn_tags__",
    "autodecoder.config.setting.setting",
    "autodecoder.core.population.advance",
    "autodecoder.core.population.advance_unoptimised",
    "autodecoder.core.population.init_quickly",
}


def test_public_names_have_types(tmp_path: Path) -> None:
    """Of the package that is installed, in a folder without settings of pyright."""
    pytest.importorskip("pyright", reason="pyright is not installed")
    environment = os.environ | {"VIRTUAL_ENV": sys.prefix}
    environment["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    command = ["-m", "pyright", "--verifytypes", "autodecoder", "--ignoreexternal", "--outputjson"]
    ended = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    found = json.loads(ended.stdout)["typeCompleteness"]
    assert found["exportedSymbolCounts"]["withKnownType"] > 3000
    unknown = [
        symbol["name"]
        for symbol in found["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    ]
    # Flags of the command line are made from the settings when it starts.
    assert {name for name in unknown if not name.startswith("autodecoder.cli.")} <= _UNTYPED
