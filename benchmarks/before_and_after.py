"""The same fits by this version and by an earlier one: error, seconds an epoch, inference.

    python benchmarks/before_and_after.py COMMIT --data_dir FOLDER [--train 60000] [--test 10000]
        [--epochs 8] [--seeds 3] [--cases mnist:2:fast,mnist:16:original,fmnist:2:fast]

Each case is fitted by both versions in turn, in a process of its own for all seeds, decoder
500-500. The error is that of unseen images whose latents are inferred, in the scaled space: the
median over the seeds and, in brackets, the least and the largest. Seconds are medians over the
seeds; those until the first epoch are of the first seed, compilation included.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CASES = ",".join(
    [f"mnist:{dims}:{recipe}" for dims in (2, 16, 64) for recipe in ("fast", "original")]
    + ["fmnist:2:fast"]
)
RATES = {"fast": 5e-3, "original": 1e-3}
ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("commit")
    parser.add_argument("--data_dir")
    parser.add_argument("--train", type=int, default=60_000)
    parser.add_argument("--test", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", default=CASES)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options)))
        return
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"{options.train} images, {options.epochs} epochs, {options.seeds} seeds")
    print(
        "case, version: error [least, largest]; s/epoch; s to the first epoch; s to infer the test"
    )
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        git("worktree", "add", "--detach", str(before), options.commit)
        try:
            for case in options.cases.split(","):
                found = {
                    name: run(source, case) for name, source in (("before", before), ("now", ROOT))
                }
                for name, values in found.items():
                    losses = values["losses"]
                    print(
                        f"{case:20} {name:6} {statistics.median(losses):.4f} "
                        f"[{min(losses):.4f}, {max(losses):.4f}]; {values['epoch']:.3f}; "
                        f"{values['first']:.1f}; {values['infer']:.2f}",
                        flush=True,
                    )
                ratio = found["now"]["epoch"] / found["before"]["epoch"]
                print(f"{'':20} seconds an epoch, now by before: {ratio:.3f}", flush=True)
        finally:
            git("worktree", "remove", "--force", str(before))


def git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(ROOT), *arguments], check=True, capture_output=True)


def run(source: Path, case: str) -> dict[str, Any]:
    """The numbers of a case by the sources in a folder."""
    command = [sys.executable, __file__, *sys.argv[1:], "--measure", case]
    # Compiled anew, so that the first epoch tells what a first use costs.
    with tempfile.TemporaryDirectory() as programs:
        environment = {
            **os.environ,
            "PYTHONPATH": str(source / "src"),
            "JAX_COMPILATION_CACHE_DIR": programs,
        }
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(case: str, options: argparse.Namespace) -> dict[str, Any]:
    """In a process whose `PYTHONPATH` names the version: by functions that all versions have."""
    import inspect

    import numpy as np

    import autodecoder as ad

    dataset, dims, recipe = case.split(":")
    data = ad.load_dataset(dataset, data_dir=options.data_dir)
    train, test = data.train.images[: options.train], data.val.images[: options.test]
    told = "callback" if "callback" in inspect.signature(ad.fit_model).parameters else "report"
    losses, epochs, infers, first = [], [], [], 0.0
    for seed in range(options.seeds):
        begun = time.perf_counter()
        ticks: list[tuple[int, float]] = []
        watched: Any = {told: lambda epoch, _, to=ticks: to.append((epoch, time.perf_counter()))}
        model = ad.fit_model(
            train,
            decoder=ad.DecoderConfig(
                arch=(500, 500), latent_dims=int(dims), batch_norm=recipe == "original"
            ),
            fit=ad.fit_config(recipe, num_epochs=options.epochs),
            learning_rate=RATES[recipe],
            seed=seed,
            **watched,
        )
        first = first or ticks[0][1] - begun
        (one, start), (last, end) = ticks[0], ticks[-1]
        epochs.append((end - start) / (last - one))
        model.infer(test[:128])  # compiles
        begun = time.perf_counter()
        found = model.infer(test)
        infers.append(time.perf_counter() - begun)
        losses.append(float(np.mean(found.errors.loss)))
    return {
        "losses": losses,
        "epoch": statistics.median(epochs),
        "first": first,
        "infer": statistics.median(infers),
    }


if __name__ == "__main__":
    main()
