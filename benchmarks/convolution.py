"""What convolutions are worth beside dense decoders, an autoencoder and principal components.

    python benchmarks/convolution.py --data_dir FOLDER                # the table, on test images
    python benchmarks/convolution.py --data_dir FOLDER --search --train 10000 \\
        --rates 5e-3,1e-2 --latent_rates 0.02,0.05 --spreads 1,3      # a recipe, on training images

Every figure is the mean squared error of unseen images in the scaled space, at the latents that
this project's inference finds. In the search the images held out are training images, so that what
is found may be measured on the test images. Runs that differ in step sizes alone share a program.
"""

import argparse
import itertools
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import autodecoder as ad
from autodecoder.config import (
    DecoderConfig,
    FitConfig,
    InferConfig,
    RunConfig,
    WatchConfig,
    fit_config,
    learning_rate_for,
    parse_arch,
)
from autodecoder.core.decoders import Decoder, init_decoder
from autodecoder.core.epoch import LearningRates
from autodecoder.core.latent_starts import find_starts
from autodecoder.core.latents import fit_pca, project
from autodecoder.core.population import advance, init_population, take_run
from autodecoder.core.runs import Images, Run
from autodecoder.core.scaling import scale_pixels

#: Principal components; dense, as wide as usual and at the weights of the decoder of convolutions;
#: that, the same with residual blocks at equal weights, and behind an encoder.
RUNS = "pca,500-500,90,conv:128-64-32,resconv:80-40-20,autoencoder:conv:128-64-32"
#: Widths of the autoencoder's dense encoder, from the image on.
ENCODER = (500, 500)


class Task(NamedTuple):
    """Pixels from 0 to 255."""

    train: np.ndarray
    unseen: np.ndarray
    shape: tuple[int, int, int]
    dims: int
    epochs: int
    infer: InferConfig


