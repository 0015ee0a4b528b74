"""Fits of a comparison, and the scores of the rows that share them."""

import functools
import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from autodecoder.compare.coders import CODERS
from autodecoder.compare.fits import Fitted, Task, fit_method, joint_starts
from autodecoder.compare.result import Score
from autodecoder.compare.store import Store
from autodecoder.config import DecoderConfig, FitConfig
from autodecoder.core.blocks import by_blocks
from autodecoder.core.decoders import decode
from autodecoder.core.fit import LatentStarts
from autodecoder.core.losses import measure
from autodecoder.core.order import plan_windows
from autodecoder.core.scaling import scale_pixels
from autodecoder.data import ImageSet
from autodecoder.errors import DataWarning
from autodecoder.measures.yardstick import Set, measure_yardstick
from autodecoder.model import Model

#: To find how many epochs a budget of seconds allows, so many are timed first; more, if they take
#: less than this share of the budget, or less than these seconds.
_TIMED, _TIMED_SHARE, _TIMED_SECONDS = 3, 0.1, 0.5
_MOST_EPOCHS = 1_000_000
_MEASURED_AT_ONCE = 1000


class Placed(NamedTuple):
    """A fit with its unseen images, for further measures."""

    name: str
    """Name of the row."""
    model: Model
    latents: Float[np.ndarray, "n dims"]
    """Latents of the unseen images."""
    train: ImageSet
    unseen: ImageSet


#: Further measures of a row, by name.
Measure = Callable[[Placed], Mapping[str, float]]


class Method(NamedTuple):
    """A row to come."""

    name: str
    kind: str
    """What is fitted: `pca`, one of `CODERS`, or the name of an auto-decoder."""
    refined: bool
    title: str
    fit: FitConfig


class FitKey(NamedTuple):
    """A fit to do: of a kind, on some images, with a rate and a seed."""

    kind: str
    part: str
    rate: float
    seed: int


