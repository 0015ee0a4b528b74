"""The examples run as they are, cut down."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
#: What each says at its end, or near it.
SAYS = {
    "demo.py": "fresh 0.",
    "own_decoder.py": "by hand and by the package: ",
    "photographs.py": "pictures in photographs",
    "pipeline.py": "the best on digits held out: 0.",
    "table.py": "hidden entries by decoder: squared error 0.",
}


def test_every_example_is_run() -> None:
    assert sorted(SAYS) == sorted(path.name for path in EXAMPLES.glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    cut_down = {"AUTODECODER_DEMO_EPOCHS": "3", "MPLBACKEND": "Agg", "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        env=os.environ | cut_down,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert SAYS[name] in done.stdout
