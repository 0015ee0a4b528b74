"""Flags of the command line, described by the settings that they stand for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter, Token

from autodecoder.config import Setting, format_arch
from autodecoder.errors import ConfigError
from autodecoder.paths import user_path

#: The flag of commands whose result programs read.
Json = Annotated[
    bool,
    Parameter(
        name="json",
        show_default=False,
        help="Print the result as JSON on standard output, and nothing else there.",
    ),
]

#: Groups of flags by their titles, in their order.
GROUPS = {
    title: Group(title, sort_key=key)
    for key, title in enumerate(("Images", "Decoder", "Joint fit", "Search", "Log", "Output"))
}


def flag(setting: Setting) -> tuple[str, Any, Any]:
    """Name, type and default of a setting's flag, which is `None` or () where it is not given.

    A switch gets its `--no…`, and a whole number is no 2.6. A flag of several values may be
    repeated. Values with a notation of their own are text here.
    """
    assert setting.flag is not None  # settings without one live in a file
    kind, options = setting.kind, {}
    if kind is bool:
        options["negative"] = f"--no{setting.flag}"
    if kind in _CONVERTERS:
        options["converter"] = _CONVERTERS[kind]
    several = kind == tuple[str, ...] or isinstance(setting.default, Mapping)
    if several:
        options["show_default"] = False
    about = Parameter(
        group=GROUPS[setting.group], help=f"{setting.meaning}{_default(setting)}", **options
    )
    if several:
        return setting.flag, Annotated[tuple[str, ...], about], ()
    held = kind if kind in (bool, int, float, Path) else str
    return setting.flag, Annotated[held | None, about], None


def read_path(_type: object, tokens: Sequence[Token]) -> Path:
    """A path as the shell leaves it: of `--out=~/x` it expands nothing."""
    token = tokens[0]
    return user_path(token.value, (token.keyword or "").lstrip("-") or "path")


def path_flag(**options: Any) -> Parameter:
    """The parameter of every path."""
    return Parameter(converter=read_path, **options)


def nest(values: dict[str, Any]) -> dict[str, Any]:
    """Values by path, such as `fit.num_epochs`, as nested tables; `None` is left out."""
    nested: dict[str, Any] = {}
    for path, value in values.items():
        if value is not None and value != ():
            *tables, name = path.split(".")
            table = nested
            for part in tables:
                table = table.setdefault(part, {})
            table[name] = value
    return nested


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Nested tables in which the values of `above` win."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            value = merge(old, value)
        merged[name] = value
    return merged


def _default(setting: Setting) -> str:
    default = setting.default
    drawn = setting.path == "seed"  # by the command line, where it is not given
    if drawn or default is None or default == () or isinstance(default, Mapping):
        return ""
    if isinstance(default, tuple):
        default = format_arch(default)
    if isinstance(default, bool):
        default = "yes" if default else "no"
    return f" [default: {default}]"


def whole_number(_type: object, tokens: Sequence[Token]) -> int:
    """cyclopts itself would round 2.6 to 3."""
    token = tokens[0]
    try:
        return int(token.value)
    except ValueError:
        name = (token.keyword or "").lstrip("-")
        raise ConfigError(f"{name} must be a whole number, got {token.value!r}.") from None


_CONVERTERS = {int: whole_number, Path: read_path}
