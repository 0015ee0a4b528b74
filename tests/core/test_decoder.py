"""The decoder: activations and modes against hand-computed values."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodecoder.config import ACTIVATIONS, DecoderConfig
from autodecoder.core.decoders import decode, init_decoder
from autodecoder.core.decoders.dense import DenseDecoder
from autodecoder.core.decoders.layers import ACTIVATIONS as FUNCTIONS

KEY = jax.random.key(0)
init = jax.jit(init_decoder, static_argnums=(1, 2, 3), static_argnames="bias_spread")
decode_in_training = jax.jit(lambda decoder, latents: decoder.decode(latents, key=KEY))
calibrate = jax.jit(lambda decoder, latents: decoder.calibrate(latents))


def normals(n: int, dims: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dims)).astype(np.float32)


def make(arch=(16, 32), dims=3, output="tanh", n_pixels=10, **options):
    config = DecoderConfig(arch=arch, latent_dims=dims, **options)
    decoder = init(KEY, config, (1, n_pixels, 1), output)
    assert isinstance(decoder, DenseDecoder)
    return decoder


@pytest.mark.parametrize(
    ("name", "at_minus_one", "at_two"),
    [
        ("relu", 0.0, 2.0),
        ("leaky_relu", -0.2, 2.0),
        ("elu", math.exp(-1) - 1, 2.0),
        ("selu", 1.0507009873554805 * 1.6732632423543772 * (math.exp(-1) - 1), 2.101401974710961),
        ("gelu", -0.5 * (1 + math.erf(-1 / math.sqrt(2))), 1 + math.erf(2 / math.sqrt(2))),
        ("tanh", math.tanh(-1), math.tanh(2)),
        ("sigmoid", 1 / (1 + math.e), 1 / (1 + math.exp(-2))),
        ("softplus", math.log1p(math.exp(-1)), math.log1p(math.exp(2))),
        ("swish", -1 / (1 + math.e), 2 / (1 + math.exp(-2))),
        ("silu", -1 / (1 + math.e), 2 / (1 + math.exp(-2))),
        (
            "mish",
            -math.tanh(math.log1p(math.exp(-1))),
            2 * math.tanh(math.log1p(math.exp(2))),
        ),
    ],
)
def test_activations_are_those_of_keras(name: str, at_minus_one: float, at_two: float) -> None:
    assert name in ACTIVATIONS
    np.testing.assert_allclose(
        FUNCTIONS[name](jnp.array([-1.0, 2.0])), [at_minus_one, at_two], rtol=1e-6
    )


def test_every_activation_is_there() -> None:
    assert set(FUNCTIONS) == {*ACTIVATIONS, "linear"}


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("use_bias", [False, True])
def test_layers_have_the_configured_arrays(batch_norm: bool, use_bias: bool) -> None:
    decoder = make(batch_norm=batch_norm, use_bias=use_bias)
    assert [layer.weight.shape for layer in decoder.trainable()] == [(3, 16), (16, 32), (32, 10)]
    assert all((layer.bias is not None) == use_bias for layer in decoder.trainable())
    norms = [layer.norm_scale is not None for layer in decoder.trainable()]
    assert norms == [batch_norm] * 2 + [False]
    assert len(decoder.statistics) == (2 if batch_norm else 0)


def test_kernels_are_orthogonal() -> None:
    for layer in make().trainable():
        weight = np.asarray(layer.weight)
        weight = weight if weight.shape[0] < weight.shape[1] else weight.T
        np.testing.assert_allclose(weight @ weight.T, np.eye(len(weight)), atol=1e-5)


def test_output_equals_the_formula() -> None:
    decoder = make(arch=(4,), batch_norm=False, activation="leaky_relu")
    z = np.array([[0.5, -1.0, 2.0]], np.float32)
    hidden = z @ np.asarray(decoder.trainable()[0].weight)
    hidden = np.where(hidden > 0, hidden, 0.2 * hidden)
    expected = np.tanh(hidden @ np.asarray(decoder.trainable()[1].weight))
    np.testing.assert_allclose(decode(decoder, jnp.asarray(z)), expected, atol=1e-6)


@pytest.mark.parametrize(("output", "low", "high"), [("tanh", -1, 1), ("sigmoid", 0, 1)])
def test_output_covers_the_range_of_its_scaling(output: str, low: float, high: float) -> None:
    latents = jnp.asarray(100 * normals(50))
    outputs = decode(make(output=output, batch_norm=False), latents)
    assert low <= outputs.min() < low + 0.1
    assert high - 0.1 < outputs.max() <= high


def test_linear_output_is_unbounded() -> None:
    latents = jnp.asarray(100 * normals(50))
    assert decode(make(output="linear", batch_norm=False), latents).max() > 10


def test_training_mode_normalises_by_the_batch() -> None:
    decoder = make(arch=(6,), dims=6, output="linear", n_pixels=6, batch_norm=True)
    latents = 5 + 3 * normals(400, 6)
    hidden = latents @ np.asarray(decoder.trainable()[0].weight)
    normalised = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-3)
    activated = np.where(normalised > 0, normalised, 0.2 * normalised)
    expected = activated @ np.asarray(decoder.trainable()[1].weight)
    np.testing.assert_allclose(decode_in_training(decoder, latents), expected, atol=1e-4)


def test_estimated_statistics_make_evaluation_equal_training() -> None:
    decoder = make(batch_norm=True)
    latents = jnp.asarray(2 + np.float32(0.1) * normals(200))
    training = np.asarray(decode_in_training(decoder, latents))
    assert np.abs(np.asarray(decode(decoder, latents)) - training).max() > 0.1
    estimated = calibrate(decoder, latents)
    np.testing.assert_allclose(decode(estimated, latents), training, atol=1e-5)


def test_evaluation_treats_rows_on_their_own() -> None:
    drawn = make(dropout_rate=0.5, batch_norm=True)
    decoder = calibrate(drawn, normals(64))
    latents = normals(9, seed=1)
    one_by_one = np.concatenate([decode(decoder, jnp.asarray(z[None])) for z in latents])
    np.testing.assert_allclose(decode(decoder, jnp.asarray(latents)), one_by_one, atol=1e-6)


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    decoder = make(arch=(2000,), batch_norm=False, activation="relu", dropout_rate=0.3)
    spread = jnp.asarray(np.full((2000, 1), 1 / 2000, np.float32))
    probe = decoder.trainable()[-1]._replace(weight=spread, bias=None)
    ones = decoder.trainable()[0]._replace(weight=jnp.asarray(np.ones((3, 2000), np.float32)))
    decoder = replace(decoder, layers=(ones, probe), output_activation="linear")
    latents = jnp.asarray(np.full((50, 3), 1 / 3, np.float32))
    outputs = np.asarray(decode_in_training(decoder, latents))
    assert outputs.std() > 0
    np.testing.assert_allclose(outputs.mean(), 1.0, atol=0.01)
    np.testing.assert_allclose(decode(decoder, latents), 1.0, atol=1e-5)


def test_biases_spread_by_the_root_of_the_inputs() -> None:
    config = DecoderConfig(arch=(400, 300), latent_dims=4, batch_norm=False)
    drawn = init(KEY, config, (1, 6, 1), "tanh")
    spread = init(KEY, config, (1, 6, 1), "tanh", bias_spread=2.0)
    for layer, reach in zip(spread.trainable(), (1, 0.1), strict=False):
        assert layer.bias is not None
        bias = np.asarray(layer.bias)
        assert 0.95 * reach < np.abs(bias).max() <= reach
        assert abs(float(bias.mean())) < 0.1 * reach
    np.testing.assert_array_equal(spread.trainable()[-1].bias, 0)
    for old, new in zip(drawn.trainable(), spread.trainable(), strict=True):
        np.testing.assert_array_equal(old.weight, new.weight)
    config = replace(config, use_bias=False)
    without = init(KEY, config, (1, 6, 1), "tanh", bias_spread=2.0)
    assert without.trainable()[0].bias is None
