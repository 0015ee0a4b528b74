"""A decoder of another kind: from coordinates to colours, at any resolution.

    python examples/coordinates.py

A coordinate network tells the colour of one place of an image from the place and the image's
latent. It is an equinox module, given to `fit_model`; it is trained on 8 × 8 digits, and draws them
with 32 × 32 pixels too.
"""

import os
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

import autodecoder as ad


class Coordinates(eqx.Module):
    """Fourier features of a place and a latent, through a network, to a grey value.

    References
    ----------
    Tancik et al. 2020 (Fourier features); Park et al. 2019 (DeepSDF) for the latent beside them.
    """

    of_place: jax.Array
    of_latent: jax.Array
    hidden: jax.Array
    last: jax.Array
    biases: jax.Array
    frequencies: np.ndarray  # an array of NumPy is not trained
    side: int = eqx.field(static=True)

    def __init__(self, side: int, latent_dims: int, width: int = 64, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)

        def draw(n_in: int, n_out: int) -> jax.Array:
            return jnp.asarray(rng.normal(0, n_in**-0.5, (n_in, n_out)), jnp.float32)

        self.frequencies = rng.normal(0, 0.5, (2, 32))
        self.of_place = draw(64, width)
        self.of_latent = draw(latent_dims, width)
        self.hidden = draw(width, width)
        self.last = draw(width, 1)
        self.biases = jnp.zeros((2, width))
        self.side = side

    def __call__(self, latents: jax.Array, side: int | None = None) -> jax.Array:
        """Latents `(n, latent_dims)` to images `(n, side²)` from -1 to 1."""
        side = side or self.side
        line = (jnp.arange(side) + 0.5) / side * 2 - 1
        places = jnp.stack(jnp.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
        waves = 2 * jnp.pi * places @ self.frequencies
        features = jnp.concatenate([jnp.sin(waves), jnp.cos(waves)], axis=1)
        first = (features @ self.of_place)[None] + (latents @ self.of_latent)[:, None]
        second = jax.nn.gelu(first + self.biases[0]) @ self.hidden + self.biases[1]
        return jnp.tanh(jax.nn.gelu(second) @ self.last)[..., 0]


def main() -> None:
    digits = ad.load_dataset("digits")
    epochs = int(os.environ.get("AUTODECODER_DEMO_EPOCHS", "60"))
    fit = ad.fit_config("fast", num_epochs=epochs)
    kinds = {
        "coordinates": (Coordinates(side=8, latent_dims=8), 8),
        "dense": (ad.DecoderConfig(arch=(64, 64), latent_dims=8), None),
    }
    models = {}
    for name, (decoder, dims) in kinds.items():
        models[name] = ad.fit_model(
            digits.train.images, decoder=decoder, latent_dims=dims, fit=fit, learning_rate=5e-3
        )
        error = models[name].infer(digits.val.images).errors.loss.mean()
        print(f"{name}: error of unseen digits {error:.4f}")

    model = models["coordinates"]
    ad.save_model(model, "coordinates")
    again = ad.load_model("coordinates", decoder=Coordinates(side=8, latent_dims=8, seed=1))
    gap = np.abs(again.decode(model.latents[:9]) - model.decode(model.latents[:9])).max()
    print(f"saved and loaded: {gap:.1e} apart")

    decoder: Any = again.decoder
    network = decoder.module  # the module, with the arrays of the file
    small, large = (np.asarray(network(model.latents[:9], side)) for side in (8, 32))
    rows = [pixels.reshape(9, side, side) for pixels, side in ((small, 8), (large, 32))]
    rows[0] = rows[0].repeat(4, axis=1).repeat(4, axis=2)
    sheet = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    Image.fromarray(((sheet + 1) * 127.5).astype(np.uint8)).save("coordinates.png")
    print(f"{Path('coordinates.png')}: nine digits of 8 × 8 pixels, and below with 32 × 32")


if __name__ == "__main__":
    main()
