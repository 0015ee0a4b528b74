"""Faults at random moments, and what they cost.

    python -m tests.torture [--times 100] [--seed 0] [--only WORDS] [--out FILE]

Each kind of fault happens so many times to a command of the package, which runs as a process of its
own. Then the same command runs to its end, and its result is compared with that of an undisturbed
one, bit for bit. A fault is survived if the command ends as it should, nothing that was finished
before is lost, no damaged file is taken for a whole one, and the result is the same. The results go
to a file, from which docs/reliability.md is made. Of a file that exists, other kinds of faults are
kept, and faults of another seed are added to those of the same kind; those of the same seed replace
them, and failures that are replaced are printed. The exit status is 1 if there are failures.
"""

import argparse
import platform
import sys
import tempfile
import time
from collections import Counter
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.results import Rows, change_rows, read_rows
from tests.torture.bench import Bench
from tests.torture.faults import all_faults
from tests.torture.record import Record
from tests.torture.trials import Torture

OUT = Path(__file__).parents[2] / "benchmarks" / "reliability" / "faults.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument(
        "--times", type=int, default=100, help="faults of each kind; of some a tenth"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--only", default="", help="kinds whose name begins with this")
    parser.add_argument(
        "--until", type=float, default=float("inf"), help="begin no kind later (Unix time)"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="file of the results")
    options = parser.parse_args()
    n_failures = 0
    with tempfile.TemporaryDirectory(prefix="autodecoder-torture-") as folder:
        sitting = Sitting(options.out, options.seed)
        torture = Torture(Bench(Path(folder), options.seed), _say, sitting.keep)
        kinds = list(all_faults(options.times))
        sitting.names = [kind.name for kind in kinds]
        for name, _, strike in kinds:
            if not name.startswith(options.only) or time.time() > options.until:
                continue
            sitting.begin(name)
            record = strike(torture)
            n_failures += len(record.failures)
            for failure in sitting.keep(record):
                _say(f"{name}, a failure of an earlier run that this run replaces: {failure}")
            _say(f"{name}: {record.tried} tried, {len(record.failures)} failures")
            for failure in record.failures[:3]:
                _say(f"  {failure}")
    sys.exit(1 if n_failures else 0)


class Sitting:
    """Keeps the results of each kind of fault, also those of one that has not ended."""

    def __init__(self, out: Path, seed: int) -> None:
        self._out, self._seed = out, seed
        self.names: list[str] = []
        """All kinds, in their order; results of others are removed."""

    def begin(self, name: str) -> None:
        """Begin a kind, whose former results are kept as they are for the sum."""
        self._name, self._began = name, time.perf_counter()
        self._before = read_rows(self._out).get(name)

    def keep(self, record: Record) -> list[str]:
        """Write what came of the kind so far; returns former failures that it replaces."""
        about = {**record.content(), "seconds": round(time.perf_counter() - self._began)}
        about |= {"seeds": [self._seed], "machine": _machine()}
        row = add(self._before, about)

        def change(rows: Rows) -> Rows:
            rows = {**rows, self._name: row}
            return {name: rows[name] for name in self.names if name in rows}

        change_rows(self._out, change)
        return dropped(self._before, about)


def add(before: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """The faults of several seeds; those of a seed that is there already replace all."""
    if before is None or _replaces(before, new):
        return new
    summed = {key: before[key] + new[key] for key in ("tried", "failures", "seconds", "seeds")}
    summed["unstruck"] = before.get("unstruck", 0) + new["unstruck"]
    summed["outcomes"] = dict(Counter(before.get("outcomes", {})) + Counter(new["outcomes"]))
    return {**new, **summed, "lost": sorted([*before["lost"], *new["lost"]])}


def dropped(before: dict[str, Any] | None, new: dict[str, Any]) -> list[str]:
    """Failures that were recorded and that `add` replaces."""
    return before["failures"] if before is not None and _replaces(before, new) else []


def _replaces(before: dict[str, Any], new: dict[str, Any]) -> bool:
    return bool(before["skipped"] or set(new["seeds"]) & set(before["seeds"]))


def _say(words: str) -> None:
    print(words, flush=True)  # noqa: T201


def _machine() -> dict[str, str]:
    libraries = {name: version(name) for name in ("autodecoder", "jax", "numpy")}
    return {"python": platform.python_version(), **libraries, "date": str(date.today())}


if __name__ == "__main__":
    main()
