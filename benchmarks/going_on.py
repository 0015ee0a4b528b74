"""Going on with a fit when images are added, beside a fit of all of them from scratch.

    python benchmarks/going_on.py --data_dir FOLDER [--dataset fmnist] [--images 10000 --added 1000]

A model is fitted to the first images, `--epochs` long. Then the others are added: their latents are
inferred, and all are trained on for `--more` epochs, a tenth unless said otherwise. Each timed fit
goes ahead once for an epoch, so that its programs are compiled; that time stands in a column of its
own. Errors are mean squared errors of pixels scaled to [-1, 1], of the model as it is when it ends;
those of test images by latent inference.
"""

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

import autodecoder as ad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--added", type=int, default=1_000)
    parser.add_argument("--test", type=int, default=2_000)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--more", default="", help="Further epochs, some lengths by commas.")
    parser.add_argument("--arch", default="500-500")
    parser.add_argument("--latent_dims", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = ad.DataConfig(dataset=options.dataset, data_dir=options.data_dir, examples_frac=1.0)
    data = ad.load_study_data(ad.StudyConfig(data=config))
    order = np.random.default_rng(options.seed).permutation(len(data.train))
    images = data.train.images[order[: options.images + options.added]]
    first, test = images[: options.images], data.val.images[: options.test]
    decoder = ad.DecoderConfig(arch=ad.parse_arch(options.arch), latent_dims=options.latent_dims)
    print(
        f"{jax.devices()[0].device_kind}, {platform.processor() or platform.machine()}, Python "
        f"{platform.python_version()}, jax {jax.__version__}; {options.dataset}, {options.arch}, "
        f"{options.latent_dims}-D, seed {options.seed}"
    )
    print("| | epochs | s | s before, to compile | all images | added images | test images |")
    print("|---|---|---|---|---|---|---|")

    def fit(epochs: int, until: int | None = None, start: ad.Model | None = None) -> ad.Model:
        return ad.fit_model(
            images,
            decoder=decoder,
            fit=ad.fit_config("fast", num_epochs=epochs),
            seed=options.seed,
            start=start,
            until=until,
        )

    def show(name: str, epochs: int, model: ad.Model, seconds: float, before: float) -> None:
        errors = [error(model, images), error(model, images[options.images :], options.images)]
        errors.append(float(model.infer(test).errors.loss.mean()))
        cells = (f"{value:.4f}" for value in errors)
        print(
            f"| {name} | {epochs} | {seconds:.1f} | {before:.1f} | {' | '.join(cells)} |",
            flush=True,
        )

    _, before = timed(lambda: fit(options.epochs, until=1))
    whole, seconds = timed(lambda: fit(options.epochs))
    show("all from scratch", options.epochs, whole, seconds, before)
    base = ad.fit_model(
        first,
        decoder=decoder,
        fit=ad.fit_config("fast", num_epochs=options.epochs),
        seed=options.seed,
    )
    lengths = options.more or str(max(1, options.epochs // 10))
    for more in map(int, lengths.split(",")):
        total = options.epochs + more
        _, before = timed(lambda n=total: fit(n, options.epochs + 1, base))
        model, seconds = timed(lambda n=total: fit(n, start=base))
        show("added", more, model, seconds, before)


def timed(work: Callable[[], ad.Model]) -> tuple[ad.Model, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def error(model: ad.Model, images: np.ndarray, first: int = 0) -> float:
    """Of the model's images from `first` on."""
    decoded = model.decode(model.latents[first:])
    return float(np.mean((2 * (decoded - images / 255)) ** 2))


if __name__ == "__main__":
    main()
