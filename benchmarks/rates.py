"""Learning rates by the length of the fit, on a split of the training images.

    python benchmarks/rates.py --data_dir FOLDER [--epochs 20,60] [--rates 3e-3,1e-2]

The last training images serve for fresh validation, the others for the fit; the test images have
no part, so that what is found here may be measured on them. All runs of a length are one program:
side by side on an accelerator, one after another on a CPU.
"""

import argparse
import platform
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

import autodecoder as ad
from autodecoder.config import parse_tune

#: Settings that are varied; `main` prints their values.
SEARCHED = ("learning_rate", "latent_learning_rate", "clip_norm", "batch_norm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--arch", default="500-500")
    parser.add_argument("--latent_dims", type=int, default=2)
    parser.add_argument("--epochs", default="20", help="Lengths of fits.")
    parser.add_argument("--rates", default="3e-3,4e-3,6e-3,8e-3,1e-2,1.5e-2,2e-2")
    parser.add_argument("--latent_rates", default="0.05")
    parser.add_argument("--clip_norms", default="0.3", help="Bounds on the gradient's norm.")
    parser.add_argument("--batch_norms", default="no", help="Of no and yes, by a comma.")
    parser.add_argument("--executions", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--val", type=int, default=10_000, help="Images held out.")
    options = parser.parse_args()
    print(
        f"{jax.devices()[0].device_kind}, Python {platform.python_version()}, "
        f"jax {jax.__version__}; {options.dataset}, {options.arch}, {options.latent_dims}-D"
    )
    print(
        "| epochs | learning rate | of the latents | clipped to | batch norm "
        "| fresh | training | co-trained |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for epochs in map(int, options.epochs.split(",")):
        for trial in sorted(fit(options, epochs).trials, key=values):
            histories = [execution.history for execution in trial.executions]
            names = ("fresh_val_loss", "loss", "val_loss")
            last = ([float(history[name][-1]) for history in histories] for name in names)
            cells = (f"{np.mean(part):.5f} ({min(part):.5f}-{max(part):.5f})" for part in last)
            row = [f"{value:g}" for value in (epochs, *values(trial))]
            print(f"| {' | '.join([*row, *cells])} |", flush=True)


def values(trial: Any) -> tuple[float, ...]:
    return tuple(trial.values[name] for name in SEARCHED)


def fit(options: argparse.Namespace, epochs: int) -> ad.Study:
    """All rates as one study."""
    given = (options.rates, options.latent_rates, options.clip_norms, options.batch_norms)
    space = {
        name: parse_tune(f"{name}={values}")[1]
        for name, values in zip(SEARCHED, given, strict=True)
    }
    config = ad.study_config(
        {
            "data": {
                "dataset": options.dataset,
                "data_dir": options.data_dir,
                "examples_frac": 1.0,
            },
            "decoder": {
                "arch": options.arch,
                "latent_dims": options.latent_dims,
            },
            "fit": {"num_epochs": epochs},
            "search": {"space": space},
            "log": {"tensorboard": False, "visualize_freq": 0, "histogram_freq": 0},
            "executions_per_trial": options.executions,
            "seed": options.seed,
        }
    )
    data = ad.load_study_data(config)
    rows = np.arange(len(data.train.flat))
    split = replace(
        data,
        train=data.train.take(rows[: -options.val]),
        val=data.train.take(rows[-options.val :]),
    )
    with tempfile.TemporaryDirectory() as folder:
        return ad.run_study(config, split, Path(folder) / "study", observers=[])


if __name__ == "__main__":
    main()
