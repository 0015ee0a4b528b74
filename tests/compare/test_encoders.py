"""Encoders mirror their decoder."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodecoder import DecoderConfig, parse_arch
from autodecoder.compare.encoders import init_encoder
from autodecoder.config import OWN
from autodecoder.core.decoders.kernels import downsample
from autodecoder.errors import ConfigError

KEY = jax.random.key(0)


def drawn(*args):
    """An encoder that one program draws, not one for each operation."""
    return eqx.filter_jit(init_encoder)(KEY, *args)


@eqx.filter_jit
def codes_of(encoder, images):
    return encoder.decode(images)


def test_downsampling_is_a_convolution() -> None:
    images = jax.random.normal(KEY, (2, 6, 8, 3))
    weight = jax.random.normal(jax.random.key(1), (3, 4, 4, 5))
    found = jax.jit(downsample)(images, weight)
    padded = np.pad(np.asarray(images), ((0, 0), (1, 1), (1, 1), (0, 0)))
    by_hand = np.zeros((2, 3, 4, 5))
    for y in range(3):
        for x in range(4):
            patch = padded[:, 2 * y : 2 * y + 4, 2 * x : 2 * x + 4]
            by_hand[:, y, x] = np.einsum("nabc,cabo->no", patch, np.asarray(weight))
    assert found == pytest.approx(by_hand, abs=1e-4)


@pytest.mark.parametrize(
    ("arch", "shape"),
    [
        ("24-16", (7, 9, 1)),
        pytest.param("conv:8-4", (8, 8, 3), marks=pytest.mark.thorough),
        ("conv:20/16-8", (7, 9, 1)),
        pytest.param("resconv:8-8", (12, 10, 2), marks=pytest.mark.thorough),
    ],
)
def test_codes_of_images(arch: str, shape: tuple[int, int, int]) -> None:
    config = DecoderConfig(arch=parse_arch(arch), latent_dims=3, norm="group", norm_groups=4)
    encoder = drawn(config, shape, 6, 0.5)
    images = jax.random.normal(KEY, (10, int(np.prod(shape))))
    codes = codes_of(encoder, images)
    assert codes.shape == (10, 6)
    alone = codes_of(encoder, images[3:4])
    assert alone[0] == pytest.approx(np.asarray(codes[3]), abs=1e-5)
    assert len(encoder.step_scales(_fit())) == len(encoder.trainable())


def test_every_pixel_counts() -> None:
    """An image larger than the decoder's grids is padded, not cropped."""
    shape = (7, 9, 1)
    encoder = drawn(DecoderConfig(arch=parse_arch("conv:8-4")), shape, 2, 0.0)
    slopes = jax.jit(jax.jacobian(lambda x: encoder.decode(x[None])[0]))(jnp.ones(63) * 0.3)
    assert (np.abs(np.asarray(slopes)).max(axis=0) > 0).all()


def test_variance_is_kept() -> None:
    config = DecoderConfig(arch=parse_arch("conv:32-32-32"))
    encoder = drawn(config, (32, 32, 3), 64, 0.0)
    codes = codes_of(encoder, jax.random.normal(KEY, (64, 3072)))
    assert 0.3 < float(codes.std()) < 3


def test_own_modules_have_no_mirror_image() -> None:
    with pytest.raises(ConfigError, match="must be dense, conv or resconv"):
        init_encoder(KEY, DecoderConfig(arch=OWN), (4, 4, 1), 2, 0.0)


def _fit():
    from autodecoder import FitConfig

    return FitConfig()
