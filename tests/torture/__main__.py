"""Faults at random moments, and what they cost.

    python -m tests.torture [--times 100] [--seed 0] [--only WORDS] [--out FILE]

Each kind of fault befalls a command of the package, run as a process of its own, so many times.
Then the same command runs to its end, and its result is compared with that of an undisturbed one,
bit for bit. A fault is survived if nothing that was finished before is lost, no damaged file is
taken for a whole one, and the result is the same. The results go to a file, from which
docs/reliability.md is made. Of a file that exists, other kinds of faults are kept, and faults of
another seed are added to those of the same kind.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.torture.bench import Bench
from tests.torture.faults import Torture, all_faults

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
    known = json.loads(options.out.read_text()) if options.out.exists() else {}
    n_failures = 0
    with tempfile.TemporaryDirectory(prefix="autodecoder-torture-") as folder:
        torture = Torture(Bench(Path(folder), options.seed), _say)
        for name, strike in all_faults(torture, options.times):
            if not name.startswith(options.only) or time.time() > options.until:
                continue
            began = time.perf_counter()
            record = strike()
            n_failures += len(record.failures)
            about = {**record.content(), "seconds": round(time.perf_counter() - began)}
            about |= {"seeds": [options.seed], "machine": _machine()}
            known[name] = add(known.get(name), about)
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(json.dumps(known, indent=1) + "\n")
            _say(f"{name}: {record.tried} tried, {len(record.failures)} failures")
            for failure in record.failures[:3]:
                _say(f"  {failure}")
    sys.exit(1 if n_failures else 0)


def add(before: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """The faults of several seeds; those of a seed that is there already replace all."""
    if before is None or before["skipped"] or set(new["seeds"]) & set(before["seeds"]):
        return new
    summed = {key: before[key] + new[key] for key in ("tried", "failures", "seconds", "seeds")}
    return {**new, **summed, "lost": sorted([*before["lost"], *new["lost"]])}


def _say(words: str) -> None:
    print(words, flush=True)  # noqa: T201


def _machine() -> dict[str, str]:
    libraries = {name: version(name) for name in ("autodecoder", "jax", "numpy")}
    return {"python": platform.python_version(), **libraries, "date": str(date.today())}


if __name__ == "__main__":
    main()
