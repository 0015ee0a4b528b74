"""Configurations as plain values, for JSON and TOML; and the list of all settings."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, get_args

from autodecoder.config.arch import Arch
from autodecoder.config.fit import RECIPE_BATCH_NORM, RECIPES
from autodecoder.config.notation import parse_range, parse_size
from autodecoder.config.rules import check_choice
from autodecoder.config.search import read_value, read_values
from autodecoder.config.study import StudyConfig
from autodecoder.encoding import decode_text
from autodecoder.errors import ConfigError, DataError
from autodecoder.paths import user_path
from autodecoder.text import told

#: Settings that may change when a study goes on, since they do not touch what is done already; of
#: trials there may only be more.
FREE_SETTINGS = (
    "data.data_dir",
    "data.strict",
    "log.checkpoint_every",
    "log.histogram_freq",
    "log.svg",
    "log.tensorboard",
    "log.visualize_freq",
    "search.max_trials",
    "search.runs_at_once",
)


@dataclass(frozen=True)
class Setting:
    """One setting: where it stands in `StudyConfig` and in a TOML file, and what it means."""

    path: str
    """For example `decoder.latent_dims`."""
    default: Any
    meaning: str
    flag: str | None
    """Its name on the command line, without hyphens."""
    original: str
    """What the original calls it; empty if it has none of the kind."""


def list_settings() -> tuple[Setting, ...]:
    """Every setting of a study, in the order in which `StudyConfig` has them."""
    return tuple(_settings(StudyConfig, ""))


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a configuration into plain values that JSON can hold."""
    return {f.name: _plain(getattr(config, f.name)) for f in fields(config)}


def study_config(values: Mapping[str, Any]) -> StudyConfig:
    """Build a `StudyConfig` from nested plain values; what is missing keeps its default.

    `recipe`, beside the parts, names values for those settings of the fit that are not given, and
    whether the decoder has batch normalisation.

    Raises
    ------
    ConfigError
        If a name is no setting, or a value breaks its rule.

    Examples
    --------
    >>> study_config({"decoder": {"arch": "500-500"}}).decoder.arch
    (500, 500)
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"settings must be a table, got {told(values)}.")
    values = dict(values)
    recipe = values.pop("recipe", "fast")
    check_choice("recipe", recipe, RECIPES)
    fit = values.get("fit", {})
    if isinstance(fit, Mapping):
        values["fit"] = {**RECIPES[recipe], **fit}
    decoder = values.get("decoder", {})
    if isinstance(decoder, Mapping):
        norm = decoder.get("norm")
        if norm == "batch" and decoder.get("batch_norm") is False:
            raise ConfigError("norm must not be batch without batch_norm; name one of them.")
        batch_norm = RECIPE_BATCH_NORM[recipe] if norm is None else norm == "batch"
        values["decoder"] = {"batch_norm": batch_norm, **decoder}
    return _build(StudyConfig, values, "")


def read_toml(path: Path) -> dict[str, Any]:
    """Read settings from a TOML file.

    Raises
    ------
    ConfigError
        If it cannot be read or is no TOML.
    """
    try:
        content = tomllib.loads(decode_text(path.read_bytes(), path))
    except OSError as error:
        raise ConfigError(f"config cannot be read: {path}: {error.strerror}.") from error
    except DataError as error:
        raise ConfigError(f"config must be a TOML file: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"config must be a TOML file, but {path} is not: {error}.") from error
    # Told here, since flags would replace what is no table instead of adding to it.
    for f in fields(StudyConfig):
        if is_dataclass(_default(f)) and not isinstance(content.get(f.name, {}), dict):
            raise ConfigError(f"{f.name} must be a table of settings, got {told(content[f.name])}.")
    return content


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings in which two results of `to_dict` differ, by path, with both values."""
    flat = [dict(_flatten(values, "")) for values in (one, other)]
    return {
        path: (flat[0].get(path), flat[1].get(path))
        for path in dict.fromkeys((*flat[0], *flat[1]))
        if flat[0].get(path) != flat[1].get(path)
    }


def _flatten(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _settings(kind: type, prefix: str) -> Iterator[Setting]:
    for f in fields(kind):
        default = _default(f)
        if is_dataclass(default):
            yield from _settings(type(default), f"{prefix}{f.name}.")
        else:
            about = f.metadata
            yield Setting(
                prefix + f.name, default, about["meaning"], about["flag"], about["original"]
            )


def _default(f: Field) -> Any:
    if f.default_factory is not MISSING:
        return f.default_factory()
    return f.default


def _build(kind: type, values: Any, prefix: str) -> Any:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{prefix.rstrip('.')} must be a table of settings, got {told(values)}.")
    known = {f.name: f for f in fields(kind)}
    arguments = {}
    for name, value in values.items():
        if name not in known:
            choices = (*known, "recipe") if kind is StudyConfig else tuple(known)
            check_choice(f"a setting{f' of {prefix[:-1]}' if prefix else ''}", name, choices)
        default = _default(known[name])
        if is_dataclass(default):
            arguments[name] = _build(type(default), value, f"{prefix}{name}.")
        elif name == "space":
            arguments[name] = _space(value)
        elif name == "arch":
            arguments[name] = read_value(name, value)
        elif name in ("data_dir", "split_by", "mask"):
            arguments[name] = _path(f"{prefix}{name}", value)
        elif name == "image_size":
            arguments[name] = None if value is None else parse_size(value)
        elif name == "pixel_range":
            arguments[name] = None if value is None else parse_range(value)
        elif isinstance(default, tuple):
            arguments[name] = _words(prefix + name, value)
        elif type(value) is int and float in (known[name].type, *get_args(known[name].type)):
            # So that 0 and 0.0 are the same study; what no float holds is refused as it is.
            arguments[name] = float(value) if abs(value) < 2**1000 else value
        else:
            arguments[name] = value
    return kind(**arguments)


def _path(name: str, value: Any) -> Path | None:
    if value is None or isinstance(value, str | Path):
        return None if value is None else user_path(value, name)
    raise ConfigError(f"{name} must be a path in quotes, got {told(value)}.")


def _words(path: str, value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise ConfigError(f"{path} must be a list of words, got {told(value)}.")
    return tuple(words)


def _space(values: Any) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError(f"search.space must be a table of settings, got {told(values)}.")
    return {name: read_values(name, given) for name, given in values.items()}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, Arch):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path | Arch) else value
