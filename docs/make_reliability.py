"""Write docs/reliability.md from its template and the files in benchmarks/reliability/.

    python docs/make_reliability.py [--coverage FILE] [--tests FILE --python FILE --resolution WORD]

A section whose file is missing is left out. With a report of coverage.py as JSON, its sums for each
part of the package replace the ones that are kept, and the exit status is 1 if too few lines of an
important part were run. With a report of the tests as JUnit's XML, and the Python that ran them,
their numbers replace those of the same versions.
"""

import argparse
import json
import subprocess
import sys
from datetime import date
from pathlib import Path
from statistics import median_low
from typing import Any
from xml.etree import ElementTree

from page_template import fill

from autodecoder.config import SCHEMA
from autodecoder.files import write_file

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent))  # for the tools of the tests, which are not part of the package
PAGE, TEMPLATE = HERE / "reliability.md", "reliability.md.jinja"
RESULTS = HERE.parent / "benchmarks" / "reliability"
RESOLUTIONS = {"highest": "newest", "lowest-direct": "oldest"}
#: Least share of the lines of these parts that the tests must run, in percent.
LEAST, COVERED = 95.0, ("core", "data", "model", "study")


def make_page(results: Path) -> str:
    """The page, from a folder of results."""
    from tests.fuzz.watch import LONGEST, PER_BYTE

    rows = [_with_work_lost(row) for row in (_read(results, "faults") or {}).values()]
    faults = [row for row in rows if not row["skipped"]]
    return fill(
        TEMPLATE,
        faults=faults,
        unstruck=sum(row.get("unstruck", 0) for row in faults),
        hows=_hows(faults),
        untried=[f"{row['fault']}, {row['skipped']}" for row in rows if row["skipped"]],
        fuzz=[{"memory_limit_mib": 0, **row} for row in _read(results, "fuzz") or []],
        longest=f"{LONGEST:g}",
        per_byte=PER_BYTE,
        versions=_read(results, "versions"),
        coverage=_read(results, "coverage"),
        least_coverage=f"{LEAST:g}",
        covered=", ".join(f"`{part}/`" for part in COVERED),
        mutation=_sum_mutations(_read(results, "mutation") or []),
        reproduced=_read(results, "reproduced"),
        defects=_read(results, "defects") or [],
        schema=SCHEMA,
        seconds=_seconds,
        made_on=_made_on,
    )


def _hows(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Kinds of faults and what was done, once where it is the same."""
    told = sorted({(row["fault"], _how(row)) for row in rows if row.get("how")})
    kinds = {how: [fault for fault, other in told if other == how] for _, how in told}
    return [("*, *".join(faults), how) for how, faults in kinds.items()]


def _how(row: dict[str, Any]) -> str:
    """What was done, and how often it ended in which way."""
    outcomes = [f"{n} {words}" for words, n in sorted(row["outcomes"].items())]
    return ". ".join([row["how"], *([", ".join(outcomes)] if outcomes else [])])


def _sum_mutations(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    from tests.mutation import LEFT, n_tried, score

    if not rows:
        return None
    return {
        "tried": sum(map(n_tried, rows)),
        "percent": score(rows),
        **{name: sum(row[name] for row in rows) for name in ("possible", "killed")},
        **{name: sum(len(row[name]) for row in rows) for name in LEFT},
    }


def _with_work_lost(row: dict[str, Any]) -> dict[str, Any]:
    lost = row["lost"]
    return {**row, "median": median_low(lost) if lost else None, "most": max(lost, default=None)}


def _read(results: Path, name: str) -> Any:
    path = results / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def sum_coverage(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Lines of each part of the package, and the share of them that was run."""
    sums: dict[str, list[int]] = {}
    for path, about in report["files"].items():
        parts = Path(path).parts
        inside = parts[parts.index("autodecoder") + 1 :]
        if len(inside) > 1:
            lines = sums.setdefault(inside[0], [0, 0])
            lines[0] += about["summary"]["num_statements"]
            lines[1] += about["summary"]["covered_lines"]
    return [
        {"part": part, "lines": n, "percent": round(100 * run / n, 1)}
        for part, (n, run) in sorted(sums.items())
    ]


def count_tests(report: Path, python: Path, resolution: str) -> dict[str, Any]:
    """Numbers of tests, with the versions of the Python that ran them."""
    suite = next(ElementTree.parse(report).iter("testsuite"))
    total, skipped, failed, wrong = (
        int(suite.attrib[name]) for name in ("tests", "skipped", "failures", "errors")
    )
    code = "import platform, jax; print(platform.python_version(), jax.__version__)"
    told = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    version, jax = told.stdout.split()
    return {
        "python": version,
        "jax": jax,
        "resolution": RESOLUTIONS[resolution],
        "passed": total - skipped - failed - wrong,
        "failed": failed + wrong,
        "skipped": skipped,
        "date": str(date.today()),
    }


def _keep(path: Path, content: Any) -> None:
    write_file(path, (json.dumps(content, indent=1) + "\n").encode())


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} s"


def _made_on(rows: list[dict[str, Any]]) -> str:
    """The versions, and the dates of the first and last row."""
    dates = sorted({row["machine"]["date"] for row in rows})
    about = rows[-1]["machine"]
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"Python {about['python']}, jax {about['jax']}, {when}."


def too_few(rows: list[dict[str, Any]]) -> list[str]:
    """The parts of which the tests run too few lines, in words."""
    percents = {row["part"]: row["percent"] for row in rows}
    return [
        f"{part}: {percents.get(part, 0.0)} % of the lines are run, at least {LEAST:g} % must be"
        for part in COVERED
        if percents.get(part, 0.0) < LEAST
    ]


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--coverage", type=Path)
    parser.add_argument("--tests", type=Path)
    parser.add_argument("--python", type=Path)
    parser.add_argument("--resolution", choices=RESOLUTIONS)
    options = parser.parse_args()
    wrong: list[str] = []
    if options.coverage is not None:
        rows = sum_coverage(json.loads(options.coverage.read_text(encoding="utf-8")))
        _keep(options.results / "coverage.json", rows)
        wrong = too_few(rows)
    if options.tests is not None:
        row = count_tests(options.tests, options.python, options.resolution)
        same = {"python", "jax", "resolution"}
        rows = [
            other
            for other in _read(options.results, "versions") or []
            if any(other[key] != row[key] for key in same)
        ]
        rows.sort(key=lambda other: (other["resolution"], other["python"]))
        _keep(options.results / "versions.json", [*rows, row])
    write_file(options.out, make_page(options.results).encode())
    sys.exit("\n".join(wrong) or 0)


if __name__ == "__main__":
    main()
