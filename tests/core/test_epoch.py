"""A pass is that of Adam on all latents at every step, written out here as such."""

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tests.core.builders import digits, rates, run_config, start

from autodecoder.config import FitConfig, RunConfig
from autodecoder.core import epoch as epochs
from autodecoder.core.adam import adam_start
from autodecoder.core.decoders import decode
from autodecoder.core.epoch import start_moving
from autodecoder.core.order import draw_order, plan_windows
from autodecoder.core.scaling import scale_pixels

KEY = jax.random.key(5)
STEP = rates(3e-3, 5e-2)
N_EPOCHS = 3
run_pass = jax.jit(epochs.run_pass, static_argnames="config")
orders = jax.jit(draw_order, static_argnums=1)
#: What every configuration of these tests starts from, as it is drawn by the key alone.
DECODER = start(run_config()).state.decoder


def loss(layers, z, decoder, x, weights) -> jax.Array:
    outputs = decode(decoder.with_trainable(layers), z)
    return jnp.sum(weights * jnp.mean((outputs - x) ** 2, axis=1))


@jax.jit
def gradients(layers, z, decoder, x, weights) -> Any:
    return jax.grad(loss, argnums=(0, 1))(layers, z, decoder, x, weights)


@jax.jit
def descend(values: Any, way: Any, rate: jax.Array, share: jax.Array) -> Any:
    return jax.tree.map(lambda value, step: value - rate * share * step, values, way)


def dense_adam(fit: FitConfig) -> tuple[Any, Any]:
    """Start and step of an Adam on all latents; row-wise by its formulas, as optax has none."""
    if fit.latent_second_moment == "coordinate":
        adam: Any = optax.scale_by_adam(eps=1e-7)
        return adam.init, jax.jit(adam.update)

    def init(values: jax.Array) -> Any:
        square = jnp.zeros((len(values), 1))
        return optax.ScaleByAdamState(jnp.asarray(0), jnp.zeros_like(values), square)

    def update(gradient: jax.Array, state: Any) -> Any:
        count = state.count + 1
        mean = 0.9 * state.mu + 0.1 * gradient
        square = 0.999 * state.nu + 0.001 * jnp.mean(gradient**2, axis=1, keepdims=True)
        way = mean / (1 - 0.9**count) / (jnp.sqrt(square / (1 - 0.999**count)) + 1e-7)
        return way, optax.ScaleByAdamState(count, mean, square)

    return init, jax.jit(update)


def dense_passes(config: RunConfig, images: jax.Array, training: bool) -> Any:
    """Decoder, latents and the state of their Adam after all epochs."""
    decoder = DECODER
    adam: Any = optax.scale_by_adam(eps=1e-7)
    update = jax.jit(adam.update)
    layers, layers_state = decoder.trainable(), adam.init(decoder.trainable())
    n = len(images)
    latents, (start_adam, update_latents) = latents_before(n), dense_adam(config.fit)
    latents_state = start_adam(latents)
    pixels = np.asarray(scale_pixels(images, "standard"))
    size = min(config.fit.batch_size, n)
    dropped = training and config.fit.drop_last
    n_batches = n // size if dropped else -(-n // size)
    for epoch in range(N_EPOCHS):
        windows = plan_windows(n, size, config.fit.shards, drop_last=dropped)
        order = jax.tree.map(np.asarray, orders(jax.random.fold_in(KEY, epoch), windows))
        for k in range(n_batches):
            rows = order.images[k][order.counted[k]]
            weights = np.full(len(rows), 1 / len(rows), np.float32)
            x = pixels[rows]
            of_layers, of_z = gradients(layers, latents[rows], decoder, x, weights)
            share = np.float32(1 - (epoch + k / n_batches) / config.fit.num_epochs)
            if training:
                way, layers_state = update(of_layers, layers_state)
                layers = descend(layers, way, STEP.decoder, share)
            dense = np.zeros_like(latents)
            dense[rows] = of_z
            way, latents_state = update_latents(dense, latents_state)
            latents = np.asarray(descend(latents, way, STEP.latents, share))
    return layers, latents, latents_state


def latents_before(n: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, 2)).astype(np.float32)


