"""A search by the engines `local` and `processes`, one after the other on the same machine.

    python benchmarks/engines.py [--data_dir FOLDER] [--train 20000] [--epochs 20] [--rates 4]
        [--arches 64-64,500-500] [--repeats 3]

Each search has so many learning rates; all trials are of one shape, and `processes` shares them out
among as many workers as there are cores, each with a core of its own. The images are the first of
MNIST; without a folder, the small digits of scikit-learn. Programs are compiled before, and kept on
disk. Times are medians of whole searches: workers are started, images sent, results written.
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

import jax

import autodecoder as ad
from autodecoder.config import study_config
from autodecoder.data import Dataset
from autodecoder.study import load_study_data, run_study


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data_dir")
    parser.add_argument("--train", type=int, default=20_000)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rates", type=int, default=4)
    parser.add_argument("--arches", default="64-64,500-500")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    versions = f"Python {platform.python_version()}, jax {jax.__version__}"
    print(f"{platform.machine()}, {os.cpu_count()} cores, {versions}, {ad.__version__}")
    with tempfile.TemporaryDirectory() as programs:
        jax.config.update("jax_compilation_cache_dir", programs)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        for arch in options.arches.split(","):
            compare(arch, options)


def compare(arch: str, options: argparse.Namespace) -> None:
    """Time the engines in turn, after one search each that is not counted."""
    rates = [1e-3 * 1.5**i for i in range(options.rates)]
    data = {"dataset": "digits"}
    if options.data_dir:
        share = options.train / 60_000
        data = {"dataset": "mnist", "data_dir": options.data_dir, "examples_frac": share}
    config = study_config(
        {
            "data": data,
            "decoder": {"arch": arch},
            "fit": {"num_epochs": options.epochs},
            "search": {"space": {"learning_rate": rates}},
            "seed": 1,
        }
    )
    dataset = load_study_data(config)
    seconds: dict[str, list[float]] = {"local": [], "processes": []}
    scores: dict[str, float] = {}
    for _ in range(options.repeats + 1):
        for engine, found in seconds.items():
            spent, scores[engine] = search(config, dataset, engine)
            found.append(spent)
    medians = {engine: statistics.median(found[1:]) for engine, found in seconds.items()}
    for engine, median in medians.items():
        print(f"{arch:10} {engine:10} {median:7.1f} s, best {scores[engine]:.4f}")
    print(f"{arch:10} processes is {medians['local'] / medians['processes']:.2f}× faster")
    sys.stdout.flush()


def search(config: ad.StudyConfig, dataset: Dataset, engine: str) -> tuple[float, float]:
    """The seconds of a whole search, and its best score."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        study = run_study(config, dataset, Path(folder) / "study", engine=engine)
        assert study.best_trial is not None
        return time.perf_counter() - start, study.best_trial.score


if __name__ == "__main__":
    main()
