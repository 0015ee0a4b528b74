"""Some faults at random moments, and the page that tells of many."""

import json
from pathlib import Path
from types import ModuleType

import pytest
from tests.fuzz.run import add as add_inputs
from tests.test_docs import load_script
from tests.torture.__main__ import add as add_faults
from tests.torture.bench import Bench
from tests.torture.faults import Torture
from tests.torture.work import PACKING, SAVING, Task

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def made() -> ModuleType:
    return load_script("make_reliability")


@pytest.mark.parametrize("task", [PACKING, SAVING], ids=lambda task: task.name)
def test_killed_at_random_moments_nothing_is_lost(task: Task, tmp_path: Path) -> None:
    """`make torture` does this a hundred times, with other work and other faults."""
    record = Torture(Bench(tmp_path, seed=0), lambda _: None).killed(task, times=1)
    assert record.tried == 1
    assert record.failures == []


def test_the_page_is_fresh(made: ModuleType) -> None:
    assert made.PAGE.read_text(encoding="utf-8") == made.make_page(made.RESULTS)


def test_no_fault_of_the_page_was_not_survived(made: ModuleType) -> None:
    faults = json.loads((made.RESULTS / "faults.json").read_text())
    assert faults
    assert all(row["tried"] > 0 and row["failures"] == [] for row in faults.values())


def test_faults_of_another_seed_are_added() -> None:
    one = {"tried": 2, "failures": ["a"], "seconds": 5, "seeds": [0], "skipped": "", "lost": [2.0]}
    other = {**one, "tried": 3, "failures": [], "seeds": [1], "lost": [1.0, 3.0]}
    both = add_faults(one, other)
    assert both == {**other, "tried": 5, "failures": ["a"], "seconds": 10, "seeds": [0, 1]} | {
        "lost": [1.0, 2.0, 3.0]
    }
    assert add_faults(None, one) == one
    assert add_faults(both, one) == one, "the same seed again starts over"
    assert add_faults({**one, "skipped": "not here"}, other) == other


def test_inputs_of_another_seed_are_added() -> None:
    one = {
        "inputs": 100,
        "refused": 90,
        "seconds": 2.0,
        "inputs_per_second": 50.0,
        "seeds": [0],
        "peak_memory_growth_mib": 9.0,
        "longest_input_seconds": 0.1,
        "findings": [],
    }
    other = {**one, "inputs": 500, "longest_input_seconds": 0.3, "seeds": [1], "findings": ["b"]}
    both = add_inputs(one, other)
    assert (both["inputs"], both["refused"], both["inputs_per_second"]) == (600, 180, 150.0)
    assert (both["longest_input_seconds"], both["findings"]) == (0.3, ["b"])
    assert add_inputs(both, other) == other, "the same seed again starts over"


def test_lines_are_summed_by_part(made: ModuleType) -> None:
    def about(n: int, run: int) -> dict[str, object]:
        return {"summary": {"num_statements": n, "covered_lines": run}}

    files = {
        "src/autodecoder/core/a.py": about(30, 30),
        "src/autodecoder/core/deep/b.py": about(10, 6),
        "src/autodecoder/data/c.py": about(5, 5),
        "src/autodecoder/text.py": about(5, 0),
    }
    assert made.sum_coverage({"files": files}) == [
        {"part": "core", "lines": 40, "percent": 90.0},
        {"part": "data", "lines": 5, "percent": 100.0},
    ]
