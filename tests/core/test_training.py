"""What a fit needs to go on: taken from a run, and put into one, perhaps of another form."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.core.builders import SMALL_MOMENTS, assert_same_bits, digits, run, run_config, start

from autodecoder.config import RunConfig, fit_config
from autodecoder.core.runs import RunState
from autodecoder.core.training import resume_run, take_training
from autodecoder.core.tree import tree_to_arrays

AS_ADAM = run_config()
SMALL = run_config(fit=replace(AS_ADAM.fit, **SMALL_MOMENTS))


def resumed(state: RunState, config: RunConfig, n_more: int = 0) -> RunState:
    train, val = np.asarray(state.train.values), np.asarray(state.val.values)
    train = np.concatenate([train, train[:n_more]])
    return resume_run(state.decoder, train, val, take_training(state), {}, config).state


@pytest.mark.parametrize("config", [AS_ADAM, SMALL], ids=["as Adam", "small"])
def test_a_state_taken_and_put_back_is_the_same(config: RunConfig) -> None:
    state = run(2, config).state
    assert_same_bits(tree_to_arrays(resumed(state, config)), tree_to_arrays(state))


def test_moments_are_brought_into_the_form_of_the_fit_that_goes_on() -> None:
    adam, small = (run(2, config).state for config in (AS_ADAM, SMALL))
    for before, after in (
        (adam.train.rows, resumed(adam, SMALL).train.rows),
        (adam.val.rows, resumed(adam, SMALL).val.rows),
    ):
        np.testing.assert_array_equal(after.mean, before.mean.astype(jnp.bfloat16))
        of_rows = np.asarray(before.square).mean(axis=1, keepdims=True)
        np.testing.assert_array_equal(after.square, of_rows, strict=True)
    before, after = small.train.rows, resumed(small, AS_ADAM).train.rows
    np.testing.assert_array_equal(after.mean, before.mean.astype(jnp.float32))
    np.testing.assert_array_equal(after.square, jnp.broadcast_to(before.square, after.mean.shape))


@pytest.mark.parametrize("config", [AS_ADAM, SMALL], ids=["as Adam", "small"])
def test_further_latents_have_no_moments(config: RunConfig) -> None:
    state = run(1, config).state
    rows = resumed(state, config, n_more=3).train.rows
    assert jax.tree.map(len, rows) == (453, 453, 453)
    for moment, before in zip(rows[1:], state.train.rows[1:], strict=True):
        np.testing.assert_array_equal(moment[:450], before)
        assert not np.asarray(moment[450:], np.float32).any()


@pytest.mark.parametrize("codes", ["point", "gaussian"])
@pytest.mark.parametrize("prior", ["gaussian", "mixture"])
def test_a_fresh_state_has_the_types_of_a_saved_one(prior: str, codes: str) -> None:
    """Types of JAX that are only weak would have a fit that goes on compile its program anew."""
    fit = fit_config("original", prior=prior, codes=codes, n_components=3)
    fresh = jax.eval_shape(partial(start, run_config(fit=fit)), digits())
    paths = jax.tree_util.tree_leaves_with_path(fresh)
    assert [jax.tree_util.keystr(path) for path, leaf in paths if leaf.weak_type] == []
