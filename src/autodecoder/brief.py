"""One-line representations of results at a prompt; arrays show as dtype and shape."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import PurePath
from typing import Any, TypeVar

_Class = TypeVar("_Class", bound=type)

#: Most characters of a text, and most entries of a mapping or a sequence, that are shown.
_MOST_LETTERS = 60
_MOST_ENTRIES = 4
#: Types whose own `repr` is short.
_PLAIN = (bool, int, float, complex, type(None))


def brief(cls: _Class) -> _Class:
    """Class decorator: give a dataclass or a named tuple a one-line `repr`."""
    setattr(cls, "__repr__", _represent)  # noqa: B010 (a class may be given one)
    return cls


def _represent(self: Any) -> str:
    return f"{type(self).__name__}({', '.join(_fields(self))})"


def _fields(shown: Any) -> list[str]:
    """`name=value` for each field that is not `None`."""
    if is_dataclass(shown):
        names = [field.name for field in fields(shown) if field.repr]
    else:
        names = list(shown._fields)
    values = {name: getattr(shown, name) for name in names}
    return [f"{name}={_value(value)}" for name, value in values.items() if value is not None]


def _value(value: Any) -> str:
    if isinstance(value, str | PurePath):
        text = str(value)
        return repr(text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…")
    if isinstance(value, _PLAIN) or type(value).__repr__ is _represent:
        return repr(value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}"
    kind = type(value).__name__
    if isinstance(value, Mapping):
        if len(value) > _MOST_ENTRIES:
            return f"{kind} of {len(value)}"
        return f"{{{', '.join(f'{_value(k)}: {_value(v)}' for k, v in value.items())}}}"
    if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
        if len(value) <= _MOST_ENTRIES and all(isinstance(v, (str, *_PLAIN)) for v in value):
            return f"({', '.join(map(_value, value))}{',' if len(value) == 1 else ''})"
        return f"{kind} of {len(value)}"
    return f"{kind}(…)"
