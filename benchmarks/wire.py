"""Bytes that travel between devices in a step, as the compiled program says, and as the model does.

    python benchmarks/wire.py

Devices are simulated on the CPU. The model: the gradient of the decoder, 4 bytes a weight.
"""

import os
import re

os.environ["JAX_NUM_CPU_DEVICES"] = "8"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np

import autodecoder as ad
from autodecoder.config import AugmentConfig, RunConfig, WatchConfig
from autodecoder.core.epoch import LearningRates
from autodecoder.core.population import advance, init_population, place_images, place_population
from autodecoder.core.runs import Images
from autodecoder.model.devices import choose_devices

KINDS = ("all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter")
CASES = (
    ("500-500", 2, (28, 28, 1), "none"),
    ("500-500", 64, (28, 28, 1), "none"),
    ("500-500", 2, (28, 28, 1), "batch"),
    ("conv:64-32-16", 64, (32, 32, 3), "none"),
)


def main() -> None:
    print("| decoder | latents | norm | devices | bytes a step | gradient | other kinds |")
    print("|---|---|---|---|---|---|---|")
    for arch, dims, shape, norm in CASES:
        for n_devices in (2, 8):
            moved, others, gradient = measure(arch, dims, shape, norm, n_devices)
            print(
                f"| `{arch}` | {dims} | {norm} | {n_devices} | {moved:,} | {gradient:,} "
                f"| {others or 'none'} |"
            )


def measure(
    arch: str, dims: int, shape: tuple[int, int, int], norm: str, n_devices: int
) -> tuple[int, list[str], int]:
    """Bytes summed in a step, collectives of other kinds, and the bytes of the gradient."""
    n, n_pixels = 2048, int(np.prod(shape))
    fit = ad.FitConfig(num_epochs=2, batch_size=128, latent_start="normal")
    config = RunConfig(
        decoder=ad.DecoderConfig(arch=arch, latent_dims=dims, norm=norm),
        fit=fit,
        scaler="standard",
        image_shape=shape,
        augment=AugmentConfig(),
        watch=WatchConfig("loss"),
    )
    images = Images(jnp.ones((n, n_pixels), jnp.uint8), jnp.ones((0, n_pixels), jnp.uint8))
    rates = LearningRates(jnp.ones(1), jnp.ones(1))
    runs = np.zeros(1, np.uint32)
    population = init_population(jax.random.key(0), runs, rates, images, None, config)
    layout = choose_devices(n_devices).lay_out(1, (n, 0), config)
    assert layout is not None
    placed = place_population(population, layout), place_images(images, layout)
    program = advance.lower(*placed, 0, 1, 1, config=config, side_by_side=False, layout=layout)
    moved, others = 0, []
    for line in (program.compile().as_text() or "").splitlines():
        kind = re.search(f" ({'|'.join(KINDS)})(?:-start)?\\(", line)
        if kind is None or "= " not in line:
            continue
        shapes = re.findall(r"f32\[([\d,]*)\]", line.split("= ")[1].split(kind[0])[0])
        moved += 4 * sum(int(np.prod([int(k) for k in s.split(",") if k])) for s in shapes)
        if kind[1] != "all-reduce":
            others.append(kind[1])
    trained = population.runs.state.decoder.trainable()
    return moved, others, 4 * sum(a.size for a in jax.tree.leaves(trained))


if __name__ == "__main__":
    main()
