"""Examples in docstrings and the README are true."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("name", ["autodecoder.config", "autodecoder.data.catalogue"])
def test_docstring_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.slow
def test_the_python_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert block is not None
    exec(block.group(1), {})
    rate, score, fresh = map(float, capsys.readouterr().out.split())
    assert rate in (1e-3, 1e-2)
    assert 0 < fresh < 0.3
    assert 0 < score < 0.3
