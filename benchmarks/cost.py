"""What an epoch of training costs: the cost model of `docs/cost.md` beside measurements.

    python benchmarks/cost.py [--most_images 1000000] [--runs 1,5,12 --arch 500-500]

First the machine's two rates are measured: matrix products in float32 (2,048 cubed; 8,192 on an
accelerator), and bytes a second of an Adam step on arrays that fit no cache. From them alone the
model tells the seconds of an epoch; then epochs are timed. Images are random pixels: the arithmetic
does not depend on them.
"""

import argparse
import math
import os
import platform
import statistics
import time
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version

import jax
import jax.numpy as jnp
import numpy as np

from autodecoder.config import (
    Arch,
    DecoderConfig,
    RunConfig,
    fit_config,
    format_arch,
    parse_arch,
)
from autodecoder.core.adam import adam_start, adam_step
from autodecoder.core.decoders import Decoder, init_decoder
from autodecoder.core.decoders.operators import count_multiplications
from autodecoder.core.epoch import LearningRates
from autodecoder.core.population import advance, init_population
from autodecoder.core.runs import Images
from autodecoder.model.driver import side_by_side

GB = 1e9
#: Products, or steps, in a measurement of a rate: enough that starting it is no matter.
_N_REPEATS = 10
#: What is measured is larger where the device is: side of matrices, and values under Adam.
_SIDE = 8192 if side_by_side() else 2048
_N_VALUES = 64_000_000 if side_by_side() else 8_000_000


