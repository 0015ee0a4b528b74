"""Measured figures in the README and in docs/ are those of benchmarks/RESULTS.md.

A figure is a number with a fraction, or one with a unit of time, size, speed or share. It must
stand in a section of RESULTS.md to which its own section links. Numbers that are not measured, such
as settings, limits and formulas, are written as `code` or listed at the end of their page:

    <!-- not measured: 256 MiB, 0.2 -->
"""

import argparse
import re
import runpy
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks/RESULTS.md"
#: Made from the settings, included from RESULTS.md, and figures of their own.
OTHERS = ("cli", "settings", "results", "experiments", "evidence", "reliability")
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted(ROOT.glob("docs/*.md")) if page.stem not in OTHERS),
]

_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_UNIT = (
    r"(?:[nµm]?s|seconds?|min|minutes?|h|hours?|[kMGT]i?B(?:/s)?|[MGT]?FLOP(?:/s)?"
    r"|%|per cent|times|images a second|images/s|megapixels|×(?! ?\d))"
)
_FIGURE = re.compile(
    rf"(?<![\w.,/])(?P<number>{_NUMBER})(?P<unit> ?(?:(?:to|and|or) {_NUMBER} ?)?{_UNIT}(?!\w))"
    rf"|(?<![\w.,/])(?P<fraction>\d[\d,]*\.\d+)(?![\w.]*\d)"
)
#: Of units that mean the same, the one that is compared.
_SAME = {
    **dict.fromkeys(("second", "seconds"), "s"),
    **dict.fromkeys(("images a second",), "images/s"),
    **dict.fromkeys(("per cent",), "%"),
    **dict.fromkeys(("×",), "times"),
}
_VERSION = re.compile(r"(?:Python|jax|PyTorch|section|procedure|algorithm) \d+\.\d+[\d.]*")
_NOT_MEASURED = re.compile(r"<!-- not measured: (.*?) -->", flags=re.DOTALL)
_LINK = re.compile(r"\]\([^)]*RESULTS\.md#([\w-]+)\)")


