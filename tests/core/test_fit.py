"""The joint fit: what moves, what does not, and what is recorded."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.core.builders import KEY, digits, move, rates, run, run_config, start
from threadpoolctl import threadpool_limits

from autodecoder.config import DecoderConfig, FitConfig, RunConfig, fit_config
from autodecoder.core.decoders import decode
from autodecoder.core.epoch import LearningRates
from autodecoder.core.fit import (
    EPOCH_METRICS,
    FRESH_METRICS,
    LATENT_STATISTICS,
    advance_run,
    history_names,
    init_run,
)
from autodecoder.core.latent_starts import find_starts
from autodecoder.core.losses import measure
from autodecoder.core.runs import Images
from autodecoder.core.scaling import scale_pixels

CONFIG = run_config()
KEEPING = replace(CONFIG, fit=replace(CONFIG.fit, latent_start="normal", drop_last=False))


@pytest.mark.parametrize("batch_norm", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_losses_fall_and_everything_moves(batch_norm: bool) -> None:
    config = replace(CONFIG, decoder=replace(CONFIG.decoder, batch_norm=batch_norm))
    before, (after, history, *_) = start(config).state, run(8, config)
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert history["val_loss"][-1] < 0.8 * history["val_loss"][0]
    assert history["psnr"][-1] > history["psnr"][0]
    for old, new in zip(before.decoder.trainable(), after.decoder.trainable(), strict=True):
        assert jnp.abs(old.weight - new.weight).max() > 1e-3
    assert (jnp.abs(after.train.values - before.train.values).max(1) > 0).all()
    assert (jnp.abs(after.val.values - before.val.values).max(1) > 0).all()
    assert int(after.epoch) == 8


def test_same_key_same_bits_other_key_others() -> None:
    first, second = run(3, CONFIG).history, run(3, CONFIG).history
    other = run(3, CONFIG, key=jax.random.key(1)).history
    for name in EPOCH_METRICS:
        np.testing.assert_array_equal(first[name], second[name])
    assert (first["loss"][:3] != other["loss"][:3]).any()


def test_portions_do_not_matter() -> None:
    whole = run(5, CONFIG)
    portioned = start(CONFIG)
    for until in (1, 4, 4, 2, 5):
        portioned = move(portioned, until, CONFIG)
    np.testing.assert_array_equal(whole.state.train.values, portioned.state.train.values)
    assert np.isfinite(portioned.history["loss"]).tolist() == [True] * 5 + [False] * 3


def test_validation_images_never_touch_the_decoder() -> None:
    others = digits()._replace(val=255 - digits().val)
    ours, theirs = run(3, CONFIG).state, run(3, CONFIG, images=others).state
    jax.tree.map(np.testing.assert_array_equal, ours.decoder, theirs.decoder)
    assert (ours.val.values != theirs.val.values).any()


@pytest.mark.thorough
def test_momentum_moves_latents_outside_the_batch() -> None:
    """Dense Adam: with 5 batches, a latent moves at each step after its own visit too."""
    before, after = start(KEEPING).state, run(1, KEEPING, rates(0.0, 1e-2)).state
    distance = np.abs(np.asarray(after.train.values - before.train.values)).max(1)
    # The first step of a latent visited in step t is at most sqrt(t) * 1e-2 / sqrt(10) or so; only
    # momentum in the later steps tells apart who was visited when.
    assert len(np.unique(np.round(distance, 3))) > 3


def test_dropped_and_kept_last_batch() -> None:
    """450 images in batches of 100: four whole ones, and 50 left over."""

    def n_still(config: RunConfig, part: str) -> int:
        before, after = start(config).state, run(1, config, rates(0.0, 1e-2)).state
        moved = getattr(after, part).values != getattr(before, part).values
        return int((~np.asarray(moved).any(1)).sum())

    assert n_still(CONFIG, "train") == 50
    assert n_still(KEEPING, "train") == 0
    # No batch is dropped in validation: 130 images in batches of 100.
    assert n_still(CONFIG, "val") == 0
    assert n_still(KEEPING, "val") == 0


def test_metrics_count_every_image_once() -> None:
    """With vanishing steps, the epoch's metrics are the plain means over all images."""
    before, history = start(KEEPING).state, run(1, KEEPING, rates(1e-30)).history
    for prefix, pixels, latents in (
        ("", digits().train, before.train.values),
        ("val_", digits().val, before.val.values),
    ):
        errors = measure(
            decode(before.decoder, latents), scale_pixels(pixels, "standard"), "standard"
        )
        for name, values in errors._asdict().items():
            np.testing.assert_allclose(history[prefix + name][0], values.mean(), rtol=1e-5)


