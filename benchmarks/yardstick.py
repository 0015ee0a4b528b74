"""The errors beside a study: their seconds, and how close those of a sample are.

    python benchmarks/yardstick.py [DATASET …] --data_dir FOLDER

For each number of principal components: processor seconds to measure the errors of all images, the
errors, and the relative difference of the errors if mean and components are from 10,000 random
training images; then the same with half of the pixels missing, without the sample. Processor
seconds, since they depend less on other work of the machine; one thread is used.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from autodecoder.data import load_dataset
from autodecoder.measures.yardstick import Set, Yardstick, measure_yardstick

DIMS = (2, 16, 64, 256)
SAMPLE = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("datasets", nargs="*", default=["mnist", "fmnist"])
    parser.add_argument("--data_dir", type=Path)
    options = parser.parse_args()
    print("| images | components | seconds | mean image | components | from 10,000 images |")
    print(f"|{'---|' * 6}")
    for name in options.datasets:
        data = load_dataset(name, data_dir=options.data_dir)
        train, val = Set(data.train.flat), Set(data.val.flat)
        rng = np.random.default_rng(0)
        holed = [Set(part.rows, rng.random(part.rows.shape) < 0.5) for part in (train, val)]
        for k in DIMS:
            found, seconds = measured(train, val, k)
            some, _ = measured(Set(train.rows[rng.permutation(len(train.rows))[:SAMPLE]]), val, k)
            off = some.components[k] / found.components[k] - 1
            far = some.mean_image / found.mean_image - 1
            tell(name, k, seconds, found, f"{100 * far:+.2f} %, {100 * off:+.2f} %")
        for k in DIMS:
            found, seconds = measured(holed[0], holed[1], k)
            tell(f"{name}, half of the pixels", k, seconds, found, "")


def measured(train: Set, val: Set, k: int) -> tuple[Yardstick, float]:
    """The errors with `k` components, and the processor seconds."""
    begin = time.process_time()
    found = measure_yardstick(train, val, [k], "standard")
    return found, time.process_time() - begin


def tell(name: str, k: int, seconds: float, found: Yardstick, sample: str) -> None:
    errors = f"{found.mean_image:.4f} | {found.components[k]:.4f}"
    print(f"| {name} | {k} | {seconds:.1f} | {errors} | {sample} |", flush=True)


if __name__ == "__main__":
    main()
