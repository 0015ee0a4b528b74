"""Latent inference under a model: plans, samples with missing values, and draws."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Num, Shaped

from autodecoder.config import FitConfig, InferConfig
from autodecoder.config.rules import as_plain, check_seed
from autodecoder.core.infer import Inference, OnLatents, infer_latents
from autodecoder.core.losses import Criterion
from autodecoder.core.plan import InferencePlan, plan_inference
from autodecoder.core.posterior import log_evidence, posterior_roots
from autodecoder.core.switches import own_switches
from autodecoder.data.carriers import as_array
from autodecoder.data.pixels import as_mask, as_numbers, to_weights
from autodecoder.errors import ConfigError, DataError
from autodecoder.model.metrics import latest_metric
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
    images, mask, seed = _checked(model, images, mask, seed)
    dims = model.latent_dims
    if given is not None:
        given = as_numbers("given", given)
        if given.ndim != 3 or given.shape[::2] != (len(images), dims):
            raise DataError(f"given must be ({len(images)}, m, {dims}), got {tuple(given.shape)}.")
        if not np.isfinite(given).all():
            raise DataError("given holds values that are not finite.")
    parts = []
    for block in _blocks(model, images, mask, config, seed):
        mine = None if given is None else given[block.chosen]
        with one_inference:
            parts.append(block.find(mine, watch))
    return join_inferences(parts)


@own_switches()
def draw_posterior(
    model: "Model",
    images: Any,
    mask: Any,
    n: int,
    config: InferConfig | None,
    temperature: float | int,
    seed: int,
) -> Float[np.ndarray, "n_images n dims"]:
    """Draw latents of images, see `Model.draw`."""
    config = InferConfig() if config is None else config
    if config.prior_weight == 0:
        raise ConfigError("draws need a prior: prior_weight must be above 0.")
    if noise_of(model) is None or len(model.latents) < 2:
        raise DataError("draws need a model with its training loss and latents.")
    images, mask, seed = _checked(model, images, mask, seed)
    rng = np.random.default_rng(seed)
    parts = []
    for block in _blocks(model, images, mask, config, seed, needs_prior=True):
        with one_inference:
            found = block.find(None, None)
            roots = posterior_roots(block.plan, block.rows, found.latents, weights=block.weights)
        noise = rng.normal(size=(len(block.rows), n, model.latent_dims)).astype(np.float32)
        noise *= temperature
        latents = found.latents[:, None] + np.einsum("ide,ine->ind", roots, noise)
        latents[np.isnan(found.errors.loss)] = np.nan
        parts.append(latents)
    return np.concatenate(parts)


@own_switches()
def log_density_of_images(
    model: "Model", images: Any, mask: Any, config: InferConfig | None, seed: int
) -> Float[np.ndarray, " n"]:
    """Log density of images, see `Model.log_density`."""
    if model.loss != "mse":
        raise ConfigError(
            f"the log density of images needs a model with the loss mse, got {model.loss}."
        )
    if not noise_of(model) or len(model.latents) < 2:
        raise DataError("the log density of images needs a model with training loss and latents.")
    config = replace(InferConfig() if config is None else config, prior_weight=1.0)
    images, mask, seed = _checked(model, images, mask, seed)
    parts = []
    for block in _blocks(model, images, mask, config, seed):
        block = block._replace(plan=replace(block.plan, is_bayes=True))
        with one_inference:
            found = block.find(None, None)
            values = log_evidence(block.plan, block.rows, found.latents, weights=block.weights)
        parts.append(np.where(np.isnan(found.errors.loss), np.nan, values))
    return np.concatenate(parts)


class _Block(NamedTuple):
    """Some of the images to infer."""

    chosen: slice
    rows: Num[np.ndarray, "n values"]
    weights: Shaped[np.ndarray, "n values"] | None
    """Weights of the values, if not all count."""
    plan: InferencePlan
    is_masked: bool
    """Whether there is a mask; otherwise complete samples are inferred apart."""

    def find(
        self, given: Float[np.ndarray, "n m dims"] | None, watch: OnLatents | None
    ) -> Inference:
        """Infer the latents of these images."""
        find = infer_latents if self.is_masked else infer_apart
        return find(self.plan, self.rows, weights=self.weights, given=given, watch=watch)


def _checked(model: "Model", images: Any, mask: Any, seed: Any) -> tuple[Any, Any, int]:
    """Images, mask and seed after their checks."""
    seed = as_plain(seed)
    check_seed("seed", seed)
    images = check_samples(images, model.image_shape, model.standardization)
    if mask is not None:
        mask = as_mask(mask, len(images), model.image_shape)
    return images, mask, seed


def _blocks(
    model: "Model",
    images: Any,
    mask: Any,
    config: InferConfig,
    seed: int,
    *,
    needs_prior: bool = False,
) -> Iterator[_Block]:
    """Checked images, block by block. With `needs_prior`, the prior counts for complete images
    too."""
    by = model.standardization
    for start in range(0, max(1, len(images)), _INFERRED_AT_ONCE):
        chosen = slice(start, start + _INFERRED_AT_ONCE)
        hidden = None if mask is None else to_weights(mask[chosen], start)
        doubt_range(images[chosen], by, model.pixel_range)
        rows, weights = to_rows(images[chosen], start, hidden, by, model.pixel_range)
        with one_inference:
            plan = plan_for(model, config, seed, missing=needs_prior or weights is not None)
        if needs_prior and not plan.whole_weight:
            plan = replace(plan, whole_weight=config.prior_weight_or_default)
        yield _Block(chosen, rows, weights, plan, mask is not None)


def plan_for(
    model: "Model", config: InferConfig, seed: int, *, missing: bool = False
) -> InferencePlan:
    """The inference plan for a configuration and a seed of the starts, from a cache.

    `missing` says whether some images have pixels that do not count.
    """
    noise = noise_of(model)
    learnt = learnt_prior(model)
    whole_weight = 0.0 if learnt is None else learnt.prior_weight
    weight = config.prior_weight
    if weight is None and learnt is not None:
        weight = learnt.prior_weight
    if weight and noise is None:
        raise DataError(
            "prior_weight needs a model with its training loss, which its history lacks."
        )
    if config.prior_weight and not len(model.latents):
        raise DataError("prior_weight needs the latents of training images, which the model lacks.")
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
    return replace(plan, config=config, whole_weight=whole_weight)


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
    """The loss of the training images in the saved epoch; `None` if it is not known."""
    return latest_metric(model, "loss" if model.loss == "mse" else model.loss)


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
