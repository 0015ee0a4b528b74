"""Latent inference for samples as users give them, complete or with missing values."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float, Num, Shaped

from autodecoder.config import InferConfig
from autodecoder.config.rules import as_plain, check_seed
from autodecoder.core.infer import Inference, InferencePlan, OnLatents, infer_latents
from autodecoder.core.switches import own_switches
from autodecoder.data.carriers import as_array
from autodecoder.data.pixels import as_mask, as_numbers, to_weights
from autodecoder.errors import DataError
from autodecoder.model.programs import one_inference
from autodecoder.model.samples import check_samples, doubt_range, to_rows

if TYPE_CHECKING:
    from autodecoder.model.model import Model

#: Most images inferred at once, which bounds memory.
_INFERRED_AT_ONCE = 20_000


@own_switches()
def infer_samples(
    model: "Model",
    images: Any,
    mask: Any,
    config: InferConfig | None,
    given: Any,
    seed: int,
    watch: OnLatents | None,
) -> Inference:
    """Check samples and infer their latents, see `Model.infer`, and `infer_latents` for `watch`."""
    config = InferConfig() if config is None else config
    seed = as_plain(seed)
    check_seed("seed", seed)
    by = model.standardization
    images = check_samples(images, model.image_shape, by)
    if mask is not None:
        mask = as_mask(mask, len(images), model.image_shape)
    dims = model.latent_dims
    if given is not None:
        given = as_numbers("given", given)
        if given.ndim != 3 or given.shape[::2] != (len(images), dims):
            raise DataError(f"given must be ({len(images)}, m, {dims}), got {tuple(given.shape)}.")
        if not np.isfinite(given).all():
            raise DataError("given holds values that are not finite.")
    parts = []
    for start in range(0, max(1, len(images)), _INFERRED_AT_ONCE):
        chosen = slice(start, start + _INFERRED_AT_ONCE)
        hidden = None if mask is None else to_weights(mask[chosen], start)
        doubt_range(images[chosen], by, model.pixel_range)
        rows, weights = to_rows(images[chosen], start, hidden, by, model.pixel_range)
        mine = None if given is None else given[chosen]
        find = infer_apart if mask is None else infer_latents
        with one_inference:
            plan = model.plan(config, seed)
            parts.append(find(plan, rows, weights=weights, given=mine, watch=watch))
    return join_inferences(parts)


def as_latent(
    model: "Model", name: str, end: Any, config: InferConfig | None, seed: int
) -> Float[np.ndarray, " dims"]:
    """One end of a path as a latent: a latent as it is, that of an image by inference."""
    end = as_array(name, end)
    if end.shape == (model.latent_dims,):
        latent = as_numbers(name, end)
        if not np.isfinite(latent).all():
            raise DataError(f"{name} is a latent with values that are not finite.")
        return latent
    shapes = {model.sample_shape, (math.prod(model.sample_shape),)}
    if model.sample_shape[2:] == (1,):
        shapes.add(model.sample_shape[:2])
    if end.shape not in shapes:
        raise DataError(
            f"{name} must be a latent of {model.latent_dims} numbers or an image of "
            f"{' × '.join(map(str, model.sample_shape))}, got {end.shape}."
        )
    return model.infer(end[None], config=config, seed=seed).latents[0]


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