@pytest.mark.parametrize("second_moment", ["coordinate", "row"])
@pytest.mark.parametrize(
    ("n", "training", "drop_last"),
    [
        pytest.param(
            450, True, True, marks=pytest.mark.thorough
        ),  # four batches, and fifty images left out
        pytest.param(450, True, False, marks=pytest.mark.thorough),  # the last batch is filled up
        (450, False, True),
        (300, True, True),  # all batches are full
        (60, True, True),  # fewer images than a batch
    ],
)
def test_a_pass_is_dense_adam(n: int, training: bool, drop_last: bool, second_moment: str) -> None:
    fit = replace(
        run_config().fit,
        schedule="linear",
        drop_last=drop_last,
        latent_second_moment=second_moment,
    )
    config = run_config(fit=fit)
    images = jnp.asarray(np.asarray(digits().train)[:n])
    layers, values, state = dense_passes(config, images, training)
    decoder = DECODER
    moments = adam_start(decoder.trainable()) if training else None
    latents = start_moving(jnp.asarray(latents_before(n)), fit)
    for epoch in range(N_EPOCHS):
        key = jax.random.fold_in(KEY, epoch)
        now = jnp.asarray(epoch)
        done = run_pass(decoder, moments, latents, images, None, key, KEY, now, STEP, config)
        decoder, moments, latents = done.decoder, done.decoder_moments, done.latents
    moved = np.abs(values - latents_before(n)).mean()
    assert moved > 0.1
    apart = np.abs(np.asarray(latents.values) - values)
    assert apart.mean() < 2e-4 * moved
    assert apart.max() < 1e-2 * moved  # of a latent near a kink of the decoder
    for ours, theirs in ((latents.rows.mean, state.mu), (latents.rows.square, state.nu)):
        theirs = np.asarray(theirs)
        assert np.abs(np.asarray(ours) - theirs).mean() < 1e-3 * np.abs(theirs).mean()
    assert int(latents.steps) == int(state.count)
    for ours, theirs in zip(
        jax.tree.leaves(decoder.trainable()), jax.tree.leaves(layers), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_pass_may_be_cut_anywhere() -> None:
    config = run_config()
    images = digits().train[:450]
    n_steps = 4
    order = jax.tree.map(np.asarray, orders(KEY, plan_windows(450, 100, 4, drop_last=True)))
    decoder = DECODER
    latents = start_moving(jnp.asarray(latents_before(450)))
    plan = jax.jit(partial(epochs.plan_course, config.fit, n_steps, training=True))
    course = jax.tree.map(np.asarray, plan(jnp.asarray(0), latents.steps, STEP))
    visit = jax.jit(epochs.visit, static_argnames="config")
    begun = epochs.Moving(
        decoder, adam_start(decoder.trainable()), latents.rows, jnp.zeros(450, bool)
    )

    def go(moving: Any, first: int, last: int) -> tuple[Any, Any]:
        steps, some = jax.tree.map(lambda a: a[first:last], (course.steps, order))
        return jax.tree.map(np.asarray, visit(moving, some, steps, images, None, KEY, config))

    whole, seen = go(begun, 0, n_steps)
    half, first = go(begun, 0, 1)
    moved, rest = go(half, 1, n_steps)
    joined = jax.tree.map(lambda *parts: np.concatenate(parts), first, rest)
    for ours, theirs in zip(
        jax.tree.leaves((moved, joined)), jax.tree.leaves((whole, seen)), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert (~whole.visited).sum() == 50
    # Images may lie elsewhere, if the order numbers them so: here the last first.
    turned, _ = visit(
        begun._replace(rows=jax.tree.map(lambda a: np.asarray(a)[::-1], begun.rows)),
        order._replace(images=449 - order.images),
        course.steps,
        np.asarray(images)[::-1],
        None,
        KEY,
        config,
    )
    np.testing.assert_array_equal(np.asarray(turned.rows.values)[::-1], whole.rows.values)


@pytest.mark.thorough
def test_what_hides_behind_a_mask_moves_nothing() -> None:
    config = run_config(fit=replace(run_config().fit, drop_last=False))
    images = digits().train[:250]  # the last batch is filled up
    mask = jax.random.bernoulli(jax.random.key(2), 0.6, images.shape)
    decoder = DECODER

    def one_pass(images: jax.Array, mask: jax.Array | None) -> Any:
        moments, latents = (
            adam_start(decoder.trainable()),
            start_moving(jnp.asarray(latents_before(250))),
        )
        now = jnp.asarray(0)
        return run_pass(decoder, moments, latents, images, mask, KEY, KEY, now, STEP, config)

    done = one_pass(images, mask)
    other = one_pass(jnp.where(mask, images, 255 - images), mask)
    for ours, theirs in zip(jax.tree.leaves(done), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    whole, unmasked = one_pass(images, jnp.ones_like(mask)), one_pass(images, None)
    for ours, theirs in zip(jax.tree.leaves(whole), jax.tree.leaves(unmasked), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert np.abs(whole.latents.values - done.latents.values).mean() > 1e-3


def test_metrics_are_means_over_the_known_pixels() -> None:
    config = run_config()
    images = digits().train[:60]  # one batch
    mask = jax.random.bernoulli(jax.random.key(2), 0.6, images.shape)
    decoder, latents = DECODER, jnp.asarray(latents_before(60))
    now = jnp.asarray(0)
    done = run_pass(
        decoder, None, start_moving(latents), images, mask, KEY, KEY, now, STEP, config=config
    )
    apart = np.asarray(decode(decoder, latents) - scale_pixels(images, "standard"))
    apart = apart[np.asarray(mask)]
    np.testing.assert_allclose(done.metrics["loss"], np.mean(apart**2), rtol=1e-5)
    np.testing.assert_allclose(done.metrics["mae"], np.mean(np.abs(apart)), rtol=1e-5)
