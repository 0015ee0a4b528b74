"""AutoDecoder beside PCA, UMAP and t-SNE: two dimensions of images, timed and judged in one run.

    pip install 'autodecoder[umap,neighbours]'
    python benchmarks/beside_umap.py [--data_dir FOLDER] [--dataset fmnist] [--n 60000]
        [--methods pca,umap]

Each method is fitted to training images and places test images, as its page in the documentation
shows it, with its own defaults. Seconds hold what is compiled at the first call. Accuracy is that
of the five nearest training images in the plane; trustworthiness (of five neighbours) is that of
the test images; the error is the mean squared error of decoded test images, pixels from 0 to 1.
"""

import argparse
import contextlib
import importlib.util
import os
import platform
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import KNeighborsClassifier

from autodecoder import AutoDecoder, load_dataset

_NEIGHBOURS = 5
#: Distributions whose versions are told.
_LIBRARIES = ("autodecoder", "jax", "numpy", "scikit-learn", "umap-learn", "openTSNE")


class Task(NamedTuple):
    """What AutoDecoder needs besides the images."""

    shape: tuple[int, ...]
    epochs: int


class Fitted(NamedTuple):
    """What a method has learned."""

    embedding: np.ndarray
    """Where the training images lie."""
    transform: Callable[[np.ndarray], np.ndarray]
    inverse: Callable[[np.ndarray], np.ndarray] | None
    """From places to pixels; `None` where that is not there, or takes hours."""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--dataset", default="mnist")
    parser.add_argument("--n", type=int, default=60_000, help="training images")
    parser.add_argument("--n_test", type=int, default=10_000, help="test images")
    parser.add_argument("--epochs", type=int, default=20, help="of AutoDecoder")
    parser.add_argument("--methods", default=",".join(METHODS))
    options = parser.parse_args()
    chosen = options.methods.split(",")
    if unknown := set(chosen) - set(METHODS):
        parser.error(f"--methods takes {', '.join(METHODS)}, got {', '.join(sorted(unknown))}")
    dataset = load_dataset(options.dataset, data_dir=options.data_dir)
    train, test = (
        (part.flat[:n].astype(np.float32) / 255, part.labels[:n])
        for part, n in ((dataset.train, options.n), (dataset.val, options.n_test))
    )
    shape = dataset.train.images.shape[1:]
    print(
        f"{options.dataset}: {len(train[0]):,} training and {len(test[0]):,} test images; "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {_versions()}; "
        f"{date.today()}\n"
    )
    print("| | fit, s | transform, s | 5-NN accuracy | trustworthiness | error of decoded images |")
    print("|---|---|---|---|---|---|")
    for name in chosen:
        label, missing, fit = METHODS[name]
        if missing and importlib.util.find_spec(missing) is None:
            print(f"| {label} | {missing} is not installed | | | | |", flush=True)
            continue
        begin = partial(fit, Task(shape, options.epochs))
        print(f"| {label} | {_measure(begin, train, test)} |", flush=True)


def pca(_: Task, images: np.ndarray) -> Fitted:
    fitted = PCA(2, random_state=0).fit(images)
    return Fitted(fitted.transform(images), fitted.transform, fitted.inverse_transform)


def umap(_: Task, images: np.ndarray) -> Fitted:
    from umap import UMAP  # pyright: ignore[reportMissingImports]

    fitted: Any = UMAP().fit(images)  # without a seed, which would mean one core
    return Fitted(fitted.embedding_, fitted.transform, None)


def tsne(_: Task, images: np.ndarray) -> Fitted:
    from openTSNE import TSNE  # pyright: ignore[reportMissingImports]

    fitted = TSNE(n_jobs=-1, random_state=0).fit(images)
    return Fitted(np.asarray(fitted), lambda others: np.asarray(fitted.transform(others)), None)


def autodecoder(task: Task, images: np.ndarray, start: str | None = None) -> Fitted:
    fitted = AutoDecoder(
        arch="500-500",
        image_shape=task.shape,
        num_epochs=task.epochs,
        latent_start=start,
        random_state=0,
    ).fit(images)
    return Fitted(fitted.embedding_, fitted.transform, fitted.inverse_transform)


#: What each is called, what must be installed for it, and how it is fitted.
METHODS: dict[str, tuple[str, str, Callable[[Task, np.ndarray], Fitted]]] = {
    "pca": ("PCA", "", pca),
    "umap": ("UMAP", "umap", umap),
    "tsne": ("t-SNE (openTSNE)", "openTSNE", tsne),
    "autodecoder": ("AutoDecoder", "", autodecoder),
    "neighbours": (
        'AutoDecoder, `latent_start="neighbours"`',
        "openTSNE",
        partial(autodecoder, start="neighbours"),
    ),
}


def _measure(
    fit: Callable[[np.ndarray], Fitted],
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
) -> str:
    """The cells of a row."""
    images, labels = test
    start = time.perf_counter()
    fitted = fit(train[0])
    after = time.perf_counter()
    places = fitted.transform(images)
    end = time.perf_counter()
    neighbours = KNeighborsClassifier(_NEIGHBOURS).fit(fitted.embedding, train[1])
    cells = [
        f"{after - start:.1f}",
        f"{end - after:.1f}",
        f"{neighbours.score(places, labels):.3f}",
        f"{trustworthiness(images, places, n_neighbors=_NEIGHBOURS):.3f}",
    ]
    if fitted.inverse is not None:
        cells.append(f"{np.mean((fitted.inverse(places) - images) ** 2):.4f}")
    return " | ".join([*cells, "–"][:5])


def _versions() -> str:
    """Of the libraries that are installed."""
    found = []
    for name in _LIBRARIES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)


if __name__ == "__main__":
    main()
