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
from autodecoder.core.runs import Run
from autodecoder.core.tree import arrays_to_tree, name_leaves, tree_to_arrays
from autodecoder.errors import ConfigError
from autodecoder.model.row_stores import RowStore

#: Names of the arrays that a checkpoint within an epoch holds in addition to those of a run.
WINDOW, SUMS, _SEEN = "stream/window", "stream/sums", "stream/seen/"
#: Names in a checkpoint of the arrays that it holds only where a setting asks for them.
_BEST, _NORMS = "best/", "history/gradient_norm_"
#: Names in a checkpoint of the arrays that have a row for each training image.
ROW_PATHS = {
    **{name: f"state/train/rows/{name}" for name in Rows._fields},
    "best": "best/train_latents",
}
#: Where the state of a run has the latents of a snapshot.
_OF_STATE = {
    "train_latents": ROW_PATHS["values"],
    "val_latents": "state/val/rows/values",
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


def fit_to_settings(like: Run, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A checkpoint that was written with other settings of what is kept and tracked.

    Gradient norms that were not tracked are not numbers. Where no best epoch was kept, the best of
    the epochs to come will be: until then its epoch is 0.

    Parameters
    ----------
    like : Run
        Of arrays or of their shapes.
    arrays : mapping
        By name.
    """
    leaves, found = name_leaves(like), dict(arrays)
    for name, leaf in leaves.items():
        if name.startswith(_NORMS):
            found.setdefault(name, np.full(leaf.shape, np.nan, leaf.dtype))
    names = [name for name in leaves if name.startswith(_BEST)]
    if not names or any(name in arrays for name in names):
        return found
    found["watch/best"] = np.asarray(np.inf, np.float32)
    found[f"{_BEST}epoch"] = np.zeros((), np.int32)
    for name in names:
        _, part, *rest = name.split("/", 2)
        path = _OF_STATE.get(part, "/".join(("state", part, *rest)))
        if path in arrays:
            found.setdefault(name, arrays[path])
    return found


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
    return arrays_to_tree(like, {**fit_to_settings(like, arrays), **empty})


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


def read_seen(arrays: Mapping[str, np.ndarray], n_norms: int) -> Seen:
    """The measurements of the steps before a checkpoint within an epoch, each with `n_norms`
    gradient norms."""
    found = {n[len(_SEEN) :]: jnp.asarray(a) for n, a in arrays.items() if n.startswith(_SEEN)}
    sums = {n.partition("/")[2]: a for n, a in found.items() if n.startswith("sums/")}
    norms = None
    if n_norms:  # which the settings may not have asked for by then
        unknown = jnp.full((len(found["counts"]), n_norms), jnp.nan, jnp.float32)
        norms = found.get("norms", unknown)
    return Seen(sums, found["counts"], norms)
