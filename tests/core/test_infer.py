"""Latent inference: frozen decoder, independent images, good minima."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.core.builders import digits, rates, run, run_config

from autodecoder.config import DecoderConfig, FitConfig, InferConfig
from autodecoder.core.decoder import decode
from autodecoder.core.fit import Images, RunState
from autodecoder.core.infer import infer_latents
from autodecoder.core.scaling import to_unit

pytestmark = pytest.mark.usefixtures("quick_compilation")
CONFIG = InferConfig(n_candidates=300, block_size=64)


@pytest.fixture(scope="module")
def trained() -> tuple[RunState, Images]:
    images = digits(1438, 359)
    config = run_config(
        decoder=DecoderConfig(arch=(64, 128)), fit=FitConfig(num_epochs=30, batch_size=128)
    )
    return run(30, config, rates(3e-3), images).state, images


def infer(state, images, config=CONFIG):
    candidates = state.train.values[: config.n_candidates]
    return infer_latents(state.decoder, images, candidates, scaler="standard", config=config)


def test_inference_beats_the_nearest_candidate_and_nears_a_long_search(trained) -> None:
    state, images = trained
    start = infer(state, images.val, replace(CONFIG, n_steps=1, step_size=1e-9))
    short = infer(state, images.val)
    long = infer(state, images.val, replace(CONFIG, n_steps=1000))
    assert short.errors.loss.mean() < 0.97 * start.errors.loss.mean()
    assert short.errors.loss.mean() < 1.01 * long.errors.loss.mean()
    assert (short.errors.loss <= start.errors.loss + 1e-6).all()


def test_the_decoder_keeps_its_bits(trained) -> None:
    state, images = trained
    before = [np.array(leaf) for leaf in jax.tree.leaves(state.decoder)]
    infer(state, images.val)
    for old, new in zip(before, jax.tree.leaves(state.decoder), strict=True):
        np.testing.assert_array_equal(old, new)


def test_one_by_one_equals_all_at_once(trained) -> None:
    state, images = trained
    together = infer(state, images.val)
    for i in (0, 133, 358):
        alone = infer(state, images.val[i : i + 1])
        np.testing.assert_allclose(alone.errors.loss[0], together.errors.loss[i], rtol=1e-4)


def test_what_the_decoder_draws_is_found_again(trained) -> None:
    state, _ = trained
    latents = state.train.values[1000:1359]
    outputs = to_unit(decode(state.decoder, latents), "standard")
    drawn = jnp.rint(255 * outputs).astype(jnp.uint8)
    found = infer(state, drawn, replace(CONFIG, n_steps=1000))
    assert float(jnp.quantile(found.errors.loss, 0.9)) < 1e-3
