"""What came of one kind of fault, and how the command of a trial ended."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.torture.bench import Running


@dataclass
class Record:
    """What came of one kind of fault on one kind of work."""

    fault: str
    work: str
    how: str = ""
    """What exactly was done, in a sentence for the page."""
    tried: int = 0
    """Trials in which the fault happened."""
    unstruck: int = 0
    """Trials that do not count: the command ended before the fault, or was not affected by it."""
    lost: list[float] = field(default_factory=list)
    """Seconds of work behind the last finished piece, for each fault that cut some off."""
    failures: list[str] = field(default_factory=list)
    """What was lost, damaged, or came out otherwise."""
    skipped: str = ""
    """Why it was not tried."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """How many trials ended in which of the ways that are right, where there are several."""

    def lacks(self, times: int) -> bool:
        """Whether trials are to follow; too many that do not count end the attempts."""
        return self.tried < times and self.unstruck < 9 + 3 * times

    def content(self) -> dict[str, Any]:
        """As plain values."""
        return {**asdict(self), "lost": [round(seconds, 1) for seconds in sorted(self.lost)]}

    def note(self, outcome: str) -> None:
        """Count one of the ways to end."""
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def check(self, running: Running, allowed: Mapping[int, str]) -> bool:
        """Note a failure if a process did not end as it may; returns whether it did."""
        wrong = wrong_end(running.status, running.said, allowed)
        if wrong:
            self.failures.append(wrong)
        return not wrong


def wrong_end(status: int | None, said: str, allowed: Mapping[int, str]) -> str:
    """Why a process must not end like this; empty if it may.

    `allowed` maps each exit status that is right to a pattern of what the output must hold then.
    An output with a traceback is wrong, unless it is that of a KeyboardInterrupt: Python prints it
    if a signal comes before the package handles it, and where it ignores errors.
    """
    if status is None:
        return "it did not end"
    errors = [line for line in raised(said) if line != "KeyboardInterrupt"]
    if status not in allowed or errors or not re.search(allowed[status], said):
        return f"exit status {status}: {said[-500:]}"
    return ""


def raised(said: str) -> list[str]:
    """The error of each traceback in an output."""
    found, is_inside = [], False
    for line in said.splitlines():
        if line.startswith("Traceback (most recent call last)"):
            is_inside = True
        elif is_inside and line and not line.startswith(" "):
            found.append(line.rstrip(": "))  # where errors are ignored, a colon follows
            is_inside = False
    return found
