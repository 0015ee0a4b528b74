"""What latents with small moments cost in quality, and how many bytes each takes in training.

    python benchmarks/row_state.py --data_dir FOLDER                          # MNIST
    python benchmarks/row_state.py --data_dir FOLDER --dataset cifar10 --arch conv:64-32-16 \\
        --dims 64 --method lbfgs --steps 60

A latent's second moment is one number a coordinate or one a row, its first moment float32 or
bfloat16. All of them are fitted from the same starts, in the same order of images. Further step
sizes of the latents are tried where the first moment is float32. Errors are mean squared errors in
the scaled space; those of unseen images at inferred latents. `of the first` compares seed by seed.
"""

import argparse
import itertools
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import autodecoder as ad
from autodecoder.config import (
    FIRST_MOMENT_DTYPES,
    SECOND_MOMENTS,
    FitConfig,
    InferConfig,
    RunConfig,
    WatchConfig,
    learning_rate_for,
)
from autodecoder.core.epoch import LearningRates
from autodecoder.core.fit import LatentStarts
from autodecoder.core.latent_starts import find_starts
from autodecoder.core.population import advance, init_population, take_run
from autodecoder.core.runs import Images


class Row(NamedTuple):
    """Of one way of keeping the moments, at one step size of the latents."""

    second_moment: str
    first_moment: str
    n_bytes: int
    latent_rate: float
    unseen: np.ndarray
    """Of each seed."""
    training: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--arch", default="500-500")
    parser.add_argument("--dims", default="2,16,64,256", help="Lengths of latents.")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--train", type=int, default=20_000, help="Training images.")
    parser.add_argument("--unseen", type=int, default=1_000, help="Test images.")
    parser.add_argument("--rate", type=float, help="Of the decoder; by default that of its kind.")
    parser.add_argument("--latent_rate", type=float, default=0.05)
    parser.add_argument("--more_latent_rates", default="0.025,0.1")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--method", default="auto", help="Of inference.")
    parser.add_argument("--steps", type=int, help="Of inference at most.")
    options = parser.parse_args()
    dataset = ad.load_dataset(options.dataset, data_dir=options.data_dir)
    chosen = np.sort(np.random.default_rng(0).permutation(len(dataset.train.flat))[: options.train])
    train, unseen = dataset.train.flat[chosen], dataset.val.images[: options.unseen]
    print(
        f"{jax.devices()[0].device_kind}, {platform.machine()}, Python "
        f"{platform.python_version()}, jax {jax.__version__}; {options.dataset}, {options.arch}, "
        f"{len(train):,} training images, {len(unseen):,} unseen, {options.epochs} epochs, "
        f"{options.seeds} seeds"
    )
    print(
        "| dimensions | second moment | first moment | bytes a row | latent rate "
        "| unseen | of the first | training | of the first |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for dims in map(int, options.dims.split(",")):
        first = None
        for row in measure(dims, train, unseen, dataset.image_shape, options):
            first = first or row
            cells = [
                *(dims, row.second_moment, row.first_moment, row.n_bytes, f"{row.latent_rate:g}"),
                *(show(row.unseen), compare(row.unseen, first.unseen)),
                *(show(row.training), compare(row.training, first.training)),
            ]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def show(errors: np.ndarray) -> str:
    return f"{errors.mean():.5f} ({errors.min():.5f}-{errors.max():.5f})"


def compare(errors: np.ndarray, others: np.ndarray) -> str:
    """Mean over the seeds of the difference, and its ends, in per cent."""
    apart = 100 * (errors / others - 1)
    return f"{apart.mean():+.2f} % ({apart.min():+.2f} to {apart.max():+.2f})"


def measure(
    dims: int,
    train: np.ndarray,
    unseen: np.ndarray,
    shape: tuple[int, int, int],
    options: argparse.Namespace,
) -> Iterator[Row]:
    """The rows of latents of a length; runs that differ in step size and seed are one program."""
    decoder = ad.DecoderConfig(arch=ad.parse_arch(options.arch), latent_dims=dims)
    rate = options.rate or learning_rate_for("fast", decoder.arch)
    images = Images(jnp.asarray(train), jnp.asarray(train[:0]))
    starts: LatentStarts | None = None
    for first, second in itertools.product(FIRST_MOMENT_DTYPES, SECOND_MOMENTS):
        latent_rates = [options.latent_rate]
        if first == "float32":
            latent_rates += [float(part) for part in options.more_latent_rates.split(",") if part]
        fit = FitConfig(
            num_epochs=options.epochs,
            latent_learning_rate=None,  # traced
            latent_second_moment=second,
            latent_first_moment_dtype=first,
        )
        config = RunConfig(decoder, fit, "standard", shape, watch=WatchConfig("loss"))
        starts = find_starts(images, config) if starts is None else starts
        runs = fitted(rate, latent_rates, images, starts, config, options.seeds)
        for k, latent_rate in enumerate(latent_rates):
            some = [take_run(runs, k * options.seeds + seed) for seed in range(options.seeds)]
            rows = some[0].state.train.rows
            yield Row(
                second,
                first,
                sum(a.dtype.itemsize * a.shape[-1] for a in rows),
                latent_rate,
                np.array([error(run, unseen, shape, options) for run in some]),
                np.array([float(run.history["loss"][-1]) for run in some]),
            )


def fitted(
    rate: float,
    latent_rates: list[float],
    images: Images,
    starts: LatentStarts | None,
    config: RunConfig,
    n_seeds: int,
) -> Any:
    """Runs after their last epoch: step sizes outside, seeds inside."""
    seeds = np.tile(np.arange(n_seeds, dtype=np.uint32), len(latent_rates))
    rates = LearningRates(
        jnp.full(len(seeds), rate), jnp.asarray(np.repeat(latent_rates, n_seeds), jnp.float32)
    )
    population = init_population(jax.random.key(0), seeds, rates, images, starts, config)
    side_by_side = jax.default_backend() != "cpu"
    n = config.fit.num_epochs
    return advance(
        population, images, 0, len(seeds), n, config=config, side_by_side=side_by_side
    ).runs


def error(
    run: Any, unseen: np.ndarray, shape: tuple[int, int, int], options: argparse.Namespace
) -> float:
    """Of unseen images."""
    latents = np.asarray(run.state.train.values)
    model = ad.Model(run.state.decoder, "standard", shape, latents, latents[:0])
    infer = InferConfig(method=options.method, n_steps=options.steps)
    return float(model.infer(unseen, config=infer).errors.loss.mean())


if __name__ == "__main__":
    main()
