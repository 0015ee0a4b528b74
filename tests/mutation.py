"""How many small faults in the arithmetic of `core` the tests find.

    python -m tests.mutation [--each 10] [--only NAMES] [--seed 0] [--out FILE]

Of each module some operators, comparisons and numbers are changed at random, one at a time, in a
copy of the checkout; then the tests of the module run until one fails. First they run without a
change, and must pass. The score is the share of changes for which a test fails, each module
weighted by the number of changes that are possible in it; tests that do not end in time do not
count as failed. The exit status is 1 if the score is below 80 %. cosmic-ray makes the changes;
`make mutation` installs it in an environment of its own.
"""

import argparse
import json
import os
import random
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

from tests.results import Rows, change_rows, read_rows

ROOT = Path(__file__).parents[1]
CORE = Path("src/autodecoder/core")
OUT = ROOT / "benchmarks" / "reliability" / "mutation.json"
#: Changes that are made: of arithmetic, comparisons, numbers and conditions.
OPERATORS = (
    *("ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add"),
    *("ReplaceBinaryOperator_Mul_Div", "ReplaceBinaryOperator_Div_Mul"),
    *("ReplaceBinaryOperator_Pow_Mul", "ReplaceBinaryOperator_FloorDiv_Mul"),
    *("ReplaceUnaryOperator_USub_UAdd", "ReplaceUnaryOperator_Invert_UAdd"),
    *("ReplaceComparisonOperator_Lt_LtE", "ReplaceComparisonOperator_LtE_Lt"),
    *("ReplaceComparisonOperator_Gt_GtE", "ReplaceComparisonOperator_GtE_Gt"),
    *("ReplaceComparisonOperator_Eq_NotEq", "ReplaceComparisonOperator_NotEq_Eq"),
    *("NumberReplacer", "AddNot", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue"),
)
#: Tests of modules that have none of the same name.
TESTS = {
    "blocks": ("infer",),
    "contract": ("decoders",),
    "conv": ("decoders",),
    "dense": ("decoder", "decoders"),
    "fit": ("fit", "gradients"),
    "kernels": ("decoders",),
    "latent_starts": ("starts", "latents"),
    "layers": ("decoder", "decoders"),
    "neighbours": ("starts", "infer"),
    "operators": ("decoders",),
    "own": ("decoders",),
    "plan": ("infer",),
    "resconv": ("decoders",),
    "runs": ("population", "fit"),
    "scaling": ("losses", "fit"),
    "schedule": ("fit",),
    "streamed": ("epoch",),
    "watch": ("watch", "stopping"),
}
#: How many times as long as without a change the tests of a changed module may take, and the least
#: seconds.
_PATIENCE, _LEAST_PATIENCE = 4.0, 60.0
#: Changes that are not killed: no test failed, the tests did not end, or their process died.
LEFT = ("survived", "timeouts", "unclear")
#: Least share of changes that the tests must find, in percent.
LEAST = 80.0


def modules() -> list[Path]:
    """The modules of `core`, relative to the checkout."""
    paths = sorted(path.relative_to(ROOT) for path in (ROOT / CORE).rglob("*.py"))
    return [path for path in paths if path.name != "__init__.py"]


def tests_of(module: Path) -> list[str]:
    """The files of tests of a module, relative to the checkout."""
    names = TESTS.get(module.stem, (module.stem,))
    paths = [f"tests/core/test_{name}.py" for name in names]
    missing = [path for path in paths if not (ROOT / path).exists()]
    if missing:
        raise SystemExit(f"{module} has no tests {', '.join(missing)}: mend TESTS.")
    return paths


def mutate(
    module: Path, each: int, seed: int, tool: Path, work: Path, patience: float
) -> dict[str, Any]:
    """Change one module again and again; returns how often a test failed, and where none did."""
    command = _test_command(module)
    config = {
        "module-path": str(module),
        "timeout": patience,
        "excluded-modules": [],
        "test-command": command,
    }
    settings, session = work / "mutation.toml", work / f"{module.stem}.sqlite"
    lines = [f"{key} = {json.dumps(value)}" for key, value in config.items()]
    settings.write_text(
        "\n".join(["[cosmic-ray]", *lines, "[cosmic-ray.distributor]", 'name = "local"', ""])
    )
    session.unlink(missing_ok=True)
    _call(tool, "init", str(settings), str(session), cwd=work)
    possible = _choose(session, each, seed)
    _call(tool, "exec", str(settings), str(session), cwd=work)
    told = _call(tool, "dump", str(session), cwd=work)
    found: dict[str, list[str]] = {name: [] for name in ("killed", *LEFT)}
    for item, result in map(json.loads, told.splitlines()):
        (change,) = item["mutations"]
        name = change["operator_name"].removeprefix("core/")
        found[outcome(result)].append(f"{module}:{change['start_pos'][0]}: {name}")
    about = {"module": str(module.relative_to(CORE)), "possible": possible}
    return {**about, **found, "killed": len(found["killed"])}


def outcome(result: dict[str, Any] | None) -> str:
    """What a result of cosmic-ray says; it counts all but tests that pass as killed."""
    if result is None or result["worker_outcome"] != "normal":
        return "unclear"
    if result["test_outcome"] == "survived":
        return "survived"
    output = result["output"] or ""
    if output == "timeout":
        return "timeouts"
    is_told = result["test_outcome"] == "killed" and re.search(r"\b\d+ (failed|errors?)\b", output)
    return "killed" if is_told else "unclear"  # the process of the tests died


def score(rows: list[dict[str, Any]]) -> float:
    """The share of changes for which a test fails, in percent."""
    shares = [(row["possible"], row["killed"] / n) for row in rows if (n := n_tried(row))]
    return 100 * sum(n * share for n, share in shares) / max(1, sum(n for n, _ in shares))


def n_tried(row: dict[str, Any]) -> int:
    """The changes that were made to a module."""
    return row["killed"] + sum(len(row[name]) for name in LEFT)


def _test_command(module: Path) -> str:
    test = f"{sys.executable} -m pytest -x -q -p no:cacheprovider -m 'not slow and not thorough' "
    return test + " ".join(tests_of(module))


def _choose(session: Path, each: int, seed: int) -> int:
    """Keep some changes of the kinds of `OPERATORS`; returns how many there were."""
    with closing(sqlite3.connect(session)) as file, file:
        # The names of the jobs are drawn anew each time; places in the module are not.
        order = "operator_name, operator_args, occurrence, start_pos_row, start_pos_col"
        query = f"SELECT job_id, operator_name FROM mutation_specs ORDER BY {order}"
        rows = file.execute(query).fetchall()
        fit = [job for job, name in rows if name.removeprefix("core/") in OPERATORS]
        kept = set(random.Random(seed).sample(fit, min(each, len(fit))))
        for table in ("mutation_specs", "work_items"):
            drop = [(job,) for job, _ in rows if job not in kept]
            file.executemany(f"DELETE FROM {table} WHERE job_id = ?", drop)
    return len(fit)


def _call(*command: Any, cwd: Path) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": str(cwd / "src"),  # and not the installed package
        # Programs are known by their content, so a change cannot meet those of another.
        "AUTODECODER_TEST_PROGRAMS": str(cwd.parent / "programs"),
    }
    ended = subprocess.run(command, cwd=cwd, capture_output=True, env=environment, text=True)
    if ended.returncode:
        words = shlex.join(map(str, command))
        raise SystemExit(f"{words} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def main() -> None:
    """Run and keep the results; of a file that exists, other modules are kept."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--each", type=int, default=10, help="changes of each module")
    parser.add_argument("--only", help="modules, joined by commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tool", type=Path, default=Path("build/mutation/bin/cosmic-ray"))
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    names = {str(module.relative_to(CORE)) for module in modules()}
    with tempfile.TemporaryDirectory(prefix="autodecoder-mutation-") as folder:
        work = Path(folder) / "copy"
        shutil.copytree(
            ROOT, work, ignore=shutil.ignore_patterns(".git", ".venv", "build", "runs", "_build")
        )
        code = f"import autodecoder; assert autodecoder.__file__.startswith({str(work)!r})"
        _call(sys.executable, "-c", code, cwd=work)
        lasted: dict[str, float] = {}
        for module in modules():
            if options.only and module.stem not in options.only.split(","):
                continue
            if (command := _test_command(module)) not in lasted:
                _call(*shlex.split(command), cwd=work)  # without a change they must pass
                began = time.monotonic()  # programs are compiled now
                _call(*shlex.split(command), cwd=work)
                lasted[command] = time.monotonic() - began
            patience = max(_LEAST_PATIENCE, _PATIENCE * lasted[command])
            tool = options.tool.absolute()
            row = mutate(module, options.each, options.seed, tool, work, patience)
            row["date"] = str(date.today())

            def change(rows: Rows, row: dict[str, Any] = row) -> Rows:
                rows = {**rows, row["module"]: row}
                return {name: rows[name] for name in sorted(names) if name in rows}

            change_rows(options.out, change, key="module")
            left = [f"{name}: {place}" for name in LEFT for place in row[name]]
            head = f"{row['module']}: {row['killed']} of {n_tried(row)} killed"
            print("\n  ".join([head, *left]), flush=True)  # noqa: T201
    reached = score(list(read_rows(options.out, key="module").values()))
    print(f"{reached:.1f} % of the changes are killed; at least {LEAST} % must be")  # noqa: T201
    sys.exit(reached < LEAST)


if __name__ == "__main__":
    main()
