"""Time from the start of a process to a decoder of a given quality: the recipes, and their peers.

    python benchmarks/time_to_quality.py --data_dir FOLDER [--runs fast:3,original:43,pytorch:43]

Each run is a process of its own, as a user starts it. Its clock starts when the process is started
and stops after its last epoch; recipes that decay their step sizes need the number of epochs
beforehand, so that each number is a run. Then, off the clock, the fresh validation of the test
images by this project's inference measures the decoder, whoever has trained it. The test images
have no part in training.

With `--curve N` the same is done every N epochs, the clock standing still meanwhile; `--picture`
draws the curves, `--target` adds the first point at or below it. What `pytorch` and `autoencoder`
are is in `peers.py`.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import peers

#: Learning rates: for each recipe the best of a few, found on a split of the training images.
RATES = {"fast": 1e-2, "original": 1e-3}
PEERS = {"pytorch": peers.pytorch, "autoencoder": peers.autoencoder}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--runs", default="fast:3,fast:4,original:43,pytorch:43", help="Of epochs.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--arch", default="500-500")
    parser.add_argument("--latent_dims", type=int, default=2)
    parser.add_argument(
        "--executions", type=int, default=1, help="Runs of a recipe together; means are shown."
    )
    parser.add_argument("--lr", type=float, help="Of recipe fast.")
    parser.add_argument("--curve", type=int, default=0, help="Epochs between measurements.")
    parser.add_argument("--target", type=float, help="Fresh validation to look for in the curves.")
    parser.add_argument("--picture", type=Path, help="File for the curves, PNG or SVG.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options, **json.loads(options.child))))
        return
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ",
        end="",
    )
    print(f"jax {version('jax')}; {options.dataset}, {options.arch}, {options.latent_dims}-D")
    print(
        "| run | epochs | seconds from process start | fresh validation | training loss "
        "| co-trained validation |"
    )
    print("|---|---|---|---|---|---|")
    curves = {}
    for run in options.runs.split(","):
        name, epochs = run.split(":")
        curves[run] = [spawn(options, name, int(epochs), seed) for seed in range(options.seeds)]
        last = list(zip(*(rows[-1] for rows in curves[run]), strict=True))
        cells = (spread(list(last[k]), digits) for k, digits in ((1, 1), (2, 4), (3, 4), (4, 4)))
        print(f"| {name} | {epochs} | {' | '.join(cells)} |", flush=True)
        for rows in curves[run] if options.curve else ():
            print("  " + " ".join(f"{e}:{t:.0f}s:{f:.4f}" for e, t, f, *_ in rows), flush=True)
        if options.target:
            print(f"  {options.target}: {passing(curves[run], options.target)}", flush=True)
    if options.picture:
        draw(curves, options)


def passing(curves: list, target: float) -> str:
    """When runs were first seen at or below the target."""
    found = [row for rows in curves for row in [r for r in rows if r[2] <= target][:1]]
    if len(found) < len(curves):
        return f"passed by {len(found)} of {len(curves)}"
    seconds, epochs = [row[1] for row in found], [row[0] for row in found]
    return f"{spread(seconds, 1)} s, after {spread(epochs, 0)} epochs"


def spread(values: list[float], digits: int) -> str:
    """The median, and the ends; blank for what a contender does not measure."""
    if np.isnan(values).any():
        return ""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    ends = f"{min(values):.{digits}f}-{max(values):.{digits}f}"
    return f"{statistics.median(values):.{digits}f} ({ends})"


def draw(curves: dict[str, list], options: argparse.Namespace) -> None:
    """Fresh validation over the seconds from process start, each seed a line."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for k, (run, seeds) in enumerate(curves.items()):
        name, epochs = run.split(":")
        for rows in seeds:
            seconds, fresh = [row[1] for row in rows], [row[2] for row in rows]
            marker = "o" if len(rows) == 1 else "."
            axes.plot(seconds, fresh, marker=marker, markersize=4, lw=1, color=f"C{k}")
        axes.plot([], [], color=f"C{k}", label=f"{name}, {epochs} epochs")
    if options.target:
        axes.axhline(options.target, color="0.6", lw=0.8, ls="--")
    axes.set(
        xscale="log",
        xlabel="seconds from process start",
        ylabel="fresh validation, mean squared error",
        title=f"{options.dataset}, {options.arch}, {options.latent_dims}-D, {os.cpu_count()} cores",
    )
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(options.picture, dpi=150)


def spawn(options: argparse.Namespace, name: str, epochs: int, seed: int) -> list:
    """Run a contender in a process of its own; the rows of its curve."""
    job = {"name": name, "epochs": epochs, "seed": seed, "start": time.time()}
    command = [sys.executable, __file__, *sys.argv[1:], "--child", json.dumps(job)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def child(options: argparse.Namespace, name: str, epochs: int, seed: int, start: float) -> list:
    if name not in PEERS:
        return ours(options, name, epochs, seed, start)
    curve = peers.Curve(start, epochs, options.curve)
    PEERS[name](options, epochs, seed, curve)
    return curve.rows


def ours(options: argparse.Namespace, name: str, epochs: int, seed: int, start: float) -> list:
    """A study of one trial, without log and pictures.

    The command line keeps compiled programs on disk; here they are kept where the environment says
    so (`JAX_COMPILATION_CACHE_DIR`), else each run is a cold start.
    """
    import tempfile

    import autodecoder as ad

    rate = options.lr if options.lr and name == "fast" else RATES[name]
    config = ad.study_config(
        {
            "recipe": name,
            "data": {
                "dataset": options.dataset,
                "data_dir": options.data_dir,
                "examples_frac": 1.0,
            },
            "decoder": {
                "arch": options.arch,
                "latent_dims": options.latent_dims,
                "batch_norm": False,
            },
            "fit": {"num_epochs": epochs},
            "infer": {"fresh_every": options.curve},
            "search": {"space": {"learning_rate": [rate]}},
            "log": {"tensorboard": False, "visualize_freq": 0, "histogram_freq": 0},
            "executions_per_trial": options.executions,
            "seed": seed,
        }
    )
    clock: Any = Clock(start)  # an observer of which one method matters
    dataset = ad.load_study_data(config)
    with tempfile.TemporaryDirectory() as folder:
        study = ad.run_study(config, dataset, Path(folder) / "study", observers=[clock])
    histories = [execution.history for execution in study.trials[0].executions]
    means = [
        np.mean([history[name] for history in histories], axis=0)
        for name in ("fresh_val_loss", "loss", "val_loss")
    ]
    measured = (np.flatnonzero(np.isfinite(means[0])) + 1).tolist()
    if not measured or measured[-1] != epochs:
        raise SystemExit(f"{name}: a run diverged or did not reach epoch {epochs}.")
    return [(e, clock.seconds[e], *(float(mean[e - 1]) for mean in means)) for e in measured]


class Clock:
    """Notes when epochs were done; fresh validation in between does not count."""

    def __init__(self, start: float) -> None:
        self.seconds: dict[int, float] = {}
        self._start, self._off, self._last = start, 0.0, 0.0

    def record(self, run: Any, epoch: int, metrics: Any) -> None:
        now = time.time()
        if "loss" in metrics:
            self._last = now
            self.seconds[epoch + len(metrics["loss"]) - 1] = now - self._start - self._off
        else:
            self._off += now - self._last

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


if __name__ == "__main__":
    main()
