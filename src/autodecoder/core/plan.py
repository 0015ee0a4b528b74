"""The plan of latent inference: what the inference of any images under a decoder needs."""

from dataclasses import replace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from autodecoder.config import InferConfig
from autodecoder.core.decoders import Decoder
from autodecoder.core.latents import MANY_ROWS
from autodecoder.core.losses import SQUARED, Criterion
from autodecoder.core.mixture import Mixture, normal
from autodecoder.core.priors import penalty_factor
from autodecoder.core.scaling import scale_pixels
from autodecoder.core.solvers import Problem
from autodecoder.core.starts import Starts, draw_candidates, prepare_starts

#: A pixel with more than this times the mean weight says that others count less.
_ABOVE_EQUAL = 1 + 1e-4


class Task(eqx.Module):
    """The objective and the tolerance: all that programs need once the starts are placed."""

    decoder: Decoder
    prior: Mixture | None
    strength: Float[Array, ""]
    """Weight of the prior for images with pixels that do not count."""
    strength_whole: Float[Array, ""]
    """Weight of the prior for other images."""
    tolerance: Float[Array, ""]
    scaler: str = eqx.field(static=True)
    criterion: Criterion = eqx.field(static=True)
    for_missing: bool = eqx.field(static=True)
    """Whether `strength_whole` is 0."""
    is_bayes: bool = eqx.field(static=True)
    """See `InferencePlan`."""


class InferencePlan(eqx.Module):
    """What inference under a decoder needs for any images, made once by `plan_inference`.

    A plan may be reused for configurations that differ only in prior, solver, steps or tolerance.
    """

    decoder: Decoder
    starts: Starts
    mean: Float[Array, " dims"]
    """Mean of the candidate latents."""
    spread: Float[Array, " dims"]
    """Standard deviation of the candidates per dimension. Where it is about 0, it is replaced by
    that of the widest dimension, or by 1 if that is about 0 too."""
    scaler: str = eqx.field(static=True)
    config: InferConfig = eqx.field(static=True)
    criterion: Criterion = eqx.field(static=True, default=SQUARED)
    prior: Mixture | None = None
    """Density of latents, which is the prior unless its weight is 0."""
    noise: Float[Array, ""] | None = None
    """Loss of the training images, against which the prior is weighed."""
    whole_weight: float = eqx.field(static=True, default=0.0)
    """Weight of the prior for images all of whose pixels count, unless the configuration has one:
    that of a prior which the fit has learnt, else 0."""
    is_bayes: bool = eqx.field(static=True, default=False)
    """Whether the prior is weighed against the pixels of an image that count, as Bayes' rule asks;
    else against all pixels. They differ for images with missing pixels."""

    @property
    def method(self) -> str:
        """The solver."""
        return self.config.method_for(len(self.mean), self.criterion.loss)

    @property
    def n_steps(self) -> int:
        """The maximum number of steps."""
        return self.config.steps_for(self.method)

    @property
    def prior_weights(self) -> tuple[float, float]:
        """Weight of the prior for images with pixels that do not count, and for other images."""
        default, weight = self.config.prior_weight_or_default, self.config.prior_weight
        if weight is not None:
            return weight, weight
        return max(self.whole_weight, default), self.whole_weight

    @property
    def task(self) -> Task:
        prior, strength, strength_whole = self.prior, jnp.float32(0), jnp.float32(0)
        if prior is not None:
            assert self.noise is not None  # comes with the prior
            loss, n = self.criterion.loss, self.decoder.n_outputs
            strength, strength_whole = (
                jnp.asarray(penalty_factor(self.noise, loss, weight) / n)
                for weight in self.prior_weights
            )
        tolerance = jnp.float32(self.config.tolerance)
        for_missing = not self.prior_weights[1]
        return Task(
            self.decoder,
            prior,
            strength,
            strength_whole,
            tolerance,
            self.scaler,
            self.criterion,
            for_missing,
            self.is_bayes,
        )


def plan_inference(
    decoder: Decoder,
    known: Float[Array | np.ndarray, "n dims"],
    *,
    scaler: str,
    config: InferConfig,
    key: PRNGKeyArray,
    criterion: Criterion = SQUARED,
    prior: Mixture | None = None,
    noise: float | None = None,
) -> InferencePlan:
    """Draw and decode the candidates, and draw the random starts, which all images share.

    Parameters
    ----------
    decoder : Decoder
    known : (n, latent_dims)
        Latents of training images, from which candidates are drawn, see
        `InferConfig.n_candidates`; of 524,288 or more, only evenly spaced ones are considered. The
        candidates' mean and standard deviation define the random starts and the prior. Candidates
        that are not finite are replaced by the mean.
    scaler : str
        The scaling that the decoder was trained with.
    config : InferConfig
    key : key
        For the candidates and the random starts.
    criterion : Criterion
    prior : Mixture, optional
        Density of latents; by default a Gaussian with the candidates' mean and standard deviation,
        if the configuration gives the prior a weight.
    noise : float, optional
        Loss of the training images, required for a prior.

    Raises
    ------
    ConfigError
        If more candidates are configured than there are latents, or more nearest starts than
        candidates.
    """
    n_candidates = config.count_candidates(len(known), decoder.n_outputs)
    step = len(known) // max(MANY_ROWS, n_candidates)
    if step > 1:
        known = known[::step]
    candidates, mean, spread, start_key = draw_candidates(key, jnp.asarray(known), n_candidates)
    starts = prepare_starts(decoder, candidates, start_key, config)
    if prior is None and config.prior_weight and noise is not None:
        prior = normal(mean, spread)
    level = None if noise is None or prior is None else jnp.float32(noise)
    return InferencePlan(decoder, starts, mean, spread, scaler, config, criterion, prior, level)


def problem_of(task: Task, images: Array, weights: Array | None) -> Problem:
    """The problem of some images, with one row for each."""
    targets = scale_pixels(images, task.scaler)
    if weights is None and task.for_missing:
        task = replace(task, prior=None)
    if weights is None:
        weights = jnp.ones((1, targets.shape[1]))
    # Weights sum to one, or to zero for an image without pixels that count.
    total = jnp.sum(weights, axis=1, dtype=jnp.float32, keepdims=True)
    weights = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1), 0)
    prior, strength = task.prior, task.strength
    if prior is not None:
        missing = weights.max(axis=1) * weights.shape[1] > _ABOVE_EQUAL
        strength = jnp.where(missing, strength, task.strength_whole)
        if task.is_bayes:
            strength = strength * weights.shape[1] / jnp.where(total > 0, total, 1)[:, 0]
    return Problem(task.decoder, targets, weights, prior, strength, task.criterion)
