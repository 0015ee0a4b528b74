"""Flags of the command line, described by their settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter, Token

from autodecoder.config import Setting, format_arch
from autodecoder.errors import ConfigError
from autodecoder.paths import user_path

#: The flag for results as JSON.
Json = Annotated[
    bool,
    Parameter(
        name="json",
        show_default=False,
        help="Print the result as JSON on standard output; messages go to standard error.",
    ),
]

#: Groups of flags by title, in order.
GROUPS = {
    title: Group(title, sort_key=key)
    for key, title in enumerate(("Images", "Decoder", "Joint fit", "Search", "Log", "Output"))
}


def flag(setting: Setting) -> tuple[str, Any, Any]:
    """Name, type and default of a setting's flag. The default, `None` or (), means not given.

    A switch gets its `--no…`. A whole number is not rounded. A flag with several values is
    repeatable. Values with their own notation are text here.
    """
    assert setting.flag is not None  # settings without a flag exist only in files
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
    """Read a path and expand `~`, because the shell leaves `--out=~/x` as it is."""
    token = tokens[0]
    return user_path(token.value, (token.keyword or "").lstrip("-") or "path")


def path_flag(**options: Any) -> Parameter:
    """The parameter of a path."""
    return Parameter(converter=read_path, **options)


def nest(values: dict[str, Any]) -> dict[str, Any]:
    """Nest values by path, such as `fit.num_epochs`, as tables; `None` and () are left out."""
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
    """Merge nested tables; the values of `above` override those of `below`."""
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            value = merge(old, value)
        merged[name] = value
    return merged


def _default(setting: Setting) -> str:
    default = setting.default
    drawn = setting.path == "seed"  # the command line draws it if it is not given
    if drawn or default is None or default == () or isinstance(default, Mapping):
        return ""
    if isinstance(default, tuple):
        default = format_arch(default)
    if isinstance(default, bool):
        default = "yes" if default else "no"
    return f" [default: {default}]"


def whole_number(_type: object, tokens: Sequence[Token]) -> int:
    """Read a whole number; cyclopts would round 2.6 to 3."""
    token = tokens[0]
    try:
        return int(token.value)
    except ValueError:
        name = (token.keyword or "").lstrip("-")
        raise ConfigError(f"{name} must be a whole number, got {token.value!r}.") from None


_CONVERTERS = {int: whole_number, Path: read_path}
