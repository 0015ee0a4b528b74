"""Kinds of decoders: convolutions against XLA's own, and what the contract promises of each."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodecoder.config import KINDS, DecoderConfig, fit_config
from autodecoder.core.decoders import Decoder, decode, init_decoder, kernels, part_names
from autodecoder.core.decoders.layers import ACTIVATIONS, Mode, finish
from autodecoder.core.decoders.operators import count_multiplications
from autodecoder.errors import ConfigError

KEY = jax.random.key(0)
#: Architecture, image and normalisation.
CASES: list[Any] = [
    ((16, 8), (5, 3, 1), "group"),
    ("conv:16-8", (9, 6, 3), "none"),
    pytest.param("conv:24/16-8", (7, 12, 4), "batch", marks=pytest.mark.thorough),
    ("resconv:8/16-8", (8, 4, 1), "group"),
    pytest.param("resconv:8", (3, 4, 3), "batch", marks=pytest.mark.thorough),
]
every_kind = pytest.mark.parametrize(("arch", "shape", "norm"), CASES)


def make(arch: Any, shape: tuple[int, int, int], norm: str = "none", **options: Any) -> Decoder:
    config = DecoderConfig(arch=arch, latent_dims=3, norm=norm, norm_groups=4, **options)
    # As one program: each operation by itself takes longer to compile.
    return jax.jit(lambda key: init_decoder(key, config, shape, "tanh", bias_spread=0.5))(KEY)


calibrated = jax.jit(lambda decoder, latents: decoder.calibrate(latents))


def moved(decoder: Decoder) -> Decoder:
    """With other numbers in the place of every array, as a training leaves them."""
    parts, structure = jax.tree.flatten(decoder.trainable())
    rng = np.random.default_rng(1)
    parts = [
        jnp.asarray(np.asarray(a) + 0.2 * rng.normal(size=a.shape), jnp.float32) for a in parts
    ]
    return decoder.with_trainable(jax.tree.unflatten(structure, parts))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 5), (3, 2)])
@pytest.mark.parametrize("name", ["upsample", "convolve"])
def test_products_and_shifted_sums_are_the_convolutions_of_xla(
    name: str, height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(2, height, width, 6)).astype(np.float32)
    side = 4 if name == "upsample" else 3
    weight = rng.normal(size=(6, side, side, 5)).astype(np.float32)
    function = getattr(kernels, name)

    def both(images: Any, weight: Any) -> Any:
        value, back = jax.vjp(function, images, weight)
        return value, back(jnp.cos(value))

    ours = jax.jit(both)(images, weight)
    monkeypatch.setattr(kernels, "_native", lambda: True)
    for found, wanted in zip(
        jax.tree.leaves(ours), jax.tree.leaves(jax.jit(both)(images, weight)), strict=True
    ):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@every_kind
def test_what_every_decoder_promises(arch: Any, shape: tuple[int, int, int], norm: str) -> None:
    decoder = moved(make(arch, shape, norm, dropout_rate=0.3))
    latents = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    decoder = calibrated(decoder, latents)
    assert decoder.n_outputs == math.prod(shape)
    outputs = np.asarray(decode(decoder, jnp.asarray(latents)))
    assert outputs.shape == (40, decoder.n_outputs)
    assert outputs.std() > 0.05
    one_by_one = np.concatenate([decode(decoder, jnp.asarray(z[None])) for z in latents[:3]])
    np.testing.assert_allclose(outputs[:3], one_by_one, atol=1e-5)
    training = jax.jit(lambda z: decoder.decode(z, key=KEY))(latents)
    assert np.abs(np.asarray(training) - outputs).max() > 0.01, "dropout"
    parts = decoder.trainable()
    assert len(parts) == len(part_names(decoder))
    scales = decoder.step_scales(fit_config("fast", base_width=4))
    jax.tree.map(lambda scale, part: None, tuple(scales), parts)  # the one is the top of the other
    assert 0 < min(jax.tree.leaves(scales)) < 1


@pytest.mark.slow
@every_kind
def test_a_gradient_reaches_every_array(arch: Any, shape: tuple[int, int, int], norm: str) -> None:
    decoder = moved(make(arch, shape, norm))
    latents = jax.random.normal(KEY, (8, 3))

    def loss(parts: Any) -> Any:
        return jnp.sum(jnp.sin(decoder.with_trainable(parts).decode(latents, key=KEY)))

    for gradient in jax.tree.leaves(jax.jit(jax.grad(loss))(decoder.trainable())):
        assert jnp.abs(gradient).max() > 0


def test_calibration_makes_evaluation_equal_training() -> None:
    decoder = moved(make("resconv:8-8", (6, 6, 1), "batch"))
    latents = jnp.asarray(2 + np.random.default_rng(0).normal(size=(50, 3)), jnp.float32)
    training = np.asarray(jax.jit(lambda z: decoder.decode(z, key=KEY))(latents))
    assert np.abs(np.asarray(decode(decoder, latents)) - training).max() > 0.1
    np.testing.assert_allclose(decode(calibrated(decoder, latents), latents), training, atol=1e-4)


def test_group_normalisation_is_that_of_each_image() -> None:
    decoder = make("conv:8", (2, 2, 1), "group", activation="relu", use_bias=False)
    grid = np.random.default_rng(0).normal(3, 2, (2, 4, 5, 8)).astype(np.float32)
    layer = decoder.trainable()[0]._replace(norm_scale=jnp.full(8, 2.0), norm_offset=jnp.ones(8))
    mode = Mode(decoder.config, None, batch_statistics=False)
    found, _ = jax.jit(lambda grid: finish(layer, grid, None, mode, 0))(jnp.asarray(grid))
    grouped = grid.reshape(2, 20, 4, 2)
    centred = grouped - grouped.mean((1, 3), keepdims=True)
    wanted = centred / np.sqrt((centred**2).mean((1, 3), keepdims=True) + 1e-3)
    np.testing.assert_allclose(found, np.maximum(2 * wanted.reshape(grid.shape) + 1, 0), atol=1e-4)


def test_residual_blocks_start_as_if_they_were_not_there() -> None:
    latents = jax.random.normal(KEY, (5, 3))
    plain, blocks = (make(f"{kind}:16-8", (9, 6, 3)) for kind in ("conv", "resconv"))
    np.testing.assert_allclose(decode(plain, latents), decode(blocks, latents), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "activation"), [(16, "gelu"), (256, "gelu"), (64, "relu")])
def test_variance_is_kept_from_the_latents_to_the_image(width: int, activation: str) -> None:
    """Whatever the width; before each activation, and before that of the output."""
    arch = f"resconv:{width}/{width}-{width}"
    config = DecoderConfig(arch=arch, latent_dims=8, activation=activation)
    decoder: Any = init_decoder(KEY, config, (32, 32, 3), "linear", latent_spread=3.0)

    @jax.jit
    def spreads(latents: Any) -> list[Any]:
        """Of every layer, the second of each residual block left out: it starts at zero."""
        hidden, found = latents, []
        for k, layer in enumerate(decoder.layers):
            outputs = decoder._apply(k, layer, hidden)
            found.append(outputs.std())
            hidden = ACTIVATIONS[activation](outputs)
            if block := decoder._block(k):
                found.append(kernels.convolve(hidden, block[0].weight).std())
        return found

    for spread in spreads(3 * jax.random.normal(KEY, (64, 8))):
        assert 0.5 < spread < 2


def test_steps_are_smaller_the_more_inputs_an_output_has() -> None:
    """Of a transposed convolution 4 of the 16 taps touch an output, of a 3 × 3 one all 9."""
    config = DecoderConfig(arch="resconv:8/16-8", latent_dims=3)
    decoder = jax.eval_shape(lambda: init_decoder(KEY, config, (8, 4, 1), "tanh"))
    stem, grid, doubled, output = decoder.step_scales(fit_config("fast", base_width=4))
    assert (stem, grid.layer, doubled.layer, output) == (1, 4 / 8, 4 / (4 * 16), 4 / (4 * 8))
    assert (grid.block, doubled.block) == ((4 / (9 * 16),) * 2, (4 / (9 * 8),) * 2)


def test_images_start_without_a_pattern_of_squares() -> None:
    """What is even stays even, at all four phases of a doubling."""
    weight = make("conv:32-16", (16, 16, 1)).trainable()[1].weight
    whole = jax.jit(kernels.upsample)(np.ones((1, 4, 4, 32), np.float32), weight)
    doubled = np.asarray(whole)[0, 1:-1, 1:-1]
    assert doubled.std() > 0.1, "channels differ"
    np.testing.assert_allclose(doubled, np.broadcast_to(doubled[0, 0], doubled.shape), atol=1e-5)


@pytest.mark.parametrize(
    ("arch", "shape", "message"),
    [
        (
            "conv:8-8-8",
            (4, 3, 1),
            "arch conv:8-8-8 doubles a grid 3 times, too often .* name 2 widths at most",
        ),
        ("conv:8-8", (1, 2, 1), "too often for images of 1 × 2: name 1 width at most"),
        ("conv:8", (1, 1, 1), "doubles a grid 1 time, .* use a dense arch"),
    ],
)
def test_a_grid_is_not_doubled_beyond_the_image(
    arch: str, shape: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make(arch, shape)


def test_what_decoding_costs() -> None:
    dense = make((16, 8), (5, 3, 1)).operators()
    assert dense is not None
    assert count_multiplications(dense) == 3 * 16 + 16 * 8 + 8 * 15
    grid = make("resconv:16-8", (8, 8, 1)).operators()
    assert grid is not None
    blocks = 2 * 9 * (4 * 16 * 16 + 16 * 8 * 8)
    layers = 3 * 4 * 16 + 16 * (4 * 16 * 8 + 16 * 8 * 1)
    assert count_multiplications(grid) == blocks + layers


def test_every_kind_has_a_module() -> None:
    assert set(KINDS) == {"dense", "conv", "resconv"}
