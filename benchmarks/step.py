"""One training step, ours and the same in plain PyTorch, side by side in one run.

The step: 500-500 without batch normalisation, 2-D latents, batch 128, 60,000 images of 784 pixels,
Adam on decoder and latents. Images are random pixels: the arithmetic does not depend on them.
Rounds alternate between the two, so that a drift of the machine's speed meets both.

    python benchmarks/step.py            # ours, and PyTorch's if it is installed
    python benchmarks/step.py --markdown # the same as a table
"""

import argparse
import os
import platform
import statistics
import time
from importlib.metadata import version
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np

from autodecoder.config import DecoderConfig, RunConfig, fit_config
from autodecoder.core.fit import Images
from autodecoder.core.population import advance, init_population
from autodecoder.core.sweep import LearningRates
from cost import matrix_rate

N_IMAGES, N_PIXELS, BATCH, WIDTHS, DIMS = 60_000, 784, 128, (500, 500), 2
N_STEPS = N_IMAGES // BATCH
#: Multiply-adds forward, times two for the weights' and the inputs' gradients, two flops each.
_MACS = sum(a * b for a, b in zip((DIMS, *WIDTHS), (*WIDTHS, N_PIXELS), strict=True))
GFLOP = 3 * 2 * BATCH * _MACS / 1e9


def ours(pixels: np.ndarray):
    """A function that trains one epoch; a single validation image keeps validation out of it."""
    images = Images(jnp.asarray(pixels), jnp.asarray(pixels[:1]))
    config = RunConfig(
        DecoderConfig(arch=WIDTHS, latent_dims=DIMS, batch_norm=False),
        fit_config("original", num_epochs=1000),
        scaler="standard",
        image_shape=(28, 28, 1),
    )
    rate = jnp.full(1, 1e-3)
    key, first = jax.random.key(0), np.zeros(1, np.uint32)
    population = init_population(key, first, LearningRates(rate, rate), images, None, config)
    done = 0

    def epoch() -> None:
        nonlocal population, done
        done += 1
        moved = advance(population, images, 0, 1, done, config=config, side_by_side=False)
        population = jax.block_until_ready(moved)

    return epoch


def pytorch(pixels: np.ndarray):
    """The peer: a module, a latent parameter, one Adam over both, shuffled batches by slices."""
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]

    layers = []
    for n_in, n_out in zip((DIMS, *WIDTHS), (*WIDTHS, N_PIXELS), strict=True):
        linear = nn.Linear(n_in, n_out)
        nn.init.orthogonal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh() if n_out == N_PIXELS else nn.LeakyReLU(0.2)]
    decoder = nn.Sequential(*layers)
    latents = nn.Parameter(torch.zeros(N_IMAGES, DIMS))
    adam = torch.optim.Adam([*decoder.parameters(), latents], lr=1e-3, eps=1e-7)
    images = torch.from_numpy(pixels)

    def epoch() -> None:
        for batch in torch.randperm(N_IMAGES)[: N_STEPS * BATCH].split(BATCH):
            targets = images[batch].float() * (2 / 255) - 1
            outputs = decoder(torch.nn.functional.embedding(batch, latents))
            loss = torch.nn.functional.mse_loss(outputs, targets)
            adam.zero_grad()
            loss.backward()
            adam.step()

    return epoch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="epochs timed of each")
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args()
    pixels = np.random.default_rng(0).integers(0, 256, (N_IMAGES, N_PIXELS), dtype=np.uint8)
    contenders = {f"autodecoder (jax {version('jax')})": ours(pixels)}
    if find_spec("torch"):
        contenders[f"PyTorch {version('torch')}"] = pytorch(pixels)
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
        gflops = GFLOP * N_STEPS / median
        row = (
            f"{name:24}",
            f"{median:.2f} ({min(values):.2f}-{max(values):.2f})",
            f"{median / N_STEPS * 1e3:.2f}",
            f"{gflops:.0f}",
            f"{gflops / rate:.0%}",
        )
        print(separator.join(row))
    if len(seconds) == 2:
        mine, theirs = seconds.values()
        ratios = [b / a for a, b in zip(mine, theirs, strict=True)]
        print(
            f"PyTorch takes {statistics.median(ratios):.2f} times as long "
            f"(round by round {min(ratios):.2f}-{max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
