"""What a search loses and saves where trials are pruned: `--prune asha` and `--prune median`.

    python benchmarks/pruning.py [--dataset digits|mnist] [--data_dir FOLDER] [--epochs 48]

A grid of learning rates is run whole, and by each rule. Then searches of a few rates each are drawn
from the grid, and their trials ended by the same rules on the curves of the whole runs, which is
the same as running them: the loss of a search is how much worse its best trial is than the best one
without pruning, as a share of it.
"""

import argparse
import platform
import tempfile
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

import autodecoder as ad
from autodecoder.study.curves import mean_curve
from autodecoder.study.pruning import find_losers, list_rungs

RULES = ("asha", "median")
N_SEARCHES = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--examples_frac", type=float, default=1.0)
    parser.add_argument("--arch", default="64-64")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--epochs", type=int, default=48)
    parser.add_argument("--rates", type=int, default=16, help="From 1e-4 to 1e-1.")
    parser.add_argument("--drawn", type=int, default=8, help="Rates of a drawn search.")
    parser.add_argument("--executions", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rates = tuple(float(f"{rate:.3g}") for rate in np.geomspace(1e-4, 1e-1, options.rates))
    config = ad.study_config(
        {
            "recipe": options.recipe,
            "data": {
                "dataset": options.dataset,
                "data_dir": options.data_dir,
                "examples_frac": options.examples_frac,
            },
            "decoder": {"arch": options.arch},
            "fit": {"num_epochs": options.epochs},
            "search": {"space": {"learning_rate": rates}},
            "log": {"tensorboard": False, "visualize_freq": 0},
            "executions_per_trial": options.executions,
            "seed": options.seed,
        }
    )
    dataset = ad.load_study_data(config)
    print(
        f"{jax.devices()[0].device_kind}, Python {platform.python_version()}, jax "
        f"{jax.__version__}; {options.dataset}, {len(dataset.train):,} images, {options.arch}, "
        f"{options.epochs} epochs, recipe {options.recipe}"
    )
    print("| | epochs | trials to the end | best learning rate | its score |")
    print("|---|---|---|---|---|")
    whole = show("none", config, dataset)
    for rule in RULES:
        show(rule, replace(config, search=replace(config.search, prune=rule)), dataset)
    print(f"\n{N_SEARCHES} searches of {options.drawn} of these rates:")
    print("| | epochs | the best trial is kept | worse by (mean) | at most |")
    print("|---|---|---|---|---|")
    for rule in RULES:
        draw(rule, whole, options.epochs, options.drawn)


def show(rule: str, config: ad.StudyConfig, dataset: ad.Dataset) -> ad.Study:
    """Run a search, and print a row on it."""
    with tempfile.TemporaryDirectory() as folder:
        study = ad.run_study(config, dataset, Path(folder) / "study")
    epochs = [e.epochs for trial in study.trials for e in trial.executions]
    share = sum(epochs) / (len(epochs) * config.fit.num_epochs)
    complete = sum(trial.state == "complete" for trial in study.trials)
    best = study.best_trial
    assert best is not None
    print(
        f"| {rule} | {share:.0%} | {complete} | {best.learning_rate:g} | {best.score:.4f} |",
        flush=True,
    )
    return study


def draw(rule: str, study: ad.Study, num_epochs: int, n: int) -> None:
    """Print a row on searches drawn from a study."""
    curves = {
        trial.trial_id: mean_curve(
            [e.history["val_loss"] for e in trial.executions], [True] * len(trial.executions)
        )
        for trial in sorted(study.trials, key=lambda trial: trial.learning_rate)
    }
    scores = {t.trial_id: t.score for t in study.trials if t.state == "complete"}
    rng = np.random.default_rng(0)
    shares, losses = [], []
    for _ in range(N_SEARCHES):
        chosen = rng.choice(list(curves), n, replace=False).tolist()
        ends = dict.fromkeys(chosen, num_epochs)
        for rung in list_rungs(rule, num_epochs):
            seen = {i: curves[i][: ends[i]][:rung] for i in chosen}
            lost = find_losers(rule, "val_loss", rung, seen)
            ends |= {i: rung for i in lost if ends[i] == num_epochs}
        kept = [scores[i] for i in chosen if ends[i] == num_epochs and i in scores]
        best = min(scores[i] for i in chosen if i in scores)
        shares.append(np.mean([min(ends[i], len(curves[i])) for i in chosen]) / num_epochs)
        losses.append(min(kept, default=np.inf) / best - 1)
    print(
        f"| {rule} | {np.mean(shares):.0%} | {np.mean(np.equal(losses, 0)):.0%} "
        f"| {np.mean(losses):.1%} | {np.max(losses):.1%} |",
        flush=True,
    )


if __name__ == "__main__":
    main()