def sections(text: str) -> Iterator[str]:
    """Parts of a page below its headings of the first two levels, without blocks of code."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return iter(re.split(r"^(?=##? )", text, flags=re.MULTILINE))


def anchor(section: str) -> str:
    """The name of a section in links, as GitHub makes it."""
    heading = section.partition("\n")[0].lstrip("# ")
    return re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-")


def prose(section: str) -> str:
    """Without code, formulas, the targets of links, and versions."""
    section = re.sub(r"\$\$.*?\$\$|\$[^$\n]+\$|`[^`]+`|<!--.*?-->", " ", section, flags=re.DOTALL)
    return _VERSION.sub("", re.sub(r"\]\([^)]*\)", "]", section))


def figures(section: str) -> list[str]:
    """As they are written, with their units."""
    return [" ".join(match[0].split()) for match in _FIGURE.finditer(prose(section))]


def read_figure(figure: str) -> tuple[set[float], str]:
    """The numbers of a figure, "37 and 60 %" has two, and their unit, empty for none."""
    numbers = {_value(number) for number in re.findall(_NUMBER, figure)}
    unit = re.sub(rf"{_NUMBER}| (?:to|and|or) ", "", figure).strip()
    return numbers, _SAME.get(unit, unit)


def _value(number: str) -> float:
    return float(number.rstrip(",").replace(",", ""))


@cache
def measured() -> dict[str, set[tuple[float, str]]]:
    """The numbers of each section of RESULTS.md with their units, without dates and commits.

    A number in a table without a unit has that of the head of its column.
    """
    found = {}
    for section in sections(RESULTS.read_text(encoding="utf-8")):
        held: set[tuple[float, str]] = set()
        text = re.sub(r"\d{4}-\d\d-\d\d|\b(?=\w*\d)[0-9a-f]{7}\b", "", prose(section))
        heads: list[str] = []
        for line in text.splitlines():
            cells = line.strip("|").split("|") if line.startswith("|") else [line]
            if not line.startswith("|"):
                heads = []
            elif not heads:
                heads = [_unit_of(cell) for cell in cells]
            for number, cell in enumerate(cells):
                for figure in _FIGURE.finditer(cell):
                    values, unit = read_figure(figure[0])
                    held |= {(value, unit) for value in values}
                unit = heads[number] if number < len(heads) else ""
                plain = {_value(n) for n in re.findall(r"(?<!\w)" + _NUMBER, cell)}
                held |= {(value, "") for value in plain}
                held |= {(value, unit) for value in plain}
        found[anchor(section)] = held
    return found


def _unit_of(head: str) -> str:
    """The unit that the head of a column names."""
    match = re.search(r"\b(?:ms|s|seconds|MB|GB|GFLOP(?:/s)?|images/s|times)\b|%", head)
    return _SAME.get(match[0], match[0]) if match else ""


def unknown(page: str) -> list[str]:
    """The figures of a page that no section of RESULTS.md holds to which theirs links."""
    listed = [part.strip() for text in _NOT_MEASURED.findall(page) for part in text.split(",")]
    missing = []
    for section in sections(page):
        held = set().union(*(measured().get(name, set()) for name in _LINK.findall(section)))
        for figure in figures(section):
            values, unit = read_figure(figure)
            if any((value, unit) not in held for value in values) and figure not in listed:
                missing.append(f"{anchor(section)}: {figure}")
    return missing


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_figures_of_a_page_stand_in_the_results(path: Path) -> None:
    found = unknown(path.read_text(encoding="utf-8"))
    assert not found, (
        f"{path.name} tells figures that stand in no section of RESULTS.md to which theirs links; "
        f"correct them, link that section, or list them as not measured: {found}"
    )


def test_nearly_every_wrong_figure_is_found() -> None:
    """The last digit of each figure of all pages is changed in turn."""
    n_figures = n_found = 0
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        for section in sections(page):
            if not _LINK.search(section):
                continue
            given = [line.partition(": ")[2] for line in unknown(section)]
            for figure in figures(section):
                if figure in given:
                    continue  # listed as not measured
                digit = max(k for k, letter in enumerate(figure) if letter.isdigit())
                wrong = f"{figure[:digit]}{(int(figure[digit]) + 3) % 10}{figure[digit + 1 :]}"
                n_figures += 1
                n_found += len(unknown(section.replace(figure, wrong))) > len(given)
    assert n_figures > 50
    assert n_found > 0.85 * n_figures


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("It takes 10.8 s.", ["10.8 s"]),
        ("an error of 0.1227, and 11 seconds", ["0.1227", "11 seconds"]),
        ("1.68× faster, 37 and 60 % of it", ["1.68×", "37 and 60 %"]),
        ("images of 28 × 28, 128 of them, by Python 3.11", []),
        ("a limit of `2 GB`, $x = 0.5$", []),
    ],
)
def test_what_counts_as_a_figure(text: str, found: list[str]) -> None:
    assert figures(text) == found
    linked = f"# Page\n\n{text} [T](../benchmarks/RESULTS.md#time-to-quality)"
    assert len(unknown(linked)) == len(found)
    marked = f"{linked}\n\n<!-- not measured: {', '.join(found)} -->"
    assert not unknown(marked)


def test_figures_count_only_where_their_section_links() -> None:
    text = "## One\n\n10.7 s"
    link = "[T](../benchmarks/RESULTS.md#time-to-quality)"
    assert unknown(text) == ["one: 10.7 s"]
    assert unknown(f"{text}\n\n## Two\n\n{link}") == ["one: 10.7 s"]
    assert not unknown(f"{text} {link}")


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Scripts of benchmarks/ with the arguments that a page names, and those named in addition."""
    for section in sections(text):
        script, words = "", []
        for span in re.findall(r"`([^`]+)`", re.sub(r"^\|.*", "", section, flags=re.MULTILINE)):
            given = shlex.split(span)
            if given[:1] == ["python"] and given[1].startswith("benchmarks/"):
                script, words = given[1], given[2:]
                yield script, words
            elif script and span.startswith("--"):
                yield script, [*words, *given]


class _ParserFound(Exception):
    """The parser of a script, which is not run any further."""


@pytest.mark.thorough
def test_every_command_of_the_results_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(parser: argparse.ArgumentParser) -> None:
        raise _ParserFound(parser)

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    parsers: dict[str, argparse.ArgumentParser] = {}
    n_commands = 0
    for path in (RESULTS, ROOT / "docs/experiments.md"):
        for script, words in commands(path.read_text(encoding="utf-8")):
            assert (ROOT / script).is_file(), script
            if not any(word.startswith("--") for word in words):
                continue
            if script not in parsers:
                with monkeypatch.context() as patch:
                    patch.setattr(argparse.ArgumentParser, "parse_args", find)
                    with pytest.raises(_ParserFound) as found:
                        runpy.run_path(str(ROOT / script), run_name="__main__")
                parsers[script] = found.value.args[0]
            parsers[script].parse_args(words)
            n_commands += 1
    assert n_commands > 20
