"""A decoder of one's own: the coordinate network of the examples, through everything there is."""

import importlib.util
import inspect
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.base import clone
from tests.model.test_files import make

from autodecoder import (
    AutoDecoder,
    DecoderConfig,
    InferConfig,
    Model,
    StudyConfig,
    export_onnx,
    fit_config,
    fit_model,
    load_dataset,
    load_model,
    save_model,
)
from autodecoder.cli import main
from autodecoder.config import OWN
from autodecoder.core.decoders import own_decoder
from autodecoder.errors import ConfigError, DataError
from autodecoder.explorer import Explorer
from autodecoder.report import write_model_page
from autodecoder.report.tensorboard import _decoder_histograms

EXAMPLE = Path(__file__).parents[2] / "examples" / "coordinates.py"
KEY = jax.random.key(0)
FIT = fit_config("fast", num_epochs=4, batch_size=50)


def coordinates(**options: Any) -> Any:
    """The module of the example."""
    spec = importlib.util.spec_from_file_location("coordinates", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    return example.Coordinates(**{"side": 8, "latent_dims": 3, "width": 16, **options})


class Linear(eqx.Module):
    """Latents of 3 to 4 values, and what can be wrong with that."""

    weight: Any
    wrong: str = eqx.field(default="", static=True)
    offset: Any = 0.0

    def __call__(self, latents: Any, key: Any = None) -> Any:
        if key is not None:
            latents = latents * jax.random.bernoulli(key, 0.5, latents.shape)
        outputs = latents @ self.weight + self.offset
        if self.wrong == "coupled":
            outputs = outputs - outputs.mean(axis=0)
        return outputs.astype(jnp.bfloat16) if self.wrong == "dtype" else outputs


WEIGHT = jax.random.normal(KEY, (3, 4))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return load_dataset("digits").train.images[:300]


@pytest.fixture(scope="module")
def fitted(images: np.ndarray) -> tuple[Any, Model]:
    module = coordinates()
    labels = np.arange(300) % 3
    return module, fit_model(images, decoder=module, latent_dims=3, fit=FIT, labels=labels)


def test_its_arrays_are_trained_and_its_constants_are_not(fitted: tuple[Any, Model]) -> None:
    module, model = fitted
    assert model.history["loss"][-1] < 0.8 * model.history["loss"][0]
    trained: Any = model.decoder
    for name in ("of_place", "of_latent", "hidden", "last", "biases"):
        before, after = getattr(module, name), getattr(trained.module, name)
        assert jnp.abs(after - before).max() > 1e-3, name
    np.testing.assert_array_equal(trained.module.frequencies, module.frequencies.astype("float32"))
    outputs = np.asarray(trained.module(model.latents[:5])).reshape(5, 8, 8, 1)
    np.testing.assert_allclose(model.decode(model.latents[:5]), (outputs + 1) / 2, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lm", "lbfgs", "adam"])
def test_latents_are_inferred_by_every_method(
    method: str, fitted: tuple[Any, Model], images: np.ndarray
) -> None:
    config = InferConfig(method=method, n_steps=10, n_candidates=20)
    model = fitted[1]
    found = model.infer(images[:6], config=config)
    by_mean = model.decode(np.repeat(model.latents.mean(0, keepdims=True), 6, axis=0))
    lost = 4 * np.mean((by_mean - images[:6] / 255) ** 2, axis=(1, 2, 3))
    assert (found.errors.loss < lost).all()
    alone = model.infer(images[2:3], config=config)
    np.testing.assert_allclose(found.latents[2], alone.latents[0], atol=1e-5)


def test_it_comes_back_when_the_module_is_given(fitted: tuple[Any, Model], tmp_path: Path) -> None:
    model, folder = fitted[1], tmp_path / "model"
    save_model(model, folder)
    again = load_model(folder, decoder=coordinates(seed=7))
    np.testing.assert_array_equal(again.decode(model.latents[:5]), model.decode(model.latents[:5]))
    assert again.latent_dims == 3
    card = (folder / "README.md").read_text()
    assert 'load_model("this folder", decoder=module)' in card
    assert "multiplications" not in card
    with pytest.raises(DataError, match=r"user's own module, .* from Python, load_model\("):
        load_model(folder)
    with pytest.raises(DataError, match=r"not the one .* weights/of_place must be float32\[64, 5"):
        load_model(folder, decoder=coordinates(width=5))
    with pytest.raises(DataError, match=r"not the one whose arrays .*: decoder must decode latent"):
        load_model(folder, decoder=coordinates(latent_dims=2))


def test_the_command_line_says_that_it_needs_python(
    fitted: tuple[Any, Model], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(fitted[1], tmp_path)
    for command in (["info", str(tmp_path)], ["train", "--arch=own", f"--out={tmp_path / 'a'}"]):
        with pytest.raises(SystemExit, match="2"):
            main(command)
        assert "from Python" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "a").exists()


def test_what_would_leave_python_says_so(fitted: tuple[Any, Model], tmp_path: Path) -> None:
    model = fitted[1]
    with pytest.raises(ConfigError, match=r"arch own has no list of operators"):
        export_onnx(model, tmp_path / "decoder.onnx")
    write_model_page(model, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Your decoder is Python code, so this page cannot run it." in page
    assert "Images on the latent plane" in page, "as a picture"
    explorer = Explorer(model, {})
    assert explorer.first_look["operators"] is None
    assert len(explorer.decode(model.latents[:2].tolist())["images"]) > 600
    names = {value.tag for value in _decoder_histograms(model.decoder)}
    assert "weights/output/hidden" in names
    assert len(names) == 5


def test_a_key_is_for_training() -> None:
    decoder = own_decoder(Linear(WEIGHT), 3, 4)
    latents = jnp.ones((6, 3))
    np.testing.assert_allclose(decoder.decode(latents), latents @ WEIGHT, rtol=1e-5)
    assert (decoder.decode(latents, key=KEY) != latents @ WEIGHT).any()
    assert "key" not in inspect.signature(coordinates()).parameters


@pytest.mark.slow
def test_layers_of_equinox_serve() -> None:
    """Their activations are functions among the leaves."""

    class Network(eqx.Module):
        layers: eqx.nn.MLP

        def __call__(self, latents: Any) -> Any:
            return jax.vmap(self.layers)(latents)

    table = np.random.default_rng(0).normal(size=(40, 4))
    module = Network(eqx.nn.MLP(2, 4, 8, 1, key=KEY))
    estimator = AutoDecoder(decoder=module, num_epochs=2, random_state=0)
    copy: Any = clone(estimator)
    fitted = copy.fit(table)
    assert fitted.inverse_transform(fitted.model_.latents).shape == table.shape
    assert fitted.model_.decoder.config.arch == OWN
    assert fitted.model_.history["loss"][1] < fitted.model_.history["loss"][0]
    with pytest.raises(
        ValueError, match=r"must decode latents of shape \(n, 3\), given by latent_dims"
    ):
        estimator.set_params(latent_dims=3).fit(table)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (jnp.tanh, "a DecoderConfig or an equinox module that maps latents to samples, got"),
        (Linear(np.ones((3, 4))), "must hold floating-point arrays of jax to train, got none"),
        (Linear(WEIGHT.astype(jnp.float16)), "float32 weights, got float16 in weight"),
        (Linear(WEIGHT, offset=np.ones(4, np.int8)), "constants of .*, got int8 in offset"),
        (Linear(WEIGHT.at[0].set(jnp.nan)), "must be finite at the start, but weight is not"),
        (Linear(1e38 * WEIGHT, offset=1e38), "finite at the start, but its outputs are not"),
        (Linear(WEIGHT[:2]), r"latents of shape \(n, 3\), given by latent_dims, but for \(5, 3\)"),
        (Linear(WEIGHT[:, :3]), r"decode 5 latents to float32\[5, 4\], got float32\[5, 3\]"),
        (Linear(WEIGHT, "dtype"), r"to float32\[5, 4\], got bfloat16\[5, 4\]"),
        (
            Linear(WEIGHT, "coupled"),
            "each latent independently, but the output for a latent changes",
        ),
    ],
)
def test_what_is_no_decoder_is_told(module: Any, message: str, as_shipped: None) -> None:
    with pytest.raises(ConfigError, match=message) as told:
        fit_model(np.zeros((6, 4)), decoder=module, latent_dims=3)
    assert str(told.value).count(". ") == 0, "one sentence"


def test_settings_do_not_describe_one(tmp_path: Path) -> None:
    config = DecoderConfig(arch=(4,), latent_dims=3)
    with pytest.raises(ConfigError, match="latent_dims is for a decoder of your own"):
        fit_model(np.zeros((6, 4)), decoder=config, latent_dims=3)
    with pytest.raises(ConfigError, match=r"given from Python: fit_model\(images, decoder=module"):
        StudyConfig(decoder=DecoderConfig(arch=OWN))
    save_model(make(), tmp_path)
    with pytest.raises(DataError, match="describes its decoder completely"):
        load_model(tmp_path, decoder=Linear(WEIGHT))
