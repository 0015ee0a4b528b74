"""How a setting is declared, once, and how other modules read the declarations."""

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
    """One setting: what its field declares."""

    default: Any
    """Its value, also by the recipe `fast`; a callable makes it."""
    meaning: str
    """What `--help` and the table of settings say of it."""
    flag: str | None = ""
    """Its name on the command line, without hyphens: by default that of the field; `None` if it
    stands in files only."""
    original: str = ""
    """What the original calls it; empty if it has none of the kind."""
    group: str = ""
    """Title under which `--help` shows it, by default that of its part."""
    called: str = ""
    """Its name in errors, by default that of the field."""
    check: Check | None = None
    """Its rule. By default a switch is true or false, and a whole number is positive. `None` is not
    checked where the type allows it."""
    read: Callable[[Any], Any] | None = None
    """Makes the value of what files and flags hold, where that is in a notation of its own."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Its values by the other recipes; without any, recipes leave it alone."""
    tunable: bool = False
    """Whether a search may vary it; of decoder and fit."""
    traced: bool = False
    """Whether trials that differ in it alone share a program."""
    free: bool = False
    """Whether it may change when a study goes on, since it does not touch what is done already."""
    since: tuple[int, Any] | None = None
    """Layout of files that it came with, and the plain value that says what was done before."""
    default_since: int = 0
    """Layout of files that its default came with, if that was another one before."""

    # What follows from where it stands.
    path: str = ""
    """In `StudyConfig` and in a TOML file, for example `decoder.latent_dims`."""
    kind: Any = None
    """Type of its values, but for `None`."""
    optional: bool = False
    """Whether it may be `None`."""

    @property
    def changed(self) -> int:
        """Layout of files before which a command that does not name it meant another value."""
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
    """A field that holds the settings of a part; `--help` shows them in a group."""
    return field(default_factory=kind, metadata={"group": group})


def parts_of(kind: type) -> Mapping[str, Any]:
    """The types of the parts among the fields of settings, by name."""
    return {f.name: f.type for f in fields(kind) if "group" in f.metadata}


@cache
def own_settings(kind: type) -> Mapping[str, Setting]:
    """The settings among the fields of `kind`, by name."""
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
    """The settings of `kind` and of its parts, in their order."""
    own, parts = own_settings(kind), parts_of(kind)
    for f in fields(kind):
        if f.name in own:
            about = own[f.name]
            yield replace(about, path=prefix + f.name, group=about.group or group)
        else:
            yield from all_settings(parts[f.name], f"{prefix}{f.name}.", f.metadata["group"])


def recipe_values(kind: type, recipe: str) -> dict[str, Any]:
    """What a recipe says of the settings of `kind`."""
    own = own_settings(kind).items()
    return {name: s.recipe.get(recipe, s.default) for name, s in own if s.recipe}


def take_plain(config: Any) -> None:
    """Have a frozen dataclass hold Python's numbers where it was given NumPy's."""
    for f in fields(config):
        object.__setattr__(config, f.name, as_plain(getattr(config, f.name)))


@dataclass(frozen=True)
class Settings:
    """The settings of one stage: a base of dataclasses.

    When they are made, numbers become Python's, `~` in paths is expanded, and each value is checked
    by its own rule.
    """

    _within: ClassVar[str] = ""
    """What errors say before the name of a setting."""

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
