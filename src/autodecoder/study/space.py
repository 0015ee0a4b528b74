"""The search space in Optuna's terms: distributions, and the initial trials."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, RandomSampler, TPESampler

from autodecoder.config import Arch, Range, StudyConfig, Values, format_arch, is_whole, read_value

#: Largest number of draws per requested trial, in the search for different ones.
_DRAWS = 100


def distributions(config: StudyConfig) -> dict[str, BaseDistribution]:
    """A distribution for each searched setting; listed values are categories."""
    return {name: _distribution(name, values) for name, values in config.search.space.items()}


def _distribution(name: str, values: Values) -> BaseDistribution:
    if isinstance(values, tuple):
        return CategoricalDistribution([to_parameter(value) for value in values])
    if is_whole(name):
        return IntDistribution(round(values.low), round(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)


def to_parameter(value: Any) -> Any:
    """Convert a value for Optuna and JSON: an architecture becomes text."""
    return format_arch(value) if isinstance(value, tuple | Arch) else value


def to_values(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Convert Optuna's parameters to values of settings."""
    return {name: read_value(name, parameter) for name, parameter in parameters.items()}


def planned_trials(config: StudyConfig) -> list[dict[str, Any]] | None:
    """The parameters of all trials, if they are known from the start: those of a grid, or random
    draws; `None` if each trial depends on earlier results."""
    search = config.search
    if search.sampler == "grid":
        return [{k: to_parameter(v) for k, v in cell.items()} for cell in search.cells()]
    if search.sampler == "random":
        return _draw(config)
    return None


def _draw(config: StudyConfig) -> list[dict[str, Any]]:
    """Distinct draws from the space; fewer than requested if the space has no more."""
    study = optuna.create_study(sampler=RandomSampler(seed=config.seed))
    wanted = config.search.n_trials
    values = config.search.space.values()
    if not any(isinstance(v, Range) for v in values):
        wanted = min(wanted, math.prod(map(len, values)))  # pyright: ignore[reportArgumentType]
    drawn: dict[tuple, dict[str, Any]] = {}
    space = distributions(config)
    for _ in range(_DRAWS * wanted):
        parameters = study.ask(space).params
        drawn.setdefault(tuple(parameters.values()), parameters)
        if len(drawn) == wanted:
            break
    return list(drawn.values())


def make_sampler(config: StudyConfig, number: int) -> BaseSampler:
    """The sampler that chooses trial `number`. It depends only on seed and number, so an
    interrupted search resumes as if it had not been interrupted."""
    # The sum of both would give neighbouring seeds the same trials.
    seed = np.random.SeedSequence([config.seed, number]).generate_state(1)[0]
    return TPESampler(seed=int(seed))


def suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """A value of one setting, chosen by the sampler of the trial's study."""
    if isinstance(distribution, CategoricalDistribution):
        return trial.suggest_categorical(name, distribution.choices)
    assert isinstance(distribution, FloatDistribution | IntDistribution)  # see `distributions`
    suggest = (
        trial.suggest_int if isinstance(distribution, IntDistribution) else trial.suggest_float
    )
    return suggest(name, distribution.low, distribution.high, log=distribution.log)  # type: ignore
