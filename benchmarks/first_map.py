"""A first map: seconds from the command to its page, and where they go.

    python benchmarks/first_map.py [DATASET] --data_dir FOLDER [--runs 3]

Runs `autodecoder map DATASET` in processes of their own: `cold` with an empty cache of compiled
programs, `warm` with the programs of the run before; medians. Each part is the time from the end of
the one before it; a program is compiled in the part that first needs it. DATASET is fmnist by
default; `--data_dir` is for published data sets.
"""

import argparse
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Functions at whose begin (False) or end (True) a part ends, in the order of a run.
MARKS = (
    ("import", "autodecoder.study", "load_study_data", False),
    ("read images", "autodecoder.study", "load_study_data", True),
    ("start latents", "autodecoder.model.driver.Driver", "move", False),
    ("train", "autodecoder.study.group.Group", "_infer", False),
    ("fresh validation", "autodecoder.study.group.Group", "_infer", True),
    ("save", "autodecoder.report", "write_pictures", False),
    ("pictures", "autodecoder.report", "write_pictures", True),
    ("page", "autodecoder.report", "write_study_page", True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("dataset", nargs="?", default="fmnist")
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        run_and_tell(options.dataset, options.data_dir, Path(options.child))
        return
    found: dict[str, list[dict[str, float]]] = {"cold": [], "warm": []}
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as place:
            for kind, told in found.items():
                told.append(measure(options.dataset, options.data_dir, Path(place), kind))
    names = list(found["cold"][0])
    print(f"| programs | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for kind, told in found.items():
        cells = (f"{statistics.median(t[name] for t in told):.1f}" for name in names)
        print(f"| {kind} | {' | '.join(cells)} |")


def measure(dataset: str, data_dir: Path | None, place: Path, kind: str) -> dict[str, float]:
    """Seconds of each part, and of the whole command."""
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(place / "programs")}
    command = [sys.executable, __file__, dataset, "--child", str(place / kind)]
    command += [] if data_dir is None else ["--data_dir", str(data_dir)]
    begin = time.time()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    whole = time.time() - begin
    marks = json.loads((place / kind / "marks.json").read_text())
    times = [begin, *(marks[name] for name, *_ in MARKS)]
    parts = {
        name: end - start
        for (name, *_), start, end in zip(MARKS, times[:-1], times[1:], strict=True)
    }
    return {**parts, "whole": whole}


def run_and_tell(dataset: str, data_dir: Path | None, folder: Path) -> None:
    """Run the command in this process, and write when each part ended."""
    marks: dict[str, float] = {}
    for name, place, function, is_end in MARKS:
        watch(marks, name, place, function, is_end=is_end)
    arguments = ["map", dataset, "--out", str(folder / "study"), "--seed", "1"]
    try:
        importlib.import_module("autodecoder.cli").main(
            arguments + ([] if data_dir is None else ["--data_dir", str(data_dir)])
        )
    except SystemExit as ended:
        if ended.code:
            raise
    shutil.rmtree(folder / "study")
    (folder / "marks.json").write_text(json.dumps(marks))


def watch(marks: dict[str, float], name: str, place: str, function: str, *, is_end: bool) -> None:
    """Note the time of the first call of a function, or of its end."""
    module, _, kind = place.rpartition(".")
    is_class = kind[0].isupper()
    holder: Any = importlib.import_module(module if is_class else place)
    holder = getattr(holder, kind) if is_class else holder
    inner: Callable[..., Any] = getattr(holder, function)

    def outer(*arguments: Any, **options: Any) -> Any:
        if not is_end:
            marks.setdefault(name, time.time())
        result = inner(*arguments, **options)
        if is_end:
            marks.setdefault(name, time.time())
        return result

    setattr(holder, function, outer)


if __name__ == "__main__":
    main()
