"""How a setting is declared. What it says of itself is said once; all else follows from it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args

from autodecoder.config.rules import as_plain, check_switch
from autodecoder.errors import ConfigError
from autodecoder.paths import user_path
from autodecoder.text import told


@dataclass(frozen=True)
class Setting:
    """One setting: what `setting` declares of it, and where it stands."""

    default: Any
    meaning: str
    flag: str | None
    """Its name on the command line, without hyphens."""
    original: str
    group: str
    called: str
    check: Callable[[str, Any], Any] | None
    read: Callable[[Any], Any] | None
    recipe: Mapping[str, Any]
    tunable: bool
    traced: bool
    free: bool
    since: tuple[int, Any] | None
    default_since: int
    path: str = ""
    """Where it stands in `StudyConfig` and in a TOML file, for example `decoder.latent_dims`."""
    kind: Any = None
    """Type of its values, but for `None`."""
    optional: bool = False
    """Whether it may be `None`."""

    @property
    def changed(self) -> int:
        """Layout of files before which a command without it meant another value."""
        return max(self.default_since, 0 if self.since is None else self.since[0])


def setting(
    default: Any,
    meaning: str,
    *,
    flag: str | None = "",
    original: str = "",
    group: str = "",
    called: str = "",
    check: Callable[[str, Any], Any] | None = None,
    read: Callable[[Any], Any] | None = None,
    recipe: Mapping[str, Any] | None = None,
    tunable: bool = False,
    traced: bool = False,
    free: bool = False,
    since: tuple[int, Any] | None = None,
    default_since: int = 0,
) -> Any:
    """Declare a setting: a field of a configuration.

    Parameters
    ----------
    default
        Its value, also by the recipe `fast`; a callable makes it.
    meaning : str
        What `--help` and the table of settings say of it.
    flag : str, optional
        Its name on the command line, by default that of the field; `None` if it has none.
    original : str
        What the original calls it; empty if it has none of the kind.
    group : str
        Title under which `--help` shows it, by default that of its part.
    called : str
        Its name in errors, by default that of the field.
    check : callable, optional
        Raises a `ConfigError` for a name and a value that breaks the rule; `None` is not checked
        where the type allows it, and a switch needs no check of its own.
    read : callable, optional
        Makes the value of what a file or a flag holds, where that is a notation of its own.
    recipe : mapping, optional
        Its values by the other recipes.
    tunable : bool
        Whether a search may vary it; of the decoder and the fit.
    traced : bool
        Whether trials that differ in nothing else share a program.
    free : bool
        Whether it may change when a study goes on, since it does not touch what is done already.
    since : (layout, value), optional
        Layout of files that it came with, and the plain value that stands for what was done before.
    default_since : int
        Layout of files with which its default became what it is.
    """
    about = Setting(
        default=default() if callable(default) else default,
        meaning=meaning,
        flag=flag,
        original=original,
        group=group,
        called=called,
        check=check_switch if isinstance(default, bool) else check,
        read=read,
        recipe=recipe or {},
        tunable=tunable,
        traced=traced,
        free=free,
        since=since,
        default_since=default_since,
    )
    if callable(default):
        return field(default_factory=default, metadata={"setting": about})
    return field(default=default, metadata={"setting": about})


def part(kind: type, group: str) -> Any:
    """A field that holds a configuration; `--help` shows its settings in a group."""
    return field(default_factory=kind, metadata={"group": group})


def parts_of(kind: type) -> Mapping[str, Any]:
    """The configurations among the fields of a configuration, by name."""
    return {f.name: f.type for f in fields(kind) if "group" in f.metadata}


@cache
def own_settings(kind: type) -> Mapping[str, Setting]:
    """The settings among the fields of a configuration, by name."""
    return {f.name: _named(f) for f in fields(kind) if "setting" in f.metadata}


def _named(f: Any) -> Setting:
    about = f.metadata["setting"]
    kinds = get_args(f.type) if isinstance(f.type, UnionType) else (f.type,)
    others = [kind for kind in kinds if kind is not NoneType]
    return replace(
        about,
        flag=f.name if about.flag == "" else about.flag,
        path=f.name,
        kind=others[0] if len(others) == 1 else f.type,
        optional=NoneType in kinds,
    )


def all_settings(kind: type, prefix: str = "", group: str = "") -> Iterator[Setting]:
    """The settings of a configuration and of its parts, in their order."""
    own, parts = own_settings(kind), parts_of(kind)
    for f in fields(kind):
        if f.name in own:
            about = own[f.name]
            yield replace(about, path=prefix + f.name, group=about.group or group)
        else:
            yield from all_settings(parts[f.name], f"{prefix}{f.name}.", f.metadata["group"])


def recipe_values(kind: type, recipe: str) -> dict[str, Any]:
    """What a recipe says of the settings of a configuration."""
    own = own_settings(kind).items()
    return {name: s.recipe.get(recipe, s.default) for name, s in own if s.recipe}


def take_plain(config: Any) -> None:
    """Have a frozen dataclass hold Python's numbers where it was given NumPy's."""
    for f in fields(config):
        object.__setattr__(config, f.name, as_plain(getattr(config, f.name)))


def check_settings(config: Any, within: str = "") -> None:
    """Have a configuration hold plain numbers and paths, and check each by its setting's rule.

    Errors call a setting as it says, else by its name, after `within`.

    Raises
    ------
    ConfigError
        If a value breaks it.
    """
    take_plain(config)
    for name, about in own_settings(type(config)).items():
        value = getattr(config, name)
        if value is None and about.optional:
            continue
        called = about.called or within + name
        if about.kind is Path:
            if not isinstance(value, str | bytes | PathLike):
                raise ConfigError(f"{called} must be a path, got {told(value)}.")
            object.__setattr__(config, name, user_path(value, called))
        if about.check is not None:
            about.check(called, value)
