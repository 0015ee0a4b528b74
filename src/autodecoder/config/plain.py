"""Configurations as plain values for JSON and TOML, and the list of all settings."""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from autodecoder.config.arch import Arch
from autodecoder.config.fit import RECIPES
from autodecoder.config.rules import check_choice
from autodecoder.config.setting import Setting, all_settings, own_settings, parts_of, recipe_values
from autodecoder.config.study import StudyConfig
from autodecoder.encoding import read_text
from autodecoder.errors import ConfigError, DataError
from autodecoder.paths import user_path
from autodecoder.text import told


def list_settings() -> tuple[Setting, ...]:
    """All settings of a study, in the order of `StudyConfig`."""
    return tuple(all_settings(StudyConfig))


_PARTS = parts_of(StudyConfig)
#: Largest file of settings that is read, in bytes.
_LARGEST = 2**24
#: Settings that may change when a study is resumed. The number of trials may only grow.
FREE_SETTINGS = tuple(setting.path for setting in list_settings() if setting.free)


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a configuration into plain values that JSON can hold."""
    return {f.name: _plain(getattr(config, f.name)) for f in fields(config)}


def study_config(values: Mapping[str, Any]) -> StudyConfig:
    """Build a `StudyConfig` from nested plain values; missing settings keep their defaults.

    `recipe`, at the top level, sets the values of settings that are not given.

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
    decoder = values.get("decoder")
    if isinstance(decoder, Mapping) and decoder.get("norm") is not None:
        by_batch = decoder["norm"] == "batch"
        if by_batch and decoder.get("batch_norm") is False:
            raise ConfigError("norm must not be batch without batch_norm; name one of them.")
        values["decoder"] = {"batch_norm": by_batch, **decoder}
    for name, kind in _PARTS.items():
        given = values.get(name, {})
        if isinstance(given, Mapping):
            values[name] = {**recipe_values(kind, recipe), **given}
    return _build(StudyConfig, values, "")


def read_toml(path: Path) -> dict[str, Any]:
    """Read settings from a TOML file of at most 16 MiB, or from a pipe.

    Raises
    ------
    ConfigError
        If it cannot be read or is not TOML.
    """
    try:
        content = tomllib.loads(read_text(path, _LARGEST))
    except OSError as error:
        raise ConfigError(f"config cannot be read: {path}: {error.strerror}.") from error
    except DataError as error:
        raise ConfigError(f"config must be a TOML file: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"config must be a TOML file, but {path} is not: {error}.") from error
    # Checked here, because flags would replace a value that is no table.
    for name in _PARTS:
        if not isinstance(content.get(name, {}), dict):
            raise ConfigError(f"{name} must be a table of settings, got {told(content[name])}.")
    return content


def differences(*several: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Settings in which results of `to_dict` differ, by path, with all their values."""
    flat = [dict(_flatten(values, "")) for values in several]
    paths = dict.fromkeys(path for values in flat for path in values)
    found = {path: tuple(values.get(path) for values in flat) for path in paths}
    return {path: values for path, values in found.items() if any(v != values[0] for v in values)}


def _flatten(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _build(kind: type, values: Any, prefix: str) -> Any:
    if not isinstance(values, Mapping):
        raise ConfigError(f"{prefix.rstrip('.')} must be a table of settings, got {told(values)}.")
    own, parts = own_settings(kind), parts_of(kind)
    arguments = {}
    for name, value in values.items():
        if name in parts:
            arguments[name] = _build(parts[name], value, f"{prefix}{name}.")
        elif name in own:
            arguments[name] = _read(prefix + name, own[name], value)
        else:
            choices = (*parts, *own, *(("recipe",) if parts else ()))
            check_choice(f"a setting{f' of {prefix[:-1]}' if prefix else ''}", name, choices)
    return kind(**arguments)


def _read(path: str, setting: Setting, value: Any) -> Any:
    """Read the value of a setting from a file."""
    if value is None and setting.optional:
        return None
    if setting.read is not None:
        return setting.read(value)
    if setting.kind is Path:
        if not isinstance(value, str | Path):
            raise ConfigError(f"{path} must be a path in quotes, got {told(value)}.")
        return user_path(value, path)
    if setting.kind == tuple[str, ...]:
        return _words(path, value)
    if setting.kind is float and type(value) is int:
        # 0 and 0.0 are the same study. A number too large for a float is left for the check.
        return float(value) if abs(value) < 2**1000 else value
    return value


def _words(path: str, value: Any) -> tuple[str, ...]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise ConfigError(f"{path} must be a list of words, got {told(value)}.")
    return tuple(words)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, Arch):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return str(value) if isinstance(value, Path | Arch) else value
