"""The examples run as they are, cut down."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name
)
def test_an_example_runs(path: Path, tmp_path: Path) -> None:
    cut_down = {"AUTODECODER_DEMO_EPOCHS": "3", "MPLBACKEND": "Agg", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, path], env=os.environ | cut_down, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "fresh 0." in done.stdout
