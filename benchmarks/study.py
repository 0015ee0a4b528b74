"""What a study costs beside its runs: twelve runs (four learning rates, three executions) as one
study, then each as a study of its own, in one process.

    python benchmarks/study.py --data_dir FOLDER [--epochs 3]

On a CPU the study should take as long as the sum of its runs; on an accelerator, where its runs
move side by side, not much longer than one of them. Times are those of the epochs, without
compilation, data and validation.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import jax

import autodecoder as ad
from autodecoder.study import Progress

RATES = (1e-4, 1e-3, 1e-2, 1e-1)
N_EXECUTIONS = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    config = ad.StudyConfig(
        data=ad.DataConfig(arguments.dataset, arguments.data_dir, examples_frac=1.0),
        decoder=ad.DecoderConfig(arch=(500, 500), batch_norm=False),
        fit=ad.FitConfig(num_epochs=arguments.epochs),
        infer=ad.InferConfig(n_candidates=1, n_steps=1),
        search=ad.SearchConfig({"learning_rate": RATES}),
        log=ad.LogConfig(tensorboard=False, histogram_freq=0, visualize_freq=0),
        executions_per_trial=N_EXECUTIONS,
    )
    dataset = ad.load_study_data(config)
    print(f"device: {jax.devices()[0].device_kind}; {arguments.epochs} epochs")
    whole = run(config, dataset)
    solo = []
    for rate in RATES:
        # One execution of the trial, as often as the study has executions: the same work.
        one = replace(
            config, search=ad.SearchConfig({"learning_rate": (rate,)}), executions_per_trial=1
        )
        solo += [run(one, dataset) for _ in range(N_EXECUTIONS)]
    print(f"the study {whole:.1f} s; its runs one by one {sum(solo):.1f} s in all")
    print(
        f"ratio to the sum {whole / sum(solo):.3f}, to one run {whole * len(solo) / sum(solo):.2f}"
    )


def run(config: ad.StudyConfig, dataset: ad.Dataset) -> float:
    """Seconds from the end of the compilation to the end of the last epoch."""
    compiled = ended = 0.0

    def report(progress: Progress) -> None:
        nonlocal compiled, ended
        if progress.stage == "fit" and progress.done == 0:
            compiled = time.perf_counter()
        if progress.stage == "fresh validation":
            ended = ended or time.perf_counter()

    with tempfile.TemporaryDirectory() as folder:
        ad.run_study(config, dataset, folder, report=report)
    return ended - compiled


if __name__ == "__main__":
    main()
