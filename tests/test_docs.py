"""Examples in docstrings, the README and the pages of docs/ are true, and made pages are fresh."""

import doctest
import importlib
import importlib.util
import inspect
import math
import re
import shlex
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import pytest
from sklearn.datasets import load_digits

import autodecoder
from autodecoder.cli import main
from autodecoder.config import list_settings

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
#: Pages with examples in Python that are run.
TRIED = (
    *("estimator", "getting-started", "missing", "observers", "python", "searching", "use-a-model"),
)
#: Pages that go on with the study of another page.
BEFORE = {"use-a-model": "getting-started"}
#: A number with a fraction, which differs a little from machine to machine.
_FRACTION = re.compile(r"\d+\.\d+(?:e-?\d+)?")


def load_script(name: str) -> ModuleType:
    """A script of docs/, which is no package."""
    if str(DOCS) not in sys.path:  # for what the scripts share
        sys.path.append(str(DOCS))
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def make_cli() -> ModuleType:
    return load_script("make_cli")


#: The pages follow the help of cyclopts 5; version 4 tells less of its flags.
told_by_the_parser = pytest.mark.skipif(
    int(version("cyclopts").split(".")[0]) < 5,
    reason="the reference is written with cyclopts 5 or newer",
)


@pytest.mark.parametrize(
    "name",
    [
        "autodecoder.config.notation",
        "autodecoder.config.sources",
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
    module = load_script("make_settings")
    written = module.PAGE.read_text(encoding="utf-8")
    assert written == module.page(), "make reference"
    for setting in list_settings():
        assert f"| `{setting.path}` |" in written


def test_defaults_that_differ_are_told_with_a_reason() -> None:
    module = load_script("make_settings")
    found = {(taker, path) for taker, path, _ in module.other_defaults()}
    assert found == set(module.REASONS)
    taken = {
        name
        for taker in module.TAKERS.values()
        for name in inspect.signature(taker).parameters
        if name in {setting.path.rpartition(".")[2] for setting in list_settings()}
    }
    assert len(taken) > 20, "compared"


@told_by_the_parser
def test_the_reference_of_the_commands_is_fresh(make_cli: ModuleType) -> None:
    written = make_cli.PAGE.read_text(encoding="utf-8")
    assert written == make_cli.page(), "make reference"
    assert "\n## autodecoder train\n" in written
    assert "\n## autodecoder runs compare\n" in written
    assert "| `--latent_dims INT` | 2 | Length of each latent vector. |" in written
    assert "| `MODEL` | required | " in written


@told_by_the_parser
def test_every_command_has_help_with_an_example(make_cli: ModuleType) -> None:
    helps = make_cli.read_help()
    assert len(helps) > 3
    for command in helps:
        assert command.usage.startswith(command.title)
        assert command.text, f"{command.title} says not what it does"
        assert command.example.startswith(f"{command.title} "), f"{command.title}: no example"
        for entries in command.panels.values():
            for entry in entries:
                label = entry.display_labels[0]
                assert make_cli.plain(entry.description), f"{command.title}: {label} has no help"


def test_reading_the_help_leaves_the_application_as_it_was(
    make_cli: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    make_cli.read_help()
    with pytest.raises(SystemExit, match="0"):
        main(["runs", "--help"])
    assert "╭─ Commands" in capsys.readouterr().out


def test_every_public_name_is_in_the_reference() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    told = {
        name.rpartition(".")[2]
        for name in re.findall(r"^\.\. auto\w+:: ([\w.]+)", page, flags=re.M)
    }
    assert set(autodecoder.__all__) <= told


def test_every_page_is_in_the_contents() -> None:
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    contents = "\n".join(re.findall(r"```{toctree}(.*?)```", index, flags=re.DOTALL))
    listed = re.findall(r"^[\w-]+$", contents, flags=re.MULTILINE)
    assert sorted(["index", *listed]) == sorted(page.stem for page in DOCS.glob("*.md"))


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), *ROOT.glob("*/*/README.md")]
    for page in [*pages, ROOT / "benchmarks/RESULTS.md"]:
        for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", link):
                continue
            name, _, section = link.partition("#")
            target = page.parent / name if name else page
            if "src" in target.parts and not (ROOT / "src").exists():
                continue  # the tests of an installed wheel
            assert target.exists(), f"{page.name} links to {link}"
            assert not section or section in _sections(target), f"{page.name} links to {link}"


def _sections(page: Path) -> set[str]:
    """The names of headings in links, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIED)
def test_the_examples_of_a_page_run(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first command, if it shows what that prints, then its Python, all in one folder."""
    monkeypatch.chdir(tmp_path)
    # Nothing else of what is printed depends on how busy the machine is.
    monkeypatch.setattr("autodecoder.cli.progress.SECONDS_TO_FIRST_LINE", math.inf)
    monkeypatch.setattr("autodecoder.cli.progress.SECONDS_BETWEEN_LINES", math.inf)
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    shown = list(_shown_commands(page))
    assert len(shown) == ("```text" in page)
    before = BEFORE.get(name)
    if before is not None:
        shown = [*_shown_commands((DOCS / f"{before}.md").read_text(encoding="utf-8")), *shown]
    for command, printed in shown:
        with pytest.raises(SystemExit, match="0"):
            main(shlex.split(command)[1:])
        assert _is_alike(_timeless(printed), _timeless(capsys.readouterr().out))
    python = "\n".join(re.findall(r"```pycon\n(.*?)```", page, flags=re.DOTALL))
    test = doctest.DocTestParser().get_doctest(python, {}, name, name, 0)
    with capsys.disabled():
        result = doctest.DocTestRunner(_Checker()).run(test)
    assert result.attempted > 5
    assert result.failed == 0


def _shown_commands(page: str) -> Iterator[tuple[str, str]]:
    """Commands of which a page shows the output, with that."""
    pattern = r"```bash\n(autodecoder [^`]*)```[^`]*```text\n(.*?)```"
    for match in re.finditer(pattern, page, flags=re.DOTALL):
        yield match[1].replace("\\\n", " "), match[2]


class _Checker(doctest.OutputChecker):
    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(want, got, optionflags) or _is_alike(want, got)


def _is_alike(want: str, got: str) -> bool:
    """Whether two texts are the same but for a sixth of their fractions."""
    same = _FRACTION.sub("#", want).split() == _FRACTION.sub("#", got).split()
    pairs = zip(_FRACTION.findall(want), _FRACTION.findall(got), strict=False)
    return same and all(math.isclose(float(a), float(b), rel_tol=1 / 6) for a, b in pairs)


def _timeless(printed: str) -> str:
    """What a command prints, without random ids, times, best epochs, and lines between."""
    printed = re.sub(r"\b[0-9a-f]{8}\b|─+|epoch \d+(?= of \d)", "", printed)
    return re.sub(r"\d+\.\d+(?= +finished| s\b)", "", printed)


@pytest.mark.slow
def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    images, labels = load_digits(return_X_y=True)
    names = {"images": images.reshape(-1, 8, 8) / 16, "labels": labels}
    for block in re.findall(r"```python\n(.*?)```", readme, flags=re.DOTALL):
        exec(block, names)
    assert names["decoder"].embedding_.shape == (len(images), 2)
