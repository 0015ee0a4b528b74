"""Starts of the latents: error and neighbourhoods after the same fit from different starts.

    pip install 'autodecoder[neighbours]'
    python benchmarks/starts.py --data_dir FOLDER [--dataset fmnist] [--epochs 20]
        [--fits som:1e-2:0.05,neighbours:1e-2:0.02] [--heldout 10000]

A fit is named by its start, the learning rate and the step size of the latents. 2-D, 500-500,
recipe fast. Seconds of the start hold the import of its library. The error is that of unseen images
whose latents are inferred; accuracy is that of the five nearest training images on the map;
trustworthiness (of five neighbours) is that of the unseen images. `--heldout` takes the last
training images as unseen ones, instead of the test images.
"""

import argparse
import os
import platform
import time
from datetime import date
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier

import autodecoder as ad
from autodecoder.config import RunConfig
from autodecoder.core.fit import Images
from autodecoder.core.latent_starts import find_starts

_NEIGHBOURS = 5
_FITS = "som:1e-2:0.05,neighbours:1e-2:0.05,neighbours:1e-2:0.02"


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--fits", default=_FITS, help="START:RATE:LATENT_RATE,…")
    parser.add_argument("--heldout", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    dataset = ad.load_dataset(options.dataset, data_dir=options.data_dir)
    train, labels = dataset.train.images, np.asarray(dataset.train.labels)
    unseen, classes = dataset.val.images, np.asarray(dataset.val.labels)
    if n := options.heldout:
        train, labels, unseen, classes = train[:-n], labels[:-n], train[-n:], labels[-n:]
    print(
        f"{options.dataset}: {len(train):,} training and {len(unseen):,} unseen images, "
        f"{options.epochs} epochs; {os.cpu_count()} cores, Python {platform.python_version()}; "
        f"{date.today()}\n"
    )
    print("| start | rate | of latents | start, s | fit, s | error | 5-NN | trustworthiness |")
    print("|---|---|---|---|---|---|---|---|")
    for fit in options.fits.split(","):
        start, rate, latent_rate = fit.split(":")
        cells = measure(
            (train, labels), (unseen, classes), start, float(rate), float(latent_rate), options
        )
        print(f"| {start} | {rate} | {latent_rate} | {' | '.join(cells)} |", flush=True)


def measure(
    train: tuple[np.ndarray, np.ndarray],
    unseen: tuple[np.ndarray, np.ndarray],
    start: str,
    rate: float,
    latent_rate: float,
    options: Any,
) -> list[str]:
    """The cells of a row."""
    images, classes = unseen
    decoder = ad.DecoderConfig(arch="500-500")
    fit = ad.FitConfig(
        num_epochs=options.epochs, latent_start=start, latent_learning_rate=latent_rate
    )
    before = time.perf_counter()
    flat = jnp.asarray(train[0].reshape(len(train[0]), -1))
    config = RunConfig(decoder, fit, "standard", images.shape[1:])
    starts = find_starts(Images(flat, flat[:0]), config)
    assert starts is not None, f"--fits takes starts that are computed from images, got {start}"
    latents = fit.spread_for(decoder.latent_dims) * np.asarray(starts[0])
    between = time.perf_counter()
    model = ad.fit_model(
        train[0],
        decoder=decoder,
        fit=fit,
        learning_rate=rate,
        latents=latents,
        seed=options.seed,
    )
    after = time.perf_counter()
    found = model.infer(images)
    places = np.asarray(found.latents)
    neighbours = KNeighborsClassifier(_NEIGHBOURS).fit(model.latents, train[1])
    pixels = images.reshape(len(images), -1) / np.float32(255)
    return [
        f"{between - before:.1f}",
        f"{after - between:.1f}",
        f"{found.errors.loss.mean():.4f}",
        f"{neighbours.score(places, classes):.3f}",
        f"{trustworthiness(pixels, places, n_neighbors=_NEIGHBOURS):.3f}",
    ]


if __name__ == "__main__":
    main()
