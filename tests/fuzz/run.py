"""Fuzz the readers: `python -m tests.fuzz.run --inputs 1000000`.

Each target runs in a process of its own, so that even a crash of a library is a finding; as many
run at once as there are cores. In the file of `--out`, inputs of another seed are added to those of
the same target; those of the same seed replace them, and findings that are replaced are printed.
"""

import argparse
import contextlib
import faulthandler
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from tests.fuzz import engines
from tests.results import Rows, change_rows

ROOT = Path(__file__).parents[2]
#: Seconds without an answer after which a process is ended: code in C can ignore alarms.
_SILENT = 120
#: Most memory for the data of a process, in bytes: then it gets a `MemoryError`.
_MOST_DATA = 16 * 2**30
#: The option of `prctl` for it, from linux/prctl.h.
_PDEATHSIG = 1
#: Seconds between two results that a process writes.
_EVERY = 5.0


def main() -> int:
    """Run the targets, one after the other; returns 1 if there are findings."""
    options = _parser().parse_args()
    if options.child:
        _run_here(options)
        return 0
    from tests.fuzz.targets import TARGETS

    engine = options.engine or ("atheris" if engines.has_atheris() else "edits")
    unknown = set(options.only or ()) - set(TARGETS)
    if unknown:
        raise SystemExit(f"--only must be among {', '.join(TARGETS)}, got {', '.join(unknown)}.")

    def run(name: str) -> dict[str, Any]:
        return _run_apart(name, engine, options) | {"engine": engine, "seeds": [options.seed]}

    n_findings = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        names = options.only or list(TARGETS)
        for done in as_completed([pool.submit(run, name) for name in names]):
            result = done.result()
            n_findings += len(result["findings"])
            for finding in _keep(options.out, result, list(TARGETS)):
                words = "a finding of an earlier run that this run replaces"
                _say(f"{result['target']}, {words}: {finding['what']}")
            _say(_line(result))
    return int(n_findings > 0)


def _keep(out: str | None, result: dict[str, Any], names: list[str]) -> list[dict[str, Any]]:
    """Add a result to the file; returns former findings that it replaces."""
    lost = []
    name = result["target"]

    def change(rows: Rows) -> Rows:
        lost.extend(dropped(rows.get(name), result))
        rows = {**rows, name: add(rows.get(name), result)}
        return {name: rows[name] for name in names if name in rows}

    if out:
        change_rows(Path(out), change, key="target")
    return lost


def add(before: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """The inputs of several seeds; those of a seed that is there already replace all."""
    if before is None or _replaces(before, new):
        return new
    summed = {k: before[k] + new[k] for k in ("inputs", "refused", "seconds", "findings", "seeds")}
    worst = {
        key: max(before[key], new[key])
        for key in ("peak_memory_growth_mib", "longest_input_seconds")
    }
    pace = round(summed["inputs"] / max(summed["seconds"], 1e-9), 1)
    return {**new, **summed, **worst, "inputs_per_second": pace}


def dropped(before: dict[str, Any] | None, new: dict[str, Any]) -> list[dict[str, Any]]:
    """Findings that were recorded and that `add` replaces."""
    return before["findings"] if before is not None and _replaces(before, new) else []


def _replaces(before: dict[str, Any], new: dict[str, Any]) -> bool:
    return bool(set(new["seeds"]) & set(before["seeds"]))


def _say(words: str) -> None:
    print(words, flush=True)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="inputs of each target")
    parser.add_argument("--seconds", type=float, help="most seconds for each target")
    parser.add_argument("--only", action="append", metavar="NAME", help="a target; repeatable")
    parser.add_argument("--engine", choices=engines.ENGINES, help="by default atheris if installed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="targets that run at once"
    )
    parser.add_argument("--out", metavar="FILE.json", help="file for the results")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser


