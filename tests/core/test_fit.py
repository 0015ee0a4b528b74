"""The joint fit: what moves, what does not, and one step against a computation by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodecoder.config import DecoderConfig, FitConfig
from autodecoder.core.decoder import decode
from autodecoder.core.fit import (
    EPOCH_METRICS,
    Images,
    LearningRates,
    advance_run,
    init_run,
    run_epoch,
)
from autodecoder.core.losses import measure
from autodecoder.core.scaling import scale_pixels
from autodecoder.data import load_dataset

DECODER = DecoderConfig(arch=(32, 32), batch_norm=False)
FIT = FitConfig(num_epochs=8, batch_size=100)
RATES = LearningRates(jnp.float32(1e-2), jnp.float32(1e-2))
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def images() -> Images:
    digits = load_dataset("digits")
    return Images(jnp.asarray(digits.train.flat[:450]), jnp.asarray(digits.val.flat[:130]))


def start(images: Images, *, decoder=DECODER, fit=FIT, key=KEY):
    return init_run(key, images, None, decoder_config=decoder, fit=fit, scaler="standard")


def run(images: Images, n_epochs: int, *, decoder=DECODER, fit=FIT, rates=RATES, key=KEY):
    state, history = start(images, decoder=decoder, fit=fit, key=key)
    step = jax.jit(advance_run, static_argnames=("fit", "scaler"))
    return step(state, history, rates, images, n_epochs, fit=fit, scaler="standard")


@pytest.mark.parametrize("batch_norm", [False, True])
def test_losses_fall_and_everything_moves(images: Images, batch_norm: bool) -> None:
    config = replace(DECODER, batch_norm=batch_norm)
    before, _ = start(images, decoder=config)
    after, history = run(images, 8, decoder=config)
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert history["val_loss"][-1] < 0.8 * history["val_loss"][0]
    assert history["psnr"][-1] > history["psnr"][0]
    for old, new in zip(before.decoder.layers, after.decoder.layers, strict=True):
        assert jnp.abs(old.weight - new.weight).max() > 1e-3
    assert (jnp.abs(after.train.values - before.train.values).max(1) > 0).all()
    assert (jnp.abs(after.val.values - before.val.values).max(1) > 0).all()
    assert int(after.epoch) == 8


def test_same_key_same_bits_other_key_others(images: Images) -> None:
    first, second, other = run(images, 3), run(images, 3), run(images, 3, key=jax.random.key(1))
    for name in EPOCH_METRICS:
        np.testing.assert_array_equal(first[1][name], second[1][name])
    assert (first[1]["loss"][:3] != other[1]["loss"][:3]).any()


def test_portions_do_not_matter(images: Images) -> None:
    whole, _ = run(images, 5)
    state, history = start(images)
    step = jax.jit(advance_run, static_argnames=("fit", "scaler"))
    for n_epochs in (1, 3, 0, 1):
        state, history = step(state, history, RATES, images, n_epochs, fit=FIT, scaler="standard")
    np.testing.assert_array_equal(whole.train.values, state.train.values)
    assert np.isfinite(history["loss"]).tolist() == [True] * 5 + [False] * 3


def test_validation_images_never_touch_the_decoder(images: Images) -> None:
    others = images._replace(val=255 - images.val)
    ours, theirs = run(images, 3)[0], run(others, 3)[0]
    jax.tree.map(np.testing.assert_array_equal, ours.decoder, theirs.decoder)
    assert (ours.val.values != theirs.val.values).any()


def test_one_step_equals_adam_by_hand(images: Images) -> None:
    """One full batch: Adam's first step is the gradient's sign, to within its epsilon."""
    fit = FitConfig(num_epochs=1, batch_size=len(images.train), latent_start="normal")
    state, _ = start(images, fit=fit)
    after, metrics = run_epoch(state, RATES, images, fit=fit, scaler="standard")
    targets = scale_pixels(images.train, "standard")

    def loss(layers, latents):
        return jnp.mean((decode(replace(state.decoder, layers=layers), latents) - targets) ** 2)

    value, (layers, latents) = jax.value_and_grad(loss, (0, 1))(
        state.decoder.layers, state.train.values
    )
    np.testing.assert_allclose(metrics["loss"], value, rtol=1e-5)

    def expected(old, gradient):
        return old - 1e-2 * gradient / (jnp.abs(gradient) + 1e-7)

    np.testing.assert_allclose(after.train.values, expected(state.train.values, latents), atol=1e-4)
    np.testing.assert_allclose(
        after.decoder.layers[-1].weight,
        expected(state.decoder.layers[-1].weight, layers[-1].weight),
        atol=2e-4,
    )


def test_momentum_moves_latents_outside_the_batch(images: Images) -> None:
    """Dense Adam: with 5 batches, a latent moves at each step after its own visit too."""
    fit = FitConfig(num_epochs=1, batch_size=90)
    state, _ = run(images, 1, fit=fit, rates=LearningRates(jnp.float32(0.0), jnp.float32(1e-2)))
    distance = jnp.abs(state.train.values).max(1)
    # The first step of a latent visited in step t is at most sqrt(t) * 1e-2 / sqrt(10) or so; only
    # momentum in the later steps tells apart who was visited when.
    assert len(np.unique(np.round(np.asarray(distance), 3))) > 3


def test_dropped_and_kept_last_batch(images: Images) -> None:
    """450 images in batches of 100: four whole ones, and 50 left over."""
    frozen = LearningRates(jnp.float32(0.0), jnp.float32(1e-2))
    dropped = run(images, 1, rates=frozen, fit=replace(FIT, drop_last=True))[0]
    kept = run(images, 1, rates=frozen, fit=replace(FIT, drop_last=False))[0]
    assert int((jnp.abs(dropped.train.values).max(1) == 0).sum()) == 50
    assert int((jnp.abs(kept.train.values).max(1) == 0).sum()) == 0
    # No batch is dropped in validation: 130 images in batches of 100.
    assert int((jnp.abs(kept.val.values).max(1) == 0).sum()) == 0


def test_metrics_count_every_image_once(images: Images) -> None:
    """With vanishing steps, the epoch's metrics are the plain means over all images."""
    still = LearningRates(jnp.float32(1e-30), jnp.float32(1e-30))
    fit = FitConfig(num_epochs=1, batch_size=100, latent_start="normal", drop_last=False)
    state, _ = start(images, fit=fit)
    _, metrics = run_epoch(state, still, images, fit=fit, scaler="standard")
    for prefix, pixels, latents in (
        ("", images.train, state.train.values),
        ("val_", images.val, state.val.values),
    ):
        errors = measure(
            decode(state.decoder, latents), scale_pixels(pixels, "standard"), "standard"
        )
        for name, values in errors._asdict().items():
            np.testing.assert_allclose(metrics[prefix + name], values.mean(), rtol=1e-5)


