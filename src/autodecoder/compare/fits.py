"""One fit of each method, and what it takes."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, UInt8

from autodecoder.compare.coders import CODERS, Coder
from autodecoder.compare.training import begin_training, encode_block, train_until
from autodecoder.config import OWN, DecoderConfig, FitConfig, RunConfig, WatchConfig, to_dict
from autodecoder.core.blocks import by_blocks
from autodecoder.core.decoders.dense import DenseDecoder
from autodecoder.core.decoders.layers import Layer
from autodecoder.core.epoch import LearningRates
from autodecoder.core.fit import LatentStarts
from autodecoder.core.incomplete import (
    fill_missing,
    fit_incomplete,
    normal_equations,
    solve_scores,
)
from autodecoder.core.latent_starts import find_starts
from autodecoder.core.latents import fit_pca, project
from autodecoder.core.population import init_population
from autodecoder.core.runs import Images, take_snapshot
from autodecoder.core.scaling import SCALINGS
from autodecoder.core.watch import DIVERGED
from autodecoder.data import ImageSet
from autodecoder.measures.yardstick import Set, mean_image
from autodecoder.model import Model
from autodecoder.model.driver import PORTION_SECONDS, Driver

_ENCODED_AT_ONCE = 1000
#: Most products of pixels and components of a block of images with missing pixels.
_SOLVED_ENTRIES = 2**23

#: Places images `(n, pixels)` uint8, with a mask or none, in the latent space.
Encode = Callable[
    [UInt8[np.ndarray, "n pixels"], Bool[np.ndarray, "n pixels"] | None],
    Float[np.ndarray, "n dims"],
]
#: Called with the epochs done and all epochs.
Report = Callable[[int, int], None]


class Task(NamedTuple):
    """What all methods are given."""

    train: ImageSet
    decoder: DecoderConfig
    fit: FitConfig
    """Its number of epochs is the budget."""
    scaler: str

    @property
    def config(self) -> RunConfig:
        """The settings of a run."""
        fit = replace(self.fit, latent_learning_rate=None)
        shape: Any = self.train.images.shape[1:]
        return RunConfig(self.decoder, fit, self.scaler, shape, watch=WatchConfig("loss"))


class Fitted(NamedTuple):
    """The result of a fit."""

    model: Model
    """The decoder, with the latents of the training images."""
    losses: Float[np.ndarray, " epochs"]
    """Mean training loss of each epoch; empty for principal components."""
    seconds: float
    """Of training, without compilation."""
    diverged: bool
    encode: Encode | None
    """How the method itself places images; `None` if by inference."""
    n_trained: int
    """Number of values that the fit moves."""
    n_kept: int
    """Number of values needed to place and decode unseen images."""


def fit_method(
    kind: str, task: Task, rate: float, seed: int, starts: LatentStarts | None, report: Report
) -> Fitted:
    """Fit one of the baselines (`pca` or a kind of `CODERS`), or else an auto-decoder."""
    if kind != "pca" and kind not in CODERS:
        return _fit_jointly(task, rate, seed, starts, report)
    # Baselines learn no prior, and their latents are points.
    task = task._replace(fit=replace(task.fit, prior="none", codes="point"))
    if kind == "pca":
        return _fit_components(task)
    return _fit_coder(kind, task, rate, seed, report)


def fill_by_mean(
    images: UInt8[np.ndarray, "n pixels"],
    mask: Bool[np.ndarray, "n pixels"] | None,
    mean: Float[np.ndarray, " pixels"],
) -> UInt8[np.ndarray, "n pixels"]:
    """Replace missing pixels by the mean of each pixel, rounded."""
    if mask is None:
        return images
    return np.where(mask, images, np.rint(mean).astype(np.uint8))


def _fit_coder(kind: str, task: Task, rate: float, seed: int, report: Report) -> Fitted:
    config, train = task.config, task.train
    mean = mean_image(Set(train.flat, train.flat_mask))
    images = jnp.asarray(fill_by_mean(train.flat, train.flat_mask, mean))
    mask = None if train.mask is None else jnp.asarray(train.flat_mask)
    begin = jax.jit(begin_training, static_argnames=("kind", "config"))
    state = begin(jax.random.key(seed), kind, config)
    shared = images, mask, jnp.float32(rate)
    state = train_until(state, *shared, 0, config)  # compiles
    # In steps of about half a second, as `Driver` moves.
    seconds, pace, done = 0.0, PORTION_SECONDS, 0
    while done < config.fit.num_epochs:
        until = min(done + max(1, int(PORTION_SECONDS / pace)), config.fit.num_epochs)
        started = time.perf_counter()
        state = jax.block_until_ready(train_until(state, *shared, until, config))
        taken = time.perf_counter() - started
        seconds += taken
        pace, done = max(taken / (until - done), 1e-9), until
        report(done, config.fit.num_epochs)
        if int(state.epoch) < until:
            break
    losses = np.asarray(state.losses)[: int(state.epoch)]
    coder: Coder = state.coder

    def encode(rows: np.ndarray, known: np.ndarray | None) -> np.ndarray:
        filled = fill_by_mean(rows, known, mean)
        return by_blocks(
            lambda chosen, _: encode_block(
                coder,
                jnp.asarray(filled[chosen]),
                None if known is None else jnp.asarray(known[chosen]),
                task.scaler,
            ),
            np.arange(len(rows)),
            min(len(rows), _ENCODED_AT_ONCE),
        )

    n = _count(coder.trainable())
    model = _model(coder.decoder, task, encode(train.flat, train.flat_mask), losses)
    diverged = not np.isfinite(losses[-1])
    return Fitted(model, losses, seconds, diverged, encode, n, n)


def _fit_jointly(
    task: Task, rate: float, seed: int, starts: LatentStarts | None, report: Report
) -> Fitted:
    train, config = task.train, task.config
    held = Images(
        jnp.asarray(train.flat),
        jnp.zeros((0, train.flat.shape[1]), jnp.uint8),
        None if train.mask is None else jnp.asarray(train.flat_mask),
    )
    latent_rate = task.fit.latent_learning_rate or rate
    rates = LearningRates(*(jnp.full(1, r, jnp.float32) for r in (rate, latent_rate)))
    key, execution = jax.random.key(seed), np.zeros(1, np.uint32)
    driver = Driver(init_population(key, execution, rates, held, starts, config), held, config)
    seconds, epochs = 0.0, config.fit.num_epochs
    while not driver.ended.all():
        seconds += float(driver.move(lambda _: epochs).sum())
        report(int(driver.epochs[0]), epochs)
    run = driver.take(0)
    losses = np.asarray(run.history["loss"])[: int(driver.epochs[0])]
    end = take_snapshot(run.state)
    latents = np.asarray(end.train_latents)
    deviations = jax.tree.map(np.asarray, end.train_deviations)
    model = _model(end.decoder, task, latents, losses, deviations)
    weights = _count(run.state.decoder.trainable())
    diverged = bool(driver.statuses[0] == DIVERGED)
    trained, kept = (weights + array.size for array in (run.state.train.values, latents))
    return Fitted(model, losses, seconds, diverged, None, trained, kept)


def joint_starts(task: Task) -> tuple[LatentStarts | None, float]:
    """Initial latents of an auto-decoder, which its fits share, and the seconds they take."""
    begin = time.perf_counter()
    flat: Any = task.train.flat
    mask: Any = task.train.flat_mask
    images = Images(flat, flat[:0], mask)
    return find_starts(images, task.config), time.perf_counter() - begin


def _fit_components(task: Task) -> Fitted:
    """As many principal components as latent dimensions, as a linear decoder."""
    train, dims = task.train, task.decoder.latent_dims
    begin = time.perf_counter()
    rows, mask = train.flat, train.flat_mask
    if mask is not None:
        rows = fill_missing(fit_incomplete(rows, mask), rows, mask)
    pca = fit_pca(rows, dims)
    mean, components = pca.mean, pca.components
    seconds = time.perf_counter() - begin

    def encode(rows: np.ndarray, known: np.ndarray | None) -> np.ndarray:
        if known is None:
            return project(pca, rows)
        return _least_squares(rows, known, mean, components)

    scaling = SCALINGS[task.scaler]
    weight = jnp.asarray(components.T * scaling.unit, jnp.float32)
    bias = jnp.asarray(mean * scaling.unit + scaling.low, jnp.float32)
    decoder = DenseDecoder(
        layers=(Layer(weight, bias, None, None),),
        statistics=(),
        config=DecoderConfig(arch=OWN, latent_dims=dims),
        output_activation="linear",
    )
    model = _model(decoder, task, encode(train.flat, train.flat_mask), [])
    n = components.size + mean.size
    return Fitted(model, np.zeros(0), seconds, False, encode, n, n)


def _least_squares(
    rows: np.ndarray, known: np.ndarray, mean: np.ndarray, components: np.ndarray
) -> Float[np.ndarray, "n dims"]:
    """Scores that fit the known pixels of each image best."""
    scores, n = [], max(1, _SOLVED_ENTRIES // components.size)
    for first in range(0, len(rows), n):
        part = slice(first, first + n)
        seen = known[part].astype(np.float32)
        centred = (rows[part] - mean) * seen
        scores.append(solve_scores(*normal_equations(centred, seen, components)))
    return np.concatenate(scores).astype(np.float32)


def _model(
    decoder: Any, task: Task, latents: np.ndarray, losses: Any, deviations: Any = None
) -> Model:
    history: Mapping[str, np.ndarray] = {"loss": np.asarray(losses, np.float32)}
    return Model(
        decoder=decoder,
        scaler=task.scaler,
        image_shape=task.config.image_shape,
        latents=np.asarray(latents, np.float32),
        val_latents=np.zeros((0, latents.shape[1]), np.float32),
        latent_deviations=deviations,
        labels=task.train.labels,
        history=history if len(losses) else {},
        loss=task.fit.loss,
        about={"settings": {"decoder": to_dict(decoder.config), "fit": to_dict(task.fit)}},
    )


def _count(parts: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(parts))
