"""Synthetic images as packed shards: millions of 28 × 28 strokes, drawn as they are written.

An image is a bent stroke of grey on black. Seven latent factors draw it: where its middle is (two
of them), its direction, length, bend, thickness and brightness. Its class is the direction, in ten
equal parts of a half turn. A shard has a generator of its own, of the seed and its number, so that
the same command goes on where it was cut off, with the same images.

    python benchmarks/synthetic_shards.py strokes.packed --images 10000000
    autodecoder train --dataset packed:strokes.packed
"""

import argparse
import time
from pathlib import Path

import numpy as np

from autodecoder.data.pack_writer import PackWriter, default_shard_images

SIDE, N_CLASSES, N_DOTS = 28, 10, 6
#: Images drawn at once: their pixels stay in a processor's cache.
BLOCK = 256
#: A stroke is the sum of Gaussian dots, cut off where it is white.
_ALONG = np.linspace(-1, 1, N_DOTS, dtype=np.float32)
_PIXELS = np.arange(SIDE, dtype=np.float32)


def draw_factors(n: int, rng: np.random.Generator) -> np.ndarray:
    """Latent factors of `n` images, (n, 7), each between 0 and 1."""
    return rng.random((n, 7), np.float32)


def draw_strokes(factors: np.ndarray, out: np.ndarray) -> None:
    """The images of some factors, (n, 28, 28) uint8.

    A dot is the product of a Gaussian of its row and one of its column, so that the sum of the dots
    of an image is a product of two small matrices.
    """
    across, down, turn, length, bend, width, light = factors.T[:, :, None]
    angle, half = np.pi * turn, 3 + 5 * length
    along = half * _ALONG
    off = (bend - 0.5) * 8 * (_ALONG**2 - 0.4)
    cos, sin = np.cos(angle), np.sin(angle)
    x = 10 + 7 * across + along * cos - off * sin
    y = 10 + 7 * down + along * sin + off * cos
    sharp = -0.5 / (1.1 + 0.9 * width) ** 2
    columns, rows = (_bell(_PIXELS - middle[..., None], sharp[..., None]) for middle in (x, y))
    rows *= (160 + 140 * light)[..., None]
    pixels = np.matmul(rows.transpose(0, 2, 1), columns)
    np.clip(pixels, 0, 255, out=pixels)
    np.copyto(out, pixels, casting="unsafe")


def _bell(distance: np.ndarray, sharp: np.ndarray) -> np.ndarray:
    """A Gaussian, cut off where it is black: processors are slow at numbers that are all but 0."""
    np.square(distance, out=distance)
    distance *= sharp
    np.maximum(distance, -30, out=distance)
    return np.exp(distance, out=distance)


def draw_shard(n: int, seed: int, part: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Images, (n, 28, 28, 1) uint8, and labels of a shard."""
    rng = np.random.default_rng((seed, part, number))
    images, labels = np.empty((n, SIDE, SIDE, 1), np.uint8), np.empty(n, np.int32)
    for first in range(0, n, BLOCK):
        stop = min(first + BLOCK, n)
        factors = draw_factors(stop - first, rng)
        draw_strokes(factors, images[first:stop, ..., 0])
        labels[first:stop] = np.minimum(N_CLASSES * factors[:, 2], N_CLASSES - 1)
    return images, labels


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--images", type=int, default=10_000_000, help="to train on")
    parser.add_argument("--val_images", type=int, default=10_000)
    parser.add_argument("--shard_images", type=int, default=default_shard_images((SIDE, SIDE, 1)))
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()

    shape, classes = (
        (SIDE, SIDE, 1),
        [f"{18 * k} to {18 * k + 18} degrees" for k in range(N_CLASSES)],
    )
    source = {name: value for name, value in vars(asked).items() if name != "out"}
    source["made_by"] = "benchmarks/synthetic_shards.py"
    begin, drawing, n_drawn = time.perf_counter(), 0.0, 0
    with PackWriter(asked.out, shape, classes, source) as writer:
        for k, (part, n) in enumerate((("train", asked.images), ("val", asked.val_images))):
            for number, first in enumerate(range(0, n, asked.shard_images)):
                if writer.has(part, number):
                    continue
                start = time.perf_counter()
                size = min(asked.shard_images, n - first)
                images, labels = draw_shard(size, asked.seed, k, number)
                drawing += time.perf_counter() - start
                n_drawn += size
                writer.write(part, number, images, labels)
        written = time.perf_counter() - begin
        packed = writer.finish()
    whole = time.perf_counter() - begin
    n = len(packed.train.labels) + len(packed.val.labels)
    print(f"{asked.out}: {n:,} images, {n * SIDE * SIDE / 1e9:.2f} GB, in {whole:.1f} s")
    if n_drawn:
        print(
            f"drawn {n_drawn / drawing:,.0f} images/s; drawn and written {n_drawn / written:,.0f} "
            f"images/s; with the fingerprint {n_drawn / whole:,.0f} images/s"
        )


if __name__ == "__main__":
    main()
