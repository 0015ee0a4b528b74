"""Gradients of the joint fit: a step and the tracked norms against computations by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.compilation import compiled_quickly
from tests.core.builders import KEY, digits, rates, run, run_config, start

from autodecoder.config import DecoderConfig, fit_config
from autodecoder.core.decoders import Decoder
from autodecoder.core.fit import FRESH_METRICS, history_names
from autodecoder.core.scaling import scale_pixels

N_TRAIN = len(digits().train)
ONE_BATCH = run_config(
    decoder=DecoderConfig(arch=(32, 32), batch_norm=True),
    fit=fit_config("original", num_epochs=1, batch_size=N_TRAIN, latent_start="normal"),
    track_gradients=True,
)
# Of its own length: no program of another module, compiled with less optimisation, is met again.
PLAIN = run_config(fit=fit_config("original", num_epochs=7, batch_size=100))
TRACKING = replace(PLAIN, track_gradients=True)
PARTS = ("layer_1", "layer_2", "output", "latents")


def batch_gradient(decoder: Decoder, latents, images):
    """The loss of one batch in training mode, and its gradient for layers and latents."""
    targets = scale_pixels(images, "standard")

    def loss(layers, latents):
        outputs = decoder.with_trainable(layers).decode(latents, key=KEY)
        return jnp.mean((outputs - targets) ** 2)

    return jax.jit(jax.value_and_grad(loss, (0, 1)))(decoder.trainable(), latents)


def norm(gradient) -> float:
    """The L2 norm of all arrays together."""
    arrays = [np.asarray(array, np.float64).ravel() for array in jax.tree.leaves(gradient)]
    return float(np.linalg.norm(np.concatenate(arrays)))


def test_one_step_equals_adam_by_hand() -> None:
    """One full batch: Adam's first step is the gradient's sign, to within its epsilon."""
    before = start(ONE_BATCH).state
    after, history, *_ = run(1, ONE_BATCH)
    value, (layers, latents) = batch_gradient(before.decoder, before.train.values, digits().train)
    np.testing.assert_allclose(history["loss"][0], value, rtol=1e-5)

    def expected(old, gradient):
        return old - 1e-2 * gradient / (jnp.abs(gradient) + 1e-7)

    np.testing.assert_allclose(
        after.train.values, expected(before.train.values, latents), atol=1e-4
    )
    for k in range(3):
        np.testing.assert_allclose(
            after.decoder.trainable()[k].weight,
            expected(before.decoder.trainable()[k].weight, layers[k].weight),
            atol=2e-4,
        )


def test_gradient_norms_of_one_batch_equal_those_by_hand() -> None:
    before, history = start(ONE_BATCH).state, run(1, ONE_BATCH).history
    _, (layers, latents) = batch_gradient(before.decoder, before.train.values, digits().train)
    for part, gradient in zip(PARTS, (*layers, latents), strict=True):
        assert norm(gradient) > 0
        np.testing.assert_allclose(history[f"gradient_norm_{part}"][0], norm(gradient), rtol=1e-4)


@pytest.mark.thorough
def test_gradient_norms_are_means_over_the_steps() -> None:
    """Every batch is the same: one image, repeated, and nothing moves in between."""
    one = digits()._replace(train=jnp.tile(digits().train[:1], (N_TRAIN, 1)))
    history, state = run(1, TRACKING, rates(0.0), images=one).history, start(TRACKING, one).state
    _, gradients = batch_gradient(state.decoder, state.train.values[:100], one.train[:100])
    expected = [norm(gradient) for gradient in (*gradients[0], gradients[1])]
    found = [history[f"gradient_norm_{part}"][0] for part in PARTS]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert min(expected[2:]) > 0


@pytest.mark.slow
def test_tracking_gradients_leaves_the_course_as_it_is() -> None:
    with compiled_quickly(False):
        plain, tracked = run(7, PLAIN), run(7, TRACKING)
    for name, values in plain.history.items():
        np.testing.assert_array_equal(values, tracked.history[name])
    for part in ("decoder", "train", "val"):
        ours, theirs = (getattr(run.state, part) for run in (plain, tracked))
        jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_norms_are_recorded_only_on_demand() -> None:
    plain, tracking = history_names(PLAIN), history_names(TRACKING)
    assert tracking == (*plain, *(f"gradient_norm_{part}" for part in PARTS))
    history = run(2, TRACKING).history
    assert set(history) == set(tracking)
    for name, values in history.items():
        done = 0 if name in FRESH_METRICS else 2
        assert np.isfinite(values).tolist() == [True] * done + [False] * (2 - done) + [False] * 5
