"""Latent inference: frozen decoder, independent images, good minima, from any start."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.core.builders import digits, rates, run, run_config

from autodecoder.config import DecoderConfig, InferConfig, fit_config
from autodecoder.core import infer
from autodecoder.core.decoders import Decoder, decode, init_decoder
from autodecoder.core.infer import Inference, infer_latents
from autodecoder.core.losses import Criterion, reconstruction_loss
from autodecoder.core.plan import InferencePlan, plan_inference
from autodecoder.core.runs import Images, RunState
from autodecoder.core.scaling import scale_pixels, to_unit
from autodecoder.core.starts import start_names

CONFIG = InferConfig(n_candidates=300, block_size=64)
ADAM = replace(CONFIG, method="adam")
LBFGS = replace(CONFIG, method="lbfgs")
ALL_STARTS = ("nearest", "zeros", "random")


@pytest.fixture(scope="module")
def trained() -> tuple[RunState, Images]:
    images = digits(1438, 359)
    config = run_config(
        decoder=DecoderConfig(arch=(64, 128), batch_norm=True),
        fit=fit_config("original", num_epochs=30, batch_size=128),
    )
    return run(30, config, rates(3e-3), images).state, images


def place(state: RunState, images: Any, config: InferConfig = CONFIG, **options: Any) -> Inference:
    return infer_latents(plan_for(*known(state), config), images, **options)


def known(state: RunState) -> tuple[Decoder, jax.Array]:
    return state.decoder, state.train.values


def plan_for(decoder: Decoder, latents: jax.Array, config: InferConfig = CONFIG) -> InferencePlan:
    key = jax.random.key(0)
    return plan_inference(decoder, latents, scaler="standard", config=config, key=key, noise=0.2)


def drawn(dims: int, n: int) -> tuple[Decoder, jax.Array, jax.Array]:
    """A decoder as it was drawn, latents, and noisy images of other latents."""
    config = DecoderConfig(arch=(32, 64), latent_dims=dims, batch_norm=False)
    keys = jax.random.split(jax.random.key(5), 4)
    decoder = init_decoder(keys[0], config, (8, 8, 1), "tanh")
    latents = jax.random.normal(keys[1], (200, dims))
    outputs = to_unit(decode(decoder, jax.random.normal(keys[2], (n, dims))), "standard")
    noisy = outputs + 0.1 * jax.random.normal(keys[3], outputs.shape)
    return decoder, latents, jnp.rint(255 * jnp.clip(noisy, 0, 1)).astype(jnp.uint8)


@pytest.fixture(scope="module")
def default(trained: tuple[RunState, Images]) -> Inference:
    return place(trained[0], trained[1].val)


@pytest.fixture(scope="module")
def best(trained: tuple[RunState, Images]) -> np.ndarray:
    """The least losses that any method finds, given much more time."""
    config = replace(CONFIG, starts=ALL_STARTS, n_starts=8, n_steps=100, tolerance=1e-6)
    found = [place(trained[0], trained[1].val, config)]
    found.append(place(trained[0], trained[1].val, ADAM))
    return np.min([f.errors.loss for f in found], axis=0)


@pytest.mark.slow
def test_the_default_finds_the_best_minimum_of_nearly_all_images(trained, default, best) -> None:
    loss = default.errors.loss
    state, images = trained
    candidates = plan_for(*known(state)).starts.candidates
    assert candidates is not None
    decoded = decode(state.decoder, candidates.latents)
    errors = scale_pixels(images.val, "standard")[:, None] - decoded
    nearest = jnp.mean(errors**2, axis=-1).min(1)
    assert (loss <= nearest + 1e-6).all()
    gain = (nearest.mean() - loss.mean()) / (nearest.mean() - best.mean())
    assert gain > 0.9, "of what can be gained over the nearest candidate"
    assert loss.mean() < 1.01 * best.mean()
    assert np.mean(loss < 1.01 * best) > 0.93
    assert default.converged.mean() > 0.95
    assert default.steps.max() <= 30
    assert 1 <= default.steps.mean() < 10


def test_losses_are_those_of_the_latents(trained, default) -> None:
    state, images = trained
    outputs = decode(state.decoder, jnp.asarray(default.latents))
    losses = jnp.mean((outputs - scale_pixels(images.val, "standard")) ** 2, axis=1)
    np.testing.assert_allclose(default.errors.loss, losses, rtol=1e-5)


@pytest.mark.thorough
def test_lbfgs_comes_to_the_same(trained, default) -> None:
    found = place(trained[0], trained[1].val, LBFGS)
    assert found.converged.mean() > 0.99
    ratio = found.errors.loss.mean() / default.errors.loss.mean()
    assert ratio < 1.005, ratio


@pytest.mark.thorough
def test_adam_comes_to_the_same(trained, default) -> None:
    slow = place(trained[0], trained[1].val, ADAM)
    assert abs(slow.errors.loss.mean() / default.errors.loss.mean() - 1) < 0.02
    assert (slow.steps == 500).all()
    assert not slow.converged.any()


@pytest.mark.thorough
def test_from_far_away_several_starts_find_what_one_does_not(trained, best) -> None:
    """Random latents, ten standard deviations away from all that the decoder knows."""
    state, images = trained
    values = state.train.values
    offsets = 10 * values.std(0) * jax.random.normal(jax.random.key(3), (len(images.val), 1, 2))
    far = values.mean(0) + offsets
    alone = place(state, images.val, replace(CONFIG, starts=()), given=far)
    assert alone.errors.loss.mean() > 1.2 * best.mean()
    found = place(state, images.val, given=far)
    assert np.mean(found.errors.loss < 1.01 * best) > 0.93


@pytest.mark.thorough
@pytest.mark.parametrize("tolerance", [1e-5, 1e-2, 1.0])
def test_no_image_ends_worse_than_it_starts(trained, tolerance: float) -> None:
    """From plateaus too, where a model promises little of a long step."""
    state, images = trained
    config = replace(CONFIG, starts=(), tolerance=tolerance)
    targets = scale_pixels(images.val, "standard")
    for scale in (1, 100, 10_000):
        offsets = scale * jax.random.normal(jax.random.key(3), (len(images.val), 1, 2))
        far = state.train.values.mean(0) + state.train.values.std(0) * offsets
        start = jnp.mean((decode(state.decoder, far[:, 0]) - targets) ** 2, axis=1)
        found = place(state, images.val, config, given=far)
        assert (found.errors.loss <= start * (1 + 1e-5)).all()


def test_the_decoder_keeps_its_bits(trained) -> None:
    state, images = trained
    before = [np.array(leaf) for leaf in jax.tree.leaves(state.decoder)]
    place(state, images.val)
    for old, new in zip(before, jax.tree.leaves(state.decoder), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.thorough
@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, starts=ALL_STARTS, n_starts=2)])
def test_one_by_one_equals_all_at_once(trained, config: InferConfig) -> None:
    state, images = trained
    together = place(state, images.val, config)
    again = place(state, images.val, config)
    np.testing.assert_array_equal(together.latents, again.latents)
    for i in (0, 133, 358):
        alone = place(state, images.val[i : i + 1], config)
        np.testing.assert_array_equal(alone.errors.loss[0], together.errors.loss[i])
        np.testing.assert_array_equal(alone.latents[0], together.latents[i])
        assert alone.steps[0] == together.steps[i]


@pytest.mark.parametrize(
    ("dims", "config"),
    [
        (5, CONFIG),
        (16, replace(CONFIG, starts=("random", "nearest"), n_starts=2)),
        (16, replace(ADAM, n_steps=50)),
        (30, replace(LBFGS, starts=("nearest", "random"))),
        (2, replace(CONFIG, block_size=17)),
    ],
)
@pytest.mark.slow
def test_longer_latents_too_depend_on_no_neighbour(dims: int, config: InferConfig) -> None:
    config = replace(config, n_candidates=100)
    decoder, latents, images = drawn(dims, 70)
    plan = plan_for(decoder, latents, config)
    together = infer_latents(plan, images)
    for chosen in (slice(0, 1), slice(3, 8), slice(30, 70)):
        part = infer_latents(plan, images[chosen])
        np.testing.assert_array_equal(part.latents, together.latents[chosen])
        np.testing.assert_array_equal(part.errors.loss, together.errors.loss[chosen])


@pytest.mark.thorough
def test_the_size_of_blocks_is_no_matter(trained, default, monkeypatch) -> None:
    small = place(trained[0], trained[1].val, replace(CONFIG, block_size=17))
    np.testing.assert_allclose(small.errors.loss, default.errors.loss, atol=1e-5)
    monkeypatch.setattr(infer, "_KEPT_ENTRIES", 2 * 2 * 100)
    parts = place(trained[0], trained[1].val)
    np.testing.assert_array_equal(parts.latents, default.latents)
    monkeypatch.setattr(infer, "_PASSED_ENTRIES", 2 * 64 * 10)
    tight = place(trained[0], trained[1].val)
    np.testing.assert_allclose(tight.errors.loss, default.errors.loss, atol=1e-5)


def test_on_an_accelerator_blocks_go_on_together_to_the_same_end(
    trained, default, monkeypatch
) -> None:
    state, images = trained
    monkeypatch.setattr(infer, "_on_accelerator", lambda: True)
    together = place(state, images.val)
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(default), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_the_decoder_draws_is_found_again(trained) -> None:
    state, _ = trained
    latents = state.train.values[1000:1359]
    outputs = to_unit(decode(state.decoder, latents), "standard")
    found = place(state, jnp.rint(255 * outputs).astype(jnp.uint8))
    assert float(np.quantile(found.errors.loss, 0.9)) < 1e-3


@pytest.mark.thorough
def test_the_winner_is_named(trained) -> None:
    state, images = trained
    config = replace(CONFIG, starts=ALL_STARTS, n_starts=2)
    names = start_names(config)
    assert names == ("nearest", "nearest", "zeros", "random", "random")
    truth = place(state, images.val).latents[:, None]
    found = place(state, images.val, config, given=jnp.asarray(truth))
    assert found.start.min() >= 0
    assert found.start.max() == len(names), "the given start is the last one"
    alone = replace(CONFIG, starts=("zeros", "random"), n_steps=1, tolerance=1e9)
    found = place(state, images.val, alone, given=jnp.asarray(truth))
    assert (found.start == 2).mean() > 0.9


@pytest.mark.parametrize("start", ALL_STARTS)
def test_hidden_pixels_do_not_count_in_a_start(trained, start: str) -> None:
    state, images = trained
    rng = np.random.default_rng(0)
    val = images.val[:5]
    mask = rng.random(val.shape) < 0.5
    changed = np.where(mask, val, rng.integers(0, 256, mask.shape)).astype(np.uint8)
    config = replace(CONFIG, starts=(start,), n_steps=1)
    found, same = (place(state, x, config, weights=mask) for x in (val, changed))
    np.testing.assert_array_equal(found.latents, same.latents)


@pytest.mark.parametrize(
    "method",
    [
        "lm",
        pytest.param("lbfgs", marks=pytest.mark.thorough),
        pytest.param("adam", marks=pytest.mark.thorough),
    ],
)
def test_hidden_pixels_do_not_count(trained, method: str) -> None:
    state, images = trained
    rng = np.random.default_rng(0)
    mask = rng.random(images.val.shape) < 0.5
    changed = np.where(mask, images.val, rng.integers(0, 256, mask.shape)).astype(np.uint8)
    config = replace(CONFIG, method=method)
    found, same = (place(state, x, config, weights=mask) for x in (images.val, changed))
    np.testing.assert_array_equal(found.latents, same.latents)
    np.testing.assert_array_equal(found.errors.loss, same.errors.loss)
    targets = np.asarray(scale_pixels(images.val, "standard"))
    errors = (np.asarray(decode(state.decoder, jnp.asarray(found.latents))) - targets) ** 2
    visible = np.sum(errors * mask, axis=1) / mask.sum(1)
    np.testing.assert_allclose(found.errors.loss, visible, rtol=1e-4)
    hidden = errors[~mask].mean()
    guess = ((np.asarray(scale_pixels(images.train, "standard")).mean(0) - targets) ** 2)[~mask]
    assert hidden < 0.6 * guess.mean(), "hidden pixels are filled in better than by the mean image"


def test_weights_weigh(trained) -> None:
    state, images = trained
    weights = np.random.default_rng(0).random(images.val.shape)
    found = place(state, images.val, weights=weights)
    tenfold = place(state, images.val, weights=10 * weights)
    np.testing.assert_allclose(found.errors.loss, tenfold.errors.loss, rtol=1e-3)
    even = place(state, images.val)
    ones = place(state, images.val, weights=np.ones(images.val.shape))
    np.testing.assert_allclose(even.errors.loss, ones.errors.loss, rtol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, starts=ALL_STARTS), LBFGS, ADAM])
def test_an_image_of_which_all_is_hidden_is_marked(trained, config: InferConfig) -> None:
    state, images = trained
    images = images.val[:20]
    mask = np.ones(images.shape, bool)
    seen = place(state, images, config, weights=mask)
    mask[7] = False
    found = place(state, images, config, weights=mask)
    assert found.start[7] == -1
    assert not found.converged[7]
    assert np.isnan(found.errors.loss[7])
    assert np.isfinite(found.latents).all()
    others = np.arange(20) != 7
    np.testing.assert_allclose(found.errors.loss[others], seen.errors.loss[others], rtol=1e-5)


def test_no_images_give_no_results(trained) -> None:
    found = place(trained[0], trained[1].val[:0])
    assert found.latents.shape == (0, 2)
    assert [len(a) for a in jax.tree.leaves(found)] == [0] * 7


def test_a_prior_draws_latents_to_the_mean(trained, default) -> None:
    state, images = trained
    mean, spread = state.train.values.mean(0), state.train.values.std(0)

    def distance(found: Inference) -> float:
        return float(np.mean(((found.latents - mean) / spread) ** 2))

    weak, strong = (place(state, images.val, replace(CONFIG, prior_weight=w)) for w in (10.0, 1e6))
    assert distance(strong) < 1e-2 < distance(weak) < distance(default)
    assert weak.errors.loss.mean() >= default.errors.loss.mean() * 0.999


@pytest.mark.thorough
def test_what_has_converged_stays_where_it_is(trained) -> None:
    """From far away a model of the loss may promise little where there is much to gain."""
    state, images = trained
    several = jnp.tile(images.val, (4, 1))  # a share of one draw would be off by a hundredth
    offsets = 10 * state.train.values.std(0) * jax.random.normal(jax.random.key(3), (1436, 1, 2))
    alone = replace(CONFIG, starts=())
    found = place(state, several, alone, given=state.train.values.mean(0) + offsets)
    again = place(state, several, alone, given=jnp.asarray(found.latents)[:, None])
    gained = 1 - again.errors.loss / found.errors.loss
    assert found.converged.mean() > 0.95
    assert np.mean(gained[found.converged] < 0.01) > 0.95


@pytest.mark.thorough
def test_a_dimension_that_no_training_image_uses_is_no_hindrance(trained) -> None:
    decoder, latents, images = drawn(3, 20)
    latents = latents.at[:, 1].set(0.5)
    config = replace(CONFIG, starts=("nearest", "random"), n_candidates=100, prior_weight=10.0)
    for method in ("lm", "lbfgs", "adam"):
        plan = plan_for(decoder, latents, replace(config, method=method))
        np.testing.assert_allclose(plan.spread, [1, 1, 1], rtol=0.3)
        assert np.isfinite(infer_latents(plan, images).errors.loss).all()
    alike = plan_for(decoder, jnp.full_like(latents, 0.3), config)
    np.testing.assert_array_equal(alike.spread, np.ones(3))
    assert np.isfinite(infer_latents(alike, images).errors.loss).all()


@pytest.mark.thorough
def test_a_training_latent_that_is_not_finite_spoils_nothing(trained) -> None:
    decoder, latents, images = drawn(3, 20)
    config = replace(CONFIG, starts=ALL_STARTS, n_candidates=200)
    found = infer_latents(plan_for(decoder, latents.at[7, 1].set(jnp.nan), config), images)
    assert np.isfinite(found.errors.loss).all()
    whole = infer_latents(plan_for(decoder, latents, config), images)
    assert found.errors.loss.mean() < 1.1 * whole.errors.loss.mean()


@pytest.mark.thorough
def test_a_decoder_that_has_collapsed_places_images_all_the_same() -> None:
    config = DecoderConfig(arch=(8,), batch_norm=False)
    decoder = init_decoder(jax.random.key(0), config, (32, 32, 1), "tanh")
    decoder = jax.tree.map(jnp.zeros_like, decoder)
    config = replace(CONFIG, n_candidates=None, block_size=2)
    plan = plan_for(decoder, jax.random.normal(jax.random.key(1), (2100, 2)), config)
    assert plan.starts.candidates is not None
    assert plan.starts.candidates.sketch is not None
    found = infer_latents(plan, np.full((3, 1024), 100, np.uint8))
    assert np.isfinite(found.latents).all()
    assert np.isfinite(found.errors.loss).all()


@pytest.mark.thorough
def test_very_long_latents_are_placed() -> None:
    decoder, latents, images = drawn(130, 9)
    config = replace(CONFIG, n_candidates=100, starts=("nearest", "random"), n_starts=2)
    found = infer_latents(plan_for(decoder, latents, config), images)
    near = decode(decoder, latents)[None] - scale_pixels(images, "standard")[:, None]
    assert found.errors.loss.mean() < 0.5 * float(jnp.mean(near**2, axis=-1).min(1).mean())
    by_adam = infer_latents(plan_for(decoder, latents, replace(config, method="adam")), images)
    assert (by_adam.steps == 500).all()
    assert found.errors.loss.mean() < 1.05 * by_adam.errors.loss.mean()
    assert found.converged.all()


def test_a_decoder_that_is_not_finite_yields_no_loss(trained) -> None:
    state, images = trained
    broken = jax.tree.map(lambda a: jnp.full_like(a, jnp.nan), state.decoder)
    plan = plan_for(broken, state.train.values)
    found = infer_latents(plan, images.val[:5])
    assert np.isnan(found.errors.loss).all()
    assert (found.start == -1).all()


@pytest.mark.parametrize(
    ("dims", "method"), [(2, "lm"), (128, "lm"), (129, "lbfgs"), (300, "lbfgs")]
)
def test_the_solver_follows_from_the_length_of_latents(dims: int, method: str) -> None:
    assert InferConfig().method_for(dims) == method
    assert InferConfig(method="adam").method_for(dims) == "adam"
    assert InferConfig().method_for(dims, "laplacian") == "adam"
    assert InferConfig(method="lm").method_for(dims, "laplacian") == "lm"


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["lm", "lbfgs"])
def test_cross_entropy_is_minimised_by_the_same_methods(method: str) -> None:
    decoder, latents, images = drawn(3, 20)
    decoder = replace(decoder, output_activation="sigmoid")
    criterion = Criterion("bce")
    found = {}
    for name in (method, "adam"):
        plan = plan_inference(
            decoder,
            latents,
            scaler="zero_one",
            config=InferConfig(method=name),
            key=jax.random.key(0),
            criterion=criterion,
        )
        place = infer_latents(plan, images).latents
        outputs, targets = decode(decoder, jnp.asarray(place)), scale_pixels(images, "zero_one")
        found[name] = np.asarray(reconstruction_loss(outputs, targets, criterion))
        by_square = np.asarray(reconstruction_loss(outputs, targets, Criterion()))
    np.testing.assert_allclose(found[method].mean(), found["adam"].mean(), rtol=1e-3)
    assert found[method].mean() > 2 * by_square.mean()  # it is another loss
