"""Latent inference for a mix of complete samples and samples with missing values."""

from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float, Num, Shaped

from autodecoder.core.infer import Inference, InferencePlan, OnLatents, infer_latents


def infer_apart(
    plan: InferencePlan,
    rows: Num[np.ndarray, "n values"],
    *,
    weights: Shaped[np.ndarray, "n values"] | None,
    given: Float[np.ndarray, "n m dims"] | None,
    watch: OnLatents | None,
) -> Inference:
    """Infer complete samples without weights and others with weights, see `infer_latents`.

    So the result of a complete sample is the same, bit for bit, alone and together with samples
    that have missing values.
    """
    whole = np.zeros(len(rows), bool) if weights is None else weights.all(axis=1)
    if weights is None or not whole.any():
        return infer_latents(plan, rows, weights=weights, given=given, watch=watch)
    parts = []
    for chosen, seen in ((whole, None), (~whole, weights[~whole])):
        mine = None if given is None else given[chosen]
        parts.append(infer_latents(plan, rows[chosen], weights=seen, given=mine, watch=watch))
    places = np.argsort(np.concatenate([np.flatnonzero(whole), np.flatnonzero(~whole)]))
    return jax.tree.map(lambda array: array[places], join_inferences(parts))


def join_inferences(parts: Sequence[Inference]) -> Inference:
    """Concatenate inferences of successive samples."""
    return jax.tree.map(lambda *arrays: np.concatenate(arrays), *parts)
