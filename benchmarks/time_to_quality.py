"""Time from the start of a process to a decoder of a given quality: the recipes, and plain PyTorch.

    python benchmarks/time_to_quality.py --data_dir FOLDER [--runs fast:4,original:43,pytorch:43]

Each run is a process of its own, as a user starts it. Its clock starts when the process is started
and stops after its last epoch; recipes that decay their step sizes need the number of epochs
beforehand, so that each number is a run. Then, off the clock, the fresh validation of the test
images by this project's inference measures the decoder, whoever has trained it. The test images
have no part in training.

PyTorch's is the algorithm of recipe `original` as one would write it: a module, a parameter of
latents, one Adam over both, a `DataLoader` with its default collation; without validation.
"""

import argparse
import itertools
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

#: Learning rates: for each recipe the best of a few, found on a split of the training images.
RATES = {"fast": 6e-3, "original": 1e-3, "pytorch": 1e-3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--runs", default="fast:3,fast:4,original:43,pytorch:43", help="Of epochs.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--arch", default="500-500")
    parser.add_argument("--latent_dims", type=int, default=2)
    parser.add_argument("--lr", type=float, help="Of recipe fast.")
    parser.add_argument("--curve", action="store_true", help="Fresh validation of every epoch.")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(child(options)))
        return
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, ",
        end="",
    )
    print(f"jax {version('jax')}; {options.dataset}, {options.arch}, {options.latent_dims}-D")
    print("| run | epochs | seconds from process start | fresh validation | training loss |")
    print("|---|---|---|---|---|")
    for run in options.runs.split(","):
        name, epochs = run.split(":")
        results = [spawn(options, name, int(epochs), seed) for seed in range(options.seeds)]
        cells = (spread([r[key] for r in results], digits) for key, digits in COLUMNS.items())
        print(f"| {name} | {epochs} | {' | '.join(cells)} |", flush=True)
        for result in results if options.curve else ():
            print("  " + " ".join(f"{e}:{loss:.4f}" for e, loss in result["curve"]), flush=True)


COLUMNS = {"seconds": 1, "fresh": 4, "loss": 4}


def spread(values: list[float], digits: int) -> str:
    """The median, and the ends."""
    ends = f"{min(values):.{digits}f}-{max(values):.{digits}f}"
    return f"{statistics.median(values):.{digits}f} ({ends})"


def spawn(options: argparse.Namespace, name: str, epochs: int, seed: int) -> dict[str, Any]:
    """Run a contender in a process of its own."""
    job = {"name": name, "epochs": epochs, "seed": seed, "start": time.time()}
    command = [sys.executable, __file__, *sys.argv[1:], "--child", json.dumps(job)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def child(options: argparse.Namespace) -> dict[str, Any]:
    job = json.loads(options.child)
    return (pytorch if job["name"] == "pytorch" else ours)(options, **job)


def ours(options: argparse.Namespace, name: str, epochs: int, seed: int, start: float) -> dict:
    """A study of one run, as the command line runs it, without log and pictures."""
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
            "infer": {"fresh_every": int(options.curve)},
            "search": {"space": {"learning_rate": [rate]}},
            "log": {"tensorboard": False, "visualize_freq": 0, "histogram_freq": 0},
            "executions_per_trial": 1,
            "seed": seed,
        }
    )
    clock: Any = Clock(epochs)  # an observer of which one method matters
    dataset = ad.load_study_data(config)
    with tempfile.TemporaryDirectory() as folder:
        study = ad.run_study(config, dataset, Path(folder) / "study", observers=[clock])
    history = study.trials[0].executions[0].history
    curve = history["fresh_val_loss"]
    return {
        "seconds": clock.end - start,
        "fresh": float(curve[-1]),
        "loss": float(history["loss"][-1]),
        "curve": [(k + 1, float(loss)) for k, loss in enumerate(curve) if np.isfinite(loss)],
    }


class Clock:
    """Notes when the last epoch was done."""

    def __init__(self, epochs: int) -> None:
        self.end, self._epochs = 0.0, epochs

    def record(self, run: Any, epoch: int, metrics: Any) -> None:
        if "loss" in metrics and epoch + len(metrics["loss"]) > self._epochs:
            self.end = time.time()

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def pytorch(options: argparse.Namespace, name: str, epochs: int, seed: int, start: float) -> dict:
    """The peer; its decoder is measured by this project's inference."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]
    from torch.utils.data import DataLoader, TensorDataset  # pyright: ignore[reportMissingImports]

    from autodecoder.data import load_dataset

    torch.manual_seed(seed)
    dataset = load_dataset(options.dataset, data_dir=options.data_dir)
    images = torch.from_numpy(np.array(dataset.train.flat)).float() * (2 / 255) - 1
    n, n_pixels = images.shape
    widths = (options.latent_dims, *map(int, options.arch.split("-")), n_pixels)
    layers = []
    for k, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        linear = nn.Linear(n_in, n_out)
        nn.init.orthogonal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh() if k == len(widths) - 2 else nn.LeakyReLU(0.2)]
    decoder = nn.Sequential(*layers)
    latents = nn.Parameter(torch.zeros(n, options.latent_dims))
    adam = torch.optim.Adam([*decoder.parameters(), latents], lr=RATES[name], eps=1e-7)
    loader = DataLoader(
        TensorDataset(torch.arange(n), images), batch_size=128, shuffle=True, drop_last=True
    )
    total = 0.0
    for _ in range(epochs):
        total = 0.0
        for rows, targets in loader:
            loss = nn.functional.mse_loss(decoder(latents[rows]), targets)
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item()
    end = time.time()
    linears = [layer for layer in decoder if isinstance(layer, nn.Linear)]
    arrays = [(m.weight.detach().numpy().T, m.bias.detach().numpy()) for m in linears]
    fresh = measure(options, arrays, latents.detach().numpy(), dataset, seed)
    return {"seconds": end - start, "fresh": fresh, "loss": total / len(loader), "curve": []}


def measure(
    options: argparse.Namespace, arrays: list, latents: np.ndarray, dataset: Any, seed: int
):
    """Fresh validation of a decoder that comes as weights and biases."""
    import jax

    import autodecoder as ad
    from autodecoder.core.decoder import init_decoder

    arch = tuple(map(int, options.arch.split("-")))
    config = ad.DecoderConfig(arch=arch, latent_dims=options.latent_dims, batch_norm=False)
    drawn = init_decoder(jax.random.key(0), config, dataset.train.flat.shape[1], "tanh")
    layers = tuple(
        layer._replace(weight=jax.numpy.asarray(weight), bias=jax.numpy.asarray(bias))
        for layer, (weight, bias) in zip(drawn.layers, arrays, strict=True)
    )
    from dataclasses import replace

    decoder = replace(drawn, layers=layers)
    model = ad.Model(decoder, "standard", dataset.image_shape, latents, latents[:0])
    return float(model.infer(dataset.val.images, seed=seed).errors.loss.mean())


if __name__ == "__main__":
    main()