class Row(NamedTuple):
    """Of one run."""

    name: str
    fresh: float
    training: float
    seconds: float
    weights: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data_dir", type=Path)
    parser.add_argument("--dataset", default="cifar10")
    parser.add_argument("--runs", default=RUNS)
    parser.add_argument("--encoder_rates", default="2e-3", help="of the autoencoder")
    parser.add_argument("--activation", default="gelu")
    parser.add_argument("--dims", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--train", type=int, help="training images, all by default")
    parser.add_argument("--unseen", type=int, default=1000, help="images that are measured")
    parser.add_argument("--method", default="auto", help="of inference")
    parser.add_argument("--steps", type=int, help="of inference at most")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--search", action="store_true", help="measure held out training images")
    for name, (setting, _) in SEARCHED.items():
        parser.add_argument(f"--{name}", default="", help=f"of {setting}, joined by commas")
    options = parser.parse_args()
    task = load(options)
    print(
        f"{platform.machine()}, {jax.devices()[0].device_kind}, Python "
        f"{platform.python_version()}, jax {version('jax')}; {options.dataset}, "
        f"{len(task.train):,} images, {len(task.unseen):,} unseen"
        f"{' (held out of the training images)' if options.search else ''}, {task.dims}-D, "
        f"{task.epochs} epochs, {options.activation}",
        flush=True,
    )
    print("| decoder | seed | unseen | training | seconds | weights |\n|---|---|---|---|---|---|")
    for seed in range(options.seeds):
        for run in options.runs.split(","):
            for row in measure_run(run, seed, task, options):
                print(
                    f"| {row.name} | {seed} | {row.fresh:.5f} | {row.training:.5f} "
                    f"| {row.seconds:.0f} | {row.weights:,} |",
                    flush=True,
                )


def numbers(text: str) -> list[float]:
    return [float(part) for part in text.split(",") if part]


#: Flags of the search, with the setting of each and how its values are read; without one it is that
#: of recipe `fast`.
SEARCHED: dict[str, tuple[str, Callable[[str], list[Any]]]] = {
    "rates": ("learning_rate", numbers),
    "latent_rates": ("latent_learning_rate", numbers),
    "spreads": ("latent_spread", numbers),
    "schedules": ("schedule", lambda text: [part for part in text.split(",") if part]),
    "warmups": ("warmup_steps", lambda text: [int(part) for part in numbers(text)]),
    "clip_norms": ("clip_norm", numbers),
    "base_widths": ("base_width", lambda text: [int(part) for part in numbers(text)]),
}


def load(options: argparse.Namespace) -> Task:
    """Training and unseen images, those of the search drawn from the training images."""
    dataset = ad.load_dataset(options.dataset, data_dir=options.data_dir)
    train, unseen = dataset.train.flat, dataset.val.flat
    order = np.random.default_rng(0).permutation(len(train))
    if options.search:
        unseen, order = train[order[: options.unseen]], order[options.unseen :]
    rows = np.sort(order[: options.train])
    shape = dataset.image_shape
    infer = InferConfig(method=options.method, n_steps=options.steps)
    return Task(train[rows], unseen[: options.unseen], shape, options.dims, options.epochs, infer)


def measure_run(run: str, seed: int, task: Task, options: argparse.Namespace) -> Iterator[Row]:
    """The rows of a run: of its decoders, one for each combination of what is searched."""
    if run == "pca":
        yield components(task)
        return
    kind, _, arch = run.partition(":")
    if kind == "autoencoder":
        config = DecoderConfig(parse_arch(arch), task.dims, options.activation)
        for rate in numbers(options.encoder_rates):
            yield from autoencoder(f"{run}, {rate:g}", config, rate, seed, task)
        return
    yield from auto_decoders(run, seed, task, options)


def components(task: Task) -> Row:
    """Principal components: no decoder at all."""
    start = time.perf_counter()
    pca = fit_pca(task.train, task.dims)
    seconds = time.perf_counter() - start

    def error(images: np.ndarray) -> float:
        made = np.clip(project(pca, images) @ pca.components.T + pca.mean, 0, 255)
        return float(np.mean(((made - images) * (2 / 255)) ** 2))

    weights = pca.components.size + pca.mean.size
    return Row("principal components", error(task.unseen), error(task.train), seconds, weights)


def auto_decoders(arch: str, seed: int, task: Task, options: argparse.Namespace) -> Iterator[Row]:
    """This project's fits: recipe `fast`, but for what is searched."""
    decoder = DecoderConfig(parse_arch(arch), task.dims, options.activation)
    images = Images(jnp.asarray(task.train), jnp.asarray(task.train[:0]))
    given = {name: read(getattr(options, name)) for name, (_, read) in SEARCHED.items()}
    for values in itertools.product(*(given[name] or [None] for name in SEARCHED)):
        chosen = {
            setting: value
            for (setting, _), value in zip(SEARCHED.values(), values, strict=True)
            if value is not None
        }
        name = ", ".join([arch, *(f"{setting} {value}" for setting, value in chosen.items())])
        rate = chosen.pop("learning_rate", learning_rate_for("fast", decoder.arch))
        fit = fit_config("fast", num_epochs=task.epochs, **chosen)
        start = time.perf_counter()
        run = fitted(rate, images, decoder, fit, seed, task)
        loss = float(run.history["loss"][-1])
        seconds = time.perf_counter() - start
        latents = np.asarray(run.state.train.values)
        weights = count(run.state.decoder.trainable())
        fresh = unseen_error(run.state.decoder, latents, task, seed)
        yield Row(name, fresh, loss, seconds, weights)


def fitted(
    rate: float,
    images: Images,
    decoder: DecoderConfig,
    fit: FitConfig,
    seed: int,
    task: Task,
) -> Run:
    """A run after its last epoch."""
    own = fit.latent_learning_rate or rate
    rates = LearningRates(jnp.full(1, rate), jnp.full(1, own))
    fit = replace(fit, latent_learning_rate=None)  # traced
    config = RunConfig(decoder, fit, "standard", task.shape, watch=WatchConfig("loss"))
    key, first = jax.random.key(seed), np.zeros(1, np.uint32)
    starts = find_starts(images, config)
    state = init_population(key, first, rates, images, starts, config)
    for epoch in range(1, task.epochs + 1):
        state = advance(state, images, 0, 1, epoch, config=config, side_by_side=False)
        loss = float(state.runs.history["loss"][0, epoch - 1])
        print(f"epoch {epoch} of {task.epochs}, training {loss:.5f}", file=sys.stderr, flush=True)
    return take_run(state.runs, 0)


def unseen_error(decoder: Decoder, latents: np.ndarray, task: Task, seed: int) -> float:
    model = ad.Model(decoder, "standard", task.shape, latents, latents[:0])
    images = task.unseen.reshape(-1, *task.shape)
    return float(model.infer(images, config=task.infer, seed=seed).errors.loss.mean())


def count(parts: Any) -> int:
    return sum(a.size for a in jax.tree.leaves(parts))


def autoencoder(
    name: str, config: DecoderConfig, rate: float, seed: int, task: Task
) -> Iterator[Row]:
    """The same decoder behind a dense encoder, Adam with a linear decay: at the encoder's latents,
    and refined, at those that this project's inference finds under its decoder."""
    begin = time.perf_counter()
    key = jax.random.key(seed)
    images = jnp.asarray(task.train)
    n, pixels = images.shape
    drawn = init_decoder(jax.random.fold_in(key, 1), config, task.shape, "tanh")
    widths = (pixels, *ENCODER, task.dims)
    keys = jax.random.split(jax.random.fold_in(key, 0), len(widths))
    orthogonal = jax.nn.initializers.orthogonal()
    encoder = [
        (orthogonal(k, (n_in, n_out)), jnp.zeros(n_out))
        for k, (n_in, n_out) in zip(keys, itertools.pairwise(widths), strict=False)
    ]
    size = FitConfig().batch_size
    n_batches = n // size
    adam = optax.adam(optax.linear_schedule(rate, 0, n_batches * task.epochs))

    def encode(encoder: Any, images: jax.Array) -> jax.Array:
        hidden = scale_pixels(images, "standard")
        for weight, bias in encoder[:-1]:
            hidden = jax.nn.gelu(hidden @ weight + bias)
        return hidden @ encoder[-1][0] + encoder[-1][1]

    def loss_of(parts: Any, batch: jax.Array) -> jax.Array:
        outputs = drawn.with_trainable(parts[1]).decode(encode(parts[0], batch))
        return jnp.mean((outputs - scale_pixels(batch, "standard")) ** 2)

    @partial(jax.jit, donate_argnums=(0, 1))
    def one_epoch(parts: Any, state: Any, images: jax.Array, key: jax.Array) -> Any:
        order = jax.random.permutation(key, n)[: n_batches * size].reshape(n_batches, size)

        def step(carry: Any, rows: jax.Array) -> Any:
            parts, state = carry
            loss, gradient = jax.value_and_grad(loss_of)(parts, images[rows])
            updates, state = adam.update(gradient, state)
            return (optax.apply_updates(parts, updates), state), loss

        (parts, state), losses = jax.lax.scan(step, (parts, state), order)
        return parts, state, losses.mean()

    parts: Any = (encoder, drawn.trainable())
    state, loss = adam.init(parts), jnp.nan
    for epoch in range(task.epochs):
        shuffle = jax.random.fold_in(key, epoch + 2)
        parts, state, loss = one_epoch(parts, state, images, shuffle)
    encoder, trained = jax.block_until_ready((parts[0], drawn.with_trainable(parts[1])))
    seconds = time.perf_counter() - begin
    blocks = np.array_split(task.train, max(1, n // 1000))
    latents = np.concatenate([np.asarray(encode(encoder, jnp.asarray(block))) for block in blocks])
    weights = count(parts)
    amortised = float(loss_of(parts, jnp.asarray(task.unseen)))
    yield Row(f"{name}, encoded", amortised, float(loss), seconds, weights)
    refined = unseen_error(trained, latents, task, seed)
    yield Row(f"{name}, refined", refined, float(loss), seconds, weights)


if __name__ == "__main__":
    main()