def test_cosine_schedule_ends_at_rest(images: Images) -> None:
    fit = replace(FIT, schedule="cosine")
    early, _ = run(images, 7, fit=fit)
    late, _ = run(images, 8, fit=fit)
    constant_early, _ = run(images, 7)
    constant_late, _ = run(images, 8)

    def moved(one, two):
        return float(jnp.abs(one.train.values - two.train.values).mean())

    assert moved(early, late) < 0.2 * moved(constant_early, constant_late)


def test_latents_have_a_step_size_of_their_own(images: Images) -> None:
    slow = run(images, 1, rates=LearningRates(jnp.float32(1e-2), jnp.float32(1e-4)))[0]
    fast = run(images, 1, rates=LearningRates(jnp.float32(1e-2), jnp.float32(1e-1)))[0]
    assert jnp.abs(fast.train.values).mean() > 100 * jnp.abs(slow.train.values).mean()


def test_dropout_draws_anew_and_repeats_by_key(images: Images) -> None:
    config = replace(DECODER, dropout_rate=0.3)
    with_dropout, repeated = run(images, 2, decoder=config), run(images, 2, decoder=config)
    np.testing.assert_array_equal(with_dropout[1]["loss"], repeated[1]["loss"])
    assert with_dropout[1]["loss"][1] > run(images, 2)[1]["loss"][1]


@pytest.mark.parametrize("scaler", ["standard", "zero_one", "identity"])
def test_every_scaling_learns(images: Images, scaler: str) -> None:
    fit = FitConfig(num_epochs=6, batch_size=50)
    state, history = init_run(KEY, images, None, decoder_config=DECODER, fit=fit, scaler=scaler)
    step = jax.jit(advance_run, static_argnames=("fit", "scaler"))
    _, history = step(state, history, RATES, images, 6, fit=fit, scaler=scaler)
    assert history["psnr"][-1] > history["psnr"][0] + 0.3
