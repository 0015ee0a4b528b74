"""An exported decoder gives in onnxruntime what `Model.decode` gives here."""

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.model.test_files import DIMS, SHAPE, make

import autodecoder
from autodecoder.config import DecoderConfig
from autodecoder.config.parts import ACTIVATIONS, SCALERS
from autodecoder.core.decoders import decode, init_decoder
from autodecoder.core.decoders.layers import ACTIVATIONS as FUNCTIONS
from autodecoder.core.scaling import SCALINGS, to_unit
from autodecoder.errors import ConfigError, OutputError
from autodecoder.model import Model, export_onnx
from autodecoder.model import onnx as exporter
from autodecoder.model.tables import Standardization

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")


def draw_model(
    scaler: str = "standard", image_shape: tuple[int, int, int] = SHAPE, **settings: Any
) -> Model:
    """A model with weights, scales and statistics as a training might leave them: none 0 or 1."""
    config = DecoderConfig(**{"arch": (8, 5), "latent_dims": DIMS, **settings})
    activation = SCALINGS[scaler].output_activation
    like = jax.eval_shape(lambda: init_decoder(jax.random.key(0), config, image_shape, activation))
    rng = np.random.default_rng(1)

    def draw(array: Any) -> jax.Array:
        if array.ndim in (2, 4):
            values = rng.normal(size=array.shape) / math.sqrt(math.prod(array.shape[:-1]))
        else:
            values = rng.uniform(0.5, 1.5, array.shape)
        return jnp.asarray(values, jnp.float32)

    decoder = jax.tree.map(draw, like)
    if scaler == "identity":  # so that pixels lie between the ends of their range
        last = decoder.trainable()[-1]
        layers = (*decoder.trainable()[:-1], last._replace(weight=100 * last.weight))
        decoder = decoder.with_trainable(layers)
    latents = np.zeros((1, config.latent_dims), np.float32)
    return Model(decoder, scaler, image_shape, latents, latents)


def run(path: Path, latents: np.ndarray, output: str = "images") -> np.ndarray:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (images,) = session.run([output], {"latents": latents})
    return images


def test_every_activation_can_be_written() -> None:
    assert exporter._ACTIVATIONS.keys() == FUNCTIONS.keys()
    assert set(ACTIVATIONS) <= exporter._ACTIVATIONS.keys()


