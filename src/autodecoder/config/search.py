"""What a study searches: values and ranges of settings, for a grid or for random samplers."""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any

from autodecoder.config.arch import Arch, format_arch
from autodecoder.config.fit import FitConfig
from autodecoder.config.parts import DecoderConfig
from autodecoder.config.rules import (
    check_choice,
    check_learning_rate,
    check_number,
    check_switch,
    one_of,
    positive_up_to,
)
from autodecoder.config.setting import Settings, own_settings, setting, take_plain
from autodecoder.errors import ConfigError
from autodecoder.text import told

SAMPLERS = ("grid", "random", "tpe")
PRUNERS = ("asha", "median")

#: The learning rates searched when none is given.
LEARNING_RATE_GRID = (1e-4, 1e-3, 1e-2, 1e-1)

_SETTINGS = {**own_settings(DecoderConfig), **own_settings(FitConfig)}
_VARIED = {name: about for name, about in _SETTINGS.items() if about.tunable}
#: Settings that a search may vary. The learning rate exists in searches only.
TUNABLE = ("learning_rate", *_VARIED)
#: Traced settings: trials that differ only in these share a program.
TRACED = ("learning_rate", *(name for name, about in _VARIED.items() if about.traced))
#: Short names accepted on the command line.
TUNABLE_ALIASES = MappingProxyType(
    {"lr": "learning_rate"}
    | {about.flag: name for name, about in _VARIED.items() if about.flag and about.flag != name}
)
_KINDS = {"learning_rate": float, **{name: about.kind for name, about in _VARIED.items()}}
_KINDS_TOLD = {bool: "true or false", str: "a word", int: "a whole number", float: "a number"}


def is_whole(name: str) -> bool:
    """Whether a searched setting takes whole numbers."""
    return _KINDS[name] is int


#: Most values in one list; a longer list is probably a typing error.
_MOST_VALUES = 10_000


@dataclass(frozen=True)
class Range:
    """All numbers between two ends, for samplers that draw; on a logarithmic scale if `log`."""

    low: int | float
    high: int | float
    log: bool = False

    def __post_init__(self) -> None:
        take_plain(self)


#: The searched values of one setting.
Values = tuple[Any, ...] | Range


def _check_table(name: str, values: Any) -> None:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{name} must be a table of settings, got {told(values)}.")


def _read_space(values: Any) -> dict[str, Values]:
    _check_table("search.space", values)
    return {name: read_values(name, given) for name, given in values.items()}


def _remade(given: dict[str, Any]) -> "SearchConfig":
    return SearchConfig(**given)