class Work:
    """Fits and what they share."""

    def __init__(
        self,
        parts: Mapping[str, tuple[ImageSet, ImageSet]],
        decoder: DecoderConfig,
        scaler: str,
        measures: Measure | None,
        store: Store,
        first_seed: int,
        report: Callable[[str, int, int], None],
    ) -> None:
        self._parts, self._decoder, self._scaler = parts, decoder, scaler
        self._measures, self._store, self._report = measures, store, report
        self._starts: dict[tuple[str, str], tuple[LatentStarts | None, float]] = {}
        self._first_seed = first_seed
        self._models: dict[str, Model] = {}
        self._warm: set[tuple[str, int]] = set()
        """Rows that have placed a number of images, so that their programs are compiled."""

    @property
    def splits(self) -> list[str]:
        """Names of the parts on which learning rates are searched."""
        return [part for part in self._parts if part != "all"]

    @functools.cached_property
    def _mean_error(self) -> float:
        """The error of the training images' mean image."""
        images = self._parts["all"][0]
        mine = Set(images.flat, images.flat_mask)
        return measure_yardstick(mine, None, (), self._scaler).mean_image

    def has_collapsed(self, score: Score) -> bool:
        """Whether a fit decodes its training images no better than the mean image."""
        return not score.train_error < self._mean_error

    def models(self, rates: Mapping[str, float]) -> dict[str, Model]:
        """The model of the first seed with each row's rate, as far as one was fitted or kept."""
        found = {}
        for name, rate in rates.items():
            model = self._models.get(name) or self._store.read_model(name, rate, self._first_seed)
            if model is not None:
                found[name] = model
        return found

    def count_epochs(self, kind: str, fit: FitConfig, rate: float, seconds: float) -> int:
        """Epochs that a fit to all training images does in about these seconds."""
        known = self._store.epochs.get(kind)
        if known is not None:
            return known
        n, enough = _TIMED, min(seconds, max(_TIMED_SECONDS, _TIMED_SHARE * seconds))
        while True:
            timed = replace(fit, num_epochs=n)
            starts, spent = self._find_starts(kind, "all", timed)
            fitted = self._fit(FitKey(kind, "all", rate, 0), timed, starts)
            pace = max(fitted.seconds / max(1, len(fitted.losses)), 1e-6)
            if fitted.diverged or fitted.seconds > enough:
                break
            n = max(2 * n, round(1.2 * enough / pace))
        n = max(1, min(_MOST_EPOCHS, round((seconds - spent) / pace)))
        self._store.keep_epochs(kind, n)
        return n

    def score(self, run: FitKey, rows: Sequence[Method], fit: FitConfig) -> dict[str, Score]:
        """Fit once, and place unseen images as each row does."""
        measures = self._measures if run.part == "all" else None
        wanted = measures is not None
        known = {row.name: self._store.read(row.name, *run[1:], measured=wanted) for row in rows}
        # Principal components take no longer than reading a model.
        if run.kind != "pca" and all(score is not None for score in known.values()):
            return {name: score for name, score in known.items() if score is not None}
        starts, spent = self._find_starts(run.kind, run.part, fit)
        fitted = self._fit(run, fit, starts)
        train, unseen = self._parts[run.part]
        train_error = float(self._errors(fitted.model, fitted.model.latents, train).mean())
        found = {}
        for row in rows:
            latents, place_seconds = None, math.nan
            if not fitted.diverged:
                latents, place_seconds = self._time_placing(fitted, unseen, row)
            errors, further = np.full(len(unseen), np.nan, np.float32), {}
            if latents is not None:
                errors = self._errors(fitted.model, latents, unseen)
                if measures is not None and np.isfinite(errors).all():
                    placed = Placed(row.name, fitted.model, latents, train, unseen)
                    further = {name: float(x) for name, x in measures(placed).items()}
            found[row.name] = Score(
                seed=run.seed,
                rate=run.rate,
                diverged=fitted.diverged or not np.isfinite(errors).all(),
                train_error=train_error,
                errors=errors,
                losses=fitted.losses,
                seconds=fitted.seconds + spent,
                place_seconds=place_seconds,
                n_trained=fitted.n_trained,
                # Refining starts from latents of training images, too.
                n_kept=fitted.n_kept + (fitted.model.latents.size if row.refined else 0),
                memory=train.images.nbytes + 4 * 3 * fitted.n_trained,
                measures=further,
            )
            if run.part == "all" and run.seed == self._first_seed:
                self._models[row.name] = fitted.model
                self._store.keep_model(row.name, run.rate, run.seed, fitted.model)
        for name, score in found.items():
            self._store.keep(name, run.part, score, measured=wanted)
        return found

    def _find_starts(
        self, kind: str, part: str, fit: FitConfig
    ) -> tuple[LatentStarts | None, float]:
        """Initial latents of an auto-decoder, which its fits share."""
        if kind == "pca" or kind in CODERS:
            return None, 0.0
        if (kind, part) not in self._starts:
            self._starts[kind, part] = joint_starts(self._task(part, fit))
        return self._starts[kind, part]

    def _task(self, part: str, fit: FitConfig) -> Task:
        train, whole = self._parts[part][0], self._parts["all"][0]
        # With fewer images an epoch has fewer steps: more epochs make up for that, since the best
        # rate depends on the number of steps.
        longer = _count_steps(len(whole), fit) / _count_steps(len(train), fit)
        batch, epochs = min(fit.batch_size, len(train)), round(longer * fit.num_epochs)
        fit = replace(fit, batch_size=batch, num_epochs=epochs)
        return Task(train, self._decoder, fit, self._scaler)

    def _fit(self, run: FitKey, fit: FitConfig, starts: LatentStarts | None) -> Fitted:
        words = f"{run.kind}, seed {run.seed}" if run.part == "all" else f"{run.kind}, search"
        words += f", rate {run.rate:g}" if run.rate else ""
        return fit_method(
            *(run.kind, self._task(run.part, fit), run.rate, run.seed, starts),
            lambda done, total: self._report(words, done, total),
        )

    def _time_placing(
        self, fitted: Fitted, unseen: ImageSet, row: Method
    ) -> tuple[Float[np.ndarray, "n dims"], float]:
        """Latents of unseen images, and the seconds that it takes, without compilation."""
        if (row.name, len(unseen)) not in self._warm:
            _place(fitted, unseen, refined=row.refined)
            self._warm.add((row.name, len(unseen)))
        began = time.perf_counter()
        latents = _place(fitted, unseen, refined=row.refined)
        return latents, time.perf_counter() - began

    def _errors(
        self, model: Model, latents: Float[np.ndarray, "n dims"], images: ImageSet
    ) -> Float[np.ndarray, " n"]:
        """The mean squared error of each image in the scaled space, over its known pixels."""
        flat, mask = images.flat, images.flat_mask

        def block(rows: np.ndarray, _: Any) -> Any:
            targets = scale_pixels(jnp.asarray(flat[rows]), self._scaler)
            weights = None if mask is None else jnp.asarray(mask[rows])
            outputs = decode(model.decoder, jnp.asarray(latents[rows]))
            return measure(outputs, targets, self._scaler, weights).loss

        return by_blocks(block, np.arange(len(flat)), min(len(flat), _MEASURED_AT_ONCE))


def _count_steps(n_images: int, fit: FitConfig) -> int:
    """Steps of an epoch."""
    return plan_windows(n_images, fit.batch_size, fit.shards, drop_last=fit.drop_last).n_steps


def _place(fitted: Fitted, unseen: ImageSet, *, refined: bool) -> Float[np.ndarray, "n dims"]:
    """Latents of unseen images, as the method finds them; refined by our inference, which starts
    from there and from the nearest training images."""
    encode, given = fitted.encode, None
    if encode is not None:
        latents = encode(unseen.flat, unseen.flat_mask)
        if not refined:
            return latents
        given = latents[:, None]
    with warnings.catch_warnings():
        # Images of a data set are bytes from 0 to 255, however dark they are.
        warnings.simplefilter("ignore", DataWarning)
        return fitted.model.infer(unseen.images, unseen.mask, given=given).latents
