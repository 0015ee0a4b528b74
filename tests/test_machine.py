"""The memory of the machine, and that of a control group."""

from pathlib import Path

import pytest

from autodecoder import machine
from autodecoder.machine import free_memory, machine_memory


def test_the_limit_of_a_control_group_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = machine_memory()
    assert 2**28 < free_memory() <= whole
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "_GROUPS", (str(limit), str(tmp_path / "missing")))
    limit.write_text("max\n")
    assert machine_memory() >= whole
    limit.write_text("12345\n")
    assert machine_memory() == 12345
    assert free_memory() == 12345
