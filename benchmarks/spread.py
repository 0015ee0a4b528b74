"""How far apart latents should start: errors of unseen images for several spreads and lengths.

    python benchmarks/spread.py --data_dir FOLDER [--sets mnist,fmnist] [--dims 4,16,64,256]
        [--norms 2.5,5,10] [--spreads 3] [--train 20000] [--epochs 15] [--arch 500-500]
        [--rate 5e-3]

FOLDER has the folders mnist, fmnist and cifar10. Latents start at principal components. A spread is
the root mean square of their coordinates; a norm is that of the whole vectors, so that the spread
is the norm divided by the root of the number of dimensions. Each figure is the error of 500 other
training images, after one fit with recipe `fast`; test images have no part in it.
"""

import argparse
import platform
from pathlib import Path

import jax
import numpy as np

import autodecoder as ad


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--sets", default="mnist,fmnist")
    parser.add_argument("--dims", default="4,16,64,256")
    parser.add_argument("--norms", default="2.5,5,10")
    parser.add_argument("--spreads", default="3")
    parser.add_argument("--train", type=int, default=20_000)
    parser.add_argument("--unseen", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--arch", default="500-500")
    parser.add_argument("--rate", type=float, default=5e-3)
    options = parser.parse_args()
    norms, spreads = (
        [float(part) for part in text.split(",") if part]
        for text in (options.norms, options.spreads)
    )
    print(f"jax {jax.__version__}, Python {platform.python_version()}, {options.train:,} images")
    heads = [*(f"norm {n:g}" for n in norms), *(f"spread {s:g}" for s in spreads)]
    print(f"| data, dimensions | {' | '.join(heads)} |")
    print("|---" * (len(heads) + 1) + "|")
    for name in options.sets.split(","):
        data = ad.load_dataset(name, data_dir=options.data_dir and options.data_dir / name)
        rng = np.random.default_rng(0)
        order, n = rng.permutation(len(data.train)), options.train
        train = data.train.take(np.sort(order[:n])).images
        unseen = data.train.take(np.sort(order[n : n + options.unseen])).images
        for dims in map(int, options.dims.split(",")):
            errors = []
            for spread in [*(norm / dims**0.5 for norm in norms), *spreads]:
                model = ad.fit_model(
                    train,
                    decoder=ad.DecoderConfig(ad.parse_arch(options.arch), latent_dims=dims),
                    fit=ad.fit_config(
                        "fast",
                        num_epochs=options.epochs,
                        latent_start="pca",
                        latent_spread=spread,
                    ),
                    learning_rate=options.rate,
                )
                errors.append(float(model.infer(unseen).errors.loss.mean()))
            print(f"| {name}, {dims} | {' | '.join(f'{e:.3g}' for e in errors)} |", flush=True)


if __name__ == "__main__":
    main()
