"""What the learning rate that the estimator takes by default is worth beside others.

    python benchmarks/defaults.py --data_dir FOLDER [--rates 1e-3,5e-3] [--dims 2,16]

Every figure is the mean squared error of unseen samples in the scaled space, the median over the
seeds, by `AutoDecoder` as it is but for what the columns name.
"""

import argparse
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import train_test_split

import autodecoder as ad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--rates", default="1e-3,3e-3,5e-3,1e-2")
    parser.add_argument("--dims", default="2,16")
    parser.add_argument("--recipe", default="fast")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch_norm", action="store_true")
    options = parser.parse_args()
    print(
        f"{jax.devices()[0].device_kind}, Python {platform.python_version()}, "
        f"jax {jax.__version__}; recipe {options.recipe}, batch norm {options.batch_norm}"
    )
    rates = [float(rate) for rate in options.rates.split(",")]
    print("| data | dimensions |", " | ".join(f"{rate:g}" for rate in rates), "|")
    print("|---|---|" + "---|" * len(rates))
    for name, load in DATA.items():
        train, test = load(options.data_dir)
        for dims in map(int, options.dims.split(",")):
            errors = [
                np.median(
                    [
                        -ad.AutoDecoder(
                            dims,
                            learning_rate=rate,
                            recipe=options.recipe,
                            batch_norm=options.batch_norm,
                            random_state=seed,
                        )
                        .fit(train)
                        .score(test)
                        for seed in range(options.seeds)
                    ]
                )
                for rate in rates
            ]
            print(f"| {name} | {dims} |", " | ".join(f"{e:.4f}" for e in errors), "|", flush=True)


def published(name: str) -> Callable[[Path | None], tuple[np.ndarray, np.ndarray]]:
    def load(data_dir: Path | None) -> tuple[np.ndarray, np.ndarray]:
        dataset = ad.load_dataset(name, data_dir=data_dir)
        return dataset.train.flat[:10_000], dataset.val.flat[:2_000]

    return load


def table(load: Callable[..., Any]) -> Callable[[Path | None], tuple[np.ndarray, np.ndarray]]:
    def cut(_: Path | None) -> tuple[np.ndarray, np.ndarray]:
        train, test = train_test_split(load(return_X_y=True)[0], test_size=0.25, random_state=0)
        return np.asarray(train), np.asarray(test)

    return cut


DATA: dict[str, Callable[[Path | None], tuple[np.ndarray, np.ndarray]]] = {
    "digits, as pixels": published("digits"),
    "MNIST, 10,000": published("mnist"),
    "Fashion-MNIST, 10,000": published("fmnist"),
    "digits, as a table": table(load_digits),
    "wine, a table": table(load_wine),
    "breast cancer, a table": table(load_breast_cancer),
}


if __name__ == "__main__":
    main()
