"""Examples in docstrings and the README are true."""

import doctest
import importlib
import importlib.util
import re
from pathlib import Path

import pytest

from autodecoder.config import list_settings

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize(
    "name",
    [
        "autodecoder.config.parts",
        "autodecoder.config.plain",
        "autodecoder.config.search",
        "autodecoder.data.load",
    ],
)
def test_docstring_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_the_table_of_settings_is_fresh() -> None:
    spec = importlib.util.spec_from_file_location("make_settings", ROOT / "docs/make_settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    written = module.PAGE.read_text(encoding="utf-8")
    assert written == module.page(), "make settings"
    for setting in list_settings():
        assert f"| `{setting.path}` |" in written


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks/RESULTS.md"]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.slow
def test_the_python_of_the_readme_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert block is not None
    exec(block.group(1), {})
    numbers, *frame = capsys.readouterr().out.splitlines()
    rate, score, fresh = map(float, numbers.split())
    assert any("learning_rate" in line for line in frame)
    assert rate in (1e-3, 1e-2)
    assert 0 < fresh < 0.3
    assert 0 < score < 0.3
