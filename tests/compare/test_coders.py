"""How baselines make latents, and their training."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.compare.builders import DECODER, quick, some_digits

from autodecoder import DecoderConfig, parse_arch
from autodecoder.compare.coders import Coder, init_coder
from autodecoder.compare.training import begin_training, mean_divergence, train_until
from autodecoder.config import RunConfig
from autodecoder.core.decoders.dense import DenseDecoder
from autodecoder.core.scaling import scale_pixels

KEY = jax.random.key(0)
DIGITS = some_digits()
IMAGES = jnp.asarray(DIGITS.train.flat)
SCALED = scale_pixels(IMAGES[:20], "standard")
#: The same for all, so that one program trains them.
EPOCHS = 15


def config(decoder: DecoderConfig = DECODER) -> RunConfig:
    return RunConfig(decoder, quick(num_epochs=EPOCHS), "standard", (8, 8, 1))


def trained(kind: str, run: RunConfig, rate: float = 1e-2, mask=None, epochs: int = EPOCHS):
    state = jax.jit(begin_training, static_argnames=("kind", "config"))(KEY, kind, run)
    state = train_until(state, IMAGES, mask, jnp.float32(rate), epochs, run)
    return state.coder, np.asarray(state.losses)[:epochs].tolist()


@eqx.filter_jit
def back_and_forth(coder: Coder, targets: jax.Array) -> jax.Array:
    return coder.decoder.decode(coder.encode(targets, None))


@pytest.mark.parametrize(
    ("arch", "kind"),
    [
        *(("16", kind) for kind in ("ae", "vae", "gon")),
        ("conv:8-4", "ae"),
        pytest.param("conv:8-4", "vae", marks=pytest.mark.thorough),
        ("conv:8-4", "gon"),
    ],
)
def test_the_loss_falls(kind: str, arch: str) -> None:
    run = config(DecoderConfig(arch=parse_arch(arch)))
    coder, losses = trained(kind, run)
    assert losses[-1] < 0.8 * losses[0]
    outputs = back_and_forth(coder, SCALED)
    assert float(jnp.mean((outputs - SCALED) ** 2)) < losses[0]


def test_divergence_by_hand() -> None:
    coder = init_coder(KEY, jax.random.key(1), "vae", config())
    codes = coder.draw(SCALED, None, KEY)
    assert coder.encoder is not None
    encoded = np.asarray(coder.encoder.decode(SCALED, key=KEY), np.float64)
    mean, variance = encoded[:, :2], np.exp(encoded[:, 2:])
    by_hand = 0.5 * (variance + mean**2 - 1 - np.log(variance)).sum(axis=1)
    assert codes.divergence == pytest.approx(by_hand, rel=1e-4)
    # Draws have the mean and the variance that the encoder says.
    keys = jax.random.split(KEY, 600)
    draws = np.asarray(jax.jit(jax.vmap(lambda key: coder.draw(SCALED, None, key).latents))(keys))
    assert draws.mean(axis=0) == pytest.approx(mean, abs=0.25)
    assert draws.var(axis=0) == pytest.approx(variance, rel=0.35)
    assert coder.encode(SCALED, None) == pytest.approx(mean, abs=1e-5)


def test_the_divergence_counts_once_for_each_image() -> None:
    divergence = jnp.array([1.0, 3.0, 100.0])
    # The second image shows half of its pixels, and the third only fills up the batch.
    found = mean_divergence(divergence, jnp.array([1.0, 1.0, 0.0]), jnp.array([1.0, 0.5, 0.0]))
    assert float(found) == pytest.approx(4 / 1.5)


def test_a_divergence_keeps_codes_near_the_origin() -> None:
    run = config()
    plain, variational = (trained(kind, run)[0].encode(SCALED, None) for kind in ("ae", "vae"))
    assert float(jnp.abs(variational).mean()) < float(jnp.abs(plain).mean())
    assert float(variational.std()) < 1.5


def test_gradient_origin_by_differences() -> None:
    run = config(DecoderConfig(arch=(16,), activation="swish"))
    coder = init_coder(KEY, KEY, "gon", run)
    found = eqx.filter_jit(coder.encode)(SCALED[:1], None)[0]

    def loss(latent: np.ndarray) -> float:
        made = coder.decoder.decode(jnp.asarray(latent, jnp.float32)[None])
        return float(jnp.sum((made - SCALED[:1]) ** 2))

    step = 1e-2
    for k in range(2):
        ahead = np.eye(2)[k] * step
        slope = (loss(ahead) - loss(-ahead)) / (2 * step)
        assert found[k] == pytest.approx(-slope, rel=2e-2, abs=0.05)


def test_missing_pixels_do_not_count() -> None:
    mask = np.ones(IMAGES.shape, bool)
    mask[:, ::2] = False
    run = config()
    coder, losses = trained("ae", run, mask=jnp.asarray(mask), epochs=2)
    # The loss of an epoch is that of the known pixels: other targets at missing ones change the
    # encoder's input only, so fill them alike and change nothing.
    weights = jnp.asarray(mask[:20]) / mask[:20].sum(axis=1, keepdims=True)
    codes = coder.draw(SCALED, weights, KEY).latents
    grads = jax.grad(
        lambda targets: jnp.sum(weights * (coder.decoder.decode(codes) - targets) ** 2)
    )(SCALED)
    assert (np.asarray(grads)[:, ::2] == 0).all()
    assert np.isfinite(losses).all()
    full = trained("ae", run, mask=jnp.ones(IMAGES.shape, bool), epochs=2)[1]
    none = trained("ae", run, epochs=2)[1]
    assert full == pytest.approx(none, rel=1e-4)
    assert losses[0] != pytest.approx(none[0], rel=1e-3)


def test_batch_norm_is_calibrated() -> None:
    run = config(replace(DECODER, batch_norm=True))
    coder, losses = trained("ae", run)
    outputs = back_and_forth(coder, scale_pixels(IMAGES, "standard"))
    error = float(jnp.mean((outputs - scale_pixels(IMAGES, "standard")) ** 2))
    assert error < 1.3 * losses[-1]
    assert isinstance(coder.encoder, DenseDecoder)
    assert float(jnp.abs(coder.encoder.statistics[0].mean).max()) > 0


def test_same_seed_same_bits() -> None:
    run = config()
    assert trained("vae", run, epochs=2)[1] == trained("vae", run, epochs=2)[1]