def test_latent_statistics_are_those_of_the_latents_at_the_end_of_an_epoch() -> None:
    history = run(8, CONFIG).history
    for epoch in (1, 5, 8):
        state = run(epoch, CONFIG).state
        for prefix, latents in (("", state.train.values), ("val_", state.val.values)):
            values = np.asarray(latents, np.float64)
            mean = history[f"{prefix}latent_mean"][epoch - 1]
            variance = history[f"{prefix}latent_variance"][epoch - 1]
            np.testing.assert_allclose(mean, values.mean(), rtol=1e-4, atol=1e-7)
            np.testing.assert_allclose(variance, values.var(), rtol=1e-4)
            assert variance > 0


def test_history_holds_every_name_with_blanks_for_what_is_to_come() -> None:
    history = run(2, CONFIG).history
    assert history_names(CONFIG) == (*EPOCH_METRICS, *FRESH_METRICS, *LATENT_STATISTICS)
    assert set(history) == set(history_names(CONFIG))
    for name, values in history.items():
        done = 0 if name in FRESH_METRICS else 2
        assert np.isfinite(values).tolist() == [True] * done + [False] * (2 - done) + [False] * 6


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_schedule_that_falls_ends_at_rest(schedule: str) -> None:
    falling = replace(CONFIG, fit=replace(CONFIG.fit, schedule=schedule))

    def last_move(config: RunConfig) -> float:
        early, late = run(7, config).state, run(8, config).state
        return float(jnp.abs(early.train.values - late.train.values).mean())

    assert last_move(falling) < 0.2 * last_move(CONFIG)


def test_latents_have_a_step_size_of_their_own() -> None:
    slow, fast = (run(1, CONFIG, rates(1e-2, latents)).state for latents in (1e-4, 1e-1))
    assert jnp.abs(fast.train.values).mean() > 100 * jnp.abs(slow.train.values).mean()


@pytest.mark.thorough
def test_dropout_draws_anew_and_repeats_by_key() -> None:
    config = replace(CONFIG, decoder=replace(CONFIG.decoder, dropout_rate=0.3))
    with_dropout, repeated = run(2, config).history, run(2, config).history
    np.testing.assert_array_equal(with_dropout["loss"], repeated["loss"])
    assert with_dropout["loss"][1] > run(2, CONFIG).history["loss"][1]


@pytest.mark.parametrize(
    "scaler",
    [
        "standard",
        pytest.param("zero_one", marks=pytest.mark.thorough),
        pytest.param("identity", marks=pytest.mark.thorough),
    ],
)
def test_every_scaling_learns(scaler: str) -> None:
    history = run(8, replace(CONFIG, scaler=scaler)).history
    assert history["psnr"][-1] > history["psnr"][0] + 0.3


@pytest.mark.parametrize(("dims", "batch_norm"), [(2, False), (5, True)])
@pytest.mark.slow
def test_the_fast_recipe_comes_further(dims: int, batch_norm: bool) -> None:
    decoder = DecoderConfig(arch=(32, 32), latent_dims=dims, batch_norm=batch_norm)
    ends = {}
    for recipe, rate in (("fast", 6e-3), ("original", 1e-3)):
        config = replace(CONFIG, decoder=decoder, fit=fit_config(recipe, num_epochs=20))
        begun = init_run(KEY, digits(), find_starts(digits(), config), config)
        latents = fit_config(recipe).latent_learning_rate or rate
        both = LearningRates(jnp.float32(rate), jnp.float32(latents))
        moved = jax.jit(advance_run, static_argnames="config")(begun, both, digits(), 20, config)
        ends[recipe] = moved.history["loss"][-1], moved.history["val_loss"][-1]
    assert ends["fast"][0] < 0.8 * ends["original"][0]
    assert ends["fast"][1] < 0.8 * ends["original"][1]