@pytest.mark.parametrize(
    "use_bias", [True, pytest.param(False, marks=pytest.mark.thorough)], ids=["bias", "no bias"]
)
@pytest.mark.parametrize(
    "batch_norm", [True, pytest.param(False, marks=pytest.mark.thorough)], ids=["norm", "no norm"]
)
@pytest.mark.parametrize(
    ("activation", "scaler"),
    [
        pytest.param(
            activation,
            scaler,
            marks=[] if scaler == "standard" or activation == "gelu" else pytest.mark.thorough,
        )
        for activation in ACTIVATIONS
        for scaler in SCALERS
    ],
)
def test_it_decodes_as_decoder_and_scaling_do(
    activation: str, scaler: str, batch_norm: bool, use_bias: bool, tmp_path: Path
) -> None:
    settings = {"activation": activation, "batch_norm": batch_norm, "use_bias": use_bias}
    model = draw_model(scaler, **settings)
    export_onnx(model, tmp_path / "decoder.onnx")
    latents = np.random.default_rng(2).normal(scale=3, size=(7, DIMS)).astype(np.float32)
    # What `Model.decode` compiles, here operation by operation: compiling each would take a minute.
    outputs = to_unit(decode(model.decoder, jnp.asarray(latents)), scaler)
    expected = np.asarray(outputs).reshape(-1, *SHAPE)
    assert ((expected > 0) & (expected < 1)).any()
    for n in (7, 1, 0):
        images = run(tmp_path / "decoder.onnx", latents[:n])
        assert images.dtype == np.float32
        assert images.shape == (n, *SHAPE)
        np.testing.assert_allclose(images, expected[:n], rtol=0, atol=1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_decodes_as_the_model_does(activation: str, tmp_path: Path) -> None:
    model = draw_model(activation=activation)
    export_onnx(model, tmp_path / "decoder.onnx")
    latents = np.random.default_rng(3).normal(size=(7, DIMS)).astype(np.float32)
    for n in (7, 1, 0):
        expected = model.decode(latents[:n])
        images = run(tmp_path / "decoder.onnx", latents[:n])
        assert (images.dtype, images.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(images, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm", ["none", "group", "batch"])
@pytest.mark.parametrize(
    ("arch", "image_shape"),
    [
        ((8, 4), SHAPE),
        ("conv:8", (2, 2, 1)),
        ("conv:12/16-8-4", (11, 16, 3)),
        ("resconv:8-4", (7, 5, 1)),
    ],
)
def test_so_it_does_for_every_kind(
    arch: Any, image_shape: tuple[int, int, int], norm: str, tmp_path: Path
) -> None:
    settings = {"arch": arch, "norm": norm, "norm_groups": 4, "activation": "gelu"}
    model = draw_model(image_shape=image_shape, **settings)
    export_onnx(model, tmp_path / "decoder.onnx")
    latents = np.random.default_rng(3).normal(size=(7, DIMS)).astype(np.float32)
    for n in (7, 1):
        expected = model.decode(latents[:n])
        images = run(tmp_path / "decoder.onnx", latents[:n])
        assert (images.dtype, images.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(images, expected, rtol=0, atol=1e-4)


def test_features_come_in_their_own_units(tmp_path: Path) -> None:
    by = Standardization(np.array([1e6, -3.0, 0.0]), np.array([2.0, 1e-3, 500.0]))
    model = draw_model("standardize", (1, 3, 1))
    model = replace(model, standardization=by)
    export_onnx(model, tmp_path / "decoder.onnx")
    latents = np.random.default_rng(3).normal(size=(7, DIMS)).astype(np.float32)
    for n in (7, 0):
        expected = model.decode(latents[:n])
        features = run(tmp_path / "decoder.onnx", latents[:n], "features")
        assert (features.dtype, features.shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(features, expected, rtol=1e-5, atol=1e-4)


def test_a_large_decoder_of_coloured_images(tmp_path: Path) -> None:
    widths = {"arch": (256, 512, 1024), "latent_dims": 16}
    large = draw_model("zero_one", (32, 24, 3), activation="gelu", **widths)
    export_onnx(large, str(tmp_path / "decoder.onnx"))
    latents = np.random.default_rng(4).normal(size=(300, 16)).astype(np.float32)
    images = run(tmp_path / "decoder.onnx", latents)
    expected = large.decode(latents)
    assert expected.std() > 0.05
    np.testing.assert_allclose(images, expected, rtol=0, atol=1e-5)


def test_the_file_tells_what_it_is(tmp_path: Path) -> None:
    export_onnx(make(), tmp_path / "decoder.onnx")
    built = onnx.load(tmp_path / "decoder.onnx")
    about = {prop.key: prop.value for prop in built.metadata_props}
    assert json.loads(about.pop("image_shape")) == list(SHAPE)
    assert about == {
        "latent_dims": str(DIMS),
        "scaler": "standard",
        "autodecoder": autodecoder.__version__,
    }
    session = runtime.InferenceSession(tmp_path / "decoder.onnx")
    (given,), (returned,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape) == ("latents", "tensor(float)", ["n", DIMS])
    assert (returned.name, returned.shape) == ("images", ["n", *SHAPE])


def test_the_same_model_gives_the_same_file(tmp_path: Path) -> None:
    for name in ("one", "other"):
        export_onnx(make(), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


def test_a_file_that_exists_is_replaced_and_a_folder_is_not(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("old")
    export_onnx(make(), tmp_path / "old")
    assert run(tmp_path / "old", np.zeros((2, DIMS), np.float32)).shape == (2, *SHAPE)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder cannot be written: Is a directory"):
        export_onnx(make(), tmp_path / "folder")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "old"]


def test_a_decoder_larger_than_the_format_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "_MOST_BYTES", 100)
    with pytest.raises(ConfigError, match=r"at most 100 bytes of weights, the decoder has \d+"):
        export_onnx(make(), tmp_path / "decoder.onnx")
    assert list(tmp_path.iterdir()) == []


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ConfigError, match=r"pip install 'autodecoder\[onnx\]' brings it\.$"):
        export_onnx(make(), tmp_path / "decoder.onnx")
