"""Dropout when images are few: errors of unseen images, ours and a refined autoencoder's.

    python benchmarks/dropout.py --data_dir FOLDER [--sets mnist,fmnist] [--images 1000,10000]
        [--dims 2,16] [--dropout 0,0.02,0.1,0.2] [--seeds 3]

FOLDER has the folders mnist and fmnist. Each fit has the decoder 500-500, the recipe `fast`, its
default learning rate 5e-3, about 5,000 steps but at most 500 epochs, and 3,000 test images. The
encoder of the autoencoder has the same dropout; its latents are refined by our inference.
"""

import argparse
import platform
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

import autodecoder as ad
from autodecoder.config.fit import LONG

METHODS = {"ae-refined": "refined autoencoder", "auto-decoder": "auto-decoder"}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--sets", default="mnist,fmnist")
    parser.add_argument("--images", default="1000,10000")
    parser.add_argument("--dims", default="2,16")
    parser.add_argument("--dropout", default="0,0.02,0.1,0.2")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    shares = [float(part) for part in options.dropout.split(",")]
    print(f"jax {jax.__version__}, Python {platform.python_version()}, {options.seeds} seeds")
    print("| data, images, dimensions | method |", *(f" dropout {s:g} |" for s in shares), sep="")
    print("|---|---|", *("---|" for _ in shares), sep="")
    for name in options.sets.split(","):
        whole = ad.load_dataset(name, data_dir=options.data_dir and options.data_dir / name)
        for n in map(int, options.images.split(",")):
            for dims in map(int, options.dims.split(",")):
                errors = [_errors(_few(whole, n), dims, s, options.seeds) for s in shares]
                for method, title in METHODS.items():
                    cells = [
                        f" {np.mean(row[method]):.4f} ± {np.std(row[method]):.4f} |"
                        for row in errors
                    ]
                    print(f"| {name}, {n}, {dims} | {title} |", *cells, sep="", flush=True)


def _few(whole: ad.Dataset, n: int, n_unseen: int = 3000) -> ad.Dataset:
    """A random part of a data set."""
    rng = np.random.default_rng(0)
    train, val = (
        part.take(np.sort(rng.permutation(len(part))[:k]))
        for part, k in ((whole.train, n), (whole.val, n_unseen))
    )
    return replace(whole, train=train, val=val)


def _errors(dataset: ad.Dataset, dims: int, dropout: float, seeds: int) -> dict[str, list[float]]:
    """The error of unseen images of each method, for each seed."""
    found = ad.compare_methods(
        dataset,
        methods=tuple(METHODS),
        decoder=ad.DecoderConfig(arch=(500, 500), latent_dims=dims, dropout_rate=dropout),
        fit=ad.fit_config("fast", num_epochs=LONG.epochs_for(len(dataset.train), 128)),
        rates=(5e-3,),
        seeds=tuple(range(seeds)),
    )
    return {row.name: [float(np.mean(score.errors)) for score in row.scores] for row in found.rows}


if __name__ == "__main__":
    main()
