"""Flags of the command line, described by the settings that they stand for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Group, Parameter, Token

from autodecoder.config import Setting, format_arch, list_settings
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

SETTINGS = {setting.path: setting for setting in list_settings()}


def flag(group: Group, path: str, **options: Any) -> Parameter:
    """The flag of a setting; a switch gets its `--no…`, a whole number is no 2.6."""
    setting = SETTINGS[path]
    assert setting.flag is not None  # settings without one live in a file
    if isinstance(setting.default, bool):
        options.setdefault("negative", f"--no{setting.flag}")
    if type(setting.default) is int or path in _WHOLE:
        options.setdefault("converter", whole_number)
    if path in ("data.data_dir", "data.split_by", "data.mask"):
        options.setdefault("converter", read_path)
    if setting.default == () or path == "search.space":
        options["show_default"] = False
    return Parameter(group=group, help=f"{setting.meaning}{_default(setting)}", **options)


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


#: Whole numbers whose default says nothing of their kind.
_WHOLE = ("search.max_trials",)
#: Their meaning tells what happens without them.
_SILENT = ("search.space", "seed")


def _default(setting: Setting) -> str:
    default = setting.default
    if setting.path in _SILENT or default is None or default == ():
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
