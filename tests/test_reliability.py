"""Some faults at random moments, and the page that tells of many."""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.fuzz.run import add as add_inputs
from tests.fuzz.run import dropped as dropped_findings
from tests.mutation import outcome, score
from tests.test_docs import load_script
from tests.torture.__main__ import add as add_faults
from tests.torture.__main__ import dropped as dropped_failures
from tests.torture.bench import Bench
from tests.torture.disks import full_disk, read_only
from tests.torture.faults import killed, told_to_stop
from tests.torture.record import Record, wrong_end
from tests.torture.trials import Torture
from tests.torture.work import PACKING, SAVING

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def made() -> ModuleType:
    return load_script("make_reliability")


@pytest.fixture(scope="module")
def torture(tmp_path_factory: pytest.TempPathFactory) -> Torture:
    return Torture(Bench(tmp_path_factory.mktemp("torture"), seed=0), lambda _: None)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(lambda torture: killed(torture, PACKING, 1), id="SIGKILL"),
        pytest.param(lambda torture: told_to_stop(torture, "SIGINT", PACKING, 1), id="SIGINT"),
        pytest.param(lambda torture: full_disk(torture, PACKING, 1), id="full disk"),
        pytest.param(lambda torture: read_only(torture, PACKING, 1), id="read-only"),
        pytest.param(
            lambda torture: killed(torture, SAVING, 1), id="saving", marks=pytest.mark.thorough
        ),
    ],
)
def test_after_a_fault_at_a_random_moment_nothing_is_lost(
    torture: Torture, fault: Callable[[Torture], Record]
) -> None:
    """`make torture` does this a hundred times, with other work and other faults."""
    record = fault(torture)
    if record.skipped:
        pytest.skip(record.skipped)
    assert record.failures == []
    assert record.tried == 1


INTERRUPTED = """Process ForkServerProcess-1:
Traceback (most recent call last):
  File "a.py", line 1, in main
    work()
KeyboardInterrupt
"""


@pytest.mark.parametrize(
    ("status", "said", "is_right"),
    [
        (0, "done", True),
        (130, "interrupted at once: what was not written is lost", True),
        (130, "", False),
        (1, INTERRUPTED, True),
        (1, "", False),
        (1, INTERRUPTED.replace("KeyboardInterrupt", "ValueError: KeyboardInterrupt"), False),
        (0, f"Exception ignored in: f\n{INTERRUPTED}", True),
        (0, f"Exception ignored in: f\n{INTERRUPTED.rstrip()}: \n", True),
        (0, INTERRUPTED.replace("KeyboardInterrupt", "OSError: no"), False),
        (-signal.SIGSEGV, "", False),
        (None, "", False),
    ],
)
def test_a_crash_is_no_end_by_a_signal(status: int | None, said: str, is_right: bool) -> None:
    allowed = {0: "", 1: "KeyboardInterrupt", 130: "interrupted", -2: ""}
    assert (wrong_end(status, said, allowed) == "") == is_right


def test_the_page_is_fresh(made: ModuleType) -> None:
    assert made.PAGE.read_text(encoding="utf-8") == made.make_page(made.RESULTS)


def test_no_fault_of_the_page_was_not_survived(made: ModuleType) -> None:
    faults = json.loads((made.RESULTS / "faults.json").read_text())
    assert faults
    assert all(row["tried"] > 0 and row["failures"] == [] for row in faults.values())


def test_faults_of_another_seed_are_added() -> None:
    one = {"tried": 2, "failures": ["a"], "seconds": 5, "seeds": [0], "skipped": "", "lost": [2.0]}
    one |= {"unstruck": 1, "outcomes": {"a": 1}}
    other = {**one, "tried": 3, "failures": [], "seeds": [1], "lost": [1.0, 3.0]}
    both = add_faults(one, other)
    assert both == {**other, "tried": 5, "failures": ["a"], "seconds": 10, "seeds": [0, 1]} | {
        "lost": [1.0, 2.0, 3.0],
        "unstruck": 2,
        "outcomes": {"a": 2},
    }
    assert add_faults(None, one) == one
    assert add_faults(both, other) == other, "the same seed again starts over"
    assert dropped_failures(both, other) == ["a"], "which is told"
    assert dropped_failures(one, other) == dropped_failures(None, other) == []
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
    assert dropped_findings(both, other) == ["b"], "which is told"
    assert dropped_findings(one, other) == []


def test_lines_are_summed_by_part(made: ModuleType) -> None:
    def about(n: int, run: int) -> dict[str, object]:
        return {"summary": {"num_statements": n, "covered_lines": run}}

    files = {
        "src/autodecoder/core/a.py": about(30, 30),
        "src/autodecoder/core/deep/b.py": about(10, 6),
        "src/autodecoder/data/c.py": about(5, 5),
        "src/autodecoder/text.py": about(5, 0),
    }
    rows = made.sum_coverage({"files": files})
    assert rows == [
        {"part": "core", "lines": 40, "percent": 90.0},
        {"part": "data", "lines": 5, "percent": 100.0},
    ]
    assert [text.split()[:2] for text in made.too_few(rows)] == [
        ["core:", "90.0"],
        ["model:", "0.0"],
        ["study:", "0.0"],
    ]


def test_only_tests_that_fail_kill_a_change() -> None:
    def result(output: str, test: str = "killed", worker: str = "normal") -> dict[str, Any]:
        return {"output": output, "test_outcome": test, "worker_outcome": worker}

    assert outcome(result("1 failed, 3 passed in 2 s")) == "killed"
    assert outcome(result("1 error in 2 s")) == "killed"
    assert outcome(result("4 passed", "survived")) == "survived"
    assert outcome(result("timeout")) == "timeouts"
    assert outcome(result("Fatal Python error: Aborted")) == "unclear"
    assert outcome(result("Traceback", "incompetent", "exception")) == "unclear"
    assert outcome(None) == "unclear"


def test_modules_count_by_their_possible_changes() -> None:
    rest: dict[str, list[str]] = {"timeouts": [], "unclear": []}
    rows = [
        {"possible": 30, "killed": 2, "survived": [], **rest},
        {"possible": 10, "killed": 0, "survived": ["a"], **rest, "timeouts": ["b"]},
    ]
    assert score(rows) == 75.0
    assert score([{**rows[0], "unclear": ["c", "d"]}]) == 50.0


@pytest.mark.skipif(sys.platform == "win32", reason="needs the devices of Unix")
def test_the_numbers_of_a_run_with_failures_are_kept(made: ModuleType, tmp_path: Path) -> None:
    report = tmp_path / "tests.xml"
    report.write_text(
        '<testsuites><testsuite tests="9" skipped="2" failures="3" errors="1"/></testsuites>'
    )
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 3.11.7 0.10.2\n")
    python.chmod(0o755)
    row = made.count_tests(report, python, "highest")
    assert (row["python"], row["jax"], row["resolution"]) == ("3.11.7", "0.10.2", "newest")
    assert (row["passed"], row["failed"], row["skipped"]) == (3, 4, 2)
