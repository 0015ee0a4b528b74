"""What logging costs: a study with TensorBoard files, histograms, pictures and checkpoints at their
default frequencies, and the same study without any of them, alternating in one run.

    python benchmarks/overhead.py --data_dir FOLDER [--epochs 40] [--rounds 3]
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import autodecoder as ad
from autodecoder.report.tensorboard import TensorBoardWriter
from autodecoder.study import group


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    config = ad.StudyConfig(
        data=ad.DataConfig(arguments.dataset, arguments.data_dir, examples_frac=1.0),
        decoder=ad.DecoderConfig(arch=(500, 500), batch_norm=False),
        fit=ad.FitConfig(num_epochs=arguments.epochs),
        # Fresh validation is no logging; one image placed in one step takes no time.
        infer=ad.InferConfig(n_candidates=1, n_steps=1),
        search=ad.SearchConfig({"learning_rate": (1e-3,)}),
        executions_per_trial=1,
    )
    dataset = ad.load_study_data(config)
    ratios = []
    for k in range(arguments.rounds):
        order = ("bare", "logged") if k % 2 == 0 else ("logged", "bare")
        seconds = {kind: run(config, dataset, kind) for kind in order}
        ratios.append(seconds["logged"] / seconds["bare"])
        print(
            f"round {k + 1}: {seconds['logged']:.1f} s with all of it, {seconds['bare']:.1f} s "
            f"without: ratio {ratios[-1]:.3f}",
            flush=True,
        )
    print(f"median ratio {statistics.median(ratios):.3f}")


def run(config: ad.StudyConfig, dataset: ad.Dataset, kind: str) -> float:
    """Seconds from the end of the compilation to the end of the last epoch."""
    started = ended = 0.0

    def report(progress: group.Progress) -> None:
        nonlocal started, ended
        if progress.stage == "fit" and progress.done == 0:
            started = time.perf_counter()
        if progress.stage == "fresh validation":
            ended = ended or time.perf_counter()

    logged = kind == "logged"
    interval = group.CHECKPOINT_SECONDS
    if not logged:
        config = replace(config, log=replace(config.log, checkpoint_every=10**6, histogram_freq=0,
                                             visualize_freq=0))  # fmt: skip
        group.CHECKPOINT_SECONDS = float("inf")
    observers = [TensorBoardWriter()] if logged else []
    with tempfile.TemporaryDirectory() as folder:
        ad.run_study(config, dataset, folder, observers=observers, report=report)
    group.CHECKPOINT_SECONDS = interval
    return ended - started


if __name__ == "__main__":
    main()
