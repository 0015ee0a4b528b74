"""Start of a fit: from scratch, from the user's own latents, or from a fitted model."""

import warnings
from dataclasses import fields
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Num, Shaped

from autodecoder.config import DecoderConfig, FitConfig, InferConfig, RunConfig
from autodecoder.config.rules import as_plain, check_positive_int
from autodecoder.core.decoders import Decoder
from autodecoder.core.epoch import LearningRates
from autodecoder.core.infer import infer_latents
from autodecoder.core.latent_starts import find_starts
from autodecoder.core.population import Population, init_population, take_run
from autodecoder.core.runs import Images
from autodecoder.core.training import fresh_training, resume_run, take_training
from autodecoder.data.pixels import PixelRange
from autodecoder.errors import ConfigError, DataWarning
from autodecoder.model.inference import plan_for
from autodecoder.model.model import Model
from autodecoder.model.programs import one_inference

#: Initial latents of training and validation images; `None` for those of the fit's settings.
Latents = tuple[Float[np.ndarray, "_ dims"] | None, Float[np.ndarray, "_ dims"] | None]


def check_settings(
    start: Model, decoder: Any, scaler: str | None, pixel_range: PixelRange | None
) -> None:
    """Check that given settings agree with the model that a fit continues.

    Raises
    ------
    ConfigError
        If a setting differs.
    """
    own = start.decoder.config
    both = [("scaler", scaler, start.scaler), ("pixel_range", pixel_range, start.pixel_range)]
    if decoder is not None:
        if not isinstance(decoder, DecoderConfig):
            raise ConfigError("decoder must be left out if start is given, which has its own.")
        names = (field.name for field in fields(own))
        both += [(name, getattr(decoder, name), getattr(own, name)) for name in names]
    for name, given, wanted in both:
        if given != wanted and not (given is None and name in ("scaler", "pixel_range")):
            raise ConfigError(f"{name} must be that of start, {wanted}, got {given}.")


def epochs_done(start: Model) -> int:
    """Number of epochs that a model was fitted for; 0 if unknown."""
    if start.training is not None:
        return int(start.training.epoch)
    told = start.about.get("epoch")
    return told if type(told) is int and told > 0 else 0


def check_epochs(until: Any, fit: FitConfig, start: Model | None) -> int:
    """The epoch at which a fit stops.

    Raises
    ------
    ConfigError
        If that epoch is done already, or is beyond `num_epochs`.
    """
    done = 0 if start is None else epochs_done(start)
    if done >= fit.num_epochs:
        raise ConfigError(
            f"num_epochs includes the {done} epochs of start and must be above that, got "
            f"{fit.num_epochs}."
        )
    if until is None:
        return fit.num_epochs
    until = as_plain(until)
    check_positive_int("until", until)
    if not done < until <= fit.num_epochs:
        raise ConfigError(
            f"until must be above the {done} epochs that are done and at most num_epochs, "
            f"{fit.num_epochs}, got {until}."
        )
    return until


def named_by(start: Model) -> dict[str, Any]:
    """The entries of a model's `about` that stay valid with further images."""
    return {name: start.about[name] for name in ("dataset", "class_names") if name in start.about}


def begin(
    start: Model | None,
    images: Images,
    latents: Latents,
    rates: LearningRates,
    config: RunConfig,
    seed: int,
    own: Decoder | None = None,
) -> Population:
    """Create the single run of a fit, before its first (further) epoch.

    Parameters
    ----------
    start : Model, optional
        The model to continue from, checked by `match_start`.
    images : Images
    latents : pair of (n, latent_dims), optional
        The user's initial latents of training and validation images. Where they are `None`, latents
        come from `start`, inferred for further images, or without `start` from `config`.
    rates : LearningRates of (1,)
    config : RunConfig
    seed : int
        Determines everything random. With `start`, this is the inference, and the order of the
        images if the model has no training state.
    own : Decoder, optional
        The user's decoder, for fits without `start`.
    """
    key = jax.random.key(seed)
    if start is None:
        none = np.zeros((0, config.decoder.latent_dims), np.float32)
        given, val = (none if of_part is None else of_part for of_part in latents)
        fitted, first = (none, none), np.zeros(1, np.uint32)
        starts = find_starts(images, config) if latents[0] is None else (given, val)
        population = init_population(key, first, rates, images, starts, config, own)
        if latents[0] is None:
            return population
        state = take_run(population.runs, 0).state
        decoder, training, history = state.decoder, take_training(state), {}
    else:
        done, training = epochs_done(start), start.training
        if training is None:
            warnings.warn(
                "start has no training state (save_model keeps it with training=True): the fit "
                "continues with moments of zero and a new order of the images.",
                DataWarning,
                stacklevel=4,
            )
            training = fresh_training(start.decoder, 0, 0, key, done)
        decoder = start.decoder
        history = {name: np.asarray(values)[:done] for name, values in start.history.items()}
        fitted = (start.latents, start.val_latents)
    parts = []
    for rows, mask, known, of_part, moments in (
        (images.train, images.train_mask, fitted[0], latents[0], training.train),
        (images.val, images.val_mask, fitted[1], latents[1], training.val),
    ):
        if of_part is not None:
            parts.append((of_part, moments.forget()))
            continue
        part = known[: len(rows)]
        if start is not None and len(rows) > len(known):
            further = slice(len(known), None)
            weights = None if mask is None else mask[further]
            part = np.concatenate([part, _infer(start, rows[further], weights, seed)])
        parts.append((part, moments))
    (train, train_moments), (val, val_moments) = parts
    training = training._replace(train=train_moments, val=val_moments)
    run = resume_run(decoder, train, val, training, history, config)
    return Population(jax.tree.map(lambda array: array[None], run), rates)


def _infer(
    start: Model,
    rows: Num[Array, "n values"],
    weights: Shaped[Array, "n values"] | None,
    seed: int,
) -> Float[np.ndarray, "n dims"]:
    with one_inference:
        plan = plan_for(start, InferConfig(), seed, missing=weights is not None)
        return infer_latents(plan, rows, weights=weights).latents
