"""Hollow runs, whose rows are in a `RowStore`, and their checkpoints within an epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from autodecoder.core.adam import Rows
from autodecoder.core.epoch import MovingLatents, Seen
from autodecoder.core.fit import Run
from autodecoder.core.tree import arrays_to_tree, name_leaves, tree_to_arrays
from autodecoder.errors import ConfigError
from autodecoder.model.row_stores import RowStore

#: Names of the arrays that a checkpoint within an epoch holds in addition to those of a run.
WINDOW, SUMS, _SEEN = "stream/window", "stream/sums", "stream/seen/"
#: Names in a checkpoint of the arrays that have a row for each training image.
ROW_PATHS = {
    **{name: f"state/train/rows/{name}" for name in Rows._fields},
    "best": "best/train_latents",
}


def within_epoch(window: int, sums: Float[np.ndarray, "2"], seen: Seen) -> dict[str, np.ndarray]:
    """The additional arrays, by name, of a checkpoint before window number `window`."""
    found = {_SEEN + name: values for name, values in tree_to_arrays(seen).items()}
    return {WINDOW: np.asarray(window, np.int32), SUMS: sums, **found}


def fill(run: Run, store: RowStore) -> Run:
    """A copy of a hollow run with the rows of its store."""
    state, best = run.state, run.best
    train = MovingLatents(store.whole(), state.train.steps)
    if best is not None:
        kept = store.best(int(best.epoch))
        latents: Any = best.train_latents if kept is None else kept
        best = best._replace(train_latents=latents)
    return run._replace(state=replace(state, train=train), best=best)


def read_hollow(like: Run, arrays: Mapping[str, np.ndarray]) -> Run:
    """Read the hollow run of a checkpoint.

    Parameters
    ----------
    like : Run
        A hollow run with the same structure, of arrays or their shapes and dtypes.
    arrays : mapping
        The arrays of the checkpoint, by name.

    Raises
    ------
    ValueError
        If the arrays do not fit.
    """
    leaves = name_leaves(like)
    empty = {
        path: np.zeros(leaves[path].shape, leaves[path].dtype)
        for path in ROW_PATHS.values()
        if path in leaves
    }
    return arrays_to_tree(like, {**arrays, **empty})


def check_place(arrays: Mapping[str, np.ndarray], kinds: Sequence[str] = ()) -> None:
    """Check that a run can continue from a checkpoint with rows of one of the given kinds.

    Kinds are `host` and `disk`; an empty sequence means that all rows are on the devices.

    Raises
    ------
    ConfigError
        If the checkpoint needs rows of another kind.
    """
    kind = streamed_kind(arrays)
    if kind is not None and kind not in kinds:
        left = "has its latents in files" if kind == "disk" else "was left within an epoch"
        raise ConfigError(f"the run {left}: rows must be {kind} as before to continue it.")


def join_seen(seen: Sequence[Seen]) -> Seen:
    """Concatenate the measurements of successive windows."""
    return jax.tree.map(lambda *parts: np.concatenate(parts), *seen)


def is_streamed(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether only a `StreamDriver` can continue from a checkpoint, which is one written within an
    epoch, or one without rows, whose rows are in files."""
    return WINDOW in arrays or not len(arrays.get(ROW_PATHS["values"], "some"))


def streamed_kind(arrays: Mapping[str, np.ndarray]) -> str | None:
    """The kind of rows, `host` or `disk`, of a streamed checkpoint; `None` for other ones."""
    if not is_streamed(arrays):
        return None
    return "host" if len(arrays.get(ROW_PATHS["values"], ())) else "disk"


def read_seen(arrays: Mapping[str, np.ndarray]) -> Seen:
    """The measurements of the steps before a checkpoint within an epoch."""
    found = {n[len(_SEEN) :]: jnp.asarray(a) for n, a in arrays.items() if n.startswith(_SEEN)}
    sums = {n.partition("/")[2]: a for n, a in found.items() if n.startswith("sums/")}
    return Seen(sums, found["counts"], found.get("norms"))
