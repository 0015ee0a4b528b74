"""The declaration of settings, and how other modules read it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, ParamSpec, get_args

from autodecoder.config.rules import Check, as_plain, check_positive_int, check_switch
from autodecoder.errors import ConfigError
from autodecoder.paths import user_path
from autodecoder.text import told

P = ParamSpec("P")


@dataclass(frozen=True)
class Setting:
    """One setting, as its field declares it."""

    default: Any
    """Its default, which is also its value in recipe `fast`. A callable makes it."""
    meaning: str
    """The text in `--help` and in the table of settings."""
    flag: str | None = ""
    """Its name on the command line, without hyphens; by default the field's name. `None` if the
    setting has no flag."""
    original: str = ""
    """Its name in the original program; empty if the original has no such setting."""
    group: str = ""
    """Title under which `--help` shows it; by default the title of its part."""
    called: str = ""
    """Its name in errors; by default the field's name."""
    check: Check | None = None
    """Its rule. By default a switch must be true or false, and a whole number positive. `None` is
    not checked if the type allows it."""
    read: Callable[[Any], Any] | None = None
    """Converts the value of a file or flag, if it has its own notation."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Its values in the other recipes. If empty, recipes do not set it."""
    tunable: bool = False
    """Whether a search may vary it. Only settings of decoder and fit are tunable."""
    traced: bool = False
    """Whether trials that differ only in it share a program."""
    free: bool = False
    """Whether it may change when a study is resumed, because it does not affect finished work."""
    since: tuple[int, Any] | None = None
    """File layout that introduced it, and the plain value in effect before."""
    default_since: int = 0
    """File layout that introduced its present default, if it had another before."""

    # Derived from the place of the declaration.
    path: str = ""
    """Its path in `StudyConfig` and in a TOML file, for example `decoder.latent_dims`."""
    kind: Any = None
    """Type of its values, apart from `None`."""
    optional: bool = False
    """Whether it may be `None`."""

    @property
    def changed(self) -> int:
        """First file layout with the present default."""
        return max(self.default_since, 0 if self.since is None else self.since[0])


def _as_field(declare: Callable[P, Setting]) -> Callable[P, Any]:
    def make(*args: P.args, **kwargs: P.kwargs) -> Any:
        about = declare(*args, **kwargs)
        if callable(about.default):
            return field(default_factory=about.default, metadata={"setting": about})
        return field(default=about.default, metadata={"setting": about})

    return make


#: Declare a setting: a field of `Settings`, described by the arguments of `Setting`.
setting = _as_field(Setting)


def part(kind: type, group: str) -> Any:
    """A field that holds the settings of a part, shown by `--help` in a group."""
    return field(default_factory=kind, metadata={"group": group})


def parts_of(kind: type) -> Mapping[str, Any]:
    """The types of the parts of a settings class, by name."""
    return {f.name: f.type for f in fields(kind) if "group" in f.metadata}


@cache
def own_settings(kind: type) -> Mapping[str, Setting]:
    """The settings that `kind` itself declares, by name."""
    return {f.name: _complete(f) for f in fields(kind) if "setting" in f.metadata}


def _complete(f: Any) -> Setting:
    about = f.metadata["setting"]
    kinds = get_args(f.type) if isinstance(f.type, UnionType) else (f.type,)
    others = [kind for kind in kinds if kind is not NoneType]
    kind = others[0] if len(others) == 1 else f.type
    return replace(
        about,
        default=about.default() if callable(about.default) else about.default,
        flag=f.name if about.flag == "" else about.flag,
        check=about.check or {bool: check_switch, int: check_positive_int}.get(kind),
        path=f.name,
        kind=kind,
        optional=NoneType in kinds,
    )


def all_settings(kind: type, prefix: str = "", group: str = "") -> Iterator[Setting]:
    """The settings of `kind` and of its parts, in order."""
    own, parts = own_settings(kind), parts_of(kind)
    for f in fields(kind):
        if f.name in own:
            about = own[f.name]
            yield replace(about, path=prefix + f.name, group=about.group or group)
        else:
            yield from all_settings(parts[f.name], f"{prefix}{f.name}.", f.metadata["group"])


def recipe_values(kind: type, recipe: str) -> dict[str, Any]:
    """The values that a recipe gives to the settings of `kind`."""
    own = own_settings(kind).items()
    return {name: s.recipe.get(recipe, s.default) for name, s in own if s.recipe}


def take_plain(config: Any) -> None:
    """Convert the NumPy numbers of a frozen dataclass to Python's."""
    for f in fields(config):
        try:
            value = as_plain(getattr(config, f.name))
        except RecursionError:
            within = getattr(config, "_within", "")
            raise ConfigError(f"{within}{f.name} is nested too deeply.") from None
        object.__setattr__(config, f.name, value)


@dataclass(frozen=True)
class Settings:
    """Base of the dataclasses that hold the settings of one stage.

    On creation, NumPy numbers are converted to Python's, `~` in paths is expanded, and each value
    is checked by its rule.
    """

    _within: ClassVar[str] = ""
    """Prefix of setting names in errors."""

    def __post_init__(self) -> None:
        take_plain(self)
        for name, about in own_settings(type(self)).items():
            value, called = getattr(self, name), about.called or self._within + name
            if value is None and about.optional:
                continue
            if about.kind is Path:
                if not isinstance(value, str | bytes | PathLike):
                    raise ConfigError(f"{called} must be a path, got {told(value)}.")
                object.__setattr__(self, name, user_path(value, called))
            if about.check is not None:
                about.check(called, value)
