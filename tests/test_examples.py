"""The examples run as they are, cut down, and the notebook is made of the script."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
#: What each says at its end, or near it.
SAYS = {
    "coordinates.py": "saved and loaded: 0.0e+00 apart",
    "demo.py": "fresh 0.",
    "own_decoder.py": "by hand and by the package: ",
    "photographs.py": "pictures in photographs",
    "pipeline.py": "the best on digits held out: 0.",
    "table.py": "hidden entries by decoder: squared error 0.",
}


def test_every_example_is_run() -> None:
    assert sorted(SAYS) == sorted(path.name for path in EXAMPLES.glob("*.py"))


def test_the_notebook_is_that_of_the_script_and_was_run() -> None:
    _, *parts = re.split(r"^# %%(.*)\n", (EXAMPLES / "demo.py").read_text(), flags=re.MULTILINE)
    expected = [
        re.sub("^# ?", "", text, flags=re.MULTILINE)
        if "markdown" in kind
        # Jupytext turns commands of the notebook into comments.
        else re.sub("^# %", "%", text, flags=re.MULTILINE)
        for kind, text in zip(parts[::2], parts[1::2], strict=True)
    ]
    cells = json.loads((EXAMPLES.parent / "demo.ipynb").read_text())["cells"]
    assert ["".join(cell["source"]) for cell in cells] == [text.strip() for text in expected]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert sum("image/png" in output.get("data", {}) for output in outputs) > 4


@pytest.mark.slow
@pytest.mark.parametrize("name", SAYS)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    cut_down = {"AUTODECODER_DEMO_EPOCHS": "3", "MPLBACKEND": "Agg", "TMPDIR": str(tmp_path)}
    cut_down |= dict.fromkeys(("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"), "")  # opens nothing
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        env=os.environ | cut_down,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert SAYS[name] in done.stdout
