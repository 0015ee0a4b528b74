"""Starts of inference: the nearest candidates against brute force, draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodecoder.config import DecoderConfig, InferConfig
from autodecoder.core.decoders import Decoder, decode, init_decoder
from autodecoder.core.neighbours import decode_known, nearest
from autodecoder.core.starts import place_starts, prepare_starts, start_names

RNG = np.random.default_rng(0)
CANDIDATES, MANY = (jnp.asarray(0.5 + 2 * RNG.normal(size=(n, 2)), jnp.float32) for n in (40, 300))
TARGETS = jnp.asarray(RNG.uniform(-1, 1, (30, 6)), jnp.float32)
find = jax.jit(nearest, static_argnums=3)
decode_all = jax.jit(decode_known)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    config = DecoderConfig(arch=(8,), batch_norm=False)
    return jax.jit(lambda key: init_decoder(key, config, (1, 6, 1), "tanh"))(jax.random.key(0))


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("candidates", [CANDIDATES, MANY], ids=["few", "many"])
def test_nearest_candidates_are_the_nearest(
    decoder: Decoder, n: int, weighted: bool, candidates: jax.Array
) -> None:
    weights = jnp.asarray(RNG.random(TARGETS.shape), jnp.float32) if weighted else None
    decoded = np.asarray(decode(decoder, candidates))
    squares = (np.asarray(TARGETS)[:, None] - decoded[None]) ** 2
    distances = (squares * (1 if weights is None else np.asarray(weights)[:, None])).sum(-1)
    found = find(decode_all(decoder, candidates), TARGETS, weights, n)
    order = np.argsort(distances, axis=1)[:, :n]
    np.testing.assert_array_equal(found, np.asarray(candidates)[order])


@pytest.mark.thorough
def test_among_many_a_sketch_finds_what_is_as_near() -> None:
    config = DecoderConfig(arch=(32, 64), batch_norm=False)
    decoder = init_decoder(jax.random.key(6), config, (1, 1000, 1), "tanh")
    latents = 3 * jax.random.normal(jax.random.key(7), (2200, 2))
    known = decode_known(decoder, latents)
    assert known.sketch is not None
    noise = 0.3 * jax.random.normal(jax.random.key(8), (50, 1000))
    targets = decode(decoder, 3 * jax.random.normal(jax.random.key(9), (50, 2))) + noise

    def distances(found: jax.Array) -> np.ndarray:
        return np.sum((decode(decoder, found[:, 0]) - targets) ** 2, axis=1)

    sketched = distances(nearest(known, targets, None, 1))
    exact = distances(nearest(known._replace(sketch=None), targets, None, 1))
    assert (sketched >= exact * (1 - 1e-6)).all()
    np.testing.assert_allclose(sketched, exact, rtol=0.01)
    # Under weights it is exact, among the first 4,000.
    alike = distances(nearest(known, targets, jnp.ones((50, 1000)), 1))
    np.testing.assert_allclose(alike, exact, rtol=1e-5)


def test_one_image_with_a_mask_is_compared_where_it_is_seen(decoder: Decoder) -> None:
    known = decode_all(decoder, CANDIDATES)
    mask = np.array([[True, False, False, True, True, False]])
    target = np.where(mask, known.images[7:8], np.float32(9))
    np.testing.assert_array_equal(find(known, target, mask, 1)[0, 0], CANDIDATES[7])


def test_all_kinds_of_starts_stand_side_by_side(decoder: Decoder) -> None:
    config = InferConfig(starts=("zeros", "random", "nearest"), n_starts=2)
    starts = prepare_starts(decoder, CANDIDATES, jax.random.key(4), config)
    placed = place_starts(starts, decode(decoder, CANDIDATES[:20]), None, config)
    assert placed.shape == (20, len(start_names(config)), 2)
    np.testing.assert_array_equal(placed[:, 0], CANDIDATES[:20])
    np.testing.assert_array_equal(placed[:, 2], np.zeros((20, 2)))
    np.testing.assert_array_equal(placed[0, 3:], placed[9, 3:])


def test_random_starts_are_spread_as_the_candidates(decoder: Decoder) -> None:
    config = InferConfig(starts=("random",), n_starts=4000)
    drawn = prepare_starts(decoder, CANDIDATES, jax.random.key(5), config).fixed
    np.testing.assert_allclose(drawn.mean(0), CANDIDATES.mean(0), atol=0.2)
    np.testing.assert_allclose(drawn.std(0), CANDIDATES.std(0), rtol=0.05)