@dataclass(frozen=True)
class Shape:
    """One training, without validation images."""

    n_images: int = 60_000
    n_pixels: int = 784
    latent_dims: int = 2
    arch: tuple[int, ...] | Arch = (500, 500)
    batch_size: int = 128
    n_runs: int = 1

    @property
    def decoder(self) -> DecoderConfig:
        return DecoderConfig(arch=self.arch, latent_dims=self.latent_dims)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Square where it can be, as convolutions want it."""
        channels = 3 if self.n_pixels % 3 == 0 else 1
        side = math.isqrt(self.n_pixels // channels)
        return (side, self.n_pixels // channels // side, channels)

    @cached_property
    def drawn(self) -> Decoder:
        return init_decoder(jax.random.key(0), self.decoder, self.image_shape, "tanh")

    @property
    def n_weights(self) -> int:
        return sum(array.size for array in jax.tree.leaves(self.drawn.trainable()))

    @cached_property
    def n_multiplications(self) -> int:
        """Of an image."""
        return count_multiplications(self.drawn.operators() or ())

    @property
    def n_steps(self) -> int:
        return self.n_images // self.batch_size

    @property
    def flops(self) -> float:
        """Of an epoch: three matrix products for each kernel, of two operations an entry."""
        return 6.0 * self.n_multiplications * self.n_steps * self.batch_size * self.n_runs

    @property
    def adam_bytes(self) -> float:
        """Of an epoch: a step reads values, gradient and two moments, and writes three of them."""
        return 28.0 * self.n_weights * self.n_steps * self.n_runs

    @property
    def memory(self) -> float:
        """Bytes while an epoch runs: arguments, results in their place, and what is temporary."""
        moving = self.n_runs if side_by_side() else 1  # that have temporary arrays at once
        # As they are, and for each moving run in the order of its batches.
        images = (1.0 + moving) * self.n_images * self.n_pixels
        # Values and two moments; of a moving run also in the order of the batches, and moved.
        latents = 12.0 * (self.n_runs + 2 * moving) * self.n_images * self.latent_dims
        decoder = 4.0 * (3 * self.n_runs + moving) * self.n_weights  # with moments; gradient
        return images + latents + decoder

    def seconds(self, flop_rate: float, byte_rate: float) -> float:
        """Of an epoch: matrix products and Adam, one after the other."""
        return self.flops / flop_rate + self.adam_bytes / byte_rate

    def __str__(self) -> str:
        runs = f", {self.n_runs} runs" if self.n_runs > 1 else ""
        return (
            f"{self.n_images:,} × {self.n_pixels}, {format_arch(self.arch)}, "
            f"{self.latent_dims}-D, batch {self.batch_size}{runs}"
        )


SHAPES = (
    Shape(n_images=1_000),
    Shape(n_images=10_000),
    Shape(),
    Shape(n_images=200_000),
    Shape(n_images=1_000_000),
    Shape(latent_dims=16),
    Shape(latent_dims=64),
    Shape(latent_dims=256),
    Shape(arch=(128, 256, 512, 1024, 2048)),
    Shape(arch=(64, 64)),
    Shape(n_images=50_000, n_pixels=3072),
    Shape(batch_size=32),
    Shape(batch_size=1024),
    Shape(n_runs=4),
)


def matrix_rate() -> float:
    """Operations a second of matrix products of float32 by the default precision, best of 5."""
    a = jax.random.normal(jax.random.key(0), (_SIDE, _SIDE)) / _SIDE**0.5
    chain = jax.jit(lambda a: jax.lax.fori_loop(0, _N_REPEATS, lambda _, b: b @ a, a))
    return _N_REPEATS * 2 * _SIDE**3 / best_of(chain, a)


def memory_rate() -> float:
    """Bytes a second that an Adam step on many values moves, best of 5."""
    values = jnp.ones(_N_VALUES)

    @jax.jit
    def steps(carry, gradient):
        def step(_, carry):
            return adam_step(carry[0], gradient, carry[1], jnp.asarray(1e-3))

        return jax.lax.fori_loop(0, _N_REPEATS, step, carry)

    return _N_REPEATS * 28 * len(values) / best_of(steps, (values, adam_start(values)), values)


def best_of(function, *arguments) -> float:
    jax.block_until_ready(function(*arguments))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def measure(shape: Shape) -> tuple[float, float]:
    """Median seconds of an epoch, and bytes of memory as the compiler plans them."""
    rng = np.random.default_rng(0)
    block = rng.integers(0, 256, (1000, shape.n_pixels), dtype=np.uint8)
    pixels = np.tile(block, (shape.n_images // 1000, 1))
    images = Images(jnp.asarray(pixels), jnp.asarray(pixels[:1]))
    config = RunConfig(
        shape.decoder,
        fit_config("fast", latent_start="normal", batch_size=shape.batch_size, num_epochs=10),
        scaler="standard",
        image_shape=shape.image_shape,
    )
    rates = LearningRates(*2 * (jnp.full(shape.n_runs, 1e-3),))
    key, executions = jax.random.key(0), np.arange(shape.n_runs, dtype=np.uint32)
    population = init_population(key, executions, rates, images, None, config)
    switches = {"config": config, "side_by_side": side_by_side()}
    program = advance.lower(population, images, 0, shape.n_runs, 0, **switches).compile()
    plan = program.memory_analysis()
    memory = plan.argument_size_in_bytes + plan.temp_size_in_bytes if plan else float("nan")
    seconds = []
    for epoch in range(4 if shape.n_images <= 200_000 else 2):
        start = time.perf_counter()
        population = program(population, images, 0, shape.n_runs, epoch + 1)
        jax.block_until_ready(population)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:]), memory  # the first one warms up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most_images", type=int, default=1_000_000)
    parser.add_argument("--runs", help="Numbers of runs together, of one shape, instead of all.")
    parser.add_argument("--arch", default="500-500", help="Of that shape.")
    options = parser.parse_args()
    flop_rate, byte_rate = matrix_rate(), memory_rate()
    print(
        f"{jax.devices()[0].device_kind}, {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, jax {version('jax')}; matrix products "
        f"{flop_rate / GB:.0f} GFLOP/s, Adam {byte_rate / GB:.1f} GB/s"
    )
    print("| | GFLOP | s, estimate | s | GFLOP/s | share of the matrix rate | GB, estimate | GB |")
    print("|---|---|---|---|---|---|---|---|")
    shapes = [shape for shape in SHAPES if shape.n_images <= options.most_images]
    if options.runs:
        arch = parse_arch(options.arch)
        shapes = [Shape(arch=arch, n_runs=int(n)) for n in options.runs.split(",")]
    for shape in shapes:
        seconds, memory = measure(shape)
        rate = shape.flops / seconds
        cells = (
            str(shape),
            f"{shape.flops / GB:.0f}",
            f"{shape.seconds(flop_rate, byte_rate):.3g}",
            f"{seconds:.3g}",
            f"{rate / GB:.0f}",
            f"{rate / flop_rate:.0%}",
            f"{shape.memory / GB:.2f}",
            f"{memory / GB:.2f}",
        )
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
