"""Trees as named arrays: what is taken apart comes back whole, and nothing else is accepted."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tests.core.builders import (
    SMALL_MOMENTS,
    WATCHED,
    assert_same_bits,
    move,
    populate,
    rates,
    run,
    run_config,
)

from autodecoder.core.population import take_run
from autodecoder.core.tree import arrays_to_tree, tree_to_arrays

TREE = {
    "key": jax.random.key(7),
    "pair": (jnp.arange(3, dtype=jnp.int32), [jnp.float32(1.5), None]),
    "empty": jnp.zeros((0, 2)),
}
NAMES = {"key", "pair/0", "pair/1/0", "empty"}


def test_leaves_are_named_by_their_place() -> None:
    arrays = tree_to_arrays(TREE)
    assert set(arrays) == NAMES
    assert all(type(array) is np.ndarray for array in arrays.values())
    np.testing.assert_array_equal(arrays["pair/0"], [0, 1, 2])
    np.testing.assert_array_equal(arrays["key"], jax.random.key_data(jax.random.key(7)))


@pytest.mark.parametrize("only_shapes", [False, True])
def test_round_trip(only_shapes: bool) -> None:
    like = jax.eval_shape(lambda: TREE) if only_shapes else TREE
    back = arrays_to_tree(like, tree_to_arrays(TREE))
    assert jax.tree.structure(back) == jax.tree.structure(TREE)
    assert_same_bits(tree_to_arrays(back), tree_to_arrays(TREE))
    assert jax.random.bits(back["key"]) == jax.random.bits(TREE["key"])


@pytest.mark.parametrize("moments", [{}, SMALL_MOMENTS], ids=["as Adam", "small"])
def test_a_run_put_together_again_goes_on_bit_for_bit(moments: dict[str, str]) -> None:
    config = run_config(fit=replace(run_config().fit, **moments))
    halfway = run(3, config)
    like = jax.eval_shape(lambda: halfway)
    back = arrays_to_tree(like, tree_to_arrays(halfway))
    ours, theirs = (move(one, 6, config, rates(1e-2)) for one in (halfway, back))
    assert_same_bits(tree_to_arrays(ours), tree_to_arrays(theirs))


def test_all_that_a_run_holds_comes_back() -> None:
    whole = take_run(populate((1e-3,) * 4, WATCHED).runs, 1)
    arrays = tree_to_arrays(whole)
    assert {"state/key", "state/epoch", "history/loss", "watch/wait", "best/epoch"} <= set(arrays)
    back = arrays_to_tree(jax.eval_shape(lambda: whole), arrays)
    assert jax.tree.structure(back) == jax.tree.structure(whole)
    assert_same_bits(tree_to_arrays(back), arrays)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_missing_array_is_named(name: str) -> None:
    arrays = tree_to_arrays(TREE)
    del arrays[name]
    with pytest.raises(ValueError, match=f"^{name} is missing$"):
        arrays_to_tree(TREE, arrays)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("pair/0", np.zeros(4, np.int32), r"pair/0 must be int32\[3\], got int32\[4\]"),
        ("pair/0", np.zeros((3, 1), np.int32), r"int32\[3\], got int32\[3, 1\]"),
        ("pair/0", np.zeros(3, np.float32), r"int32\[3\], got float32\[3\]"),
        ("pair/1/0", np.zeros((), np.float64), r"float32\[\], got float64\[\]"),
        ("empty", np.zeros((0, 3), np.float32), r"float32\[0, 2\], got float32\[0, 3\]"),
        ("key", np.zeros(3, np.uint32), r"key must be uint32\[2\], got uint32\[3\]"),
        ("key", np.zeros(2, np.int32), r"key must be uint32\[2\], got int32\[2\]"),
    ],
)
def test_nothing_is_converted(name: str, wrong: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        arrays_to_tree(TREE, {**tree_to_arrays(TREE), name: wrong})
