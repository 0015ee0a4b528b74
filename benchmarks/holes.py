"""Decoders trained on images with holes: what they make of whole images, and of the holes.

    python benchmarks/holes.py --data_dir FOLDER [--sets mnist,fmnist] [--dims 2,16]
        [--holes 0,25,50,75,square] [--train 60000] [--test 10000] [--epochs 20] [--seeds 3]

In every training image some pixels are missing: a percentage of them, each image its own, or a
square of half the height and width, anywhere. Test images are whole. Four ways to train on that:

- `masked`: this project's fit, in which missing pixels count nowhere;
- `PCA`: probabilistic principal components of incomplete data, as many as there are dimensions;
- `filled`: missing pixels filled in by the mean of the known ones, then this project's fit;
- `autoencoder`: filled in likewise, then the same decoder with an encoder of mirrored widths; its
  test error is the encoder's, and the one of latents refined by this project's inference.

Every figure is the mean squared error in the scaled space, the median over the seeds: of whole test
images, and of the hidden pixels of training images.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

import autodecoder as ad
import peers
from autodecoder.core.incomplete import fill_missing, fit_incomplete

#: Squared errors of pixels from 0 to 1 in the scaled space, which is twice as wide.
SCALE = 4
#: Rounds of the expectation maximisation of PCA, at most, and the gain below which it ends.
ROUNDS, GAIN = 200, 1e-5


class Holed(NamedTuple):
    """A data set some of whose training pixels are missing."""

    whole: np.ndarray
    """(n, pixels) uint8, the training images as they were."""
    known: np.ndarray
    """(n, pixels) bool."""
    test: np.ndarray
    """(m, pixels) uint8."""
    shape: tuple[int, int, int]

    @property
    def filled(self) -> np.ndarray:
        """Training images with the mean of the known pixels in the place of missing ones."""
        n_known = np.maximum(self.known.sum(axis=0), 1)
        mean = np.sum(self.whole, axis=0, where=self.known, dtype=np.float64) / n_known
        return np.where(self.known, self.whole, np.rint(mean)).astype(np.uint8)

    def hidden_error(self, made: np.ndarray) -> float:
        """Of reconstructions of the training images, pixels from 0 to 1, where they are hidden."""
        if self.known.all():
            return np.nan
        difference = made.reshape(self.whole.shape) - self.whole / np.float32(255)
        return SCALE * float(np.mean(difference**2, where=~self.known, dtype=np.float64))


class Found(NamedTuple):
    """Errors on whole test images, and on hidden pixels of training images."""

    test: float
    hidden: float


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--sets", default="mnist,fmnist")
    parser.add_argument("--dims", default="2,16")
    parser.add_argument("--holes", default="0,25,50,75,square")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--arch", default="500-500")
    parser.add_argument("--train", type=int, default=60_000, help="training images")
    parser.add_argument("--test", type=int, default=10_000, help="test images")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    print(
        f"{jax.devices()[0].device_kind}, Python {platform.python_version()}, "
        f"jax {jax.__version__}; {options.arch}, {options.train:,} training and {options.test:,} "
        f"test images, {options.epochs} epochs, {options.seeds} seeds\n"
    )
    print("| data | dimensions | missing | method | whole test images | hidden pixels | seconds |")
    print("|---|---|---|---|---|---|---|")
    for name in options.sets.split(","):
        for dims in map(int, options.dims.split(",")):
            for holes in options.holes.split(","):
                for method in options.methods.split(","):
                    tell(name, dims, holes, method, options)


def tell(name: str, dims: int, holes: str, method: str, options: argparse.Namespace) -> None:
    """Print a line of the table, or of an autoencoder two."""
    begun, found = time.monotonic(), []
    for seed in range(options.seeds):
        data = load(name, holes, seed, options)
        found.append(METHODS[method](data, dims, seed, options))
    seconds = (time.monotonic() - begun) / options.seeds
    missing = "none" if holes == "0" else holes if holes == "square" else f"{holes} %"
    for label in found[0]:
        errors = (
            statistics.median(getattr(each[label], of) for each in found) for of in Found._fields
        )
        told = " | ".join("–" if np.isnan(error) else f"{error:.4f}" for error in errors)
        print(f"| {name} | {dims} | {missing} | {label} | {told} | {seconds:.0f} |", flush=True)


def load(name: str, holes: str, seed: int, options: argparse.Namespace) -> Holed:
    """A data set, with other holes for every seed."""
    dataset = ad.load_dataset(name, data_dir=options.data_dir)
    train = dataset.train.images[: options.train]
    rng = np.random.default_rng(seed)
    known = np.ones(train.shape, bool)
    if holes == "square":
        height, width = train.shape[1:3]
        tops = rng.integers(0, height - height // 2 + 1, len(train))
        lefts = rng.integers(0, width - width // 2 + 1, len(train))
        for mask, top, left in zip(known, tops, lefts, strict=True):
            mask[top : top + height // 2, left : left + width // 2] = False
    else:
        known[...] = rng.random(train.shape[:3])[..., None] >= int(holes) / 100
    n = len(train)
    test = dataset.val.flat[: options.test]
    return Holed(train.reshape(n, -1), known.reshape(n, -1), test, dataset.image_shape)


def masked(data: Holed, dims: int, seed: int, options: argparse.Namespace) -> dict[str, Found]:
    mask = None if data.known.all() else data.known.reshape(-1, *data.shape)
    return {"masked": of_model(fit(data.whole, mask, data, dims, seed, options), data, seed)}


def filled(data: Holed, dims: int, seed: int, options: argparse.Namespace) -> dict[str, Found]:
    model = fit(data.filled, None, data, dims, seed, options)
    return {"filled": of_model(model, data, seed)}


def fit(
    images: np.ndarray,
    mask: np.ndarray | None,
    data: Holed,
    dims: int,
    seed: int,
    options: argparse.Namespace,
) -> ad.Model:
    return ad.fit_model(
        images.reshape(-1, *data.shape),
        mask=mask,
        decoder=ad.DecoderConfig(arch=options.arch, latent_dims=dims, batch_norm=False),
        fit=ad.fit_config("fast", num_epochs=options.epochs),
        seed=seed,
    )


def of_model(model: ad.Model, data: Holed, seed: int) -> Found:
    """Errors at latents inferred, and at those that the training left."""
    test = model.infer(data.test, seed=seed).errors.loss.mean(dtype=np.float64)
    hidden = np.nan if data.known.all() else data.hidden_error(model.decode(model.latents))
    return Found(float(test), hidden)


def autoencoder(data: Holed, dims: int, seed: int, options: argparse.Namespace) -> dict[str, Found]:
    images = data.filled
    trained = peers.train_autoencoder(images, data.shape, options.arch, dims, options.epochs, seed)
    model = trained.model(images)
    refined = of_model(model, data, seed)
    encoded = model.decode(trained.codes(data.test)).reshape(data.test.shape)
    difference = encoded - data.test / np.float32(255)
    test = SCALE * float(np.mean(difference**2, dtype=np.float64))
    return {
        "autoencoder": Found(test, refined.hidden),
        "autoencoder, refined": refined._replace(hidden=np.nan),
    }


def pca(data: Holed, dims: int, seed: int, options: argparse.Namespace) -> dict[str, Found]:
    """Probabilistic PCA of incomplete data, of all images and until it gains nothing any more.

    Whole images are projected on the components.
    """
    limits = {"n_images": len(data.whole), "rounds": ROUNDS, "gain": GAIN}
    found = fit_incomplete(data.whole, data.known, dims, **limits)
    made = fill_missing(found, data.whole, data.known) / 255
    basis = np.linalg.qr(found.loadings.astype(np.float64))[0]
    off = (data.test - found.mean) / 255
    test = SCALE * float(np.mean((off - off @ basis @ basis.T) ** 2))
    return {"PCA": Found(test, data.hidden_error(made))}


METHODS: dict[str, Callable[[Holed, int, int, argparse.Namespace], dict[str, Found]]] = {
    "masked": masked,
    "PCA": pca,
    "filled": filled,
    "autoencoder": autoencoder,
}


if __name__ == "__main__":
    main()