def test_a_run_starts_where_the_fit_says() -> None:
    for name in ("som", "pca"):
        config = replace(CONFIG, fit=FitConfig(latent_start=name, latent_spread=5.0))
        starts = find_starts(digits(), config)
        assert starts is not None
        state = init_run(KEY, digits(), starts, config).state
        np.testing.assert_array_equal(state.train.values, 5 * starts[0])
        np.testing.assert_array_equal(state.val.values, 5 * starts[1])
    assert find_starts(digits(), CONFIG) is None


@pytest.mark.parametrize(
    ("start", "dims", "n"), [("som", 2, 3000), ("pca", 16, 3000), ("neighbours", 2, 700)]
)
def test_starts_do_not_depend_on_the_threads_of_numpy(start: str, dims: int, n: int) -> None:
    """As workers of a search have fewer than a process by itself."""
    if start == "neighbours":
        pytest.importorskip("openTSNE", reason="openTSNE is not installed (extra neighbours)")
    pixels = np.random.default_rng(0).integers(0, 256, (n, 784), dtype=np.uint8)
    images = Images(jnp.asarray(pixels), jnp.asarray(pixels[:100]))
    decoder = DecoderConfig(arch=(8,), latent_dims=dims)
    config = run_config(decoder=decoder, fit=fit_config("fast", latent_start=start))
    found = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, user_api="blas"):
            found.append(find_starts(images, config))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_warm_up_is_a_fifth_of_the_fit_at_most() -> None:
    def first_losses(warmup_steps: int, num_epochs: int = 20) -> np.ndarray:
        fit = replace(CONFIG.fit, warmup_steps=warmup_steps, num_epochs=num_epochs)
        return np.asarray(run(2, replace(CONFIG, fit=fit)).history["loss"][:2])

    without, with_some, with_more = (first_losses(n) for n in (0, 6, 10_000))
    assert without[0] < with_some[0] < with_more[0]
    n_steps = 20 * (len(digits().train) // CONFIG.fit.batch_size)
    np.testing.assert_array_equal(with_more, first_losses(n_steps // 5))


@pytest.mark.slow
def test_wide_layers_take_smaller_steps() -> None:
    def step(base_width: int | None) -> list[np.ndarray]:
        fit = replace(CONFIG.fit, base_width=base_width, batch_size=len(digits().train))
        config = replace(CONFIG, fit=fit)
        before, after = start(config).state.decoder, run(1, config).state.decoder
        return [
            np.asarray(new.weight - old.weight)
            for old, new in zip(before.trainable(), after.trainable(), strict=True)
        ]

    shares = []
    for whole, part in zip(step(None), step(16), strict=True):
        shares.append(min(1.0, 16 / len(whole)))
        np.testing.assert_allclose(part, shares[-1] * whole, atol=1e-6)
    assert shares == [1, 0.5, 0.5]


@pytest.mark.thorough
def test_a_long_gradient_is_scaled_to_the_norm() -> None:
    """What Adam has seen after one step tells the gradient that it was given."""

    def seen(clip_norm: float | None) -> list[np.ndarray]:
        fit = replace(CONFIG.fit, clip_norm=clip_norm, batch_size=len(digits().train))
        state: Any = run(1, replace(CONFIG, fit=fit)).state
        return [10 * np.asarray(mean) for mean in jax.tree.leaves(state.decoder_moments.mu)]

    whole = seen(None)
    norm = np.sqrt(sum((part**2).sum() for part in whole))
    for most in (0.1 * norm, 10 * norm):
        for part, clipped in zip(whole, seen(float(most)), strict=True):
            np.testing.assert_allclose(clipped, min(1, most / norm) * part, rtol=1e-4, atol=1e-7)


@pytest.mark.thorough
def test_nesterov_changes_the_steps_of_the_decoder() -> None:
    plain = run(2, CONFIG).history["loss"]
    ahead = run(2, replace(CONFIG, fit=replace(CONFIG.fit, nesterov=True))).history["loss"]
    assert plain[1] != ahead[1]
