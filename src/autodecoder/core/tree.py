"""Conversion between pytrees and named NumPy arrays, for files that hold only arrays."""

from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr, tree_flatten_with_path

_Tree = TypeVar("_Tree")


def name_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a tree, by their path in it."""
    leaves, _ = tree_flatten_with_path(tree)
    return {_name(path): leaf for path, leaf in leaves}


def tree_to_arrays(tree: Any) -> dict[str, np.ndarray]:
    """Leaves by name as NumPy arrays; random keys become their data."""
    return {name: _to_numpy(leaf) for name, leaf in name_leaves(tree).items()}


def arrays_to_tree(like: _Tree, arrays: Mapping[str, np.ndarray]) -> _Tree:
    """Build a tree from the arrays that `tree_to_arrays` returned.

    Parameters
    ----------
    like : tree
        A tree of the same structure, with arrays or their shapes and dtypes as leaves.

    Raises
    ------
    ValueError
        If an array is missing or has a wrong shape or dtype; nothing is converted.
    """
    expected, structure = tree_flatten_with_path(like)
    leaves = []
    for path, leaf in expected:
        is_key = _is_key(leaf)
        wanted = jax.eval_shape(jax.random.key_data, leaf) if is_key else leaf
        found = arrays.get(_name(path))
        if found is None:
            raise ValueError(f"{_name(path)} is missing")
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            raise ValueError(
                f"{_name(path)} must be {wanted.dtype}{list(wanted.shape)}, "
                f"got {found.dtype}{list(found.shape)}"
            )
        leaves.append(jax.random.wrap_key_data(jnp.asarray(found)) if is_key else found)
    return jax.tree.unflatten(structure, leaves)


def _name(path: Any) -> str:
    return keystr(path, simple=True, separator="/")


def _to_numpy(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