@dataclass(frozen=True)
class SearchConfig(Settings):
    """Settings that a study varies, and the choice of its trials."""

    space: Mapping[str, Values] = setting(
        lambda: {"learning_rate": LEARNING_RATE_GRID},
        "Settings to search: name=v1,v2,… or name=log:low:high:factor or name=lin:low:high:step. "
        "Without the last part it is a range for a sampler that draws. Repeatable.",
        flag="tune",
        original="learning rate",
        called="search.space",
        check=_check_table,
        read=_read_space,
    )
    sampler: str = setting(
        "grid",
        "Choice of trials: grid runs every combination; random and tpe (Bergstra et al. 2011) "
        "draw max_trials trials.",
        check=one_of(SAMPLERS),
    )
    max_trials: int | None = setting(
        None,
        "Largest number of trials; by default all of the grid.",
        check=positive_up_to(1_000_000),
        free=True,
    )
    prune: str | None = setting(
        None,
        "Stop trials early that are worse than the trials running with them: median completes at "
        "least half of them; asha keeps the better half at 1/8, 1/4 and 1/2 of the epochs. By "
        "default none is stopped.",
        check=one_of(PRUNERS),
        since=(8, None),
    )
    runs_at_once: int = setting(
        64,
        "Largest number of executions that share one program. Other trials wait for a place in it "
        "or for another process.",
        free=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_trials is None and self.sampler != "grid":
            raise ConfigError(f"max_trials must be given for the sampler {self.sampler}.")
        if self.prune is not None and self.sampler == "tpe":
            raise ConfigError(
                "prune compares trials that run together, but the sampler tpe runs one at a time: "
                "choose grid or random."
            )
        if "learning_rate" not in self.space:
            raise ConfigError("the search space must hold learning_rate, with one value or more.")
        for name, values in self.space.items():
            check_choice("a setting to tune", name, TUNABLE)
            if isinstance(values, Range):
                self._check_range(name, values)
            elif not isinstance(values, tuple):
                raise ConfigError(
                    f"the values searched for {name} must be a tuple or a range, got "
                    f"{told(values)}."
                )
            elif not values:
                raise ConfigError(f"the search space of {name} is empty.")
            elif len(set(values)) < len(values):
                raise ConfigError(
                    f"the values searched for {name} must differ, got {told(values)}."
                )
        for rate in _ends(self.space["learning_rate"]):
            check_learning_rate("learning_rate", rate)
        space = {name: _whole_ends(name, values) for name, values in self.space.items()}
        object.__setattr__(self, "space", MappingProxyType(space))

    def __reduce__(self) -> tuple[Any, ...]:
        """A mapping proxy cannot be pickled, so the space is rebuilt from a dict."""
        given = {f.name: getattr(self, f.name) for f in fields(self)}
        return _remade, ({**given, "space": dict(self.space)},)

    def _check_range(self, name: str, values: Range) -> None:
        if self.sampler == "grid":
            raise ConfigError(
                f"a grid needs values of {name}, not a range: give the range a fourth part, its "
                "step, or choose --sampler tpe or random."
            )
        _check_number(name)
        for end in _ends(values):
            check_number(f"an end of the range of {name}", end)
        if not values.low < values.high:
            raise ConfigError(f"the range of {name} must rise, got {values.low} to {values.high}.")
        if values.log and values.low <= 0:
            raise ConfigError(
                f"the logarithmic range of {name} must start above 0, got {values.low}."
            )

    @property
    def n_trials(self) -> int:
        """The number of trials."""
        if self.sampler != "grid":
            assert self.max_trials is not None  # checked when made
            return self.max_trials
        n_cells = math.prod(len(v) for v in self.space.values() if isinstance(v, tuple))
        return n_cells if self.max_trials is None else min(n_cells, self.max_trials)

    def cells(self) -> Iterator[dict[str, Any]]:
        """The trials of a grid, in order."""
        return itertools.islice(self.combinations(), self.n_trials)

    def combinations(self) -> Iterator[dict[str, Any]]:
        """All combinations of values and of the ends of ranges. Traced settings vary fastest, so
        that trials of one shape are neighbours."""
        names = sorted(self.space, key=lambda name: name in TRACED)
        lists = [_ends(self.space[name]) for name in names]
        return (dict(zip(names, values, strict=True)) for values in itertools.product(*lists))


def parse_tune(text: str) -> tuple[str, Values]:
    """Read one `name=values` argument of `--tune`.

    Raises
    ------
    ConfigError
        If the name is no setting to tune, or there are no values.

    Examples
    --------
    >>> parse_tune("lr=log:1e-4:1e-1:10")
    ('learning_rate', (0.0001, 0.001, 0.01, 0.1))
    >>> parse_tune("arch=500-500,500-1000")
    ('arch', ((500, 500), (500, 1000)))
    """
    name, equals, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if not equals:
        raise ConfigError(
            f"tune must be name=values, for example 'lr=1e-3,1e-2', got {told(text)}."
        )
    name = TUNABLE_ALIASES.get(name, name)
    return name, read_values(name, values)


def read_values(name: str, given: Any) -> Values:
    """Read the values of one setting from text, a list, or a table of `config.json`.

    Raises
    ------
    ConfigError
        If a value is of the wrong kind.
    """
    check_choice("a setting to tune", name, TUNABLE)
    if isinstance(given, Range):
        return given
    if isinstance(given, Mapping):
        if not {"low", "high"} <= set(given) <= {"low", "high", "log"}:
            raise ConfigError(
                f"a range of {name} needs low, high and log, got {told(dict(given))}."
            )
        return _range(name, given["low"], given["high"], given.get("log", False))
    if isinstance(given, str):
        head, *ends = given.strip().split(":")
        if ends and head in ("log", "lin"):
            return _read_range(name, head == "log", ends, given)
        given = [part for part in given.split(",") if part.strip()]
    elif not isinstance(given, list | tuple):
        given = [given]
    return tuple(read_value(name, value) for value in given)


def _range(name: str, low: Any, high: Any, log: Any) -> Range:
    _check_number(name)
    check_switch(f"log of the range of {name}", log)
    return Range(read_value(name, low), read_value(name, high), log)


def _check_number(name: str) -> None:
    if _KINDS[name] not in (int, float):
        raise ConfigError(f"{name} is no number and cannot be searched in a range.")


def _read_range(name: str, log: bool, ends: list[str], text: str) -> Values:
    """Read the ends of a range and its optional step, as decimals: 1e-4 times 10 twice is 1e-2."""
    rule = (
        f"a range of {name} must be log:low:high:factor or lin:low:high:step, got "
        f"{told(text.strip())}."
    )
    try:
        numbers = [Decimal(end) for end in ends]
    except ArithmeticError:
        raise ConfigError(rule) from None
    if any(abs(number.adjusted()) > 100 for number in numbers):
        raise ConfigError(rule)
    if len(numbers) not in (2, 3) or not all(number.is_finite() for number in numbers):
        raise ConfigError(rule)
    low, high, *step = numbers
    if not step:
        return _range(name, str(low), str(high), log)
    _check_number(name)
    if low > high or (log and (low <= 0 or step[0] <= 1)) or (not log and step[0] <= 0):
        raise ConfigError(f"{rule} It must rise: log from above 0 by a factor above 1.")
    values = []
    value = low
    while value <= high:
        values.append(read_value(name, str(value)))
        if len(values) > _MOST_VALUES:
            raise ConfigError(f"the range of {name} has more than {_MOST_VALUES} values.")
        value = value * step[0] if log else value + step[0]
    return tuple(values)


def read_value(name: str, value: Any) -> Any:
    """Convert one value of a searched setting, from text or a plain value."""
    check_choice("a setting to tune", name, TUNABLE)
    about = _VARIED.get(name)
    if about is not None and about.read is not None:
        return about.read(value)
    kind = _KINDS[name]
    text = value.strip() if isinstance(value, str) else value
    try:
        if kind is bool:
            return text if isinstance(text, bool) else _SWITCH_WORDS[text.lower()]
        if isinstance(text, bool) or (kind is str and not isinstance(text, str)):
            raise ValueError
        if kind is str:
            return text
        number = Decimal(text) if isinstance(text, str) else text
        if isinstance(number, Decimal) and abs(number.adjusted()) > 400:
            raise ValueError
        if kind is int and number != int(number):
            raise ValueError
        return kind(number)
    except (ValueError, TypeError, AttributeError, KeyError, InvalidOperation, OverflowError):
        raise ConfigError(
            f"each value of {name} must be {_KINDS_TOLD[kind]}, got {told(value)}."
        ) from None


_SWITCH_WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def format_value(value: Any) -> str:
    """Format a searched value for people: `500-500`, `0.001`."""
    if isinstance(value, tuple | Arch):
        return format_arch(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def apply_values(
    values: Mapping[str, Any], decoder: DecoderConfig, fit: FitConfig
) -> tuple[DecoderConfig, FitConfig]:
    """Decoder and fit with these values of the searched settings.

    Raises
    ------
    ConfigError
        If a value breaks its setting's rule, or two values conflict.
    """
    if "norm" in values:  # it overrides a batch_norm that is not searched
        if "batch_norm" in values:
            raise ConfigError("norm and batch_norm must not be searched both: search norm.")
        values = {**values, "batch_norm": values["norm"] == "batch"}
    elif "batch_norm" in values and decoder.norm is not None:
        raise ConfigError(
            f"batch_norm must not be searched where norm is given ({decoder.norm}): search norm."
        )
    parts = []
    for part in (decoder, fit):
        own = {k: v for k, v in values.items() if k in part.__dataclass_fields__}
        parts.append(type(part)(**{**part.__dict__, **own}))
    decoder, fit = parts
    if decoder.normalisation == "batch" and fit.batch_size == 1:
        raise ConfigError(
            "batch_size must be at least 2 with batch normalisation, which averages over the "
            "images of a batch, got 1."
        )
    return decoder, fit


def _whole_ends(name: str, values: Values) -> Values:
    """Convert the ends of a range of whole numbers to `int`: 2 for 2.0."""
    if isinstance(values, Range) and _KINDS[name] is int:
        return Range(read_value(name, values.low), read_value(name, values.high), values.log)
    return values


def _ends(values: Values) -> tuple[Any, ...]:
    return (values.low, values.high) if isinstance(values, Range) else values
