"""How the baselines make latents of images."""

import abc
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.compare.encoders import init_encoder
from autodecoder.config import FitConfig, RunConfig
from autodecoder.core.decoders import Decoder, init_decoder
from autodecoder.core.losses import Criterion, criterion_of, reconstruction_loss
from autodecoder.core.scaling import SCALINGS

#: Folded into the key of a step: for the dropout of encoder and decoder, and for drawn latents.
FOR_ENCODER, FOR_DRAWS, FOR_DECODER = 1, 2, 3


class Encoded(NamedTuple):
    """Latents of images, as training sees them."""

    latents: Float[Array, "n dims"]
    divergence: Float[Array, " n"] | None = None
    """Kullback-Leibler divergence of an image's latents from their prior, in nats; `None` if
    latents are points."""


class Coder(eqx.Module):
    """A decoder with what makes latents of images.

    Images are rows in the scaled space. `weights` are those of their pixels, which sum to 1 over an
    image, or `None` if all pixels are known; missing pixels are filled in before.
    """

    decoder: Decoder
    encoder: Decoder | None
    criterion: Criterion = eqx.field(static=True)

    @abc.abstractmethod
    def encode(
        self, images: Float[Array, "n pixels"], weights: Float[Array, "n pixels"] | None
    ) -> Float[Array, "n dims"]:
        """The latents of images, in evaluation mode."""

    @abc.abstractmethod
    def draw(
        self,
        images: Float[Array, "n pixels"],
        weights: Float[Array, "n pixels"] | None,
        key: PRNGKeyArray,
    ) -> Encoded:
        """The latents of images, in training mode."""

    def trainable(self) -> tuple[Any, ...]:
        """The trainable arrays of the decoder, then those of the encoder, if any."""
        encoder = () if self.encoder is None else self.encoder.trainable()
        return (self.decoder.trainable(), encoder)

    def with_trainable(self, parts: tuple[Any, ...]) -> "Coder":
        """A copy with other trainable arrays."""
        encoder = None if self.encoder is None else self.encoder.with_trainable(parts[1])
        return replace(self, decoder=self.decoder.with_trainable(parts[0]), encoder=encoder)

    def step_scales(self, fit: FitConfig) -> tuple[Any, ...]:
        """Factors on the step size, as a prefix of `trainable`."""
        encoder = () if self.encoder is None else tuple(self.encoder.step_scales(fit))
        return (tuple(self.decoder.step_scales(fit)), encoder)

    def calibrate(
        self, images: Float[Array, "m pixels"], weights: Float[Array, "m pixels"] | None
    ) -> "Coder":
        """Estimate the statistics of batch normalisation from a sample of training images."""
        encoder = None if self.encoder is None else self.encoder.calibrate(images)
        coder = replace(self, encoder=encoder)
        return replace(coder, decoder=self.decoder.calibrate(coder.encode(images, weights)))


class Autoencoder(Coder):
    """The encoder's outputs are the latents."""

    def encode(self, images: Array, weights: Array | None) -> Array:
        """See `Coder`."""
        assert self.encoder is not None
        return self.encoder.decode(images)

    def draw(self, images: Array, weights: Array | None, key: PRNGKeyArray) -> Encoded:
        """See `Coder`."""
        assert self.encoder is not None
        return Encoded(self.encoder.decode(images, key=jax.random.fold_in(key, FOR_ENCODER)))


class VariationalAutoencoder(Coder):
    """The encoder's outputs are means and log variances of latents (Kingma & Welling 2014)."""

    def encode(self, images: Array, weights: Array | None) -> Array:
        """The means."""
        assert self.encoder is not None
        return jnp.split(self.encoder.decode(images), 2, axis=1)[0]

    def draw(self, images: Array, weights: Array | None, key: PRNGKeyArray) -> Encoded:
        """See `Coder`; latents are drawn."""
        assert self.encoder is not None
        encoded = self.encoder.decode(images, key=jax.random.fold_in(key, FOR_ENCODER))
        mean, log_variance = jnp.split(encoded, 2, axis=1)
        noise = jax.random.normal(jax.random.fold_in(key, FOR_DRAWS), mean.shape)
        latents = mean + jnp.exp(log_variance / 2) * noise
        variance = jnp.exp(log_variance)
        return Encoded(latents, 0.5 * (variance + mean**2 - 1 - log_variance).sum(axis=1))


class GradientOrigin(Coder):
    """An image's latent is the negative gradient, at the origin, of the decoder's loss, summed over
    the pixels (Bond-Taylor & Willcocks 2021, "Gradient origin networks")."""

    def encode(self, images: Array, weights: Array | None) -> Array:
        """See `Coder`."""
        return self._descend(images, weights, None)

    def draw(self, images: Array, weights: Array | None, key: PRNGKeyArray) -> Encoded:
        """See `Coder`; with the dropout of the step itself."""
        key = jax.random.fold_in(key, FOR_DECODER)
        return Encoded(self._descend(images, weights, key))

    def calibrate(self, images: Array, weights: Array | None) -> "GradientOrigin":
        """See `Coder`; the latents, which depend on the decoder, are those of training."""
        latents = self._descend(images, weights, jax.random.key(0))
        return replace(self, decoder=self.decoder.calibrate(latents))

    def _descend(self, images: Array, weights: Array | None, key: PRNGKeyArray | None) -> Array:
        """One step of gradient descent from the origin."""

        def loss(latents: Array) -> Array:
            outputs = self.decoder.decode(latents, key=key)
            losses = reconstruction_loss(outputs, images, self.criterion, weights)
            return images.shape[1] * losses.sum()

        return -jax.grad(loss)(jnp.zeros((len(images), self.decoder.config.latent_dims)))


class _Kind(NamedTuple):
    make: Callable[..., Coder]
    codes_per_dim: int
    """Outputs of the encoder for each latent dimension; 0 without an encoder."""


CODERS = {
    "ae": _Kind(Autoencoder, 1),
    "vae": _Kind(VariationalAutoencoder, 2),
    "gon": _Kind(GradientOrigin, 0),
}


def init_coder(
    decoder_key: PRNGKeyArray, encoder_key: PRNGKeyArray, kind: str, config: RunConfig
) -> Coder:
    """Draw a coder of one of the `CODERS`, with the decoder of a fit without initial latents."""
    make, codes_per_dim = CODERS[kind]
    spread, activation = config.fit.bias_spread, SCALINGS[config.scaler].output_activation
    decoder = init_decoder(decoder_key, config.decoder, config.image_shape, activation, spread)
    encoder = None
    if codes_per_dim:
        n_codes = codes_per_dim * config.decoder.latent_dims
        encoder = init_encoder(encoder_key, config.decoder, config.image_shape, n_codes, spread)
    return make(decoder, encoder, criterion_of(config))