def _line(result: dict[str, Any]) -> str:
    found = "".join(f"\n  {finding['what']}" for finding in result["findings"])
    return (
        f"{result['target']:12} {result['inputs']:9,} inputs, {result['inputs_per_second']:9,} a "
        f"second, {result['peak_memory_growth_mib']:7} MiB, longest "
        f"{result['longest_input_seconds']} s, {len(result['findings'])} findings{found}"
    )


def _run_apart(name: str, engine: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run a target in another process, whose end is a finding if it is not the planned one."""
    from tests.fuzz.target import in_memory
    from tests.fuzz.watch import KEPT

    with tempfile.TemporaryDirectory(prefix="autodecoder-fuzz-", dir=in_memory()) as folder:
        command = [sys.executable, "-m", "tests.fuzz.run", "--child", name, "--out", folder]
        command += ["--inputs", str(options.inputs), "--seed", str(options.seed)]
        command += ["--engine", engine]
        if options.seconds:
            command += ["--seconds", str(options.seconds)]
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, "TMPDIR": folder},  # a process that crashes leaves files there
            capture_output=True,
            text=True,
            check=False,
        )
        path, last = Path(folder) / "result.json", Path(folder) / "input"
        result = json.loads(path.read_text()) if path.exists() else {"inputs": 0, "seconds": 0.0}
        result = {**_EMPTY, **result, "target": name}
        if not result.pop("done", False):
            content = last.read_bytes() if last.exists() else b""
            what = f"the process ended with {ended.returncode}: {ended.stderr[-2000:]}"
            finding = {"what": what, "n_bytes": len(content), "input": content[:KEPT].hex()}
            result["findings"] = [*result["findings"], finding]
    return result


_EMPTY = {
    "refused": 0,
    "inputs_per_second": 0.0,
    "peak_memory_growth_mib": 0.0,
    "memory_limit_mib": 0,
    "longest_input_seconds": 0.0,
    "findings": [],
}


def _run_here(options: argparse.Namespace) -> None:
    """Run a target in this process, which writes its result again and again, and its last input."""
    _limit_memory()
    _end_with_parent()
    is_guided = options.engine == "atheris"
    with engines.instrumented() if is_guided else contextlib.nullcontext():
        from tests.fuzz.targets import TARGETS

        from autodecoder.errors import AutodecoderError
        from autodecoder.model.memory import give_back_at_once
    from tests.fuzz.watch import Watch, quiet

    give_back_at_once()  # or memory of one input would serve the next ones unseen

    folder = Path(options.out)
    with quiet():
        target = TARGETS[options.child]()
        for content in target.seeds:  # loads libraries, which takes time and memory
            with contextlib.suppress(AutodecoderError):
                target.read(content)
        watch, start = Watch(target), time.perf_counter()
        last, written = (folder / "input").open("wb", buffering=0), start
        errors = _silence()
        faulthandler.enable(errors)
        faulthandler.dump_traceback_later(_SILENT, exit=True, file=errors)

        def feed(content: bytes) -> bool:
            nonlocal written
            last.seek(0)
            last.truncate(last.write(content))
            watch.feed(content)
            now = time.perf_counter()
            more = watch.inputs < options.inputs
            if options.seconds and now - start > options.seconds:
                more = False
            if not more or now - written > _EVERY:
                faulthandler.dump_traceback_later(_SILENT, exit=True, file=errors)
                written = now
                result = {**watch.to_plain(now - start), "done": not more}
                (folder / "new.json").write_text(json.dumps(result), encoding="utf-8")
                (folder / "new.json").replace(folder / "result.json")
            return more

        engines.RUNS[options.engine](target, feed, options.seed)
        faulthandler.cancel_dump_traceback_later()


def _silence() -> Any:
    """Let libraries in C print nowhere; returns a file for the traceback of a crash."""
    errors = os.fdopen(os.dup(2), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return errors


def _end_with_parent() -> None:
    """End when the process ends that started this one, where the system can do that."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (_MOST_DATA, _MOST_DATA))


if __name__ == "__main__":
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
