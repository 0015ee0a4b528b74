"""What a user would pick instead: the original's algorithm in plain PyTorch, and an autoencoder.

Both end in a decoder, which this project's inference measures as it does its own. Their functions
take options with `dataset`, `data_dir`, `arch` and `latent_dims`, and return what `Curve` gathers.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

#: Learning rates of the peers: the original's, and that of the autoencoder best of 1e-3 and 2e-3.
RATES = {"pytorch": 1e-3, "autoencoder": 2e-3}
BATCH = 128


class Curve:
    """Epochs, seconds, fresh validation and training loss along a training.

    The measurements themselves are off the clock. A fifth column is for the co-trained validation,
    which the peers do not have.

    Parameters
    ----------
    start : float
        Of the process, as `time.time` tells it.
    every : int
        Epochs between measurements; the last epoch is always measured.
    """

    def __init__(self, start: float, epochs: int, every: int) -> None:
        self._start, self._epochs, self._every = start, epochs, every
        self._off = 0.0
        self.rows: list[tuple[int, float, float, float, float]] = []

    def note(self, epoch: int, loss: float, measure) -> None:
        """After an epoch, with its mean training loss."""
        if epoch != self._epochs and (not self._every or epoch % self._every):
            return
        now = time.time()
        fresh = measure()
        self.rows.append((epoch, now - self._start - self._off, fresh, loss, np.nan))
        self._off += time.time() - now


def pytorch(options: argparse.Namespace, epochs: int, seed: int, curve: Curve) -> None:
    """The algorithm of recipe `original` as one would write it: a module, a parameter of latents.

    One Adam over both, a `DataLoader` with its default collation, no validation in between.
    """
    import torch  # pyright: ignore[reportMissingImports]
    from torch import nn  # pyright: ignore[reportMissingImports]
    from torch.utils.data import DataLoader, TensorDataset  # pyright: ignore[reportMissingImports]

    from autodecoder.data import load_dataset

    torch.manual_seed(seed)
    dataset = load_dataset(options.dataset, data_dir=options.data_dir)
    images = torch.from_numpy(np.array(dataset.train.flat)).float() * (2 / 255) - 1
    n, n_pixels = images.shape
    widths = (options.latent_dims, *map(int, options.arch.split("-")), n_pixels)
    layers = []
    for k, (n_in, n_out) in enumerate(itertools.pairwise(widths)):
        linear = nn.Linear(n_in, n_out)
        nn.init.orthogonal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.Tanh() if k == len(widths) - 2 else nn.LeakyReLU(0.2)]
    decoder = nn.Sequential(*layers)
    latents = nn.Parameter(torch.zeros(n, options.latent_dims))
    adam = torch.optim.Adam([*decoder.parameters(), latents], lr=RATES["pytorch"], eps=1e-7)
    loader = DataLoader(
        TensorDataset(torch.arange(n), images), batch_size=BATCH, shuffle=True, drop_last=True
    )

    def measure_now() -> float:
        linears = [layer for layer in decoder if isinstance(layer, nn.Linear)]
        arrays = [(m.weight.detach().numpy().T, m.bias.detach().numpy()) for m in linears]
        return measure(options, arrays, latents.detach().numpy(), dataset, seed)

    for epoch in range(1, epochs + 1):
        total = 0.0
        for rows, targets in loader:
            loss = nn.functional.mse_loss(decoder(nn.functional.embedding(rows, latents)), targets)
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item()
        curve.note(epoch, total / len(loader), measure_now)


def autoencoder(options: argparse.Namespace, epochs: int, seed: int, curve: Curve) -> None:
    """An `Autoencoder` along its training.

    Its codes are the candidates from which our inference starts, as for any decoder: it is
    measured at the latents that suit its decoder best, not at the encoder's.
    """
    from autodecoder.data import load_dataset

    dataset = load_dataset(options.dataset, data_dir=options.data_dir)
    images = np.asarray(dataset.train.flat)

    def note(epoch: int, trained: Autoencoder, loss: float) -> None:
        def measure_now() -> float:
            return _fresh(trained.model(images), dataset, seed)

        curve.note(epoch, loss, measure_now)

    train_autoencoder(
        *(images, dataset.image_shape, options.arch, options.latent_dims, epochs, seed), note
    )


class Autoencoder(NamedTuple):
    """A decoder with an encoder of the mirrored widths in front."""

    encoder: Any
    """Pairs of weights and biases."""
    decoder: Any
    image_shape: tuple[int, int, int]

    def codes(self, images: np.ndarray) -> np.ndarray:
        """Of rows of pixels from 0 to 255."""
        parts = np.array_split(images, max(1, len(images) // 1000))
        return np.concatenate([np.asarray(_codes(self.encoder, part)) for part in parts])

    def model(self, images: np.ndarray):
        """The decoder with the codes of some images as its latents."""
        import autodecoder as ad

        codes = self.codes(images)
        return ad.Model(self.decoder, "standard", self.image_shape, codes, codes[:0])


def train_autoencoder(
    images: np.ndarray,
    image_shape: tuple[int, int, int],
    arch: str,
    latent_dims: int,
    epochs: int,
    seed: int,
    note: Callable[[int, Autoencoder, float], None] = lambda *_: None,
) -> Autoencoder:
    """Train an autoencoder on rows of pixels from 0 to 255; Adam with a linear decay.

    `note` is told the epoch, the autoencoder as it is, and the mean training loss.
    """
    import jax
    import jax.numpy as jnp
    import optax

    from autodecoder.core.scaling import scale_pixels

    n, n_pixels = images.shape
    key = jax.random.key(seed)
    widths = (n_pixels, *map(int, reversed(arch.split("-"))), latent_dims)
    keys = jax.random.split(jax.random.fold_in(key, 0), len(widths))
    orthogonal = jax.nn.initializers.orthogonal()
    encoder = [
        (orthogonal(k, (n_in, n_out)), jnp.zeros(n_out))
        for k, (n_in, n_out) in zip(keys, itertools.pairwise(widths), strict=False)
    ]
    drawn = _decoder(arch, latent_dims, image_shape, jax.random.fold_in(key, 1))
    batch = min(BATCH, n)
    n_batches = n // batch
    adam = optax.adam(optax.linear_schedule(RATES["autoencoder"], 0, n_batches * epochs))

    def loss_of(parts, x, key):
        encoder, layers = parts
        outputs = drawn.with_trainable(layers).decode(_encode(encoder, x), key=key)
        return jnp.mean((outputs - x) ** 2)

    @jax.jit
    def one_epoch(parts, state, images, key):
        order = jax.random.permutation(key, n)[: n_batches * batch].reshape(n_batches, batch)

        def step(carry, rows):
            parts, state = carry
            pixels = scale_pixels(images[rows], "standard")
            loss, gradient = jax.value_and_grad(loss_of)(parts, pixels, key)
            updates, state = adam.update(gradient, state)
            return (optax.apply_updates(parts, updates), state), loss

        (parts, state), losses = jax.lax.scan(step, (parts, state), order)
        return parts, state, losses.mean()

    def gather(parts) -> Autoencoder:
        return Autoencoder(parts[0], drawn.with_trainable(parts[1]), image_shape)

    on_device = jnp.asarray(images)
    parts: Any = (encoder, drawn.trainable())
    state = adam.init(parts)
    for epoch in range(1, epochs + 1):
        parts, state, loss = one_epoch(parts, state, on_device, jax.random.fold_in(key, epoch + 1))
        note(epoch, gather(parts), float(loss))
    return gather(parts)


def _encode(encoder, x):
    import jax

    for weight, bias in encoder[:-1]:
        x = jax.nn.leaky_relu(x @ weight + bias, 0.2)
    weight, bias = encoder[-1]
    return x @ weight + bias


def _codes(encoder, images):
    from autodecoder.core.scaling import scale_pixels

    return _encode(encoder, scale_pixels(images, "standard"))


def measure(
    options: argparse.Namespace, arrays: Sequence, latents: np.ndarray, dataset, seed: int
) -> float:
    """Fresh validation of a decoder that comes as weights and biases, by this project's inference.

    Parameters
    ----------
    arrays : sequence of pairs of (n_in, n_out) and (n_out,)
    latents : (n_train, latent_dims)
        Of the training images: from them the inference takes its candidates.
    """
    import jax.numpy as jnp
    from jax import random

    import autodecoder as ad

    drawn = _decoder(options.arch, options.latent_dims, dataset.image_shape, random.key(0))
    layers = tuple(
        layer._replace(weight=jnp.asarray(weight), bias=jnp.asarray(bias))
        for layer, (weight, bias) in zip(drawn.trainable(), arrays, strict=True)
    )
    decoder = drawn.with_trainable(layers)
    model = ad.Model(decoder, "standard", dataset.image_shape, latents, latents[:0])
    return _fresh(model, dataset, seed)


def _fresh(model, dataset, seed: int) -> float:
    return float(model.infer(dataset.val.images, seed=seed).errors.loss.mean())


def _decoder(arch: str, latent_dims: int, image_shape: tuple[int, int, int], key):
    import autodecoder as ad
    from autodecoder.core.decoders import init_decoder

    config = ad.DecoderConfig(arch=arch, latent_dims=latent_dims, batch_norm=False)
    return init_decoder(key, config, image_shape, "tanh")
