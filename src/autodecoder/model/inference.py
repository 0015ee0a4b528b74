"""Latent inference under a model: plans, samples with missing values, and draws."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Float, Num, Shaped

from autodecoder.config import FitConfig, InferConfig
from autodecoder.config.rules import as_plain, check_seed
from autodecoder.core.infer import Inference, OnLatents, infer_latents
from autodecoder.core.losses import Criterion
from autodecoder.core.plan import InferencePlan, plan_inference
from autodecoder.core.posterior import posterior_roots
from autodecoder.core.switches import own_switches
from autodecoder.data.carriers import as_array
from autodecoder.data.pixels import as_mask, as_numbers, to_weights
from autodecoder.errors import ConfigError, DataError
from autodecoder.model.programs import limit_programs, one_inference
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
    *,
    watch: OnLatents | None = None,
) -> Inference:
    """`Model.infer`, with a function that is called as `infer_latents` says."""
    config = InferConfig() if config is None else config
    seed = as_plain(seed)
    check_seed("seed", seed)
    by, dims = model.standardization, model.latent_dims
    images = check_samples(images, model.image_shape, by)
    if mask is not None:
        mask = as_mask(mask, len(images), model.image_shape)
    if given is not None:
        given = as_numbers("given", given)
        if given.ndim != 3 or given.shape[::2] != (len(images), dims):
            raise DataError(f"given must be ({len(images)}, m, {dims}), got {tuple(given.shape)}.")
        if not np.isfinite(given).all():
            raise DataError("given holds values that are not finite.")
    parts = []
    for start in range(0, max(1, len(images)), _INFERRED_AT_ONCE):
        chosen = slice(start, start + _INFERRED_AT_ONCE)
        rows, weights = _rows_of(model, images, mask, chosen)
        mine = None if given is None else given[chosen]
        find = infer_apart if mask is None else infer_latents
        with one_inference:
            plan = plan_for(model, config, seed, missing=weights is not None)
            parts.append(find(plan, rows, weights=weights, given=mine, watch=watch))
    return join_inferences(parts)


def plan_for(
    model: "Model", config: InferConfig, seed: int, *, missing: bool = False
) -> InferencePlan:
    """The inference plan for a configuration and a seed of the starts, from a cache.

    `missing` says whether some images have pixels that do not count.
    """
    noise = noise_of(model)
    learnt = learnt_prior(model)
    if learnt is not None and config.prior_weight is None:
        least = config.prior_weight_or_default if missing else 0.0
        config = replace(config, prior_weight=max(learnt.prior_weight, least))
    weight = config.prior_weight
    if weight and noise is None:
        raise DataError(
            "prior_weight needs a model with its training loss, which its history lacks."
        )
    wanted = noise is not None and (missing if weight is None else weight > 0)
    # Plans with the same key differ at most in their configuration, which is replaced below.
    key = (config.starts, config.n_starts, config.n_candidates, seed, wanted)
    plan = model._plans.get(key)
    if plan is None:
        limit_programs()
        plan = plan_inference(
            model.decoder,
            model.latents,
            scaler=model.scaler,
            config=config,
            key=jax.random.key(seed),
            criterion=Criterion(model.loss, model.image_shape),
            prior=model.density if wanted and len(model.latents) > 1 else None,
            noise=noise,
        )
        model._plans.clear()
        model._plans[key] = plan
    return replace(plan, config=config)


def learnt_prior(model: "Model") -> FitConfig | None:
    """The settings of a fit that learnt a prior; `None` for other fits."""
    settings = model.about.get("settings")
    fit = settings.get("fit") if isinstance(settings, Mapping) else None
    if not isinstance(fit, Mapping) or fit.get("prior", "none") == "none":
        return None
    names = ("prior", "n_components", "prior_weight")
    try:
        return FitConfig(**{name: fit[name] for name in names if name in fit})
    except ConfigError as error:
        raise DataError(f"the settings of the model are damaged: {error}") from error


def noise_of(model: "Model") -> float | None:
    """The loss of the training images after the last epoch; `None` if it is not known."""
    losses = np.asarray(model.history.get(model.loss if model.loss != "mse" else "loss", ()))
    losses = losses[np.isfinite(losses)]
    return float(losses[-1]) if len(losses) else None


@own_switches()
def draw_posterior(
    model: "Model", images: Any, mask: Any, n: int, config: InferConfig | None, seed: int
) -> Float[np.ndarray, "n_images n dims"]:
    """Draw latents of images, see `Model.draw`."""
    config = InferConfig() if config is None else config
    config = replace(config, prior_weight=config.prior_weight_or_default)
    if not config.prior_weight:
        raise ConfigError("draws need a prior: prior_weight must be above 0.")
    if noise_of(model) is None or len(model.latents) < 2:
        raise DataError("draws need a model with its training loss and latents.")
    found = infer_samples(model, images, mask, config, None, seed)
    images = check_samples(images, model.image_shape, model.standardization)
    if mask is not None:
        mask = as_mask(mask, len(images), model.image_shape)
    rng = np.random.default_rng(seed)
    parts = []
    for start in range(0, max(1, len(images)), _INFERRED_AT_ONCE):
        chosen = slice(start, start + _INFERRED_AT_ONCE)
        rows, weights = _rows_of(model, images, mask, chosen)
        with one_inference:
            plan = plan_for(model, config, seed, missing=weights is not None)
            roots = posterior_roots(plan, rows, found.latents[chosen], weights=weights)
        noise = rng.normal(size=(len(rows), n, model.latent_dims)).astype(np.float32)
        parts.append(found.latents[chosen, None] + np.einsum("ide,ine->ind", roots, noise))
    latents = np.concatenate(parts)
    latents[np.isnan(found.errors.loss)] = np.nan
    return latents


def _rows_of(
    model: "Model", images: Any, mask: Any, chosen: slice
) -> tuple[Num[np.ndarray, "n values"], Shaped[np.ndarray, "n values"] | None]:
    """Some of the checked images as rows, and the weights of their values, if not all count."""
    by, start = model.standardization, chosen.start
    hidden = None if mask is None else to_weights(mask[chosen], start)
    doubt_range(images[chosen], by, model.pixel_range)
    return to_rows(images[chosen], start, hidden, by, model.pixel_range)


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
