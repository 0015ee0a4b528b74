"""One training step, ours and the same in plain PyTorch, side by side in one run.

The step: batch 128, no normalisation, Adam on decoder and latents. A dense decoder has 2-D latents
and 60,000 images of 28 × 28; one of convolutions 64-D latents and 2,560 images of 32 × 32 × 3,
beside XLA's own convolutions too, and beside PyTorch's in both of its memory formats. Images are
random pixels: the arithmetic does not depend on them. Rounds alternate between the contenders, so
that a drift of the machine's speed meets all.

    python benchmarks/step.py                      # 500-500
    python benchmarks/step.py --arch conv:64-32-16
    python benchmarks/step.py --markdown           # the same as a table
"""

import argparse
import itertools
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from autodecoder.config import Arch, DecoderConfig, RunConfig, fit_config, parse_arch
from autodecoder.core.decoders import init_decoder, kernels
from autodecoder.core.decoders.operators import count_multiplications
from autodecoder.core.epoch import LearningRates
from autodecoder.core.population import advance, init_population
from autodecoder.core.runs import Images
from cost import matrix_rate

BATCH = 128


class Task(NamedTuple):
    """What is trained on what."""

    arch: tuple[int, ...] | Arch
    dims: int
    shape: tuple[int, int, int]
    n_images: int

    @property
    def n_steps(self) -> int:
        return self.n_images // BATCH

    @property
    def config(self) -> DecoderConfig:
        return DecoderConfig(arch=self.arch, latent_dims=self.dims)

    def gflop(self) -> float:
        """Of a step: multiply-adds forward, times three for the gradients of weights and inputs."""
        operators = init_decoder(jax.random.key(0), self.config, self.shape, "tanh").operators()
        assert operators is not None
        return 3 * 2 * BATCH * count_multiplications(operators) / 1e9


def task_of(arch: str) -> Task:
    found = parse_arch(arch)
    if isinstance(found, Arch):
        return Task(found, 64, (32, 32, 3), 2_560)
    return Task(found, 2, (28, 28, 1), 60_000)


def ours(task: Task, pixels: np.ndarray, *, native: bool = False) -> Callable[[], None]:
    """A function that trains one epoch; a single validation image keeps validation out of it."""
    images = Images(jnp.asarray(pixels), jnp.asarray(pixels[:1]))
    config = RunConfig(
        task.config,
        # Another length is another program, which `native` decides about as it is traced.
        fit_config("original", num_epochs=1000 + native),
        scaler="standard",
        image_shape=task.shape,
    )
    rate = jnp.full(1, 1e-3)
    key, first = jax.random.key(0), np.zeros(1, np.uint32)
    population = init_population(key, first, LearningRates(rate, rate), images, None, config)
    done = 0

    def epoch() -> None:
        nonlocal population, done
        done += 1
        before, kernels._native = kernels._native, lambda: native
        try:
            moved = advance(population, images, 0, 1, done, config=config, side_by_side=False)
            population = jax.block_until_ready(moved)
        finally:
            kernels._native = before

    return epoch


def pytorch(task: Task, pixels: np.ndarray, *, channels_last: bool = False) -> Callable[[], None]:
    """The peer: a module, a latent parameter, one Adam over both, shuffled batches by slices."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    decoder: Any = nn.Sequential(*_layers(task, nn))
    height, width, channels = task.shape
    images = torch.from_numpy(pixels)
    if isinstance(task.arch, Arch):
        images = images.reshape(-1, height, width, channels).permute(0, 3, 1, 2).contiguous()
        if channels_last:
            decoder = decoder.to(memory_format=torch.channels_last)
            images = images.to(memory_format=torch.channels_last)
    latents = nn.Parameter(torch.zeros(task.n_images, task.dims))
    adam = torch.optim.Adam([*decoder.parameters(), latents], lr=1e-3, eps=1e-7)

    def epoch() -> None:
        for batch in torch.randperm(task.n_images)[: task.n_steps * BATCH].split(BATCH):
            targets = images[batch].float() * (2 / 255) - 1
            outputs = decoder(torch.nn.functional.embedding(batch, latents))
            loss = torch.nn.functional.mse_loss(outputs, targets)
            adam.zero_grad()
            loss.backward()
            adam.step()

    return epoch


def _layers(task: Task, nn: Any) -> list[Any]:
    height, width, channels = task.shape
    layers: list[Any] = []
    if isinstance(task.arch, Arch):
        sides = [side // 2 ** len(task.arch.widths) for side in (height, width)]
        widths = (*task.arch.widths, channels)
        layers += [nn.Linear(task.dims, widths[0] * sides[0] * sides[1]), nn.LeakyReLU(0.2)]
        layers.append(nn.Unflatten(1, (widths[0], *sides)))
        for n_in, n_out in itertools.pairwise(widths):
            layers += [nn.ConvTranspose2d(n_in, n_out, 4, 2, 1), nn.LeakyReLU(0.2)]
    else:
        widths = (task.dims, *task.arch, height * width * channels)
        for n_in, n_out in itertools.pairwise(widths):
            layers += [nn.Linear(n_in, n_out), nn.LeakyReLU(0.2)]
    return [*layers[:-1], nn.Tanh()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", default="500-500", help="500-500 or conv:64-32-16, for example")
    parser.add_argument("--rounds", type=int, default=7, help="epochs timed of each")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    task = task_of(options.arch)
    pixels = np.random.default_rng(0).integers(
        0, 256, (task.n_images, int(np.prod(task.shape))), dtype=np.uint8
    )
    mine = f"autodecoder (jax {version('jax')})"
    is_conv = isinstance(task.arch, Arch)
    contenders = {mine: ours(task, pixels)}
    if is_conv:
        contenders["XLA's own convolutions"] = ours(task, pixels, native=True)
    if find_spec("torch"):
        peer = f"PyTorch {version('torch')}"
        contenders[peer] = pytorch(task, pixels)
        if is_conv:
            contenders[f"{peer}, channels last"] = pytorch(task, pixels, channels_last=True)
    else:
        print("PyTorch is not installed: pip install torch (a CPU build) to compare")
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for epoch in contenders.values():
        epoch()  # compilation and warm-up
    for _ in range(options.rounds):
        for name, epoch in contenders.items():
            start = time.perf_counter()
            epoch()
            seconds[name].append(time.perf_counter() - start)

    rate = matrix_rate() / 1e9
    machine = f"{jax.devices()[0].device_kind} {platform.machine()}, {os.cpu_count()} cores"
    print(f"{machine}, Python {platform.python_version()}")
    print(f"matrix products at {rate:.0f} GFLOP/s; medians of {options.rounds} epochs")
    separator = " | " if options.markdown else "  "
    header = ("", "s an epoch", "ms a step", "GFLOP/s", "share of the matrix rate")
    print(separator.join(header))
    if options.markdown:
        print(separator.join(["---"] * len(header)))
    for name, values in seconds.items():
        median = statistics.median(values)
        gflops = task.gflop() * task.n_steps / median
        row = (
            f"{name:24}",
            f"{median:.2f} ({min(values):.2f}-{max(values):.2f})",
            f"{median / task.n_steps * 1e3:.2f}",
            f"{gflops:.0f}",
            f"{gflops / rate:.0%}",
        )
        print(separator.join(row))
    for name, values in list(seconds.items())[1:]:
        ratios = [b / a for a, b in zip(seconds[mine], values, strict=True)]
        print(
            f"{name} takes {statistics.median(ratios):.2f} times as long "
            f"(round by round {min(ratios):.2f}-{max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
