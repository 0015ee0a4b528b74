"""A population: every cell equals its solo run, one shape compiles once, no run harms another."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from autodecoder.config import DecoderConfig, FitConfig
from autodecoder.core.fit import Images
from autodecoder.core.population import advance, init_population, study_runs
from autodecoder.data import load_dataset

DECODER = DecoderConfig(arch=(24, 48))
FIT = FitConfig(num_epochs=6, batch_size=100)
RATES = (1e-3, 1e-2)


@pytest.fixture(scope="module")
def images() -> Images:
    digits = load_dataset("digits")
    return Images(jnp.asarray(digits.train.flat[:500]), jnp.asarray(digits.val.flat[:150]))


def train(
    images,
    rates,
    n_executions,
    *,
    fit=FIT,
    decoder=DECODER,
    side_by_side=False,
    portions=((0, None, 6),),
):
    keys, learning_rates = study_runs(jax.random.key(3), rates, n_executions, fit)
    population = init_population(
        keys, learning_rates, images, None, decoder_config=decoder, fit=fit, scaler="standard"
    )
    for first, count, n_epochs in portions:
        population = advance(
            population,
            images,
            first,
            len(population) if count is None else count,
            n_epochs,
            fit=fit,
            scaler="standard",
            side_by_side=side_by_side,
        )
    return population


def test_a_cell_equals_its_solo_run(images: Images) -> None:
    grid = train(images, RATES, 2)
    solo = train(images, RATES[1:], 2)
    for name, values in grid.histories.items():
        np.testing.assert_array_equal(values[2:], solo.histories[name])
    np.testing.assert_array_equal(grid.states.train.values[2:], solo.states.train.values)


def test_executions_differ_and_are_paired_across_trials(images: Images) -> None:
    keys, rates = study_runs(jax.random.key(3), RATES, 2, FIT)
    data = jax.random.key_data(keys)
    np.testing.assert_array_equal(data[:2], data[2:])
    assert (data[0] != data[1]).any()
    np.testing.assert_allclose(rates.decoder, [1e-3, 1e-3, 1e-2, 1e-2])
    own = study_runs(jax.random.key(3), RATES, 2, replace(FIT, latent_learning_rate=0.5))[1]
    np.testing.assert_allclose(own.latents, 0.5)
    losses = train(images, RATES, 2).histories["loss"][:, -1]
    assert losses[2] != losses[3]


def test_portions_of_runs_and_epochs_do_not_matter(images: Images) -> None:
    whole = train(images, RATES, 2)
    portions = ((0, 1, 1), (1, 3, 1), (0, 4, 2), (2, 2, 3), (0, 2, 3))
    np.testing.assert_array_equal(
        whole.histories["val_loss"],
        train(images, RATES, 2, portions=portions).histories["val_loss"],
    )


def test_side_by_side_equals_one_after_another(images: Images) -> None:
    # From a calm start: rounding differs between the two programs, and training amplifies it.
    fit = replace(FIT, latent_start="normal")
    decoder = replace(DECODER, batch_norm=False)
    looped = train(images, (1e-4, 1e-3), 2, fit=fit, decoder=decoder).histories
    vmapped = train(images, (1e-4, 1e-3), 2, fit=fit, decoder=decoder, side_by_side=True).histories
    for name in looped:
        np.testing.assert_allclose(looped[name], vmapped[name], rtol=1e-3)


@pytest.mark.parametrize("side_by_side", [False, True])
def test_a_diverged_run_leaves_its_neighbours_alone(images: Images, side_by_side: bool) -> None:
    calm = train(images, (1e-3, 1e-2), 1, side_by_side=side_by_side).histories["loss"]
    wild = train(images, (1e-3, float("nan")), 1, side_by_side=side_by_side).histories["loss"]
    assert np.isnan(wild[1, -1])
    np.testing.assert_array_equal(calm[0], wild[0])


def test_one_shape_compiles_once(images: Images) -> None:
    fit = replace(FIT, num_epochs=7)  # a shape that no other test has compiled
    before = advance._cache_size()  # pyright: ignore[reportAttributeAccessIssue]
    train(images, (1e-4, 1e-3), 2, fit=fit, portions=((0, 4, 1), (1, 2, 3)))
    train(images, (1e-2, 1e-1), 2, fit=fit, portions=((0, 4, 2),))
    after = advance._cache_size()  # pyright: ignore[reportAttributeAccessIssue]
    assert after == before + 1
