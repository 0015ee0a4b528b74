"""Comparing methods: the same decoder, latents, batches, budget and search of rates for all."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from autodecoder.compare.result import Comparison, Row, Score, best_rate
from autodecoder.compare.store import Store
from autodecoder.compare.work import FitKey, Measure, Method, Work
from autodecoder.config import (
    SCALERS,
    DecoderConfig,
    FitConfig,
    check_loss,
    fit_config,
    to_dict,
)
from autodecoder.config.rules import (
    as_plain,
    check_choice,
    check_learning_rate,
    check_seed,
)
from autodecoder.core.switches import own_switches
from autodecoder.data import Dataset, ImageSet
from autodecoder.errors import ConfigError, DataError
from autodecoder.paths import user_path

#: Learning rates that are searched by default.
RATES = (1e-3, 2e-3, 5e-3, 1e-2)
#: Most training images that are held out for the search, and their largest share.
_MOST_HELD, _SHARE_HELD = 2000, 1 / 6
#: With fewer held-out images than this, the search is done on several splits: errors of a few
#: images, after a fit from one seed, can be lowest at a rate that spoils fits from other seeds.
_ENOUGH_HELD, _N_SPLITS = 1000, 5
#: Most rates beyond the given ones that a search tries, and the largest one.
_MOST_BEYOND, _LARGEST = 4, 1.0

#: What a row is: the fit it needs, and whether its images are placed by our inference.
_BASELINES = {
    "pca": ("pca", False, "principal components"),
    "ae": ("ae", False, "autoencoder"),
    "ae-refined": ("ae", True, "autoencoder, latents refined"),
    "vae": ("vae", False, "variational autoencoder"),
    "vae-refined": ("vae", True, "variational autoencoder, latents refined"),
    "gon": ("gon", False, "gradient origin network"),
    "gon-refined": ("gon", True, "gradient origin network, latents refined"),
}
#: Our own method, with the settings of all.
OURS = "auto-decoder"
METHODS = (*_BASELINES, OURS)
DEFAULT_METHODS = ("pca", "ae", "ae-refined", "vae", "gon", OURS)


@own_switches()
def compare_methods(
    dataset: Dataset,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    decoder: DecoderConfig | None = None,
    fit: FitConfig | None = None,
    others: Mapping[str, FitConfig] | None = None,
    rates: Sequence[float] = RATES,
    seeds: Sequence[int] = (0, 1, 2),
    seconds: float | int | None = None,
    scaler: str = "standard",
    measures: Measure | None = None,
    folder: Path | None = None,
    report: Callable[[str, int, int], None] = lambda *_: None,
) -> Comparison:
    """Fit several methods under equal conditions, and measure them on unseen images.

    All methods have the same decoder, latent dimensions, batches, optimiser and schedule. Learning
    rates are searched alike: each method is fitted with each rate to a part of the training images,
    and the rate with the least error on the rest of them is used: one sixth of them, at most
    2,000. If that is fewer than 1,000 images, the mean over five splits is used, each fitted from
    another seed. Then the method is fitted to all training images, once for each seed. If a fit
    collapses, so that its training images are decoded no better than by their mean image, the best
    of the lower rates is used for all seeds of this method.

    Parameters
    ----------
    dataset : Dataset
        Its validation images are the unseen ones. They are used for nothing but the result.
    methods : sequence of str
        Some of `pca`, principal components; `ae`, an autoencoder with a mirrored encoder; `vae`, a
        variational one; `gon`, a gradient origin network; `auto-decoder`; and `ae-refined`,
        `vae-refined`, `gon-refined`, where our inference improves the latents from where the method
        places them.
    decoder : DecoderConfig, optional
        Architecture and latent dimensions, for all methods.
    fit : FitConfig, optional
        Settings of the fit, for all methods as far as they apply: batch size, schedule, warmup,
        clipping and loss. Its number of epochs is the budget unless `seconds` is given.
    others : mapping of name to FitConfig, optional
        Further auto-decoders with other settings, for example another recipe.
    rates : sequence of float
        Learning rates to search; with a single one there is no search. If the best is the largest
        or smallest, the search goes on beyond it, by up to four more. The latents of an
        auto-decoder keep the learning rate of their settings.
    seeds : sequence of int
        One fit for each, of each method.
    seconds : float, optional
        Seconds of training for each fit, instead of a number of epochs: of each method, the number
        of epochs that take as long, found by a first fit that takes a tenth of them. Initial
        latents count, compilation does not.
    scaler : str
        Scaling of the pixels, in which errors are measured.
    measures : callable, optional
        Further measures, taken of each row and seed.
    folder : path, optional
        Keeps each result, so that an interrupted comparison goes on, and a model of each method.
    report : callable
        Called with the current fit, epochs done, and epochs in total.

    Returns
    -------
    Comparison

    Raises
    ------
    ConfigError
        If a method is unknown or named twice; if seeds or rates repeat or are out of range; if the
        budget is not above 0; if the decoder is a user's own module.
    DataError
        If there are no unseen images, or too few training images to search.
    OutputError
        If a result cannot be written.
    """
    fit = fit_config("fast", num_epochs=20) if fit is None else fit
    decoder = DecoderConfig() if decoder is None else decoder
    others = {} if others is None else others
    folder = None if folder is None else user_path(folder, "folder")
    _check_kinds(dataset, methods, decoder, fit, others, scaler)
    decoder.check_drawn()
    check_loss(fit.loss, scaler)
    rows = _read_methods(methods, fit, others)
    rates, seeds = _check_lists(rates, seeds)
    if seconds is not None:
        given: Any = as_plain(seconds)
        if type(given) not in (int, float) or not 0 < given < math.inf:
            raise ConfigError(f"seconds must be a number above 0, got {given!r}.")
        seconds = float(given)
    if not len(dataset.val):
        raise DataError(f"{dataset.name} has no validation images, on which methods are compared.")
    n = len(dataset.train)
    splits = _splits(dataset.train) if len(rates) > 1 else {}
    n_held = max((len(held) for _, held in splits.values()), default=0)
    for row in rows:
        row.fit.check_components(n, n_held)
        row.fit.check_codes()
    settings = {
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "n_train": n,
        "n_unseen": len(dataset.val),
        "n_held": n_held,
        "n_splits": len(splits),
        "decoder": to_dict(decoder),
        "scaler": scaler,
        "rates": list(rates),
        "seeds": list(seeds),
        "seconds": seconds,
        "methods": {row.name: to_dict(row.fit) for row in rows},
    }
    work = Work(
        {**splits, "all": (dataset.train, dataset.val)},
        *(decoder, scaler, measures, Store(folder, settings), seeds[0], report),
    )
    found = {}
    for kind in dict.fromkeys(row.kind for row in rows):
        mine = [row for row in rows if row.kind == kind]
        found |= _compare_kind(work, mine, rates, seeds, seconds)
    models = work.models({row.name: found[row.name].rate or 0.0 for row in rows})
    return Comparison([found[row.name] for row in rows], settings, models)


def _check_kinds(
    dataset: Any, methods: Any, decoder: Any, fit: Any, others: Any, scaler: Any
) -> None:
    """Refuse arguments of another kind, before anything is fitted."""
    if not isinstance(dataset, Dataset):
        raise DataError(
            "compare_methods needs a Dataset, with training and validation images, got "
            f"{type(dataset).__name__}."
        )
    if isinstance(methods, str) or not isinstance(methods, Sequence):
        raise ConfigError(f"methods must be a list of names, got {methods!r}.")
    check_choice("scaler", scaler, SCALERS)
    for name, value, kind in (("decoder", decoder, DecoderConfig), ("fit", fit, FitConfig)):
        if not isinstance(value, kind):
            raise ConfigError(f"{name} must be a {kind.__name__}, got {type(value).__name__}.")
    if not isinstance(others, Mapping):
        raise ConfigError(f"others must map names to FitConfigs, got {type(others).__name__}.")
    for name, value in others.items():
        if not isinstance(value, FitConfig):
            raise ConfigError(f"others must hold FitConfigs, got {type(value).__name__}.")
        if not isinstance(name, str) or name in METHODS or not re.fullmatch(r"\w[\w .,=+-]*", name):
            raise ConfigError(
                "others must be named by letters, digits, spaces and .,=+-, and not like one of "
                f"the methods, got {name!r}."
            )
        for shared in ("num_epochs", "batch_size", "loss"):
            if getattr(value, shared) != getattr(fit, shared):
                raise ConfigError(
                    f"{shared} must be the same for all methods, got {getattr(value, shared)} for "
                    f"{name} and {getattr(fit, shared)} for the others."
                )


def _read_methods(
    methods: Sequence[str], fit: FitConfig, others: Mapping[str, FitConfig]
) -> list[Method]:
    names = [*methods, *others]
    for name in methods:
        check_choice("methods", name, METHODS)
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"methods must each be named once, got {name} twice.")
    if not names:
        raise ConfigError("methods must name at least one.")
    rows = []
    for name in names:
        kind, refined, title = _BASELINES.get(name, (name, False, name))
        rows.append(Method(name, kind, refined, title, others.get(name, fit)))
    return rows


def _check_lists(rates: Any, seeds: Any) -> tuple[tuple[float, ...], tuple[int, ...]]:
    for name, values in (("rates", rates), ("seeds", seeds)):
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise ConfigError(f"{name} must be a list of numbers, got {values!r}.")
    rates, seeds = tuple(map(as_plain, rates)), tuple(map(as_plain, seeds))
    for rate in rates:
        check_learning_rate("learning_rate", rate)
    for seed in seeds:
        check_seed("seed", seed)
    for name, values in (("rates", rates), ("seeds", seeds)):
        if not values:
            raise ConfigError(f"{name} must name at least one.")
        if len(set(values)) < len(values):
            raise ConfigError(f"{name} must differ, got {', '.join(f'{v:g}' for v in values)}.")
    return tuple(map(float, rates)), seeds


def _splits(train: ImageSet) -> dict[str, tuple[ImageSet, ImageSet]]:
    """Training images to fit to, and others to judge learning rates by; several such pairs if the
    others are few."""
    n = len(train)
    n_held = min(_MOST_HELD, int(n * _SHARE_HELD))
    if not n_held:
        raise DataError(
            f"a search of rates needs 6 training images or more, got {n}: give one rate."
        )
    found = {}
    for split in range(1 if n_held >= _ENOUGH_HELD else _N_SPLITS):
        order = np.random.default_rng(split).permutation(n)
        rest, held = np.sort(order[n_held:]), np.sort(order[:n_held])
        found[f"split-{split}"] = train.take(rest), train.take(held)
    return found


def _compare_kind(
    work: Work,
    rows: list[Method],
    rates: tuple[float, ...],
    seeds: tuple[int, ...],
    seconds: float | None,
) -> dict[str, Row]:
    """The rows that share the fits of one kind."""
    kind, fit = rows[0].kind, rows[0].fit
    if kind == "pca":  # no rate, and the same for every seed
        (score,) = work.score(FitKey(kind, "all", 0.0, seeds[0]), rows, fit).values()
        scores = [score._replace(seed=seed) for seed in seeds]
        return {row.name: Row(row.name, row.title, 0, {}, scores) for row in rows}
    if seconds is None:
        epochs = fit.num_epochs
    else:
        epochs = work.count_epochs(kind, fit, rates[len(rates) // 2], seconds)
    fit = replace(fit, num_epochs=max(1, epochs))
    searched = _search(work, rows, fit, rates) if len(rates) > 1 else {}
    given = {row.name: dict.fromkeys(rates, 0.0) for row in rows}
    scored = _score(work, rows, fit, searched or given, seeds)
    return {
        row.name: Row(row.name, row.title, epochs, searched.get(row.name, {}), scored[row.name])
        for row in rows
    }


def _score(
    work: Work,
    rows: list[Method],
    fit: FitConfig,
    searched: Mapping[str, Mapping[float, float]],
    seeds: tuple[int, ...],
) -> dict[str, list[Score]]:
    """Scores of each row from each seed, with its best rate.

    A rate at which the fit from one of the seeds collapses is given up for the best lower one.
    """
    left = {row.name: dict(searched[row.name]) for row in rows}
    scored: dict[str, list[Score]] = {}
    while waiting := [row for row in rows if row.name not in scored]:
        rate = max(best_rate(left[row.name]) for row in waiting)
        mine = [row for row in waiting if best_rate(left[row.name]) == rate]
        lower = {row.name: {r: e for r, e in left[row.name].items() if r < rate} for row in mine}
        found = []
        for seed in seeds:
            scores = work.score(FitKey(rows[0].kind, "all", rate, seed), mine, fit)
            if all(lower.values()) and any(map(work.has_collapsed, scores.values())):
                left |= lower
                break
            found.append(scores)
        else:
            scored |= {row.name: [scores[row.name] for scores in found] for row in mine}
    return scored


def _search(
    work: Work, rows: list[Method], fit: FitConfig, rates: tuple[float, ...]
) -> dict[str, dict[float, float]]:
    """Errors on held-out training images by rate, for each row: means over the splits.

    While the best rate of a row is the largest or smallest one, the next one beyond is tried, in
    the same proportion to it as that of its neighbour.
    """
    found: dict[str, dict[float, float]] = {row.name: {} for row in rows}
    n_beyond = dict.fromkeys(found, 0)
    tried = sorted(rates)
    waiting = list(tried)
    while waiting:
        for rate in waiting:
            scores = [
                work.score(FitKey(rows[0].kind, split, rate, seed), rows, fit)
                for seed, split in enumerate(work.splits)
            ]
            for row in rows:
                found[row.name][rate] = float(np.mean([part[row.name].error for part in scores]))
        beyond = {tried[0]: tried[0] ** 2 / tried[1], tried[-1]: tried[-1] ** 2 / tried[-2]}
        beyond = {rate: float(f"{further:.6g}") for rate, further in beyond.items()}
        waiting = []
        for name, errors in found.items():
            further = beyond.get(best_rate(errors), 0.0)
            if 0 < further <= _LARGEST and n_beyond[name] < _MOST_BEYOND:
                n_beyond[name] += 1
                waiting.append(further)
        waiting = list(dict.fromkeys(waiting))
        tried = sorted([*tried, *waiting])
    return found
