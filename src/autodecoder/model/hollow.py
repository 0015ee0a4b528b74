"""Runs whose rows lie elsewhere, and what a checkpoint within an epoch holds of one."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from autodecoder.core.adam import Rows
from autodecoder.core.epoch import MovingLatents, Seen
from autodecoder.core.fit import Run, Snapshot
from autodecoder.core.tree import tree_to_arrays
from autodecoder.model.row_stores import RowStore

#: Names of what a checkpoint within an epoch holds beside a run.
WINDOW, SUMS, _SEEN = "stream/window", "stream/sums", "stream/seen/"
#: Names in a checkpoint of what has a row for each training image.
OF_ROWS = (*(f"state/train/rows/{name}" for name in Rows._fields), "best/train_latents")


def within_epoch(window: int, sums: Float[np.ndarray, "2"], seen: Seen) -> dict[str, np.ndarray]:
    """What a checkpoint holds that was made before a window, as arrays by name."""
    found = {_SEEN + name: values for name, values in tree_to_arrays(seen).items()}
    return {WINDOW: np.asarray(window, np.int32), SUMS: sums, **found}


def with_decoder(run: Run, decoder: Any, moments: Any) -> Run:
    """A run with another decoder, and its moments."""
    state = run.state
    return run._replace(
        state=type(state)(decoder, moments, state.train, state.val, state.key, state.epoch)
    )


def fill(run: Run, store: RowStore) -> Run:
    """A hollow run with its rows."""
    state, best = run.state, run.best
    train = MovingLatents(store.whole(), state.train.steps)
    if best is not None:
        kept = store.best(int(best.epoch))
        latents: Any = best.train_latents if kept is None else kept
        best = Snapshot(best.decoder, latents, best.val_latents, best.epoch)
    moved = type(state)(
        state.decoder, state.decoder_moments, train, state.val, state.key, state.epoch
    )
    return run._replace(state=moved, best=best)


def join_seen(seen: Sequence[Seen]) -> Seen:
    """What was seen at the steps of some windows in a row."""
    return jax.tree.map(lambda *parts: np.concatenate(parts), *seen)


def is_streamed(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether a checkpoint is for a `StreamDriver` alone: made within an epoch, or without the
    rows, which lie in files."""
    return WINDOW in arrays or not len(arrays.get(OF_ROWS[0], "some"))


def streamed_kind(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Where the rows of a streamed checkpoint lie: `host` or `disk`."""
    if not is_streamed(arrays):
        return None
    return "host" if len(arrays.get(OF_ROWS[0], ())) else "disk"


def read_seen(arrays: Mapping[str, np.ndarray]) -> Seen:
    """What such a checkpoint says of the steps before."""
    found = {n[len(_SEEN) :]: jnp.asarray(a) for n, a in arrays.items() if n.startswith(_SEEN)}
    sums = {n.partition("/")[2]: a for n, a in found.items() if n.startswith("sums/")}
    return Seen(sums, found["counts"], found.get("norms"))
