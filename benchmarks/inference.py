"""Latent inference: speed and quality of the solvers, starts far away, latents of several lengths,
missing pixels. Everything side by side in one run.

    python benchmarks/inference.py --data_dir FOLDER [--parts headline,far,lengths,hidden]

Decoders are 500-500 without batch normalisation, trained by the original's algorithm at learning
rate 1e-3; they are kept in --models and trained again only where they are not there.
"""

import argparse
import platform
import statistics
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

import autodecoder as ad

SEED = 0
DEFAULT = ad.InferConfig()
ADAM = ad.InferConfig(method="adam")
#: Several times the budget of the default, and starts from everywhere.
THOROUGH = ad.InferConfig(
    starts=("nearest", "zeros", "random"),
    n_starts=6,
    n_steps=300,
    tolerance=1e-6,
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--models", type=Path, default=Path("runs/inference"))
    parser.add_argument("--parts", default="headline,far,lengths,hidden")
    parser.add_argument("--sets", default="mnist,fmnist", help="Of the lengths.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=10_000, help="Of validation, at most.")
    options = parser.parse_args()
    print(
        f"{jax.devices()[0].device_kind}, Python {platform.python_version()}, jax {jax.__version__}"
    )
    for part in options.parts.split(","):
        {"headline": headline, "far": far, "lengths": lengths, "hidden": hidden}[part](options)


def train(options: argparse.Namespace, name: str, dims: int, share: float, epochs: int):
    """A decoder, and its data set."""
    config = ad.StudyConfig(
        data=ad.DataConfig(name, options.data_dir, examples_frac=share),
        decoder=ad.DecoderConfig(arch=(500, 500), latent_dims=dims, batch_norm=False),
        fit=ad.fit_config("original", num_epochs=epochs),
        infer=ad.InferConfig(n_candidates=1, n_steps=1),
        search=ad.SearchConfig({"learning_rate": (1e-3,)}),
        log=ad.LogConfig(
            tensorboard=False, save_best_model=True, visualize_freq=0, histogram_freq=0
        ),
        executions_per_trial=1,
        seed=SEED,
    )
    dataset = ad.load_study_data(config)
    folder = options.models / f"{name}-{dims}-{share:g}-{epochs}"
    if not (folder / "best" / "config.json").exists():
        print(f"training {name}, {dims} dimensions, {epochs} epochs ...", flush=True)
        ad.run_study(config, dataset, folder)
    return ad.load_model(folder / "best"), dataset


def timed(model: ad.Model, images: np.ndarray, config: ad.InferConfig, rounds: int, **options):
    """Result and median of seconds, compilation left out."""
    # Adam has one program; of lm some are first needed by few images.
    n = 1000 if config.method == "adam" else len(images)
    found = model.infer(images[:n], config=config, **{k: v[:n] for k, v in options.items()})
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        found = model.infer(images, config=config, **options)
        seconds.append(time.perf_counter() - start)
    return found, statistics.median(seconds)


def within(loss: np.ndarray, best: np.ndarray) -> float:
    """Share of images whose loss is within 1 % of the best."""
    return float(np.mean(loss <= 1.01 * best))


def headline(options: argparse.Namespace) -> None:
    model, dataset = train(options, "mnist", 2, 1.0, 20)
    images = dataset.val.images[: options.images]
    print(f"\n## {len(images):,} unseen images of MNIST, 2 dimensions")
    rows = {
        "default": DEFAULT,
        "500 Adam steps, same starts": ADAM,
        "40 Adam steps, same starts": replace(ADAM, n_steps=40),
        "default, 4 starts": replace(DEFAULT, n_starts=4),
        "default, tolerance 1e-4": replace(DEFAULT, tolerance=1e-4),
        "thorough": THOROUGH,
    }
    results = {name: timed(model, images, c, options.rounds) for name, c in rows.items()}
    best = np.min([found.errors.loss for found, _ in results.values()], axis=0)
    print("| | seconds | mean loss | above the best | within 1 % of the best | steps |")
    print("|---|---|---|---|---|---|")
    for name, (found, seconds) in results.items():
        loss = np.asarray(found.errors.loss)
        print(
            f"| {name} | {seconds:.2f} | {loss.mean(dtype=np.float64):.7f} "
            f"| {loss.mean() / best.mean() - 1:.3%} | {within(loss, best):.2%} "
            f"| {found.steps.mean():.1f} |",
            flush=True,
        )
    ratio = results["500 Adam steps, same starts"][1] / results["default"][1]
    print(f"\nThe default is {ratio:.0f} times as fast as 500 Adam steps.")


def far(options: argparse.Namespace) -> None:
    model, dataset = train(options, "mnist", 2, 1.0, 20)
    images = dataset.val.images[: options.images]
    print(f"\n## {len(images):,} images of MNIST, 2 dimensions, from random latents far away")
    print("Ten standard deviations of the training latents away from their mean, on average.")
    cloud, rng = model.latents, np.random.default_rng(1)
    starts = cloud.mean(0) + 10 * cloud.std(0) * rng.normal(size=(len(images), 1, 2))
    starts = starts.astype(np.float32)
    # Candidates that know nothing of the cloud: a model whose latents are such draws.
    wide = cloud.mean(0) + 10 * cloud.std(0) * rng.normal(size=(20_000, 2))
    blind = replace(model, latents=wide.astype(np.float32))
    alone = {"starts": ()}
    results = {
        "Adam, 500 steps, this start alone": timed(
            model, images, replace(ADAM, **alone), 1, given=starts
        ),
        "lm, this start alone": timed(model, images, replace(DEFAULT, **alone), 1, given=starts),
        "default, and this start": timed(model, images, DEFAULT, 1, given=starts),
        "default, 16,000 such latents as candidates": timed(blind, images, DEFAULT, 1),
        "the same, 8 starts": timed(blind, images, replace(DEFAULT, n_starts=8), 1),
        "thorough": timed(model, images, THOROUGH, 1),
    }
    best = np.min([found.errors.loss for found, _ in results.values()], axis=0)
    print("| | seconds | mean loss | within 1 % of the best |")
    print("|---|---|---|---|")
    for name, (found, seconds) in results.items():
        loss = np.asarray(found.errors.loss)
        print(
            f"| {name} | {seconds:.1f} | {loss.mean():.5f} | {within(loss, best):.2%} |", flush=True
        )


def lengths(options: argparse.Namespace) -> None:
    n = min(options.images, 500)
    print(f"\n## Latents of several lengths, {n} images, decoders of 12,000 images and 20 epochs")
    columns = {
        "lm": replace(DEFAULT, method="lm"),
        "lbfgs": replace(DEFAULT, method="lbfgs"),
        "Adam, 500 steps": ADAM,
        "Adam, first step 0.05": replace(ADAM, step_size=0.05),
    }
    print(f"| data, dimensions | default | {' | '.join(columns)} |")
    print("|---|" + "---|" * len(columns) + "---|")
    for name in options.sets.split(","):
        for dims in (2, 16, 32, 64, 256):
            model, dataset = train(options, name, dims, 0.2, 20)
            images = dataset.val.images[:n]
            cells = []
            for config in columns.values():
                found, seconds = timed(model, images, config, 1)
                cells.append(f"{found.errors.loss.mean():.4f}, {seconds:.1f} s")
            print(
                f"| {name}, {dims} | {DEFAULT.method_for(dims)} | {' | '.join(cells)} |",
                flush=True,
            )


def hidden(options: argparse.Namespace) -> None:
    n = min(options.images, 2000)
    print(f"\n## Missing pixels: mean squared error of the hidden ones, {n} images")
    print("| data, dimensions | hidden | mean image | PCA | auto-decoder | nothing hidden |")
    print("|---|---|---|---|---|---|")
    for name in ("mnist", "fmnist"):
        for dims in (2, 16):
            model, dataset = train(options, name, dims, 0.2, 20)
            images = dataset.val.images[:n]
            train_pixels = dataset.train.flat / 127.5 - 1
            pixels = images.reshape(n, -1) / 127.5 - 1
            rng = np.random.default_rng(2)
            left = np.broadcast_to(np.arange(28) >= 14, (n, 28, 28)).reshape(n, -1)
            for kind, seen in {
                "a random half": rng.random(pixels.shape) < 0.5,
                "left half": left,
            }.items():
                mask = seen.reshape(n, 28, 28)
                ours = 2 * model.reconstruct(images, mask).reshape(n, -1) - 1
                known = 2 * model.reconstruct(images).reshape(n, -1) - 1
                guesses = (
                    np.broadcast_to(train_pixels.mean(0), pixels.shape),
                    impute(train_pixels, pixels, seen, dims),
                    ours,
                    known,
                )
                errors = [float(np.mean((g - pixels)[~seen] ** 2)) for g in guesses]
                cells = " | ".join(f"{error:.4f}" for error in errors)
                print(f"| {name}, {dims} | {kind} | {cells} |", flush=True)


def impute(train: np.ndarray, pixels: np.ndarray, seen: np.ndarray, dims: int) -> np.ndarray:
    """Least squares of the seen pixels on the leading principal components, as many as latents."""
    mean = train.mean(0)
    _, vectors = np.linalg.eigh((train - mean).T @ (train - mean))
    basis = vectors[:, -dims:]
    filled = np.empty_like(pixels)
    for i, row in enumerate(seen):
        scores = np.linalg.lstsq(basis[row], (pixels[i] - mean)[row], rcond=None)[0]
        filled[i] = mean + basis @ scores
    return filled


if __name__ == "__main__":
    main()
